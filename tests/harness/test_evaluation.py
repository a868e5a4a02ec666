"""An evaluation that meets trouble: passes, budgets, crashes, interrupts, and models that hide, draw or break down."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import robcheck
from robcheck.harness.attacks import ATTACKS
from robcheck.harness.errors import ModelError, UnfinishedError
from robcheck.harness.model_info import ModelInfo, Twin
from robcheck.harness.results import Result
from robcheck.suites import Suite

PGD = {"attack": "pgd", "steps": 12, "loss": "margin"}
APGD = {"attack": "apgd", "steps": 15, "loss": "ce"}
SQUARE = {"attack": "square", "queries": 40}
SURROGATE = {"attack": "transfer", "source": "surrogate", "steps": 5}
FINE = {"PASS", "NO_GATE"}


def suite(*attacks: dict[str, Any], **more: Any) -> Suite:
    return Suite.model_validate({"name": "tiny", "attacks": list(attacks) or [PGD, APGD], **more})


def run(model: Any, x: Tensor, y: Tensor, *attacks: dict[str, Any], **more: Any) -> Result:
    # No gate, no controls: what they find would only blur what the attacks did.
    level = "standard" if "min_robust_accuracy" in more else "none"
    return robcheck.evaluate(model, x, y, **{"suite": suite(*attacks), "device": "cpu", "controls": level, **more})


def codes(result: Result) -> set[str]:
    return {finding.code for finding in result.findings}


def outcomes(result: Result) -> list[str]:
    return [sample.outcome for sample in result.samples]


def samples(model: nn.Module, n: int = 40, features: int = 12) -> tuple[Tensor, Tensor]:
    x = 0.4 + 0.2 * torch.rand(n, features, generator=torch.Generator().manual_seed(1))
    return x, model(x).argmax(dim=1)


class Own:
    """A Classifier around any function; counts every sample that goes through it, both ways."""

    def __init__(self, function: Callable[[Tensor], Tensor], *, twin: bool = True, classes: int | None = None) -> None:
        self.function, self.twin = function, twin
        self.forwards = self.backwards = self.calls = 0
        state = Twin(available=twin, reason="" if twin else "it was taken away")
        self.info = ModelInfo(name="own", format="torch", twin=state, classes=classes)

    def _through(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.forwards += len(x)
        logits = self.function(x)
        if logits.requires_grad:
            logits.register_hook(lambda gradient: setattr(self, "backwards", self.backwards + len(gradient)))
        return logits

    def logits(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            return self._through(x)

    def differentiable(self, gradient: str = "exact") -> Callable[[Tensor], Tensor] | None:  # noqa: ARG002
        return self._through if self.twin else None


@pytest.mark.parametrize(
    ("attacks", "options"),
    [
        ([PGD, APGD], {}),
        ([PGD, APGD, SQUARE, SURROGATE], {"batch_size": 7}),
        ([{"attack": "fgsm"}, {**PGD, "targets": 2}], {"norm": "l2"}),
        ([PGD], {"targets": True}),
        ([PGD], {"box": (0.1, 0.9)}),
        ([PGD], {"max_passes": 300}),
    ],
    ids=["plain", "blackbox", "l2", "targeted", "box", "budget"],
)
@pytest.mark.parametrize("known", [None, 3])
def test_every_pass_is_counted(
    attacks: list[dict[str, Any]], options: dict[str, Any], known: int | None, linear: nn.Module
) -> None:
    x, y = samples(linear)
    options = {**options, **({"targets": (y + 1) % 3} if "targets" in options else {})}
    model = Own(linear, classes=known)
    result = run(model, x, y, *attacks, epsilon=0.03, **options)
    assert (result.passes.forward, result.passes.backward) == (model.forwards, model.backwards)
    phases = result.passes.phases
    assert sum(p.forward for p in phases.values()) == model.forwards
    assert sum(p.backward for p in phases.values()) == model.backwards
    assert phases["clean"].forward == 40
    assert (sum(s.forward for s in result.samples), sum(s.backward for s in result.samples)) == (
        model.forwards,
        model.backwards,
    )
    in_attacks = sum(a.forward for a in result.attacks)
    assert in_attacks == sum(phases[p].forward for p in ("gradient", "blackbox", "replay"))
    if "max_passes" in options:
        spent = sum(phases[p].forward + phases[p].backward for p in ("gradient", "blackbox"))
        assert 0 < spent <= 300
        assert "BUDGET_EXHAUSTED" in codes(result)


def test_a_spent_budget_never_passes(linear: nn.Module) -> None:
    x, y = samples(linear, 60)
    tiny = float(linear.closest(x, y, "linf").min()) / 4
    assert run(linear, x, y, epsilon=tiny, min_robust_accuracy=0.5).verdict == "PASS"
    for passes in (0, 1, 200):
        result = run(linear, x, y, epsilon=tiny, min_robust_accuracy=0.5, max_passes=passes)
        assert result.verdict == "INCONCLUSIVE"
        assert any(record.status == "starved" for record in result.attacks)
    limited = suite(PGD, budget={"passes_per_sample": 2})
    assert run(linear, x, y, suite=limited, epsilon=tiny, min_robust_accuracy=0.5).verdict == "INCONCLUSIVE"
    wide = run(linear, x, y, epsilon=0.3, min_robust_accuracy=0.9, max_passes=60 * 60)
    assert wide.verdict == "FAIL"


def test_a_crash_is_kept_apart(linear: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = samples(linear, 60)
    tiny = float(linear.closest(x, y, "linf").min()) / 4

    def broken(problem: Any, config: Any) -> Tensor:  # noqa: ARG001
        raise ValueError("out of luck\nsecond line")

    monkeypatch.setitem(ATTACKS, "apgd", replace(ATTACKS["apgd"], run=broken))
    result = run(linear, x, y, epsilon=tiny, min_robust_accuracy=0.5)
    assert [(r.name, r.status) for r in result.attacks] == [("pgd-margin", "ok"), ("apgd-ce", "crashed")]
    assert result.attacks[1].reason == "ValueError: out of luck"
    assert result.verdict == "INCONCLUSIVE"
    assert "ATTACK_CRASHED" in codes(result)
    wide = run(linear, x, y, APGD, PGD, epsilon=0.05, min_robust_accuracy=0.9)
    assert wide.attacks[0].status == "crashed"
    assert wide.attacks[1].broken == outcomes(wide).count("broken") > 10
    assert wide.verdict == "FAIL"


@pytest.mark.parametrize("kind", ["outside", "not finite", "wrong shape"])
def test_points_outside_are_never_counted(kind: str, linear: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = samples(linear)

    def cheat(problem: Any, config: Any) -> Tensor:  # noqa: ARG001
        if kind == "outside":
            return 1 - problem.x
        return problem.x * float("nan") if kind == "not finite" else problem.x[:, :3]

    monkeypatch.setitem(ATTACKS, "pgd", replace(ATTACKS["pgd"], run=cheat))
    result = run(linear, x, y, PGD, epsilon=0.01)
    assert result.robust_accuracy == 1
    assert torch.equal(result.adversarial, x)
    assert codes(result) & {"INVALID_CANDIDATES", "ATTACK_CRASHED"}
    assert "broken" not in outcomes(result)


@pytest.mark.parametrize("when", ["attack", "clean", "probe", "controls"])
def test_an_interrupt_keeps_what_is_known(when: str, linear: nn.Module) -> None:
    x, y = samples(linear)
    reference = Own(linear)
    full = run(reference, x, y, epsilon=0.03)
    # Probe, clean pass, then attacks; the control comes last.
    at = {"probe": 1, "clean": 37, "attack": 49, "controls": reference.calls - 5}[when]

    class Stopped(Own):
        def _through(self, points: Tensor) -> Tensor:
            if self.calls == at:
                self.calls += 1
                raise KeyboardInterrupt
            return super()._through(points)

    result = run(Stopped(linear), x, y, epsilon=0.03, min_robust_accuracy=0.99)
    assert not result.complete
    assert result.verdict != "PASS"
    if when in ("attack", "controls"):
        assert result.clean_accuracy == full.clean_accuracy
        # What no attack has come to its end on is no evidence.
        assert ("not_evaluated" in outcomes(result)) == (when == "attack")
    if when == "attack":
        assert {r.status for r in result.attacks} == {"interrupted"}
        assert len(result.attacks) == 2
        assert "INTERRUPTED" in codes(result)
    if when == "probe":
        assert set(outcomes(result)) == {"not_evaluated"}
    if when == "controls":
        assert outcomes(result) == outcomes(full)
    Result.model_validate_json(result.model_dump_json())


def test_a_lost_device_hands_over_what_was_computed(linear: nn.Module) -> None:
    x, y = samples(linear)

    class Lost(Own):
        def _through(self, points: Tensor) -> Tensor:
            if self.calls > 60:
                raise RuntimeError("CUDA error: unspecified launch failure\nmore")
            return super()._through(points)

    with pytest.raises(UnfinishedError, match="device was lost") as caught:
        run(Lost(linear), x, y, PGD, {**PGD, "name": "second", "restarts": 9}, epsilon=0.02)
    kept = caught.value.result
    assert not kept.complete
    assert kept.clean_accuracy == 1
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("wrapped", [False, True], ids=["classifier", "module"])
def test_a_model_that_fails_away_from_the_data_loses_no_result(wrapped: bool, linear: nn.Module) -> None:
    """It answers clean samples and raises on every attacked one: crashed attacks and no PASS, but a result."""
    x, y = samples(linear)

    class Fragile(nn.Module):
        def forward(self, points: Tensor) -> Tensor:
            known = (points[:, None] == x[None]).all(dim=2).any(dim=1)
            if not bool(known.all()):
                raise ValueError("I do not know this picture")
            return linear(points)

    model = Fragile() if wrapped else Own(Fragile())
    result = run(model, x, y, epsilon=0.02, min_robust_accuracy=0.5)
    assert {r.status for r in result.attacks} == {"crashed"}
    assert result.verdict == "INCONCLUSIVE"
    assert result.clean_accuracy == 1


def test_a_model_that_fails_on_clean_samples_is_an_error(linear: nn.Module) -> None:
    x, y = samples(linear)

    def fails(_: Tensor) -> Tensor:
        raise ValueError("no\nreason")

    with pytest.raises(ModelError, match="fails on the clean samples: no"):
        run(Own(fails), x, y)


def test_a_random_model_is_noticed_and_scored_by_rates(linear: nn.Module) -> None:
    class Noisy(nn.Module):
        def forward(self, points: Tensor) -> Tensor:
            return linear(points) + 0.2 * torch.randn(len(points), 3)

    x, y = samples(linear)
    result = run(Noisy(), x, y, {**PGD, "eot": 4, "steps": 6}, epsilon=0.02, min_robust_accuracy=0.0)
    assert result.stochastic
    assert {"NONDETERMINISTIC"} <= codes(result)
    assert not codes(result) & {"TWIN_PARITY", "BATCH_DEPENDENT"}
    rates = [s.correct_rate for s in result.samples if s.outcome in ("broken", "survived")]
    assert all(rate is not None for rate in rates)
    assert any(0 < rate < 1 for rate in rates)
    assert result.robust_accuracy == pytest.approx(sum(rates) / 40, abs=1e-9)
    assert result.robust_accuracy < result.clean_accuracy
    for sample in result.samples:
        if sample.correct_rate is not None:
            assert (sample.outcome == "broken") == (sample.correct_rate < 0.5)
    assert "4 draws" in (result.attacks[0].gradient or "")


def test_a_random_defense() -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(3, 64, generator=generator)

    class Small(nn.Module):
        def forward(self, points: Tensor) -> Tensor:
            return points.flatten(1) @ weight.T

    x = torch.rand(16, 1, 8, 8, generator=generator)
    y = Small()(x).argmax(dim=1)
    fast = {**PGD, "steps": 4, "eot": 3}
    results = [run(Small(), x, y, fast, epsilon=0.05, defenses=["resize-pad"], batch_size=b) for b in (64, 5)]
    result = results[0]
    assert result.defenses == ["resize-pad:smallest=0.8"]
    assert result.stochastic
    assert result.robust_accuracy < result.clean_accuracy
    assert outcomes(results[1]) == outcomes(result)
    assert results[1].robust_accuracy == pytest.approx(result.robust_accuracy)
    assert not codes(result) & {"NONDETERMINISTIC", "TWIN_PARITY", "BATCH_DEPENDENT"}
    assert ((result.adversarial - x).abs() <= 0.05 + 1e-6).all()
    jpeg = run(Small(), x, y, PGD, epsilon=0.05, defenses=["jpeg:quality=50"])
    assert jpeg.attacks[0].gradient == "bpda-identity"
    assert not jpeg.stochastic
    assert "broken" in outcomes(jpeg)
