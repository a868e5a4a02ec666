"""Samples in portions: the same outcomes as at once, stopped early, and honest about it."""

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import robcheck
from robcheck.harness.errors import UsageError
from robcheck.harness.execution.portions import FIRST, LEAST, added, looks, portions
from robcheck.harness.results import AttackRecord, Result
from robcheck.harness.sequence import sequence
from robcheck.suites import Suite

PGD = {"attack": "pgd", "steps": 5, "loss": "margin"}
SQUARE = {"attack": "square", "queries": 30, "samples": 20}


def run(model: Any, x: Tensor, y: Tensor, *attacks: dict[str, Any], **more: Any) -> Result:
    suite = Suite.model_validate({"name": "tiny", "controls": "none", "attacks": list(attacks) or [PGD]})
    return robcheck.evaluate(model, x, y, **{"suite": suite, "device": "cpu", "epsilon": 0.03, **more})


def samples(model: nn.Module, n: int = 300) -> tuple[Tensor, Tensor]:
    x = 0.4 + 0.2 * torch.rand(n, 12, generator=torch.Generator().manual_seed(1))
    return x, model(x).argmax(dim=1)


@pytest.mark.parametrize("n", [1, 63, 64, 65, 96, 1000, 12345])
def test_looks_grow_to_the_end(n: int) -> None:
    found = looks(n)
    assert found[0] == min(n, FIRST)
    assert found[-1] == n
    steps = [b - a for a, b in pairwise(found)]
    assert all(step >= LEAST for step in steps[:-1])
    assert all(step > 0 for step in steps)


def test_names_alone_say_who_comes_when() -> None:
    ids = torch.arange(500) * 7
    found = portions(ids)
    assert torch.cat(found).sort().values.tolist() == list(range(500))
    order = torch.randperm(500, generator=torch.Generator().manual_seed(0))
    shuffled = portions(ids[order])
    assert [set(ids[a].tolist()) for a in found] == [set(ids[order][b].tolist()) for b in shuffled]
    # Sorted data are met everywhere.
    assert 150 < float(found[0].double().mean()) < 350


def test_outcomes_are_those_of_a_run_at_once(linear: nn.Module) -> None:
    x, y = samples(linear)
    whole = run(linear, x, y, PGD, SQUARE)
    part = run(linear, x, y, PGD, SQUARE, min_robust_accuracy=0.01, stop_when_decided=True)
    taken = [s for s in part.samples if s.outcome != "not_evaluated"]
    assert part.sequential is not None
    assert len(taken) == part.sequential.looked[-1] == FIRST
    by_id = {s.id: s for s in whole.samples}
    assert [s.outcome for s in taken] == [by_id[s.id].outcome for s in taken]
    assert part.sequential.decided
    robust = sum(s.outcome == "survived" for s in taken)
    assert part.robust_accuracy == pytest.approx(robust / FIRST)
    assert part.interval == sequence(robust, FIRST)
    assert f"{FIRST} of 300 samples were taken" in part.explanation
    assert not any(reason.startswith("NOT_EVALUATED") for reason in part.against_pass)
    attempted = {a.name: a.attempted for a in part.attacks}
    assert attempted["pgd-margin"] == sum(s.outcome != "clean_error" for s in taken)
    assert part.passes.phases["gradient"].backward < whole.passes.phases["gradient"].backward / 3


def test_a_close_call_takes_all_and_keeps_the_wider_interval(linear: nn.Module) -> None:
    x, y = samples(linear)
    whole = run(linear, x, y, PGD, SQUARE)
    part = run(linear, x, y, PGD, SQUARE, min_robust_accuracy=whole.robust_accuracy, stop_when_decided=True)
    assert part.sequential is not None
    assert (part.sequential.looked, part.sequential.decided) == (looks(300), False)
    assert [s.outcome for s in part.samples] == [s.outcome for s in whole.samples]
    assert part.verdict == "INCONCLUSIVE"
    assert part.interval[0] < whole.interval[0]
    assert part.interval[1] > whole.interval[1]
    first, last = part.attacks[0], whole.attacks[0]
    assert (first.name, first.attempted, first.broken) == (last.name, last.attempted, last.broken)
    assert first.robust_accuracy == pytest.approx(last.robust_accuracy)
    assert (first.forward, first.backward) == (last.forward, last.backward)


def test_fail_and_findings_as_ever(linear: nn.Module) -> None:
    x, y = samples(linear)
    low = run(linear, x, y, min_robust_accuracy=0.99, stop_when_decided=True, epsilon=0.2)
    assert low.verdict == "FAIL"
    high = run(linear, x, y, min_robust_accuracy=0.01, stop_when_decided=True)
    assert high.verdict == "INCONCLUSIVE"
    assert high.against_pass[0].startswith("CONTROLS_OFF")


class Blind(nn.Module):
    """Wrong in one corner of the first two features, flat everywhere, less sure of itself where the third is high."""

    def forward(self, x: Tensor) -> Tensor:
        wrong = (x[:, 0] > 0.5).float() * (x[:, 1] > 0.5)
        unsure = 0.5 * (x[:, 2] > 0.7).float() * (1 - wrong)
        return torch.stack([1 - wrong - unsure, wrong], dim=1) + 0 * x.sum(dim=1, keepdim=True)


