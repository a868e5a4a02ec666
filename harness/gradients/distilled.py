"""The gradient of a student that was trained on the answers of the whole pipeline.

Source: Papernot et al. 2017 (substitute models); "One Man's Trash is Another Man's Treasure", section 4 (end to end).
"""

from typing import Literal

from pydantic import Field

from .spec import EstimatorConfig


class Distilled(EstimatorConfig):
    """Forward and backward on a student of the whole target; the deployed model judges the points."""

    kind: Literal["distilled"] = "distilled"
    steps: int = Field(1500, ge=1, description="training steps of the student")

    @property
    def faithful(self) -> bool:
        """A student only resembles."""
        return False
