"""What every stage in front of a classifier declares."""

from abc import ABC, abstractmethod
from typing import ClassVar

from pydantic import BaseModel, ConfigDict
from torch import Tensor

from ..errors import UsageError
from ..randomness import Stream
from ..stage import Surrogate


class FrontStage(BaseModel, ABC):
    """Base of every stage's parameters: frozen, strict, no unknown keys. No surrogate by default."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    random: ClassVar[bool]
    surrogate: ClassVar[Surrogate]

    @classmethod
    def name(cls) -> str:
        """As a user writes it."""
        return str(cls.model_fields["defense"].default)

    @property
    def label(self) -> str:
        """Name and all parameters, as a user writes them; the text says exactly which defense this is."""
        values = {key: getattr(self, key) for key in type(self).model_fields if key != "defense"}
        parameters = ",".join(f"{key}={_written(value)}" for key, value in values.items() if value is not None)
        return f"{self.name()}:{parameters}" if parameters else self.name()

    @abstractmethod
    def forward(self, x: Tensor, stream: Stream) -> Tensor:
        """The stage as deployed, on pixels (N, C, H, W) in [0, 1]."""

    def replacement(self, x: Tensor, stream: Stream) -> Tensor:
        """What stands in for it: itself where it is differentiable, else the identity."""
        return self.forward(x, stream) if self.surrogate.kind == "exact" else x

    def images(self, x: Tensor) -> Tensor:
        """x, when it is a batch of images.

        Raises:
            UsageError: it is none.
        """
        if x.dim() != 4 or 0 in x.shape[1:]:
            raise UsageError(f"defense {self.name()} needs images (N, C, H, W), these samples are {tuple(x.shape[1:])}")
        return x


def _written(value: object) -> str:
    """A float in as few digits as bring it back."""
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    return str(value)
