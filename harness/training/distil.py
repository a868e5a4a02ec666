"""A student of the whole target, trained on its answers, for transfer and as a source of gradients.

Source: Papernot et al. 2017, section 4 (substitute models, questions along their own gradients); "One Man's Trash is
Another Man's Treasure", section 4 (end to end).
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..randomness import Stream
from .around import held_out, nearby
from .networks import frozen, smooth_classifier
from .seeding import seeded

STEPS = 1500
_BATCH = 32
"""Samples per step, each at three points."""
_CLIMBS = 3
_RATE = 2e-3

Teacher = Callable[[Tensor, Stream], Tensor]
"""Inputs (N, ...) and their streams to mean probabilities (N, K), no gradient."""


@dataclass(frozen=True)
class Student:
    """A trained network, (N, ...) to (N, K) logits, and how often it names the teacher's class on unseen samples."""

    network: nn.Module
    agreement: float
    """At the held-out samples themselves."""
    around: float
    """At random points of the ball around them."""
    uphill: float
    """At the points where the student's own gradient leads: where an attack on the student will end."""
    samples: int
    """Held out."""


def distil(
    teacher: Teacher,
    x: Tensor,
    classes: int,
    *,
    radius: Tensor,
    seed: int,
    steps: int = STEPS,
    bounds: tuple[float, float] = (0.0, 1.0),
    progress: Callable[[int], None] = lambda _: None,
) -> Student:
    """Train a student at samples x (N, ...), at random points around them, and up its own gradients; measure it.

    Three points of each sample are asked in every step; the teacher may answer from few draws, because what the
    student converges to is their mean.

    Args:
        classes: K.
        radius: largest change per feature that attacks will make, broadcasting to x, in its units.
        seed: of weights, order and draws; torch's global generator is left as it was.
        bounds: range of the features.
        progress: called with 1 after every training step.
    """
    radius = radius.to(x.device)
    learned, measured = held_out(len(x), seed)
    data, reach = x[learned.to(x.device)], _rows(radius, learned)
    with seeded(seed):
        network = smooth_classifier(data, classes).to(x.device)
    optimiser = torch.optim.Adam(network.parameters(), lr=_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    order = Stream.create(seed, "distil/order", torch.zeros(1, dtype=torch.int64))
    for step in range(steps):
        rows = order.integers(step, (min(_BATCH, len(data)),), len(data))[0].to(x.device)
        stream = _stream(seed, f"step/{step}", rows)
        points = torch.cat(_points(network, data[rows], _rows(reach, rows), stream, bounds))
        wanted = _asked(teacher, points, stream.child("teacher"))
        optimiser.zero_grad()
        _cross_entropy(network(points), wanted).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        progress(1)
    held = x[measured.to(x.device)]
    return _graded(teacher, frozen(network), held, _rows(radius, measured), seed, bounds)


def _points(
    network: nn.Module, x: Tensor, radius: Tensor, stream: Stream, bounds: tuple[float, float]
) -> tuple[Tensor, Tensor, Tensor]:
    """The samples (N, ...), random points around them, and points up the student's gradient from there."""
    low, high = bounds
    start = nearby(x, radius, stream).clamp(low, high)
    labels = network(x).detach().argmax(dim=1)
    # Attacks of any length should find a student that knows where they lead.
    pace = stream.child("pace").uniform(0, (), 0.1, 1.0).reshape(-1, *[1] * (x.dim() - 1))
    points = start
    for _ in range(_CLIMBS):
        points = points.detach().requires_grad_(True)
        (gradient,) = torch.autograd.grad(functional.cross_entropy(network(points), labels, reduction="sum"), [points])
        moved = points.detach() + pace * radius * gradient.sign()
        points = torch.minimum(torch.maximum(moved, x - radius), x + radius).clamp(low, high)
    return x, start, points


def _asked(teacher: Teacher, points: Tensor, stream: Stream) -> Tensor:
    """The teacher's answers to three points of each stream's sample."""
    streams = Stream(torch.cat([stream.child(where).keys for where in ("data", "around", "uphill")]))
    with torch.no_grad():
        return teacher(points, streams).to(points.device)


def _cross_entropy(logits: Tensor, chances: Tensor) -> Tensor:
    """Mean over the batch; an answer that is no number teaches nothing."""
    chances = chances.nan_to_num(0.0)
    return -(chances * functional.log_softmax(logits, dim=1)).sum(dim=1).mean()


def _graded(
    teacher: Teacher, network: nn.Module, x: Tensor, radius: Tensor, seed: int, bounds: tuple[float, float]
) -> Student:
    """Agreement on samples x (N, ...) that the student has not seen, a batch at a time."""
    stream = _stream(seed, "held-out", x)
    agreed = []
    for rows in torch.split(torch.arange(len(x), device=x.device), _BATCH):
        one = stream.select(rows)
        points = torch.cat(_points(network, x[rows], _rows(radius, rows), one, bounds))
        answers = _asked(teacher, points, one.child("teacher"))
        same = (network(points).argmax(dim=1) == answers.argmax(dim=1)) & ~answers.isnan().any(dim=1)
        agreed.append(same.reshape(3, -1))
    agreement, around, uphill = torch.cat(agreed, dim=1).to(torch.float64).mean(dim=1).tolist()
    return Student(network, agreement, around, uphill, len(x))


def _stream(seed: int, name: str, x: Tensor) -> Stream:
    """One stream per row of a batch, whichever samples lie in it."""
    return Stream.create(seed, f"distil/{name}", torch.arange(len(x), device=x.device))


def _rows(radius: Tensor, rows: Tensor) -> Tensor:
    return radius if radius.shape[0] == 1 else radius[rows.to(radius.device)]
