"""Signs over step sizes, and steps that quantised inputs notice, in a whole evaluation."""

import torch
from torch import Tensor, nn

import robcheck
from robcheck.harness.diagnosis import Probe, Records
from robcheck.harness.diagnosis.shattered import shattered
from robcheck.harness.gradients.stability import Stability
from robcheck.harness.model_info import ModelInfo
from robcheck.suites import Suite


class Levels(nn.Module):
    """A linear model of 3 classes on pixels that are rounded to eight levels, with no gradient at all."""

    def forward(self, x: Tensor) -> Tensor:
        weight = torch.randn(3, 16, generator=torch.Generator().manual_seed(0))
        return ((x.detach() * 7).round() / 7).flatten(1) @ weight.T


def evaluated(gradient: object, defenses: list[str]) -> robcheck.Result:
    x = torch.rand(24, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    model = Levels()
    suite = Suite.model_validate({"name": "t", "attacks": [{"attack": "pgd", "steps": 10, "gradient": gradient}]})
    return robcheck.evaluate(
        model, x, model(x).argmax(dim=1), suite=suite, epsilon=0.2, defenses=defenses, controls="none"
    )


def test_answers_alone_break_what_has_no_gradient_and_the_plan_tells_of_signs() -> None:
    result = evaluated("nes", ["bit-depth:bits=3"])
    assert "signs agree over step sizes in" in result.plan[0].reason
    assert result.robust_accuracy < 0.4
    assert "signs agree" not in evaluated("bpda-identity", ["bit-depth:bits=3"]).plan[0].reason


def test_steps_are_at_least_a_quantum() -> None:
    """Finite differences of a hundredth see nothing between two of eight levels; the stage says how far they lie."""
    fine = {"kind": "finite-differences", "size": 0.001}
    assert evaluated(fine, ["bit-depth:bits=3"]).robust_accuracy < 0.4
    # Nobody told of the levels inside the model: nearly every difference is zero.
    assert evaluated(fine, []).robust_accuracy > evaluated(fine, ["bit-depth:bits=3"]).robust_accuracy


def test_shattered_slopes_are_a_warning() -> None:
    def found(overall: float) -> str | None:
        stability = Stability((1e-4, 1e-1), {}, overall, 1.0, 8)
        info = ModelInfo(name="m", format="torch")
        records = Records(8, 8, 3, 1.0, Probe(stability=stability), info)
        finding = shattered(records)
        return None if finding is None else finding.code

    assert found(0.55) == "SHATTERED"
    assert found(float("nan")) == "SHATTERED"
    assert found(0.95) is None
