"""The mean gradient over a cloud around the point, for landscapes whose single gradients say nothing.

Source: Pintor et al. 2022, "Indicators of attack failure", section 4 (averaged gradients against unstable ones);
Tramer et al. 2020, section 5 (k-WTA).
"""

from typing import Literal

from pydantic import Field

from .spec import EstimatorConfig


class Smoothed(EstimatorConfig):
    """Backward passes at antithetic Gaussian neighbours, averaged; the point itself is judged."""

    kind: Literal["smoothed"] = "smoothed"
    directions: int = Field(10, ge=1, description="antithetic pairs of neighbours per gradient question")
    size: float | None = Field(
        None, gt=0, description="standard deviation in [0, 1] pixel units; None: half the radius"
    )
    around: Literal["exact", "bpda", "bpda-identity", "unrolled"] = Field(
        "bpda", description="how each neighbour's gradient passes what stands in the way"
    )

    @property
    def faithful(self) -> bool:
        """The neighbours' scores are not the point's."""
        return False

    @property
    def neighbours(self) -> int:
        """Both ends of every direction."""
        return 2 * self.directions
