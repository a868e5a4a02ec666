"""A random target whose randomness stands still: what an attacker would face who knew every draw."""

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from ..decision import Decision
from ..pipeline import Pipeline, Through
from ..randomness import Stream


@dataclass(frozen=True)
class Frozen(Pipeline):
    """The same stages and detector, every draw replaced by one that is the same for all samples and questions.

    A classifier that draws by itself keeps doing so.
    """

    @classmethod
    def of(cls, pipeline: Pipeline) -> "Frozen":
        """That pipeline, standing still."""
        return cls(**{each.name: getattr(pipeline, each.name) for each in fields(Pipeline)})

    @property
    def random(self) -> bool:
        """Whether two passes over one input may differ."""
        return self.noisy_classifier

    def staged(self, x: Tensor, stream: Stream, through: Through | None = None) -> Tensor:
        """What the classifier gets to see of x (N, ...), on the one draw that there is."""
        return super().staged(x, _still(stream), through)

    def _judged(self, x: Tensor, logits: Tensor, rejection: Tensor | None, stream: Stream) -> Decision:
        return super()._judged(x, logits, rejection, _still(stream))


def _still(stream: Stream) -> Stream:
    return Stream.create(0, "frozen", torch.zeros_like(stream.keys))
