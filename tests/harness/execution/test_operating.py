"""Operating points and curves of detectors, on a linear one whose every answer is known in closed form."""

import math
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import robcheck
from robcheck.harness.attacks import ATTACKS
from robcheck.harness.errors import DataError
from robcheck.harness.execution import operating
from robcheck.harness.model_info import ModelInfo, Twin
from robcheck.harness.pipeline import Pipeline
from robcheck.harness.randomness import Stream
from robcheck.harness.results import OperatingPoint, RejectionRecord, Result
from robcheck.harness.rule import Rule
from robcheck.suites import Suite

pytestmark = pytest.mark.slow

EPS = 0.15
WALL = 0.5
ANGLE = math.radians(20)
ALONG, ACROSS = math.cos(ANGLE), math.sin(ANGLE)
PGD = {"attack": "pgd", "loss": "joint", "steps": 40, "restarts": 2}


class Halves(nn.Module):
    """Class 1 is everything right of the wall."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([torch.zeros(len(x)), 20 * (x[:, 0] - WALL)], dim=1)


@dataclass
class Plain:
    module: nn.Module
    info: ModelInfo = ModelInfo(name="plain", format="torch", twin=Twin(available=True))  # noqa: RUF009

    def logits(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            return self.module(x)  # type: ignore[no-any-return]

    def differentiable(self, gradient: str = "exact") -> nn.Module:  # noqa: ARG002
        return self.module


@dataclass
class Slanted:
    """Rejects what lies far along a direction; `noise` is added to the score of every draw."""

    above: float = 0.75
    noise: float = 0.0
    factor: float = 1.0
    label: str = "slanted"

    @property
    def random(self) -> bool:
        return self.noise > 0

    def score(self, x: Tensor, logits: Tensor, stream: Stream) -> Tensor:  # noqa: ARG002
        score = x[:, 0] * ALONG + x[:, 1] * ACROSS - self.above
        if self.noise:
            score = score + self.noise * stream.normal(0, (1,))[:, 0].to(score)
        return self.factor * score


def samples(n: int, seed: int = 0) -> Tensor:
    return torch.rand(n, 2, generator=torch.Generator().manual_seed(seed))


def labels(x: Tensor) -> Tensor:
    return (x[:, 0] > WALL).long()


def score(x: Tensor) -> Tensor:
    return (x.double() * torch.tensor([ALONG, ACROSS], dtype=torch.float64)).sum(dim=1)


def lowest(x: Tensor) -> Tensor:
    """The lowest score in each ball on the wrong side of the wall: at the wall if need be, and across all the way."""
    z = x.double()
    right = z[:, 0] > WALL
    across = (z[:, 1] - EPS).clamp(min=0)
    leftmost = (z[:, 0] - EPS).clamp(min=0)
    along = torch.where(right, leftmost, leftmost.clamp(min=WALL))
    reached = torch.where(right, leftmost <= WALL, z[:, 0] + EPS > WALL)
    return torch.where(reached, ALONG * along + ACROSS * across, torch.inf)


def run(x: Tensor, *attacks: dict[str, Any], detector: Any = None, rule: Rule | None = None, **more: Any) -> Result:
    suite = Suite.model_validate({"name": "tiny", "attacks": list(attacks) or [PGD]})
    target = Pipeline(Plain(Halves()), detector=Slanted() if detector is None else detector, rule=rule or Rule())
    return robcheck.evaluate(target, x, labels(x), **{"suite": suite, "epsilon": EPS, "device": "cpu", **more})


def record(result: Result) -> RejectionRecord:
    assert result.rejection is not None
    return result.rejection


def codes(result: Result) -> dict[str, str]:
    return {finding.code: finding.severity for finding in result.findings}


X, HELD_OUT = samples(120), samples(200, 1)


@pytest.fixture(scope="module")
def evaluated() -> Result:
    return run(X, held_out=HELD_OUT)


def expected(threshold: float) -> tuple[float, float, float]:
    """Clean accuracy, clean rejection and robust accuracy with a threshold in units of the score."""
    accepted = score(X) <= threshold
    robust = accepted & (lowest(X) > threshold)
    return float(accepted.double().mean()), float((~accepted).double().mean()), float(robust.double().mean())


def test_every_point_is_what_it_has_to_be(evaluated: Result) -> None:
    found = record(evaluated)
    assert [point.share for point in found.points] == [0.05, 0.01]
    assert found.held_out == len(HELD_OUT)
    descending = (score(HELD_OUT) - 0.75).sort(descending=True).values
    for point, over in zip(found.points, (10, 2), strict=True):
        assert point.threshold == pytest.approx(float(descending[over]), abs=1e-6)
        assert point.held_out_rejection == pytest.approx(over / len(HELD_OUT))
    for point in (found.deployed, *found.points):
        clean, rejected, robust = expected(point.threshold + 0.75)
        assert point.clean_accuracy.value == pytest.approx(clean)
        assert point.clean_rejection.value == pytest.approx(rejected)
        # An attack may miss a corner of the ball, but not by more than a sample, and finds nothing that is not there.
        assert robust <= point.robust_accuracy.value + 1e-9 <= robust + 1.5 / len(X)
        low, high = point.robust_accuracy.interval
        assert low < point.robust_accuracy.value < high
    assert found.deployed.threshold == 0
    assert found.deployed.robust_accuracy.value == pytest.approx(evaluated.robust_accuracy)
    assert found.deployed.robust_accuracy.interval == pytest.approx(evaluated.interval)
    assert found.deployed.clean_accuracy.value == pytest.approx(evaluated.clean_accuracy)
    assert "OPERATING_POINTS" not in codes(evaluated)
    Result.model_validate_json(evaluated.model_dump_json())


def test_the_curve_is_nearly_the_true_one(evaluated: Result) -> None:
    """Lowest scores are found from the threshold that an attack aims at downward, so the area is an upper bound."""
    found, truth = record(evaluated), lowest(X)
    assert found.examples == len(X)
    assert found.wrong == int(truth.isfinite().sum())
    pairs = (truth[:, None] > score(X)[None, :]).double() + 0.5 * (truth[:, None] == score(X)[None, :]).double()
    area = float(pairs.mean())
    assert found.area is not None
    assert area - 1e-6 <= found.area <= area + 0.05
    assert found.curve[-1] == (1, 1)


def test_without_held_out_samples_nothing_is_made_up() -> None:
    result = run(X[:40])
    found = record(result)
    assert found.points == []
    assert "held-out" in found.points_missing
    assert codes(result)["OPERATING_POINTS"] == "info"
    assert found.curve != []
    assert found.deployed.clean_rejection.value == pytest.approx(float((score(X[:40]) > 0.75).double().mean()))


def test_few_held_out_samples_are_said_to_be_few() -> None:
    result = run(X[:20], held_out=HELD_OUT[:50])
    assert codes(result)["HELD_OUT_SMALL"] == "warning"
    message = next(f.message for f in result.findings if f.code == "HELD_OUT_SMALL")
    assert message.startswith("50 held-out samples set the threshold for 1 %")
    assert [f.code for f in result.findings].count("HELD_OUT_SMALL") == 1
    assert record(result).points[1].held_out_rejection == 0


@pytest.mark.parametrize(
    ("held_out", "reason"),
    [
        (torch.cat([HELD_OUT[:5], X[7:8]]), "1 of the held-out samples are evaluated too, the first is number 5"),
        (HELD_OUT[:, :1], "the same shape"),
        (HELD_OUT[:0], "the same shape"),
        (HELD_OUT * math.nan, "NaN"),
        (HELD_OUT + 1, "outside the model's bounds"),
    ],
)
def test_held_out_samples_that_are_none(held_out: Tensor, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        run(X, held_out=held_out)


def test_breaks_count_wherever_they_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    """An attack that works at one threshold only: its breaks fall at every looser one too, and at no stricter."""
    x = samples(30, 3)
    honest = ATTACKS["pgd"].run

    def choosy(problem: Any, config: Any) -> Tensor:
        here = problem.target.pipeline.threshold
        return honest(problem, config) if abs(here - only) < 1e-6 else problem.x

    full = record(run(x, held_out=HELD_OUT))
    by_share = {None: full.deployed, **{point.share: point for point in full.points}}
    monkeypatch.setitem(ATTACKS, "pgd", replace(ATTACKS["pgd"], run=choosy))
    for share, point in by_share.items():
        only = point.threshold
        found = record(run(x, held_out=HELD_OUT))
        for other in (found.deployed, *found.points):
            limit = other.threshold + 0.75
            assert counted(other) <= int(((score(x) <= limit) & (lowest(x) <= limit)).sum())
            if other.threshold >= only:
                least = counted(by_share[share])
                assert counted(other) >= least - rejected_between(x, only, other.threshold)
                assert least > 0


def counted(point: OperatingPoint) -> int:
    return round(30 * (point.clean_accuracy.value - point.robust_accuracy.value))


def rejected_between(x: Tensor, low: float, high: float) -> int:
    return int(((score(x) > low + 0.75) & (score(x) <= high + 0.75)).sum())


def test_a_stricter_point_helps_the_deployed_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a deployed threshold that rejects hardly anything, the points are stricter, and their breaks are its own."""
    x, honest = samples(30, 3), ATTACKS["pgd"].run

    def choosy(problem: Any, config: Any) -> Tensor:
        return problem.x if problem.target.pipeline.threshold == 0 else honest(problem, config)

    monkeypatch.setitem(ATTACKS, "pgd", replace(ATTACKS["pgd"], run=choosy))
    result = run(x, held_out=HELD_OUT, detector=Slanted(above=1.25))
    shared = next(a for a in result.attacks if a.name == "other thresholds")
    assert shared.broken == sum(s.broken_by == "other thresholds" for s in result.samples) > 0
    assert shared.robust_accuracy == result.robust_accuracy
    truth = (lowest(x) <= 1.25) & (score(x) <= 1.25)
    strict = (lowest(x) <= record(result).points[0].threshold + 1.25) & truth
    assert int(strict.sum()) <= shared.broken <= int(truth.sum())


