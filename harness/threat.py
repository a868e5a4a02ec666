"""What the adversary may do: norm, radius, box, goal and knowledge."""

from dataclasses import dataclass, replace
from typing import Literal, Self

import torch
from torch import Tensor

from .geometry import Norm, distances, per_sample, project
from .randomness import Stream

Knowledge = Literal["white-box", "grey-box", "black-box"]

# float32 cannot hold x + eps exactly; a point this little outside still counts as inside.
RELATIVE_TOLERANCE = 1e-6
ABSOLUTE_TOLERANCE = 1e-7
_PULLS = 20
_L0_REACH = 10.0


@dataclass(frozen=True)
class Ball:
    """The points that may stand in for each sample: {|x' - x|_norm <= eps} cut with {lower <= x' <= upper}.

    `x` is (N, ...), `eps` (N,), `lower` and `upper` broadcast to x with a first dimension of 1 or N.
    """

    x: Tensor
    eps: Tensor
    lower: Tensor
    upper: Tensor
    norm: Norm

    @classmethod
    def create(cls, x: Tensor, eps: float | Tensor, norm: Norm, lower: float = 0.0, upper: float = 1.0) -> Self:
        """A ball around each of x with one box for all."""
        radius = torch.as_tensor(eps, dtype=torch.float32, device=x.device).expand(len(x)).clone()
        limit = torch.ones((1,) * x.dim(), device=x.device)
        return cls(x, radius, limit * lower, limit * upper, norm)

    def select(self, index: Tensor) -> "Ball":
        """The balls of the samples at `index`."""
        return replace(
            self,
            x=self.x[index],
            eps=self.eps[index],
            lower=self.lower if len(self.lower) == 1 else self.lower[index],
            upper=self.upper if len(self.upper) == 1 else self.upper[index],
        )

    def to(self, device: str) -> "Ball":
        """The same balls on a device."""
        return Ball(self.x.to(device), self.eps.to(device), self.lower.to(device), self.upper.to(device), self.norm)

    def fold(self, n: int) -> "Ball":
        """n copies of each sample's ball, sample-major."""
        return self.select(torch.arange(len(self.x), device=self.x.device).repeat_interleave(n))

    def with_eps(self, eps: Tensor) -> "Ball":
        """The same balls with other radii (N,)."""
        return replace(self, eps=eps)

    def project(self, points: Tensor) -> Tensor:
        """The nearest allowed point to each of `points` (N, ...); inside the box exactly."""
        if self.norm == "linf":
            eps = per_sample(self.eps, self.x)
            low = torch.maximum(self.x - eps, self.lower)
            high = torch.minimum(self.x + eps, self.upper)
            return torch.minimum(torch.maximum(points, low), high)
        low = (self.lower - self.x).expand_as(self.x)
        high = (self.upper - self.x).expand_as(self.x)
        return self._rounded_in(self.clip(self.x + project(points - self.x, self.eps, low, high, self.norm)))

    def _rounded_in(self, points: Tensor) -> Tensor:
        """Points whose distance rounding has carried over the radius (many features, one direction), pulled back."""
        if self.norm == "l0":
            return points
        for attempt in range(_PULLS):
            excess = self.distances(points) / self.eps.double().clamp(min=1e-30) - 1
            over = excess > RELATIVE_TOLERANCE
            if not bool(over.any()):
                break
            shrink = (1 - 2**attempt * excess.clamp(min=0)).clamp(min=0).float()
            closer = self.clip(self.x + (points - self.x) * per_sample(shrink, points))
            points = torch.where(per_sample(over, points), closer, points)
        return points

    @property
    def reach(self) -> Tensor:
        """The length of a full step (N,): eps, or for L0 far beyond the box, which makes the projection choose well."""
        return torch.full_like(self.eps, _L0_REACH) if self.norm == "l0" else self.eps

    def clip(self, points: Tensor) -> Tensor:
        """The nearest point of the box alone."""
        return torch.minimum(torch.maximum(points, self.lower), self.upper)

    def distances(self, points: Tensor) -> Tensor:
        """|points - x| in the ball's norm, float64, (N,)."""
        return distances(points, self.x, self.norm)

    def contains(self, points: Tensor) -> Tensor:
        """Which points (N, ...) are finite, in the box exactly and in the ball within float32 rounding, (N,)."""
        in_box = ((points >= self.lower) & (points <= self.upper)).flatten(1).all(dim=1)
        limit = self.eps.to(torch.float64) * (1 + RELATIVE_TOLERANCE) + ABSOLUTE_TOLERANCE
        return in_box & (self.distances(points) <= limit)

    def random_start(self, stream: Stream, step: int) -> Tensor:
        """A random point of each ball: uniform (Linf), uniform in the ball before clipping (L2, L1, L0)."""
        shape = tuple(self.x.shape[1:])
        count = self.x[0].numel() if len(self.x) else 1
        eps = per_sample(self.eps, self.x)
        if self.norm == "linf":
            return self.project(self.x + eps * stream.uniform(step, shape, -1.0, 1.0))
        if self.norm == "l2":
            direction = stream.normal(step, shape)
            size = per_sample(direction.flatten(1).norm(dim=1), self.x).clamp(min=1e-12)
            radius = per_sample(stream.child("radius").uniform(step, (1,))[:, 0] ** (1.0 / count), self.x)
            return self.project(self.x + eps * radius * direction / size)
        if self.norm == "l1":
            weights = -(stream.uniform(step, shape) + 2.0**-25).log()
            weights = weights / per_sample(weights.flatten(1).sum(dim=1), self.x)
            return self.project(self.x + eps * weights * stream.child("signs").signs(step, shape))
        # Features drawn at random, each sent to a random place of the box.
        order = stream.uniform(step, shape).flatten(1).argsort(dim=1).argsort(dim=1)
        chosen = (order < self.eps[:, None]).reshape(self.x.shape)
        place = self.lower + (self.upper - self.lower) * stream.child("place").uniform(step, shape)
        return torch.where(chosen, place, self.x)


@dataclass(frozen=True)
class ThreatModel:
    """The adversary of one evaluation, in words and numbers; `Ball` holds the same for tensors.

    `epsilon` is in [0, 1] pixel units, one number or the range (smallest, largest) of per-sample radii, None for a
    per-feature box.
    """

    norm: Norm
    epsilon: float | tuple[float, float] | None
    targeted: bool = False
    knowledge: Knowledge = "white-box"
