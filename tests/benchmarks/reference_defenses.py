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
from torch import Tensor

import robcheck
from robcheck.adapters.data.digits import digits
from robcheck.adapters.reference import REFERENCES, reference, sibling
from robcheck.adapters.reference.front import adversarial_transformation, behind
from robcheck.adapters.reference.workshop import Workshop
from robcheck.harness.losses import ce
from robcheck.harness.pipeline import Pipeline
from robcheck.harness.randomness import Stream
from robcheck.harness.results import Result
from robcheck.harness.stage import Stage, Surrogate
from robcheck.suites import Suite

PGD: dict[str, Any] = {"attack": "pgd", "loss": "margin", "steps": 40}
APGD: dict[str, Any] = {"attack": "apgd", "loss": "ce", "steps": 100}
CLASSES: dict[str, Any] = {"attack": "pgd", "loss": "dlr", "targets": 9, "steps": 20}
PLAIN = [{**PGD, "gradient": "exact", "eot": 1}]
SAME = [PGD, APGD, CLASSES]
"""What attacks the sibling, and the product on the gradient that the planner chooses, unless told otherwise."""
RIGHT: dict[str, list[dict[str, Any]]] = {
    "k-wta": [{**entry, "gradient": {"kind": "smoothed", "directions": 10}} for entry in SAME],
    "manifold": [*[{**entry, "gradient": "unrolled"} for entry in SAME], {"attack": "latent"}],
    "detector": [{**PGD, "loss": "joint"}, {**APGD, "loss": "two-phase"}, {**CLASSES, "loss": "joint"}],
}
EPS = 0.2


@dataclass(frozen=True)
class Undeclared:
    """A stage whose author says nothing: autograd has to see what it can."""

    stage: Any

    @property
    def surrogate(self) -> Surrogate:
        return Surrogate("exact", "nothing is declared")

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
    if all(record.status == "skipped" for record in result.attacks):
        return f"{result.clean_accuracy:6.1%}, no gradient"
    low, high = result.interval
    return f"{result.robust_accuracy:6.1%} ({low:5.1%} to {high:5.1%})"


@dataclass(frozen=True)
class Row:
    """One defense: without knowledge of it, on the gradient that fits it, and without it."""

    name: str
    plain: Result
    right: Result
    sibling: Result

    @property
    def gap(self) -> float:
        """How much more is left than of the sibling."""
        return self.right.robust_accuracy - self.sibling.robust_accuracy

    def __str__(self) -> str:
        found = f"{shown(self.plain):24} {shown(self.right):24} {shown(self.sibling):24} {100 * self.gap:+6.1f}"
        return f"{self.name:28} {self.right.clean_accuracy:6.1%}  {found}"


HEAD = f"{'defense':28} {'clean':>6}  {'plain PGD':24} {'right gradient':24} {'sibling':24} {'gap':>6}"


def measured(name: str, n: int, eps: float, entries: list[dict[str, Any]] | None = None) -> Row:
    """One row of the main table; `entries` in the place of the usual attacks on product and sibling."""
    product, bare = reference(name), sibling(name)
    naive, naive_entries = plain(product)
    return Row(
        name,
        attacked(naive, naive_entries, n, eps),
        attacked(product, entries or RIGHT.get(name, SAME), n, eps),
        attacked(bare, entries or SAME, n, eps),
    )


def table(names: Iterable[str], n: int, eps: float) -> None:
    """The main table."""
    print(f"{HEAD}  seconds")
    for name in names:
        started = time.perf_counter()
        row = measured(name, n, eps)
        print(f"{row}  {time.perf_counter() - started:.0f}", flush=True)
        for record in row.right.attacks:
            print(f"    {record.name}: {record.gradient}, {record.robust_accuracy:.1%}; {record.reason}", flush=True)


def depth(n: int, eps: float) -> None:
    """Adversarial transformation of 1 to 13 steps, each trained so, under BPDA; at an eps where something is left."""
    print(f"\nsteps, Linf {eps:g}: clean, bpda-identity, unrolled, unrolled last 2, transfer from the bare network")
    for steps in (1, 2, 4, 8, 13):
        product = transformed(steps)
        kinds = ("bpda-identity", "unrolled", {"kind": "unrolled", "last": 2})
        found = [attacked(product, [{**PGD, "gradient": kind}], n, eps) for kind in kinds]
        found.append(attacked(product, [{"attack": "transfer", "source": "twin"}], n, eps))
        print(f"{steps:4} {found[0].clean_accuracy:6.1%}  " + "  ".join(shown(result) for result in found), flush=True)


