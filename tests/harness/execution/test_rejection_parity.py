"""The rejection score of twin and deployed model: compared as strictly as logits, in units that mean something."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from robcheck.harness.diagnosis import Probe
from robcheck.harness.diagnosis.contract.batch_independence import batch_independence
from robcheck.harness.diagnosis.contract.determinism import determinism
from robcheck.harness.diagnosis.contract.finite_output import finite_output
from robcheck.harness.diagnosis.contract.gradient import gradient
from robcheck.harness.diagnosis.contract.parity import parity
from robcheck.harness.execution.meter import Meter
from robcheck.harness.execution.probe import Asker
from robcheck.harness.model_info import ModelInfo, Rejection, Twin
from robcheck.harness.results import Finding

Score = Callable[[Tensor], Tensor]
WEIGHT = 100 * torch.randn(3, 6, generator=torch.Generator().manual_seed(0))
X = torch.rand(32, 6, generator=torch.Generator().manual_seed(1))
RECORD = Rejection(output="score", above=0.3)
ODDS = Rejection(output="score", above=0.3, unit="log-odds")


def small(x: Tensor) -> Tensor:
    """A detector whose numbers are a ten-thousandth of the logits."""
    return 0.01 * (x.mean(dim=1) - 0.5)


class Rejecting:
    """Logits that always agree, and two scores."""

    def __init__(self, deployed: Score, twin: Score, bpda: Score | None = None, rejection: Rejection = RECORD) -> None:
        obstacles = {} if bpda is None else {"Round": "rounds"}
        self.info = ModelInfo(
            name="m", format="onnx", twin=Twin(available=True), rejection=rejection, obstacles=obstacles
        )
        self.deployed, self.twins = deployed, {"exact": twin, "bpda": twin if bpda is None else bpda}

    def logits(self, x: Tensor) -> Tensor:
        return (x @ WEIGHT.T).detach()

    def differentiable(self, _: str = "exact") -> Any:
        return lambda x: x @ WEIGHT.T

    def with_rejection(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.logits(x), self.deployed(x).detach()

    def differentiable_rejection(self, kind: str = "exact") -> Any:
        return lambda x: (x @ WEIGHT.T, self.twins[kind](x))


def probed(model: Rejecting) -> Probe:
    torch.manual_seed(0)
    return Asker(model, X, Meter(len(X))).probe(8)  # type: ignore[arg-type]


def judged(model: Rejecting) -> Finding:
    return parity(probed(model), model.info)


@pytest.mark.parametrize(
    ("off", "kind", "severity"),
    [(0.0, "exact", "ok"), (1e-7, "exact", "ok"), (1e-4, "exact", "severe"), (1e-4, "bpda", "severe")],
)
def test_a_score_that_is_off_is_severe_however_large_the_logits(off: float, kind: str, severity: str) -> None:
    wrong = lambda x: small(x) + off  # noqa: E731
    model = Rejecting(small, wrong) if kind == "exact" else Rejecting(small, small, wrong)
    finding = judged(model)
    assert finding.severity == severity, finding
    if severity == "severe":
        assert finding.code == "TWIN_PARITY"
        assert "rejection scores" in finding.message
        assert finding.measured == pytest.approx(off, rel=1e-2)


def test_scores_behind_a_sigmoid_are_compared_as_probabilities() -> None:
    """What saturates differs in log-odds alone; what matters near the threshold still counts."""
    sure = lambda x: 20_000 * small(x)  # noqa: E731
    saturated = lambda x: sure(x).clamp(-12, 12)  # noqa: E731
    assert judged(Rejecting(saturated, sure, rejection=ODDS)).severity == "ok"
    assert judged(Rejecting(saturated, sure)).severity == "severe"
    near = lambda x: 1000 * small(x)  # noqa: E731
    assert judged(Rejecting(near, lambda x: near(x) + 0.01, rejection=ODDS)).severity == "severe"
    probe = probed(Rejecting(near, lambda x: near(x) + 1e-4, rejection=ODDS))
    assert probe.rejection_slack == pytest.approx(1e-4, rel=0.3), "in log-odds, as what is rejected above 0"


def test_shapes_and_failures_are_no_agreement() -> None:
    assert "is (32, 1)" in judged(Rejecting(small, lambda x: small(x)[:, None])).message

    def failing(_: Tensor) -> Tensor:
        raise RuntimeError("no kernel")

    assert "no kernel" in judged(Rejecting(small, failing)).message
    assert judged(Rejecting(small, lambda x: small(x) * torch.nan)).severity == "severe"


def test_flags_may_differ_where_rounding_decides_and_nowhere_else() -> None:
    whole = Rejection(output="score", above=0.5, unit="whole")

    def flag(x: Tensor) -> Tensor:
        return (small(x) > 0).float() - 0.5 + 0 * small(x)

    def flipped(count: int) -> Score:
        return lambda x: torch.where(torch.arange(len(x)) < count, -flag(x), flag(x))

    assert judged(Rejecting(flag, flipped(1), rejection=whole)).severity == "ok"
    assert judged(Rejecting(flag, flipped(3), rejection=whole)).severity == "severe"


def test_noise_in_the_score_alone_is_noise() -> None:
    noisy = lambda x: small(x) + 0.002 * torch.randn(len(x))  # noqa: E731
    probe = probed(Rejecting(noisy, noisy))
    assert probe.random
    assert determinism(probe, RejectingInfo).code == "NONDETERMINISTIC"
    assert parity(probe, RejectingInfo).severity == "ok"
    assert "draws random numbers" in judged(Rejecting(noisy, small)).message
    shifted = judged(Rejecting(noisy, lambda x: noisy(x) + 0.01))
    assert shifted.severity == "severe"
    wide = judged(Rejecting(noisy, lambda x: small(x) + 0.01 * torch.randn(len(x))))
    assert "different size" in wide.message


RejectingInfo = Rejecting(small, small).info


def test_a_score_of_the_whole_batch_and_no_number_are_seen() -> None:
    mixed = lambda x: small(x) - small(x).mean()  # noqa: E731
    assert batch_independence(probed(Rejecting(mixed, mixed)), RejectingInfo).code == "BATCH_DEPENDENT"
    missing = lambda x: torch.where(small(x) > 0, torch.nan, small(x))  # noqa: E731
    finding = finite_output(probed(Rejecting(missing, missing)), RejectingInfo)
    assert finding.code == "NAN_OUTPUT"
    assert finding.measured == int((small(X) > 0).sum())


def test_a_score_without_a_gradient_is_severe() -> None:
    cut = Rejecting(small, lambda x: small(x.detach()))
    assert probed(cut).cut_rejection
    assert gradient(probed(cut), cut.info).code == "NO_GRADIENT"
    assert "detector" in gradient(probed(cut), cut.info).message
    steps = Rejecting(lambda x: small(x).round(decimals=3), lambda x: small(x).round(decimals=3))
    assert probed(steps).cut_rejection
    assert not probed(Rejecting(small, small)).cut_rejection
    helped = Rejecting(small, lambda x: small(x.detach()), bpda=small)
    assert not probed(helped).cut_rejection


def test_a_hinge_that_is_flat_at_clean_samples_is_no_cut() -> None:
    """Far from its margin it has no gradient; in noise it has one."""
    hinge = lambda x: (x[:, :3].sum(dim=1) - x[:, 3:].sum(dim=1) - 1).relu() - 0.1  # noqa: E731
    model = Rejecting(hinge, hinge)
    calm = torch.full_like(X, 0.5)
    probe = Asker(model, calm, Meter(len(X))).probe(8)  # type: ignore[arg-type]
    assert not probe.cut_rejection


def test_drift_of_the_score_is_drift() -> None:
    model = Rejecting(small, small)
    asker = Asker(model, X, Meter(len(X)))  # type: ignore[arg-type]
    asker.probe(8)
    assert asker.drift() == 0
    model.deployed = lambda x: small(x) + 0.01
    assert asker.drift() > 0.01
