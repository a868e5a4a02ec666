"""Coordinate by coordinate, central differences of the deployed loss.

Source: Chen et al. 2017 (ZOO), section 3.2. Deviation: a step stops at the walls of the box, and the rise is divided by
the distance between the two points that were asked.
"""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from ..randomness import Stream
from .asking import NUMBERS, Ask, rises
from .cleaned import cleaned
from .spec import EstimatorConfig


class FiniteDifferences(EstimatorConfig):
    """Two deployed passes per feature."""

    kind: Literal["finite-differences"] = "finite-differences"
    size: float | None = Field(
        None, gt=0, description="step in [0, 1] pixel units; None: a tenth of the radius, at least one quantum"
    )

    def queries(self, features: int) -> int:
        """Central differences."""
        return 2 * features


def estimate(config: FiniteDifferences, ask: Ask, x: Tensor, stream: Stream, size: Tensor) -> Tensor:  # noqa: ARG001
    """The gradient (N, ...) at x (N, ...) in [0, 1], by steps of `size` (N,); nothing is drawn.

    Exact for a linear loss. For another, the slope belongs to the middle of the two points: at x itself away from the
    walls, half a step beside it at one. A feature whose difference is NaN gets 0, an infinite one the largest finite.
    """
    flat = x.flatten(1)
    n, features = flat.shape
    up = (flat + size[:, None]).clamp(0.0, 1.0)
    down = (flat - size[:, None]).clamp(0.0, 1.0)
    width = max(1, NUMBERS // max(1, 2 * n * features))
    parts = [
        rises(ask, _moved(x, up, columns), _moved(x, down, columns))
        for columns in torch.split(torch.arange(features, device=x.device), width)
    ]
    distance = up - down
    slopes = torch.where(distance > 0, torch.cat(parts, dim=1) / distance, 0.0)
    return cleaned(slopes).to(x.dtype).reshape(x.shape)


def _moved(x: Tensor, values: Tensor, columns: Tensor) -> Tensor:
    """One copy of x (N, ...) per column, (N, M, ...), with `values` (N, D) in that column alone."""
    points = x.flatten(1)[:, None].repeat(1, len(columns), 1)
    points[:, torch.arange(len(columns), device=x.device), columns] = values[:, columns]
    return points.reshape(len(x), len(columns), *x.shape[1:])
