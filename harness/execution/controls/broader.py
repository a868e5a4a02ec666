"""Images turned, shifted, noisy, blurred, with less contrast, darker and brighter: not attacks, and not in the ball.

Source: Engstrom et al. 2019 (rotations and translations); Hendrycks and Dietterich 2019 (corruptions; milder here).
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from ...decision import Goal
from ...diagnosis.broader import Broader, Corrupted
from ...errors import NotApplicableError
from ...geometry import per_sample
from ...randomness import Stream
from .. import scoring
from ..campaign import Campaign
from ..lab import Lab

_SAMPLES = 128
_CHANNELS = (1, 3, 4)

Change = Callable[[Tensor, Stream], Tensor]
"""Images (N, C, H, W) in [0, 1] to images of the same shape."""


def _turned(degrees: float) -> Change:
    def turn(x: Tensor, stream: Stream) -> Tensor:  # noqa: ARG001
        c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        return _warped(x, ((c, -s, 0.0), (s, c, 0.0)))

    return turn


def _shifted(share: float, down: bool) -> Change:
    """By a share of the side; what comes in is what stands at the border."""

    def shift(x: Tensor, stream: Stream) -> Tensor:  # noqa: ARG001
        across, along = (0.0, 2 * share) if down else (2 * share, 0.0)
        return _warped(x, ((1.0, 0.0, across), (0.0, 1.0, along)))

    return shift


def _warped(x: Tensor, matrix: tuple[tuple[float, float, float], ...]) -> Tensor:
    theta = torch.tensor(matrix, dtype=x.dtype, device=x.device).expand(len(x), 2, 3)
    grid = functional.affine_grid(theta, list(x.shape), align_corners=False)
    return functional.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _noisy(size: float) -> Change:
    return lambda x, stream: x + size * stream.normal(0, tuple(x.shape[1:]))


def _blurred(width: float) -> Change:
    """A Gaussian of that width in pixels."""

    def blur(x: Tensor, stream: Stream) -> Tensor:  # noqa: ARG001
        reach = min(max(1, round(3 * width)), min(x.shape[2:]) - 1)
        places = torch.arange(-reach, reach + 1, dtype=x.dtype, device=x.device)
        line = (-(places**2) / (2 * width**2)).exp()
        line = (line / line.sum()).reshape(1, 1, 1, -1).expand(x.shape[1], 1, 1, -1)
        padded = functional.pad(x, (reach,) * 4, mode="replicate")
        across = functional.conv2d(padded, line, groups=x.shape[1])
        return functional.conv2d(across, line.transpose(2, 3), groups=x.shape[1])

    return blur


def _paler(share: float) -> Change:
    def pale(x: Tensor, stream: Stream) -> Tensor:  # noqa: ARG001
        mean = per_sample(x.flatten(1).mean(dim=1), x)
        return mean + share * (x - mean)

    return pale


def _brighter(by: float) -> Change:
    return lambda x, stream: x + by  # noqa: ARG005


CHANGES: dict[str, tuple[Change, ...]] = {
    "rotation by up to 30 degrees": tuple(_turned(a) for a in (-30, -20, -10, 10, 20, 30)),
    "translation by a tenth": tuple(_shifted(s, down) for s in (-0.1, 0.1) for down in (False, True)),
    "Gaussian noise": tuple(map(_noisy, (0.04, 0.08, 0.12))),
    "Gaussian blur": tuple(map(_blurred, (0.5, 0.75, 1.0))),
    "contrast": tuple(map(_paler, (0.75, 0.5, 0.4))),
    "brightness": tuple(map(_brighter, (-0.2, -0.1, 0.1, 0.2))),
}
"""By name, the milder and the stronger of each."""


def broader(lab: Lab) -> Broader:
    """Every change on the same samples, right and wrong ones.

    Raises:
        NotApplicableError: the samples are no images.
    """
    campaign = lab.campaign
    shape = tuple(campaign.job.x.shape[1:])
    if len(shape) != 3 or shape[0] not in _CHANNELS or campaign.job.box is not None:
        raise NotApplicableError("the samples are no images")
    rows = campaign.spread(campaign.ledger.seen.nonzero().squeeze(1), _SAMPLES)
    found = []
    for label, changes in CHANGES.items():
        right = [_right(campaign, rows, change, f"{label}/{number}") for number, change in enumerate(changes)]
        every = torch.stack(right).all(dim=0)
        found.append(Corrupted(label, tuple(int(r.sum()) for r in right), int(every.sum())))
    clean = campaign.ledger.right[rows]
    return Broader(samples=len(rows), clean=int(clean.sum()), corruptions=tuple(found))


def _right(campaign: Campaign, rows: Tensor, change: Change, key: str) -> Tensor:
    """Which samples are right after the change, more often than not where the target is random."""
    parts = []
    for block in torch.split(rows, campaign.block):
        stream = Stream.create(campaign.job.seed, f"broader/{key}", campaign.ids[block])
        points = change(campaign.ball.x[block], stream).clamp(0, 1)
        seen = campaign.replay(
            campaign.to_input(points, block),
            block,
            Goal(campaign.goal(block).y),
            phase="controls",
            draws=scoring.SELECTION_DRAWS,
            key=f"broader/{key}",
            clean=True,
        )
        parts.append(seen.rate >= 0.5)
    return torch.cat(parts)
