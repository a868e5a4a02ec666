"""Weak evaluations never end in PASS, even where the gate lies below their flattering number; honest ones do.

Each case leaves a number that holds its gate as far as its own attacks go: what stands against a PASS is a control.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import robcheck
from robcheck.adapters import load_model
from robcheck.adapters.data.digits import digits
from robcheck.adapters.fixtures import fixture
from robcheck.harness.errors import UnfinishedError
from robcheck.harness.execution.observer import Silent
from robcheck.harness.results import Result
from robcheck.suites import Suite

SAMPLES = 48
PGD: dict[str, Any] = {"attack": "pgd"}


class Forward(nn.Module):
    """The embedded model as a module, with something done to its answers."""

    def __init__(self, name: str, change: Callable[[Tensor], Tensor] = lambda scores: scores) -> None:
        super().__init__()
        self.twin, self.change = load_model(f"embedded:{name}").differentiable(), change

    def forward(self, x: Tensor) -> Tensor:
        return self.change(self.twin(x))


class Fragile(Forward):
    """Raises from the 60th question on."""

    def __init__(self) -> None:
        super().__init__("digits-cnn-pgd")
        self.asked = 0

    def forward(self, x: Tensor) -> Tensor:
        self.asked += 1
        if self.asked > 60:
            raise RuntimeError(self.message)
        return super().forward(x)

    message = "the cache is full"


class Unplugged(Fragile):
    message = "CUDA error: unspecified launch failure"


class Impatient(Silent):
    """Somebody presses Ctrl-C when the second attack begins."""

    def __init__(self) -> None:
        self.begun = 0

    def started(self, what: str, samples: int, passes: int) -> None:  # noqa: ARG002
        self.begun += not what.startswith(("contract", "control"))
        if self.begun == 2:
            raise KeyboardInterrupt


def plain() -> Any:
    return load_model("embedded:digits-cnn")


def robust() -> Any:
    return load_model("embedded:digits-cnn-pgd")


def unnormalised() -> Any:
    return load_model("embedded:digits-cnn-pgd", mean=(0.9,), std=(0.2,))


def unanswered() -> Any:
    return Forward("digits-cnn-pgd", lambda scores: scores * torch.nan)


@dataclass(frozen=True)
class Weak:
    """One evaluation, and the code of what has to stand against it."""

    code: str | tuple[str, ...]
    attacks: tuple[dict[str, Any], ...]
    gate: float
    make: Callable[[], Any] = plain
    eps: float = 0.1
    more: dict[str, Any] = field(default_factory=dict)
    suite: dict[str, Any] = field(default_factory=dict)
    slow: bool = True


LATE = "2020-01-01"
CASES: dict[str, Weak] = {
    "one step": Weak("ADAPTIVE_WEAKER", ({**PGD, "steps": 1, "step_size": 0.5},), 0.3, eps=0.15),
    "one step of the full radius": Weak(("ADAPTIVE_WEAKER", "NOT_CONVERGED"), ({"attack": "fgsm"},), 0.68, robust, 0.2),
    "step size a hundredth": Weak("HPARAM_SENSITIVE", ({**PGD, "steps": 20, "step_size": 0.00125},), 0.7),
    "a wrong normalisation": Weak("ACCURACY_TOO_LOW", (PGD,), 0.05, unnormalised, 0.02, {"expect_accuracy": 0.98}),
    "an attack that raises": Weak("ATTACK_CRASHED", (PGD, {**PGD, "restarts": 9}), 0.5, Fragile, 0.2, slow=False),
    "a lost device": Weak("INCOMPLETE", (PGD, {**PGD, "restarts": 9}), 0.5, Unplugged, 0.2, slow=False),
    "emptied by the norm": Weak("NO_ATTACK", ({**PGD, "norms": ["l2"]},), 0.5, slow=False),
    "emptied by a wish for a detector": Weak("NO_ATTACK", ({**PGD, "rejecting": True},), 0.5, slow=False),
    "emptied by its loss": Weak("NO_ATTACK", ({**PGD, "loss": "joint"},), 0.5, slow=False),
    "emptied by what it needs": Weak("NO_ATTACK", ({"attack": "latent"},), 0.5, slow=False),
    "a budget of ten passes": Weak("BUDGET_EXHAUSTED", (PGD,), 0.5, more={"max_passes": 10}),
    "no controls": Weak("CONTROLS_OFF", (PGD,), 0.3, more={"controls": "none"}, slow=False),
    "an exact gradient through rounding": Weak(
        "ZERO_GRADIENT", ({**PGD, "gradient": "exact"},), 0.5, lambda: fixture("rounding"), 0.2
    ),
    "one draw of a random target": Weak(
        ("EOT_BROKEN", "ADAPTIVE_WEAKER", "NOT_CONVERGED"),
        ({**PGD, "steps": 5, "step_size": 0.25, "eot": 1},),
        0.3,
        eps=0.15,
        more={"defenses": ["gaussian-noise:sigma=0.2"]},
    ),
    "cross-entropy on logits times 100": Weak(
        "LOSS_SENSITIVE",
        ({**PGD, "loss": "ce", "start": "sample", "gradient": "exact"},),
        0.7,
        lambda: Forward("digits-cnn", lambda scores: 100 * scores),
    ),
    "ten queries": Weak("NO_GRADIENT_ATTACK", ({"attack": "hopskipjump", "queries": 10},), 0.7),
    "transfer alone": Weak("NO_GRADIENT_ATTACK", ({"attack": "transfer", "source": "surrogate", "steps": 1},), 0.7),
    "one sample": Weak("NO_GRADIENT_ATTACK", ({"attack": "square", "queries": 50, "samples": 1},), 0.7),
    "the closest sample": Weak("NOT_EVALUATED", ({**PGD, "closest": 0.01},), 0.6),
    "a detector left out of the loss": Weak(
        "NO_GRADIENT_ATTACK",
        ({"attack": "transfer", "source": "twin", "steps": 3},),
        0.3,
        lambda: fixture("turning-weakness"),
        0.1,
    ),
    "few steps against a detector": Weak(
        ("ADAPTIVE_WEAKER", "NOT_CONVERGED"),
        ({**PGD, "steps": 2, "step_size": 0.2},),
        0.3,
        lambda: fixture("turning-weakness"),
        0.2,
    ),
    "answers that are no numbers": Weak("NAN_OUTPUT", (PGD,), 0.0, unanswered, slow=False),
    "the attack of its training": Weak("SAME_ATTACK", (PGD,), 0.3, robust, 0.2, {"trained_with": "pgd"}),
    "an expired waiver": Weak(
        "CONTROLS_OFF",
        (PGD,),
        0.3,
        more={"controls": "none"},
        suite={"waivers": [{"code": "ATTACK_SKIPPED", "reason": "it is known since the spring", "expires": LATE}]},
        slow=False,
    ),
    "an interrupted run": Weak(
        "INCOMPLETE", (PGD, {**PGD, "name": "second", "restarts": 9}), 0.5, robust, 0.2, slow=False
    ),
    "no room to move": Weak("ZERO_RADIUS", (PGD,), 0.5, eps=0.0, slow=False),
}


def marked() -> list[Any]:
    return [pytest.param(case, id=name, marks=pytest.mark.slow if case.slow else ()) for name, case in CASES.items()]


def evaluated(case: Weak, *, observer: Any = None, labels: Callable[[Tensor], Tensor] = lambda y: y) -> Result:
    x, y = (torch.from_numpy(part)[:SAMPLES] for part in digits("test"))
    suite = Suite.model_validate({"name": "weak", "attacks": [dict(attack) for attack in case.attacks], **case.suite})
    eps: Any = torch.zeros(SAMPLES) if case.eps == 0 else case.eps
    told: dict[str, Any] = {"min_robust_accuracy": case.gate, "gate_on": "point", "device": "cpu", **case.more}
    try:
        return robcheck.evaluate(case.make(), x, labels(y), suite=suite, epsilon=eps, observer=observer, **told)
    except UnfinishedError as error:
        return error.result


@pytest.mark.parametrize("case", marked())
def test_a_weak_evaluation_never_passes(case: Weak) -> None:
    result = evaluated(case, observer=Impatient() if case is CASES["an interrupted run"] else None)
    expected = {case.code} if isinstance(case.code, str) else set(case.code)
    against = {sentence.partition(":")[0] for sentence in result.against_pass}
    assert result.verdict != "PASS"
    assert against & expected, (result.verdict, result.robust_accuracy, [f.code for f in result.findings])


def test_wrong_labels_never_pass() -> None:
    result = evaluated(Weak("CLEAN_ACCURACY", (PGD,), 0.0), labels=lambda y: (y + 3) % 10)
    assert result.verdict != "PASS"
    assert "CLEAN_ACCURACY" in {finding.code for finding in result.findings}


@pytest.mark.slow
def test_an_honest_evaluation_of_a_robust_model_passes() -> None:
    """An adversarially trained model under the automatic plan: nothing severe, and the gate that it deserves."""
    x, y = (torch.from_numpy(part)[:200] for part in digits("test"))
    result = robcheck.evaluate(
        robust(), x, y, suite="adaptive", epsilon=0.1, min_robust_accuracy=0.8, trained_with="pgd", device="cpu"
    )
    assert [finding.code for finding in result.findings if finding.severity == "severe"] == []
    assert result.verdict == "PASS"
    assert 0.85 <= result.robust_accuracy < 0.93
