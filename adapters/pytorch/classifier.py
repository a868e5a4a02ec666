"""A frozen module that answers: evaluation mode, private randomness, one kind of output."""

import copy as copying
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ...harness.classifier import Forward, GradientKind
from ...harness.errors import ModelError
from ...harness.model_info import ModelInfo
from ..effects import DRAWS
from ..preprocessing import Preprocessing
from ..rejection import Declared
from .asked import Answers, Asked
from .double import InDouble
from .features import last_layer, taking
from .gradient.eager import eagerly
from .gradient.scan import watched
from .gradient.soft_forward import SAMPLES, Around, SoftForward
from .output import as_logits, output_kind
from .weights import contents

_UNSEEN = {"unseen operations": "the module fails when it is watched, so any operation may stop a gradient"}


class TorchClassifier:
    """A frozen module behind the Classifier contract."""

    def __init__(
        self,
        module: nn.Module,
        *,
        preprocessing: Preprocessing,
        info: ModelInfo,
        borrowed: bool = False,
        wanted: Declared | None = None,
    ) -> None:
        self.preprocessing = preprocessing
        self._wanted = wanted
        self._module = module
        self._info = info
        self._device = torch.device(info.device)
        self._asked = Asked(module, self._device, borrowed=borrowed, wanted=wanted)
        self._random = self._asked.random
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
        return self._of_logits(self._deployed(x))

    def _deployed(self, x: Tensor) -> Tensor:
        """The columns of `_forward` without a gradient."""
        first = self._sample is None and x.dim() > 1 and len(x)
        with torch.no_grad():
            if not first:
                return self._forward(x)
            answers = self._answers(self.preprocessing(x.to(self._device)))
        self._look(x)
        return self._settled(answers, x).to(x.device)

    def differentiable(self, gradient: GradientKind = "exact") -> Forward:
        """The same forward with autograd intact to x.

        "bpda": with stand-ins for operations that stop a gradient, as far as they change no bit of the answer on the
        first samples; otherwise, says a note, the exact gradient.
        """
        columns = self._differentiable(gradient)
        return columns if self._wanted is None else lambda x: self._of_logits(columns(x))

    def _differentiable(self, gradient: GradientKind) -> Callable[[Tensor], Tensor]:
        return self._soft if gradient == "bpda" and self._soft.offered(self._sample) else self._forward

    def _of_logits(self, columns: Tensor) -> Tensor:
        return columns if self._wanted is None else columns[:, :-1]

    def features(self, gradient: GradientKind = "exact") -> Forward | None:
        """What the last linear layer takes, (N, F); None where no such layer makes the scores of the first batch."""
        if self._sample is None:
            return None
        before = self._random.state
        with torch.no_grad():
            layer = last_layer(self._module, partial(self._forward, self._sample), self._info.classes)
        self._random.state = before
        return None if layer is None else taking(layer, self._module, self._differentiable(gradient))

    def double(self) -> Forward | None:
        """The forward of a copy in float64 throughout, for float64 x; None where the module cannot be copied."""
        try:
            module = copying.deepcopy(self._module).double()
        except Exception:  # a module may hold anything
            return None
        twin = TorchClassifier(
            module,
            preprocessing=self.preprocessing,
            info=self._info,
            borrowed=self._asked.borrowed,
            wanted=self._wanted,
        )
        twin._asked.dtype, kind = torch.float64, self._info.output

        def forward(x: Tensor) -> Tensor:
            with eagerly(module):
                scores = twin._answers(twin.preprocessing(x.to(twin._device)), lambda _: InDouble()).scores
            return as_logits(scores, kind).to(x.device)

        return forward

    def own_units(self, x: Tensor) -> Tensor:
        """The logits (N, K) for x as the module itself wants it, past the preprocessing."""
        return self._answers(x.to(self._device)).scores.float().to(x.device)

    def _look(self, x: Tensor) -> None:
        """Watch the module for operations that stop a gradient; what it answers and draws meanwhile does not count."""
        self._sample = x[:SAMPLES].detach().clone()
        before, held = self._random.state, contents(self._module)
        watch = watched(self._watched, x, self._module)
        self._random.state = before
        found, self._last = (_UNSEEN, "") if watch is None else (watch.found, watch.last)
        update: dict[str, Any] = {
            "obstacles": self._info.obstacles | found,
            "random_operators": tuple(name for name, effect in found.items() if effect == DRAWS),
            "gradients_inside": 0 if watch is None else len(watch.tasks),
            "rewrites_itself": contents(self._module) != held,
        }
        self._info = self._info.model_copy(update=update)

    def _watched(self, x: Tensor, around: Around) -> Tensor:
        return self._answers(self.preprocessing(x.to(self._device)), around).scores

    def _note(self, *notes: str) -> None:
        new = (note for note in notes if note not in self._info.notes)
        self._info = self._info.model_copy(update={"notes": (*self._info.notes, *new)})

    def _forward(self, x: Tensor, around: Around = nullcontext) -> Tensor:
        """The logits (N, K), and the excess over the rejection threshold as one more column where one is declared."""
        if x.dim() < 2:
            raise ModelError(f"samples of shape {tuple(x.shape)} are no batch: give (N, C, H, W) or (N, D)")
        answers = self._answers(self.preprocessing(x.to(self._device)), around)
        return self._settled(answers, x).to(x.device)

    def _answers(self, inputs: Tensor, around: Around = nullcontext) -> Answers:
        """The module's own output for its own units, whatever it is packed in."""
        answers = self._asked(inputs, around, name=self._info.name, classes=self._info.classes)
        self._note(*answers.notes)
        return answers

    def _settled(self, answers: Answers, x: Tensor) -> Tensor:
        """Logits from scores; the first batch without a NaN decides which kind they are."""
        scores = answers.scores
        if self._undecided and len(scores) and not bool(scores.isnan().any()):
            self._decide(scores.detach(), x)
        logits = as_logits(scores.float(), self._info.output)
        return logits if answers.excess is None else torch.cat([logits, answers.excess.float()[:, None]], dim=1)

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
