"""One call of a module: as it would be deployed, on randomness of its own, with whatever it returns unpacked."""

from contextlib import nullcontext
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ...harness.errors import ModelError, RobcheckError
from ..private_random import RandomState
from ..rejection import Declared
from .borrowed import as_deployed, without_histories
from .gradient.soft_forward import Around
from .gradient.watch import Watch
from .output import checked, unpacked
from .weights import first_line

_SATURATES = "the rejection score ends in a sigmoid, whose gradient vanishes by saturation: return its logit"


class Answers(NamedTuple):
    """What a module answers for N inputs."""

    scores: Tensor
    """(N, K), of whatever kind."""
    excess: Tensor | None
    """Of the declared rejection score over its threshold, (N,)."""
    notes: tuple[str, ...]


class Asked:
    """A module that answers on one device, in one number type; `random` advances with every call."""

    def __init__(self, module: nn.Module, device: torch.device, *, borrowed: bool, wanted: Declared | None) -> None:
        self.module, self.device, self.borrowed, self.wanted = module, device, borrowed, wanted
        types = {weight.dtype for weight in module.parameters() if weight.is_floating_point()}
        self.dtype = types.pop() if len(types) == 1 else torch.float32
        self.random = RandomState(device)

    def __call__(
        self, inputs: Tensor, around: Around = nullcontext, *, name: str, classes: int | None = None
    ) -> Answers:
        """The answers for inputs (N, ...) in units of the module, asked inside of what `around` makes.

        Raises:
            ModelError: the module fails, or its output is no (N, K) scores.
            UsageError: the declared rejection score is not there.
        """
        # A copy, because somebody else's code may change its input in place.
        own = inputs.to(self.dtype).clone()
        try:
            with (
                self.random.private(),
                without_histories(self.module),
                as_deployed(self.module) if self.borrowed else nullcontext(),
                # TF32 rounds differently for different batch sizes, which no check could tell from a defect.
                torch.backends.cudnn.flags(enabled=True, allow_tf32=False)
                if self.device.type == "cuda"
                else nullcontext(),
                around(own) as mode,
            ):
                found = unpacked(self.module(own), samples=len(inputs), name=name, wanted=self.wanted)
                # Inside of the mode, because there truth values have stand-ins with a gradient.
                excess = self._excess(found.rejection)
                saturates = isinstance(mode, Watch) and _told_ends(mode, found.scores, found.rejection)
        except (RobcheckError, torch.OutOfMemoryError, MemoryError):
            raise
        except (Exception, SystemExit) as error:  # somebody else's code
            raise ModelError(
                f"{name} fails on an input of shape {tuple(inputs.shape)} ({first_line(error)}): "
                "check the shape of the samples, --layout and the model's code"
            ) from error
        scores = checked(found.scores, samples=len(inputs), name=name, classes=classes)
        return Answers(scores, excess, (*found.notes, *([_SATURATES] if saturates else [])))

    def _excess(self, score: Tensor | None) -> Tensor | None:
        return None if score is None or self.wanted is None else self.wanted.excess(score.reshape(-1))


def _told_ends(watch: Watch, scores: Tensor | None, rejection: Tensor | None) -> bool:
    """Let the watch speak of the scores; whether the rejection score ends in a sigmoid."""
    saturates = rejection is not None and watch.made_by(rejection) == "sigmoid"
    if scores is not None:
        watch.last = watch.made_by(scores) or watch.last
    return saturates