def transformed(steps: int) -> Pipeline:
    """The adversarial transformation with that many steps of the same total travel, and its network trained for it."""

    def make(shop: Workshop) -> Stage:
        stage = adversarial_transformation(shop)
        return stage.model_copy(update={"steps": steps, "alpha": 13 / 6 * stage.distance / steps})

    shop = Workshop(f"adversarial-transformation/{steps}", REFERENCES["adversarial-transformation"].epochs)
    return behind(make)(shop)


def draws(n: int, eps: float) -> None:
    """EOT over a fixed number of draws."""
    print(f"\nEOT draws, Linf {eps:g}, PGD-20: robust accuracy on 100 fresh draws")
    products = {name: reference(name) for name in ("resize-pad", "adversarial-transformation")}
    for count in (1, 10, 50, 200):
        found = [attacked(p, [{**PGD, "steps": 20, "eot": count}], n, eps) for p in products.values()]
        row = "  ".join(f"{name} {shown(r)}" for name, r in zip(products, found, strict=True))
        print(f"{count:4}  {row}", flush=True)


def learned(n: int, eps: float) -> None:
    """Reparameterisation with its fit error, beside what needs no training."""
    print(f"\nlearned h, Linf {eps:g}, PGD-40: fit error, then accuracy by h on both passes, h on the way back, bpda")
    for name in ("bit-depth", "total-variation", "thermometer", "adversarial-transformation"):
        product = reference(name)
        kinds = ("reparameterised", {"kind": "reparameterised", "forward": "exact"}, "bpda")
        found = [attacked(product, [{**PGD, "gradient": kind}], n, eps) for kind in kinds]
        fit = found[0].attacks[0].reason.rpartition("; ")[2]
        print(f"{name:28} {'  '.join(shown(result) for result in found)}  ({fit})", flush=True)


def cost() -> None:
    """EOT-20 folded into the batch against a loop over draws, same model, same draws, taking turns."""
    product = reference("resize-pad")
    twin, stage = product.classifier.differentiable(), product.stages[0]
    assert twin is not None
    for n in (1, 8, 32, 128):
        x, y = (torch.from_numpy(part)[:n] for part in digits("test"))
        stream = Stream.create(0, "cost", torch.arange(n)).fold(20)

        def folded(x: Tensor = x, y: Tensor = y, stream: Stream = stream) -> None:
            points = x.repeat_interleave(20, dim=0).requires_grad_(True)
            loss = ce(twin(stage.forward(points, stream)), y.repeat_interleave(20))
            torch.autograd.grad(loss.sum(), [points])

        def looped(x: Tensor = x, y: Tensor = y, stream: Stream = stream) -> None:
            for draw in range(20):
                points = x.clone().requires_grad_(True)
                part = stream.select(torch.arange(len(x)) * 20 + draw)
                torch.autograd.grad(ce(twin(stage.forward(points, part)), y).sum(), [points])

        times: dict[str, list[float]] = {"folded": [], "looped": []}
        for _ in range(15):
            for name, run in (("folded", folded), ("looped", looped)):
                started = time.process_time()
                run()
                times[name].append(time.process_time() - started)
        medians = {name: sorted(values)[7] for name, values in times.items()}
        ratio = medians["folded"] / medians["looped"]
        row = ", ".join(f"{name} {1e3 * value:.1f} ms" for name, value in medians.items())
        print(f"batch {n:4}: {row}: ratio {ratio:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="reference defenses; all unless given")
    parser.add_argument("--samples", type=int, default=300)
    parser.add_argument("--epsilon", type=float, default=EPS)
    parser.add_argument("--what", choices=("table", "depth", "draws", "learned", "cost"), default="table")
    given = parser.parse_args()
    torch.set_num_threads(1)
    print(f"robcheck {robcheck.__version__}, torch {torch.__version__}, {platform.machine()}, one CPU thread")
    print(f"digits, first {given.samples} test images, Linf {given.epsilon:g}\n")
    if given.what == "table":
        table(given.names or list(REFERENCES), given.samples, given.epsilon)
    elif given.what == "cost":
        cost()
    else:
        {"depth": depth, "draws": draws, "learned": learned}[given.what](given.samples, given.epsilon)


if __name__ == "__main__":
    main()
