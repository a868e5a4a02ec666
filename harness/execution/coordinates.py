"""Attacks live in [0, 1]; models and callers have units of their own."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..grid import in_bounds
from ..straight_through import straight_through


@dataclass(frozen=True)
class Coordinates:
    """An affine map from attack space z to model input x = offset + scale z, clipped to [lower, upper] exactly.

    All four broadcast to (N, ...) with a first dimension of 1 or N. With a per-feature box, z runs over [0, 1] across
    each feature's own width, so that wide and narrow features are searched alike.
    """

    offset: Tensor
    scale: Tensor
    lower: Tensor
    upper: Tensor
    grid: bool = False
    """Whether points are rounded to the 8-bit pixel grid on their way to the model."""

    @classmethod
    def of_bounds(cls, bounds: tuple[float, float], dim: int, device: str, *, grid: bool = False) -> "Coordinates":
        """One range for all features."""
        low, high = (torch.full((1,) * dim, v, device=device) for v in bounds)
        return cls(low, high - low, low, high, grid)

    @classmethod
    def of_box(cls, lower: Tensor, upper: Tensor) -> "Coordinates":
        """A box of its own for every feature of every sample."""
        return cls(lower, upper - lower, lower, upper)

    @property
    def identity(self) -> bool:
        """Whether attack space is input space."""
        if self.offset.numel() != 1:
            return False
        return self.lower.item() == 0.0 and self.upper.item() == 1.0

    def select(self, rows: Tensor) -> "Coordinates":
        """The coordinates of the samples at `rows`."""
        if len(self.offset) == 1:
            return self
        return replace(
            self, offset=self.offset[rows], scale=self.scale[rows], lower=self.lower[rows], upper=self.upper[rows]
        )

    def to(self, device: str) -> "Coordinates":
        """The same map on a device."""
        return replace(
            self,
            offset=self.offset.to(device),
            scale=self.scale.to(device),
            lower=self.lower.to(device),
            upper=self.upper.to(device),
        )

    def to_input(self, z: Tensor) -> Tensor:
        """Model input for z (N, ...); inside the limits exactly, differentiable inside them.

        Rounding to a grid has the gradient of the identity.
        """
        if self.grid:
            return straight_through(in_bounds(z.detach(), self.lower, self.upper), self.offset + self.scale * z)
        if self.identity:
            return z
        raw = self.offset + self.scale * z
        clipped = torch.minimum(torch.maximum(raw, self.lower), self.upper)
        # Clipping halves the gradient where it binds by rounding alone: black and white pixels stand at the walls.
        return straight_through(clipped, raw)

    def from_input(self, x: Tensor) -> Tensor:
        """Attack space for model input x (N, ...), inside [0, 1]; features without width map to 0."""
        if self.identity:
            return x
        wide = self.scale > 0
        return torch.where(wide, (x - self.offset) / torch.where(wide, self.scale, 1.0), 0.0).clamp(0.0, 1.0)
