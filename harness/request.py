"""One attack as a suite asks for it, before anything is known of the target."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from .attacks import AnyAttack
from .geometry import Norm
from .gradients import AnyEstimator

MOST_DRAWS = 10_000

Automatic = Literal["loss", "momentum", "step_size"]


def of_kind(gradient: Any) -> Any:
    """The name of a kind as an estimator with its defaults; everything else as it is."""
    return {"kind": gradient} if isinstance(gradient, str) and gradient != "auto" else gradient


class Request(BaseModel):
    """One attack as a suite asks for it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    config: AnyAttack
    gradient: Annotated[Literal["auto"] | AnyEstimator, BeforeValidator(of_kind)] = "auto"
    eot: Literal["auto"] | Annotated[int, Field(ge=1, le=MOST_DRAWS, strict=True)] = "auto"
    """Draws of a random target behind one gradient, or behind one answer; auto measures how many gradients need."""
    samples: int | None = Field(None, ge=1, strict=True)
    """Run on this many standing samples (closest first), and on all as soon as one falls to a black-box attack."""
    closest: float = Field(1.0, gt=0, le=1, strict=True)
    """The share of standing samples, closest to the boundary first, that is attacked."""
    at_least: int = Field(1, ge=1, strict=True)
    """... but never fewer than this many."""
    rejecting: bool = Field(False, strict=True)
    """Run it only on a target that may refuse to answer."""
    auto: tuple[Automatic, ...] = ()
    """Parameters of the attack that the plan decides."""
    norms: tuple[Norm, ...] | None = None
    """The norms in which this entry is worth its passes; all that the attack has, unless given."""

    @property
    def parameters(self) -> dict[str, Any]:
        """The attack's parameters, and of the request's own those that say something."""
        own: dict[str, Any] = {"samples": self.samples, "norms": self.norms, "rejecting": self.rejecting or None}
        if self.closest < 1:
            own |= {"closest": self.closest, "at_least": self.at_least}
        every = self.config.model_dump(exclude={"attack"}) | own
        return {key: value for key, value in every.items() if value is not None}
