"""Every reference defense under plain PGD and under the gradient that fits it, beside its undefended sibling.

`python tests/benchmarks/reference_defenses.py [NAME ...] [--samples 300] [--what table|depth|draws|learned|cost]`

plain: PGD-40 on autograd as it comes, one draw, no detector in the loss. right: the entries of RIGHT. sibling: the same
entries on the same architecture, seed, data and recipe without the defense, on its own exact gradient. Intervals: 95 %.
"""

import argparse
import platform
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import torch

import robcheck
from robcheck.adapters.data.digits import digits
from robcheck.adapters.reference import REFERENCES, reference, sibling
from robcheck.harness.pipeline import Pipeline
from robcheck.harness.results import Result
from robcheck.harness.stage import Surrogate
from robcheck.suites import Suite

PGD = {"attack": "pgd", "loss": "margin", "steps": 40}
APGD = {"attack": "apgd", "loss": "ce", "steps": 50}
PLAIN = [{**PGD, "gradient": "exact", "eot": 1}]
DEFAULT: list[dict[str, Any]] = [PGD, APGD]
RIGHT: dict[str, list[dict[str, Any]]] = {
    "k-wta": [
        {**PGD, "gradient": {"kind": "smoothed", "directions": 20}},
        {**APGD, "steps": 100, "gradient": {"kind": "smoothed", "directions": 20, "size": 0.1}, "loss": "margin"},
    ],
    "adversarial-transformation": [
        {**APGD, "gradient": "bpda-identity", "loss": "margin", "momentum": 0.9},
        {**APGD, "gradient": {"kind": "unrolled", "last": 2}, "loss": "margin"},
        {**APGD, "gradient": "reparameterised", "loss": "margin"},
    ],
    "detector": [{**PGD, "loss": "joint"}, {**APGD, "loss": "two-phase"}],
}
EPS = 0.25


@dataclass(frozen=True)
class Undeclared:
    """A stage whose author says nothing: autograd has to see what it can."""

    stage: Any
    surrogate: Surrogate = Surrogate("exact", "nothing is declared")

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stage, name)


def attacked(pipeline: Pipeline, entries: list[dict[str, Any]], n: int, eps: float, **more: Any) -> Result:
    """The first n test images under a suite of those entries."""
    x, y = map(torch.from_numpy, digits("test"))
    suite = Suite.model_validate({"name": "benchmark", "attacks": entries})
    return robcheck.evaluate(pipeline, x[:n], y[:n], suite=suite, epsilon=eps, device="cpu", **more)


def plain(pipeline: Pipeline) -> tuple[Pipeline, list[dict[str, Any]]]:
    """The same product as somebody attacks it who knows of no defense."""
    if pipeline.detector is not None:
        return pipeline, [{"attack": "transfer", "source": "twin", "steps": 40}]
    return replace(pipeline, stages=tuple(Undeclared(stage) for stage in pipeline.stages)), PLAIN


def shown(result: Result) -> str:
    low, high = result.interval
    return f"{result.robust_accuracy:6.1%} ({low:5.1%} to {high:5.1%})"


def table(names: Iterable[str], n: int, eps: float) -> None:
    """The main table."""
    print(f"{'defense':28} {'clean':>6}  {'plain PGD':24} {'right gradient':24} {'sibling':24} {'gap':>6}  seconds")
    for name in names:
        started = time.perf_counter()
        product, bare = reference(name), sibling(name)
        entries = RIGHT.get(name, DEFAULT)
        naive, naive_entries = plain(product)
        first = attacked(naive, naive_entries, n, eps)
        right = attacked(product, entries, n, eps)
        same = attacked(bare, DEFAULT, n, eps)
        gap = right.robust_accuracy - same.robust_accuracy
        print(
            f"{name:28} {right.clean_accuracy:6.1%}  {shown(first):24} {shown(right):24} {shown(same):24} "
            f"{100 * gap:+6.1f}  {time.perf_counter() - started:.0f}",
            flush=True,
        )
        for record in right.attacks:
            print(f"    {record.name}: {record.gradient}, {record.robust_accuracy:.1%}; {record.reason}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="reference defenses; all unless given")
    parser.add_argument("--samples", type=int, default=300)
    parser.add_argument("--epsilon", type=float, default=EPS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    print(f"robcheck {robcheck.__version__}, torch {torch.__version__}, {platform.machine()}, one CPU thread")
    print(f"digits, first {given.samples} test images, Linf {given.epsilon:g}\n")
    table(given.names or list(REFERENCES), given.samples, given.epsilon)


if __name__ == "__main__":
    main()