def test_limited_attacks_come_back_for_those_who_came_early() -> None:
    """A black-box attack that succeeds only in a later portion is run on all the samples of the earlier ones."""
    n = 200
    order = torch.cat(portions(torch.arange(n)))
    x = torch.tensor([0.3, 0.3, 0.9]).repeat(n, 1)  # out of reach of the corner, and looked at first
    early, late = order[: FIRST // 2], order[FIRST:]
    x[torch.cat([early, late])] = torch.tensor([0.49, 0.49, 0.3])
    y = torch.zeros(n, dtype=torch.int64)
    limited = {"attack": "square", "queries": 60, "samples": 1}
    part = run(Blind(), x, y, limited, epsilon=0.05, min_robust_accuracy=0.42, stop_when_decided=True)
    assert part.sequential is not None
    assert len(part.sequential.looked) > 1
    known = {s.id: s.outcome for s in part.samples if s.outcome != "not_evaluated"}
    assert all(known[i] == "broken" for i in early.tolist())


class Shaky(nn.Module):
    """Draws its answer; the closer to one half, the worse."""

    def forward(self, x: Tensor) -> Tensor:
        margin = 4 * (0.5 - x[:, 0]) + 0.3 * torch.randn(len(x))
        return torch.stack([margin, -margin], dim=1)


class Hears:
    """An observer that counts the phases that begin."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def started(self, what: str, samples: int, passes: int) -> None:  # noqa: ARG002
        self.heard.append(what)

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


def test_random_targets_are_scored_at_every_look() -> None:
    """The rates that chose the worst cases are too low to look at."""
    x = torch.full((150, 1), 0.3)
    y = torch.zeros(150, dtype=torch.int64)
    hears = Hears()
    part = run(Shaky(), x, y, min_robust_accuracy=0.2, stop_when_decided=True, observer=hears)
    assert hears.heard.count("score on fresh draws") == 2
    assert part.stochastic
    assert part.sequential is not None
    assert part.sequential.decided
    rates = [s.correct_rate for s in part.samples if s.outcome != "not_evaluated"]
    assert len(rates) == FIRST
    assert part.interval == pytest.approx(sequence(sum(rates), FIRST))  # type: ignore[arg-type]
    assert all(s.correct_rate is None for s in part.samples if s.outcome == "not_evaluated")


class Stops:
    """An observer that interrupts at the second portion."""

    def __init__(self) -> None:
        self.started_pgd = 0

    def started(self, what: str, samples: int, passes: int) -> None:  # noqa: ARG002
        self.started_pgd += what == "pgd-margin"
        if self.started_pgd == 2:
            raise KeyboardInterrupt

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


def test_an_interrupt_keeps_what_the_portions_before_it_found(linear: nn.Module) -> None:
    x, y = samples(linear)
    part = run(linear, x, y, min_robust_accuracy=0.6, stop_when_decided=True, observer=Stops(), epsilon=0.05)
    assert not part.complete
    assert part.verdict in ("INCONCLUSIVE", "FAIL")
    assert "INCOMPLETE" in {f.code for f in part.findings}
    assert sum(a.attempted for a in part.attacks) > 0


def test_what_two_portions_of_an_attack_are() -> None:
    one = AttackRecord(name="a", attack="pgd", status="ok", attempted=5, broken=2, forward=10, robust_accuracy=0.6)
    other = one.model_copy(update={"status": "crashed", "reason": "boom", "robust_accuracy": 0.2})
    for first, second in ((one, other), (other, one)):
        both = added(first, second, 0.25)
        assert (both.status, both.reason, both.attempted, both.broken, both.forward) == ("crashed", "boom", 10, 4, 20)
    assert added(one, other, 0.25).robust_accuracy == pytest.approx(0.5)
    idle = one.model_copy(update={"status": "idle"})
    assert added(idle, one, 0.5).status == added(one, idle, 0.5).status == "ok"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "--min-robust-accuracy"),
        ({"min_robust_accuracy": 0.5, "gate_on": "point"}, "--gate-on point"),
        ({"min_robust_accuracy": 0.5, "max_regression": 0.1}, "baseline"),
    ],
)
def test_what_it_needs(linear: nn.Module, settings: dict[str, Any], words: str) -> None:
    x, y = samples(linear, 10)
    with pytest.raises(UsageError, match=words):
        run(linear, x, y, stop_when_decided=True, **settings)


def test_regression_end_to_end(linear: nn.Module) -> None:
    x, y = samples(linear, 120)
    old = run(linear, x, y)
    with pytest.raises(UsageError, match="needs a baseline"):
        run(linear, x, y, max_regression=0.1)
    with pytest.raises(UsageError, match="stops early"):
        run(linear, x, y, baseline=old, min_robust_accuracy=0.5, stop_when_decided=True)
    with pytest.raises(UsageError, match="other samples"):
        run(linear, x + 0.001, y, baseline=old)
    with pytest.raises(UsageError, match="threat model"):
        run(linear, x, y, baseline=old, epsilon=0.04)
    with pytest.raises(UsageError, match="sample"):
        run(linear, x, y, baseline=old, ids=torch.arange(120) + 500)
    same = run(linear, x, y, baseline=old, max_regression=0.1)
    assert same.regression is not None
    assert (same.regression.before, same.regression.after) == (old.robust_accuracy, old.robust_accuracy)
    assert [(part.name, part.state) for part in same.gate_parts] == [("regression", "holds")]
    assert same.verdict == "INCONCLUSIVE"  # no controls ran
    other_labels = run(linear, x, (y + 1) % 3)
    with pytest.raises(UsageError, match="other samples"):
        run(linear, x, y, baseline=other_labels)