def test_a_detector_that_rejects_everything() -> None:
    result = run(X[:20], held_out=HELD_OUT, detector=Slanted(above=-1))
    assert (result.clean_accuracy, result.robust_accuracy) == (0, 0)
    assert {sample.outcome for sample in result.samples} == {"clean_error"}
    assert codes(result)["CLEAN_REJECTION"] == "severe"
    assert record(result).deployed.clean_rejection.value == 1
    # At other thresholds it is a detector like any other.
    assert record(result).points[0].clean_accuracy.value > 0.8
    assert record(result).points[0].robust_accuracy.value < record(result).points[0].clean_accuracy.value


def test_a_score_that_is_no_number_protects_nobody() -> None:
    result = run(X[:40], held_out=HELD_OUT, detector=Slanted(factor=math.nan))
    bare = (lowest(X[:40]) == torch.inf).double().mean()
    found = record(result)
    for point in (found.deployed, *found.points):
        assert point.clean_rejection.value == 0
        assert point.robust_accuracy.value == pytest.approx(float(bare))
    assert found.area == pytest.approx(1 - found.wrong / found.examples / 2)


def test_a_random_detector_has_points_and_no_curve() -> None:
    x = X[:16]
    result = run(x, {**PGD, "steps": 5, "restarts": 1, "eot": 2}, held_out=HELD_OUT, detector=Slanted(noise=0.02))
    found = record(result)
    assert found.curve == []
    assert "random" in found.curve_missing
    assert [point.share for point in found.points] == [0.05, 0.01]
    for point in (found.deployed, *found.points):
        accepted = torch.special.ndtr((point.threshold + 0.75 - score(x)) / 0.02)
        assert point.clean_accuracy.value == pytest.approx(float(accepted.mean()), abs=0.03)
        assert point.clean_rejection.value == pytest.approx(float((1 - accepted).mean()), abs=0.03)
        assert point.robust_accuracy.value <= point.clean_accuracy.value
        assert point.held_out_rejection is None or point.held_out_rejection == pytest.approx(point.share, abs=1e-3)
    assert found.deployed.robust_accuracy.value == pytest.approx(result.robust_accuracy)


