"""Does robcheck still work here? Models that are known to be broken have to fall, and proven ones have to stand."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from . import api
from .adapters.data.digits import digits
from .adapters.fixtures import EPSILON, FIXTURES, bare, fixture
from .adapters.fixtures.linear import lead, linear
from .adapters.reference import certified
from .adapters.reference.proven import RADIUS
from .harness.certificate import bounded, margins
from .harness.pipeline import Pipeline
from .harness.results import Result
from .suites import Suite

QUICK = ("logits-x100", "rounding", "nan-gradient", "distillation", "wrong-range")
"""The fixtures of a quick self-test: no two hide behind the same thing, and none takes long."""
SUITE = "adaptive"
SAMPLES = 40
LEFT = 0.05
"""Of the samples, the share that may still stand of what is known to be broken: next to nothing."""
_LINEAR_RADIUS = 0.05
_CLOSE = 1e-3
"""In logits: so close to the boundary nobody says which side is right."""
_LEAST_PROVEN = 0.3


@dataclass(frozen=True)
class Case:
    """One control and what came of it."""

    name: str
    expected: str
    found: str
    ok: bool
    seconds: float


def selftest(
    *, full: bool = False, samples: int = SAMPLES, seed: int = 0, started: Callable[[str], None] = lambda _: None
) -> Iterator[Case]:
    """One case after the other, proven models first.

    Args:
        full: every fixture, and not only a few.
        samples: test images of the digits that each is evaluated on.
        started: called with the name of each case before it runs.
    """
    for name, run in _cases(full, samples, seed):
        started(name)
        begun = time.perf_counter()
        try:
            expected, found, ok = run()
        except Exception as error:  # whatever breaks here is what the self-test is for
            expected, found, ok = "no error", f"{type(error).__name__}: {error}".partition("\n")[0], False
        yield Case(name, expected, found, ok, time.perf_counter() - begun)


_Run = Callable[[], tuple[str, str, bool]]


def _cases(full: bool, samples: int, seed: int) -> Iterator[tuple[str, _Run]]:
    x, y = (torch.from_numpy(part)[:samples] for part in digits("test"))
    yield "linear", lambda: _linear(x, y, seed)
    yield "certified", lambda: _certified(x, y, seed)
    yield "bare", lambda: _bare(x, y, seed)
    for name in FIXTURES if full else QUICK:
        if FIXTURES[name].weak:
            yield f"{name}, weak attack", lambda name=name: _weak(name, x, y, seed)  # type: ignore[misc]
        yield name, lambda name=name: _planned(name, x, y, seed)  # type: ignore[misc]


def _linear(x: Tensor, y: Tensor, seed: int) -> tuple[str, str, bool]:
    left = lead(x, y, _LINEAR_RADIUS)
    result = _evaluated(linear(), x, y, _LINEAR_RADIUS, seed)
    clear = left.abs() > _CLOSE
    wrong = int(((_stands(result) != (left > 0)) & clear).sum())
    exact = float((left > 0).double().mean())
    found = f"{result.robust_accuracy:.1%}, {wrong} samples on the wrong side"
    return f"{exact:.1%}, sample by sample", found, wrong == 0


def _certified(x: Tensor, y: Tensor, seed: int) -> tuple[str, str, bool]:
    product = certified(seed)
    result = _evaluated(product, x, y, RADIUS, seed)
    proven = _proven(product, x, y)
    fell = int((proven & ~_stands(result)).sum())
    said = any(finding.code == "UNSOUND" for finding in result.findings)
    share = float(proven.double().mean())
    found = f"{share:.1%} proven, {fell} of them broken{', UNSOUND' if said else ''}; {result.robust_accuracy:.1%} left"
    return "no proven sample broken", found, fell == 0 and not said and share >= _LEAST_PROVEN


def _proven(product: Pipeline, x: Tensor, y: Tensor) -> Tensor:
    forward = product.classifier.differentiable()
    assert forward is not None
    low, high = (x - RADIUS).clamp(0, 1), (x + RADIUS).clamp(0, 1)
    return margins(bounded(forward, low, high), y).amin(dim=1).cpu() > _CLOSE


def _bare(x: Tensor, y: Tensor, seed: int) -> tuple[str, str, bool]:
    result = _evaluated(bare(seed), x, y, EPSILON, seed)
    severe = _severe(result)
    ok = result.clean_accuracy > 0.9 and result.robust_accuracy <= LEFT and not severe
    return f"at most {LEFT:.0%}, nothing severe", _said(result, severe), ok


def _weak(name: str, x: Tensor, y: Tensor, seed: int) -> tuple[str, str, bool]:
    suite = Suite.model_validate({"name": "weak", "attacks": [dict(attack) for attack in FIXTURES[name].weak]})
    result = _evaluated(fixture(name, seed), x, y, EPSILON, seed, suite=suite, **FIXTURES[name].settings)
    missing = set(FIXTURES[name].told) - _codes(result)
    return " ".join(FIXTURES[name].told), _said(result, _severe(result)), not missing and bool(_severe(result))


def _planned(name: str, x: Tensor, y: Tensor, seed: int) -> tuple[str, str, bool]:
    declared = FIXTURES[name]
    result = _evaluated(fixture(name, seed), x, y, EPSILON, seed, **declared.settings)
    most = 1.0 if declared.within is None else max(LEFT, declared.within)
    missing = set(declared.raises) - _codes(result)
    beyond = set(_severe(result)) - {*declared.raises, *declared.severe}
    expected = [*declared.raises] if declared.within is None else [f"at most {most:.0%}", *declared.raises]
    return (
        " ".join(expected),
        _said(result, _severe(result)),
        not missing and not beyond and result.robust_accuracy <= most,
    )


def _evaluated(product: Pipeline, x: Tensor, y: Tensor, eps: float, seed: int, **more: Any) -> Result:
    told = {"suite": SUITE, **more}
    result = api.evaluate(product, x, y, epsilon=eps, norm="linf", seed=seed, device="cpu", **told)
    if not result.complete:  # an evaluation keeps what it has; a self-test that was interrupted says nothing
        raise KeyboardInterrupt
    return result


def _stands(result: Result) -> Tensor:
    return torch.tensor([sample.outcome == "survived" for sample in result.samples])


def _codes(result: Result) -> set[str]:
    """What was found, and what the contract says in passing."""
    return {finding.code for finding in (*result.findings, *result.contract) if finding.severity != "ok"}


def _severe(result: Result) -> list[str]:
    return sorted({finding.code for finding in result.findings if finding.severity == "severe"})


def _said(result: Result, severe: list[str]) -> str:
    return " ".join([f"{result.robust_accuracy:.1%}", *severe])
