"""A network in the place of a stage: h(x + d) ~ E g(x + d), trained on the stage's own answers.

Source: "One Man's Trash is Another Man's Treasure", equation 6: min over w of E_x E_d |h_w(x + d) - g(x; d)|^2, where
d is g's own random start; a stage that draws otherwise is asked on fresh draws instead, and every stage on points
anywhere in the ball that the attack may use, because there is where the network will be asked.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..randomness import Stream
from ..stage import Stage
from .around import held_out, nearby
from .networks import StandIn, frozen
from .seeding import seeded

STEPS = 1500
_BATCH = 64
_LEAST = 4
_NUMBERS = 64 * 32 * 32
"""Pixels per training step: larger images go in smaller batches."""
_DRAWS = 32
"""Behind the expectation that the network is measured against."""
_RATE = 3e-3


@dataclass(frozen=True)
class Reparameterisation:
    """A trained network and how well it does on samples that it never saw, moved within the ball.

    Errors are root mean squares per number that the stage puts out, against its expectation; what chance adds to a
    mean of 32 draws is taken off. A network whose error is not clearly below `identity` has learned nothing that the
    identity does not know: the attack on it is weak, not the model robust.
    """

    network: nn.Module
    error: float
    identity: float | None
    """Error of the identity in its place; None where the stage changes the shape."""
    spread: float
    """Of the stage's own draws around their mean, which no network can learn."""
    samples: int
    """Held out."""


def reparameterise(
    stage: Stage,
    x: Tensor,
    *,
    radius: Tensor,
    seed: int,
    steps: int = STEPS,
    width: int = 32,
    progress: Callable[[int], None] = lambda _: None,
) -> Reparameterisation:
    """Train a stand-in for one stage on pixels x (N, ...) in [0, 1], and measure it.

    Behind another stage, x is what that one makes of pixels, which may leave [0, 1].

    Args:
        radius: largest change per pixel that attacks will make, broadcasting to x.
        seed: of weights, order and draws; torch's global generator is left as it was.
        width: channels of the hidden layers.
        progress: called with 1 after every training step.
    """
    radius = radius.to(x.device)
    learned, measured = held_out(len(x), seed)
    with torch.no_grad():
        after = tuple(stage.forward(x[:1], _stream(seed, "shape", x[:1])).shape[1:])
    with seeded(seed):
        network = StandIn(tuple(x.shape[1:]), after, width).to(x.device)
    batch = min(_BATCH, max(_LEAST, _NUMBERS // x[0].numel()))
    data, reach = x[learned.to(x.device)], _rows(radius, learned)
    _train(stage, network, data, reach, seed=seed, steps=steps, batch=batch, progress=progress)
    held = x[measured.to(x.device)]
    points = nearby(held, _rows(radius, measured), _stream(seed, "held-out", held)).clamp(*_limits(x))
    return _measured(stage, frozen(network), points, seed, batch)


def _train(
    stage: Stage,
    network: nn.Module,
    x: Tensor,
    radius: Tensor,
    *,
    seed: int,
    steps: int,
    batch: int,
    progress: Callable[[int], None],
) -> None:
    """Mean square regression, whose minimum is the expectation of what the stage draws."""
    optimiser = torch.optim.Adam(network.parameters(), lr=_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    low, high = _limits(x)
    order = Stream.create(seed, "reparameterise/order", torch.zeros(1, dtype=torch.int64))
    for step in range(steps):
        rows = order.integers(step, (batch,), len(x))[0].to(x.device)
        stream = _stream(seed, f"step/{step}", rows)
        points = nearby(x[rows], _rows(radius, rows), stream).clamp(low, high)
        with torch.no_grad():
            wanted = stage.forward(points, stream.child("stage"))
        optimiser.zero_grad()
        missed: Tensor = network(points) - wanted
        # What is no number teaches nothing; it shows in the error.
        torch.where(wanted.isfinite(), missed, 0.0).square().mean().backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        progress(1)


def _measured(stage: Stage, network: nn.Module, x: Tensor, seed: int, batch: int) -> Reparameterisation:
    """The errors on pixels x (N, ...), a batch at a time."""
    draws = _DRAWS if stage.random else 1
    stream = _stream(seed, "measured", x)
    same, numbers = False, 0
    squares = torch.zeros(3, dtype=torch.float64)
    for rows in torch.split(torch.arange(len(x), device=x.device), batch):
        one, points = stream.select(rows), x[rows]
        with torch.no_grad():
            drawn = [stage.forward(points, one.child(f"draw/{number}")) for number in range(draws)]
            answer = network(points)
        mean = torch.stack(drawn).mean(dim=0)
        same, numbers = mean.shape == points.shape, numbers + mean.numel()
        spread = sum(_squares(draw, mean) for draw in drawn) / draws
        found = [_squares(answer, mean), _squares(points, mean) if same else 0.0, spread]
        squares += torch.tensor(found, dtype=torch.float64)
    squares /= numbers
    if draws > 1:
        squares[2] *= draws / (draws - 1)
        squares[:2] = (squares[:2] - squares[2] / draws).clamp(min=0)
    error, identity, spread = squares.sqrt().tolist()
    return Reparameterisation(network, error, identity if same else None, spread, len(x))


def _squares(values: Tensor, truth: Tensor) -> float:
    return float((values - truth).to(torch.float64).square().sum())


def _limits(x: Tensor) -> tuple[float, float]:
    return min(0.0, float(x.min())), max(1.0, float(x.max()))


def _stream(seed: int, name: str, x: Tensor) -> Stream:
    """One stream per row of a batch, whichever samples lie in it."""
    return Stream.create(seed, f"reparameterise/{name}", torch.arange(len(x), device=x.device))


def _rows(radius: Tensor, rows: Tensor) -> Tensor:
    return radius if radius.shape[0] == 1 else radius[rows.to(radius.device)]