def test_a_vote_has_no_threshold_to_move() -> None:
    attack = {**PGD, "steps": 2, "restarts": 1, "eot": 1}
    result = run(X[:4], attack, held_out=HELD_OUT, detector=Slanted(noise=0.02), rule=Rule("majority", 3))
    assert record(result).points == []
    assert "majority" in record(result).points_missing
    assert codes(result)["OPERATING_POINTS"] == "info"


def test_a_spent_budget_is_said_and_voids_nothing() -> None:
    """What is left undone at other thresholds is a warning there; the verdict is about the deployed one."""
    x = X[:80]
    full = run(x, held_out=HELD_OUT, detector=Slanted(above=1.0))
    passes = sum(a.forward + a.backward for a in full.attacks)
    result = run(x, held_out=HELD_OUT, max_passes=passes, min_robust_accuracy=0.01, detector=Slanted(above=1.0))
    assert codes(result)["OPERATING_POINT_UNFINISHED"] == "warning"
    assert record(result).area is None
    assert "starved" in record(result).curve_missing
    assert {a.status for point in record(result).points for a in point.attacks} & {"starved"}
    assert all(point.not_evaluated > 0 for point in record(result).points if counted_starved(point))
    assert result.verdict == "PASS"


def counted_starved(point: OperatingPoint) -> bool:
    return any(a.status == "starved" and a.attempted == 0 for a in point.attacks)


