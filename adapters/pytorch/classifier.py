"""A frozen module that answers: evaluation mode, private randomness, one kind of output."""

import copy as copying
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from ...harness.classifier import Forward, GradientKind
from ...harness.errors import ModelError, RobcheckError
from ...harness.model_info import ModelInfo
from ..effects import DRAWS
from ..preprocessing import Preprocessing
from ..private_random import RandomState
from .borrowed import as_deployed, without_histories
from .double import InDouble
from .gradient.eager import eagerly
from .gradient.scan import watched
from .gradient.soft_forward import SAMPLES, Around, SoftForward
from .output import as_logits, checked, output_kind, unpacked
from .weights import first_line

_UNSEEN = {"unseen operations": "the module fails when it is watched, so any operation may stop a gradient"}


class TorchClassifier:
    """A frozen module behind the Classifier contract."""

    def __init__(
        self, module: nn.Module, *, preprocessing: Preprocessing, info: ModelInfo, borrowed: bool = False
    ) -> None:
        self.preprocessing = preprocessing
        self._module = module
        self._borrowed = borrowed
        self._info = info
        self._device = torch.device(info.device)
        types = {weight.dtype for weight in module.parameters() if weight.is_floating_point()}
        self._dtype = types.pop() if len(types) == 1 else torch.float32
        self._random = RandomState(self._device)
        self._undecided = True
        self._sample: Tensor | None = None
        self._last = ""
        self._soft = SoftForward(module, self._forward, random=self._random, tell=self._note)

    @property
    def info(self) -> ModelInfo:
        """What is known so far; shape, classes, kind of output and obstacles in the code come with the first batch."""
        return self._info

    def logits(self, x: Tensor) -> Tensor:
        """The forward without a gradient, (N, K) float32 on the device of x (N, *shape) in units of the bounds.

        Raises:
            ModelError: the module fails on x, or its output is no (N, K) scores.
        """
        first = self._sample is None and x.dim() > 1 and len(x)
        with torch.no_grad():
            if not first:
                return self._forward(x)
            scores = self._scores(self.preprocessing(x.to(self._device)))
        self._look(x)
        return self._settled(scores, x).to(x.device)

    def differentiable(self, gradient: GradientKind = "exact") -> Forward:
        """The same forward with autograd intact to x.

        "bpda": with stand-ins for operations that stop a gradient, as far as they change no bit of the answer on the
        first samples; otherwise, says a note, the exact gradient.
        """
        if gradient == "bpda" and self._soft.offered(self._sample):
            return self._soft
        return self._forward

    def double(self) -> Forward | None:
        """The forward of a copy in float64 throughout, for float64 x; None where the module cannot be copied."""
        try:
            module = copying.deepcopy(self._module).double()
        except Exception:  # a module may hold anything
            return None
        twin = TorchClassifier(module, preprocessing=self.preprocessing, info=self._info, borrowed=self._borrowed)
        twin._dtype, kind = torch.float64, self._info.output

        def forward(x: Tensor) -> Tensor:
            with eagerly(module):
                scores = twin._scores(twin.preprocessing(x.to(twin._device)), lambda _: InDouble())
            return as_logits(scores, kind).to(x.device)

        return forward

    def own_units(self, x: Tensor) -> Tensor:
        """The logits (N, K) for x as the module itself wants it, past the preprocessing."""
        return self._scores(x.to(self._device)).float().to(x.device)

    def _look(self, x: Tensor) -> None:
        """Watch the module for operations that stop a gradient; what it answers and draws meanwhile does not count."""
        self._sample = x[:SAMPLES].detach().clone()
        before = self._random.state
        watch = watched(lambda x, around: self._scores(self.preprocessing(x.to(self._device)), around), x, self._module)
        self._random.state = before
        found, self._last = (_UNSEEN, "") if watch is None else (watch.found, watch.last)
        update: dict[str, Any] = {
            "obstacles": self._info.obstacles | found,
            "random_operators": tuple(name for name, effect in found.items() if effect == DRAWS),
        }
        self._info = self._info.model_copy(update=update)

    def _note(self, *notes: str) -> None:
        new = (note for note in notes if note not in self._info.notes)
        self._info = self._info.model_copy(update={"notes": (*self._info.notes, *new)})

    def _forward(self, x: Tensor, around: Around = nullcontext) -> Tensor:
        if x.dim() < 2:
            raise ModelError(f"samples of shape {tuple(x.shape)} are no batch: give (N, C, H, W) or (N, D)")
        scores = self._scores(self.preprocessing(x.to(self._device)), around)
        return self._settled(scores, x).to(x.device)

    def _scores(self, inputs: Tensor, around: Around = nullcontext) -> Tensor:
        """The module's own (N, K) output, whatever it is packed in."""
        # A copy, because somebody else's code may change its input in place.
        own = inputs.to(self._dtype).clone()
        try:
            with (
                self._random.private(),
                without_histories(self._module),
                as_deployed(self._module) if self._borrowed else nullcontext(),
                # TF32 rounds differently for different batch sizes, which no check could tell from a defect.
                torch.backends.cudnn.flags(enabled=True, allow_tf32=False)
                if self._device.type == "cuda"
                else nullcontext(),
                around(own),
            ):
                raw = self._module(own)
        except (RobcheckError, torch.OutOfMemoryError, MemoryError):
            raise
        except (Exception, SystemExit) as error:  # somebody else's code
            raise ModelError(
                f"{self._info.name} fails on an input of shape {tuple(inputs.shape)} ({first_line(error)}): "
                "check the shape of the samples, --layout and the model's code"
            ) from error
        scores, origin = unpacked(raw)
        scores = checked(scores, samples=len(inputs), name=self._info.name, classes=self._info.classes)
        if origin:
            self._note(origin)
        return scores

    def _settled(self, scores: Tensor, x: Tensor) -> Tensor:
        """Logits from scores; the first batch without a NaN decides which kind they are."""
        if self._undecided and len(scores) and not bool(scores.isnan().any()):
            self._decide(scores.detach(), x)
        return as_logits(scores.float(), self._info.output)

    def _decide(self, scores: Tensor, x: Tensor) -> None:
        kind = output_kind(scores, self._last)
        notes = {
            "probabilities": "the module ends in a softmax, whose gradient vanishes by saturation: export its logits",
            "log-probabilities": "the module gives log-probabilities, which serve as logits",
            "sigmoids": "the module ends in a sigmoid, whose gradient vanishes by saturation: export its logits",
            "labels": "the module answers with labels alone: export the scores in front of its argmax",
        }
        known = (note for note in self._info.notes if note not in notes.values())
        update: dict[str, Any] = {
            "input_shape": tuple(x.shape[1:]),
            "classes": scores.shape[1],
            "output": kind,
            "notes": (*known, *([notes[kind]] if kind in notes else [])),
        }
        self._info = self._info.model_copy(update=update)
        self._undecided = False
