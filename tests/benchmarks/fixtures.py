"""Which finding does each fixture raise? The confusion table, and how far the automatic plan stays above the sibling.

`python tests/benchmarks/fixtures.py [NAME ...] [--samples 60] [--epsilon 0.2]`

Two rows per fixture: under the weak attack that it fooled (its number is what that attack alone leaves, before the
controls), and under the suite `adaptive`. S severe, w warning, i information.
"""

import argparse
import platform
import time
from collections.abc import Iterable
from dataclasses import dataclass

import torch

import robcheck
from robcheck.adapters.data.digits import digits
from robcheck.adapters.fixtures import EPSILON, FIXTURES, bare, fixture
from robcheck.harness.pipeline import Pipeline
from robcheck.harness.results import Result
from robcheck.suites import Suite

MARKS = {"severe": "S", "warning": "w", "info": "i"}
SAMPLES = 60


def codes(result: Result) -> dict[str, str]:
    """Every code with its severity; what the contract says in passing counts where something is said."""
    found = {f.code: f.severity for f in result.contract if f.severity != "ok" and not f.message.startswith("Not ch")}
    return found | {f.code: f.severity for f in result.findings}


def severe(result: Result) -> set[str]:
    return {code for code, severity in codes(result).items() if severity == "severe"}


def alone(result: Result) -> float:
    """What the plan's own attacks leave, without the points that control experiments found."""
    fell = [s.outcome != "survived" and not (s.broken_by or "").startswith("control") for s in result.samples]
    return 1 - sum(fell) / len(fell)


@dataclass(frozen=True)
class Row:
    """One fixture under its weak attack, if there is one, and under the automatic plan."""

    name: str
    weak: Result | None
    plan: Result
    sibling: Result

    @property
    def gap(self) -> float:
        """How much more is left than of the sibling."""
        return self.plan.robust_accuracy - self.sibling.robust_accuracy


def evaluated(product: Pipeline, n: int, eps: float, **more: object) -> Result:
    x, y = map(torch.from_numpy, digits("test"))
    return robcheck.evaluate(product, x[:n], y[:n], epsilon=eps, device="cpu", **more)  # type: ignore[arg-type]


def undefended(n: int = SAMPLES, eps: float = EPSILON) -> Result:
    return evaluated(bare(), n, eps, suite="adaptive")


def measured(name: str, sibling: Result, n: int = SAMPLES, eps: float = EPSILON) -> Row:
    found, weak = FIXTURES[name], None
    if found.weak:
        suite = Suite.model_validate({"name": "weak", "attacks": [dict(attack) for attack in found.weak]})
        weak = evaluated(fixture(name), n, eps, suite=suite, **found.settings)
    plan = evaluated(fixture(name), n, eps, suite="adaptive", **found.settings)
    return Row(name, weak, plan, sibling)


def table(rows: Iterable[Row]) -> None:
    """The confusion table, the columns in the order in which the codes turn up."""
    rows = list(rows)
    lines = [(f"{row.name}, {kind}", r) for row in rows for kind, r in (("weak", row.weak), ("plan", row.plan)) if r]
    columns = list(dict.fromkeys(code for _, result in lines for code in codes(result)))
    for number, code in enumerate(columns):
        print(f"{number:3} {code}")
    print(f"\n{'':32}{''.join(f'{number:3}' for number in range(len(columns)))}")
    for name, result in lines:
        found = codes(result)
        print(f"{name:32}{''.join(f'{MARKS.get(found.get(code, chr(46)), chr(46)):>3}' for code in columns)}")
    print(f"\n{'fixture':24}{'clean':>7}{'weak alone':>12}{'weak':>7}{'plan':>7}{'sibling':>9}{'gap':>7}")
    for row in rows:
        weak = f"{'':19}" if row.weak is None else f"{alone(row.weak):12.1%}{row.weak.robust_accuracy:7.1%}"
        numbers = f"{row.plan.robust_accuracy:7.1%}{row.sibling.robust_accuracy:9.1%}{100 * row.gap:+7.1f}"
        print(f"{row.name:24}{row.plan.clean_accuracy:7.1%}{weak}{numbers}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="fixtures; all unless given")
    parser.add_argument("--samples", type=int, default=SAMPLES)
    parser.add_argument("--epsilon", type=float, default=EPSILON)
    given = parser.parse_args()
    torch.set_num_threads(1)
    print(f"robcheck {robcheck.__version__}, torch {torch.__version__}, {platform.machine()}, one CPU thread")
    print(f"digits, first {given.samples} test images, Linf {given.epsilon:g}\n", flush=True)
    sibling, rows = undefended(given.samples, given.epsilon), []
    for name in given.names or FIXTURES:
        started = time.perf_counter()
        rows.append(measured(name, sibling, given.samples, given.epsilon))
        print(f"{name}: {time.perf_counter() - started:.0f} s", flush=True)
    print()
    table(rows)


if __name__ == "__main__":
    main()