def test_trouble_at_other_thresholds_stays_there(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = run(X[:20])

    def fails(*_: Any, **__: Any) -> Any:
        raise RuntimeError("boom\nmore")

    monkeypatch.setattr(operating, "_attacked", fails)
    result = run(X[:20], held_out=HELD_OUT)
    found = record(result)
    assert (found.points, found.curve) == ([], [])
    assert found.points_missing == found.curve_missing == "it failed there: RuntimeError: boom"
    assert codes(result)["OPERATING_POINTS"] == "info"
    assert result.complete
    assert result.robust_accuracy >= plain.robust_accuracy

    def interrupted(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(operating, "_attacked", interrupted)
    result = run(X[:20], held_out=HELD_OUT)
    assert not result.complete
    assert record(result).points_missing == "the run ended before that"
    assert record(result).deployed.robust_accuracy.value == pytest.approx(result.robust_accuracy)


def test_every_pass_is_counted_with_those_of_held_out_samples() -> None:
    forwards = 0

    class Counted(Halves):
        def forward(self, x: Tensor) -> Tensor:
            nonlocal forwards
            forwards += len(x)
            return super().forward(x)

    suite = Suite.model_validate({"name": "tiny", "attacks": [{**PGD, "restarts": 1, "steps": 4}]})
    target = Pipeline(Plain(Counted()), detector=Slanted())
    result = robcheck.evaluate(
        target, X[:10], labels(X[:10]), suite=suite, epsilon=EPS, device="cpu", held_out=HELD_OUT
    )
    assert result.passes.forward == forwards
    assert sum(sample.forward for sample in result.samples) == forwards - len(HELD_OUT)


def test_a_target_that_never_rejects_has_none_of_this() -> None:
    suite = Suite.model_validate({"name": "tiny", "attacks": [PGD, {"attack": "pgd", "steps": 5}]})
    result = robcheck.evaluate(
        Pipeline(Plain(Halves())), X[:10], labels(X[:10]), suite=suite, epsilon=EPS, device="cpu", held_out=HELD_OUT
    )
    assert result.rejection is None
    assert [a.status for a in result.attacks] == ["not_applicable", "ok"]
    assert result.attacks[0].reason == "the target never rejects"
    assert not {"OPERATING_POINTS", "CLEAN_REJECTION", "ATTACK_SKIPPED"} & set(codes(result))
