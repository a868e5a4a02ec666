"""What is claimed, beside the data that it is claimed of."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Claim:
    """The threat model beside the data that it is about, in [0, 1] units of the model's bounds."""

    norm: str
    radii: tuple[float, float] | None
    """Smallest and largest; None: a box per feature says it all."""
    features: int
    image: bool
    """Samples are (C, H, W) with one, three or four channels."""
    channels: int
    low: float
    high: float
    """Smallest and largest pixel of all samples."""
    grid: bool
    """Every pixel is one of 256 equal levels."""
    grid_only: bool = False
    """Only points on that grid count."""

    @property
    def whole(self) -> float:
        """The smallest radius whose ball around a black image holds every image there is."""
        if self.norm == "linf":
            return 1.0
        return math.sqrt(self.features) if self.norm == "l2" else float(self.features)

    @property
    def even(self) -> float:
        """What the largest radius changes at each feature when it is spread evenly; the share of features in L0."""
        return (self.radii or (0.0, 0.0))[1] / self.whole
