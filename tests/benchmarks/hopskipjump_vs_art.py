"""HopSkipJump against the Adversarial Robustness Toolbox's: distance at equal queries, and wall time, in one run.

    python tests/benchmarks/hopskipjump_vs_art.py [--samples 64] [--seeds 0 1 2] [--norm l2]

Both attacks ask the deployed forward (onnxruntime) of embedded:digits-cnn, and every point that it sees counts as a
query. For the peer, the closest broken point among its first Q queries counts, whatever it would have returned, and
the time spent on counting is taken off its clock.
"""

import argparse
import contextlib
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from art.attacks.evasion import HopSkipJump as Peer
from art.estimators.classification import BlackBoxClassifier
from torch import Tensor

import robcheck
from robcheck.harness.attacks.hopskipjump import HopSkipJump, closest_broken
from robcheck.harness.geometry import Norm, norms

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from conftest import problem_of

BUDGETS = (1_000, 2_500, 10_000)


Forward = Callable[[Tensor], Tensor]


def embedded_cnn(samples: int) -> tuple[Forward, Tensor, Tensor]:
    """The deployed forward of embedded:digits-cnn, and test digits (N, 1, 8, 8) in [0, 1] that it classifies right."""
    forward = robcheck.load_model("embedded:digits-cnn").logits
    data = robcheck.load_data("digits")
    right = forward(data.x).argmax(1) == data.y
    return forward, data.x[right][:samples], data.y[right][:samples]


class _SpentError(Exception):
    """The peer has used its budget."""


class Ledger:
    """Counts the peer's queries about one sample, and keeps the closest broken one within each budget."""

    def __init__(self, model: Forward, x: Tensor, y: int, norm: Norm, budgets: Iterable[int]) -> None:
        self.model, self.x, self.y, self.norm = model, x, y, norm
        self.best = dict.fromkeys(budgets, float("inf"))
        self.seconds = dict.fromkeys(budgets, 0.0)
        self.count = 0
        self.started, self.counting = time.perf_counter(), 0.0

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        # The peer sends float64 to a float32 model.
        points = torch.as_tensor(batch, dtype=torch.float32)
        with torch.no_grad():
            logits = self.model(points)
        now = time.perf_counter()
        broken = logits.argmax(1) != self.y
        sizes = torch.where(broken, norms(points - self.x, self.norm), torch.inf)
        for budget in self.best:
            seen = sizes[: max(0, budget - self.count)]
            if len(seen):
                self.best[budget] = min(self.best[budget], float(seen.min()))
                self.seconds[budget] = now - self.started - self.counting
        self.count += len(points)
        self.counting += time.perf_counter() - now
        if self.count >= max(self.best):
            raise _SpentError
        return logits.numpy()


def peer(model: Forward, x: Tensor, y: Tensor, norm: Norm, seed: int) -> tuple[dict[int, Tensor], dict[int, float]]:
    """Distances (N,) and total seconds of the toolbox's attack, for every budget."""
    np.random.seed(seed)
    ledgers = []
    for i in range(len(x)):
        ledger = Ledger(model, x[i : i + 1], int(y[i]), norm, BUDGETS)
        classifier = BlackBoxClassifier(ledger, tuple(x.shape[1:]), 10, clip_values=(0.0, 1.0))
        attack = Peer(classifier, norm=2 if norm == "l2" else np.inf, max_iter=200, verbose=False)
        ledger.started = time.perf_counter()
        with contextlib.suppress(_SpentError):
            attack.generate(x[i : i + 1].numpy())
        ledgers.append(ledger)
    distances = {b: torch.tensor([ledger.best[b] for ledger in ledgers]) for b in BUDGETS}
    return distances, {b: sum(ledger.seconds[b] for ledger in ledgers) for b in BUDGETS}


def ours(model: Forward, x: Tensor, y: Tensor, norm: Norm, seed: int, queries: int) -> tuple[Tensor, float, int]:
    """Distances (N,), seconds, and the most queries that any sample used."""
    problem = problem_of(model, x, y, 0.0, norm, seed=seed, phase="blackbox", batch=1024)
    started = time.perf_counter()
    _, found = closest_broken(problem, HopSkipJump(queries=queries, stop_at_eps=False))
    seconds = time.perf_counter() - started
    return found, seconds, int(problem.target.meter.forward["blackbox"].max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--norm", choices=["l2", "linf"], default="l2")
    options = parser.parse_args()
    torch.set_num_threads(1)
    model, x, y = embedded_cnn(options.samples)
    print(
        "seed queries | median distance: ours, peer | median ratio, worst | seconds: ours, peer, share | most queries"
    )
    for seed in options.seeds:
        theirs, clock = peer(model, x, y, options.norm, seed)
        for budget in BUDGETS:
            found, seconds, used = ours(model, x, y, options.norm, seed, budget)
            ratio = found / theirs[budget]
            print(
                f"{seed:4d} {budget:7d} | {found.median():.4f} {theirs[budget].median():.4f} | {ratio.median():.3f} "
                f"{ratio.max():.3f} | {seconds:6.2f} {clock[budget]:6.2f} {seconds / clock[budget]:.2f} | {used}"
            )


if __name__ == "__main__":
    main()
