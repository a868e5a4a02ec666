"""What every kind of gradient declares."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

GradientName = Literal[
    "exact",
    "bpda",
    "bpda-identity",
    "unrolled",
    "reparameterised",
    "smoothed",
    "distilled",
    "finite-differences",
    "nes",
    "spsa",
]


Differentiable = Literal["exact", "bpda", "bpda-identity", "unrolled", "reparameterised", "smoothed"]
"""Those that are a backward pass through the target or what stands in for its parts."""


class EstimatorConfig(BaseModel):
    """Base of every estimator's parameters: frozen, strict, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    @property
    def label(self) -> str:
        """Its name, and of its parameters those that differ from their defaults, as reports show it."""
        own = {key: value for key, value in self.model_dump(exclude_defaults=True).items() if key != "kind"}
        shown = [f", {key} {value:g}" if isinstance(value, float) else f", {key} {value}" for key, value in own.items()]
        return str(getattr(self, "kind", "")) + "".join(shown)

    @property
    def faithful(self) -> bool:
        """Whether its forward pass is the deployed one (up to the twin), so that its scores speak for the target."""
        return True

    @property
    def neighbours(self) -> int:
        """Backward passes behind one gradient question and draw."""
        return 1

    def queries(self, features: int) -> int:  # noqa: ARG002
        """Deployed passes behind one gradient question and draw; 0 where a backward pass answers it."""
        return 0
