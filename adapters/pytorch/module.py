"""An nn.Module as a Classifier: evaluation mode, frozen weights, private randomness, one kind of output."""

import copy as copying
from contextlib import nullcontext
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ...harness.classifier import Forward, GradientKind
from ...harness.errors import ModelError, RobcheckError
from ...harness.model_info import ModelInfo, Twin
from ..device import lies_on, resolve_device
from ..effects import DRAWS
from ..preprocessing import Layout, Preprocessing
from ..private_random import RandomState
from .borrowed import as_deployed, copied, settle, tell_training
from .gradient.exported import obstacles_in_export
from .gradient.parts import suspicious_parts
from .gradient.scan import watched
from .gradient.soft_forward import SAMPLES, Around, SoftForward
from .output import output_kind, unpacked
from .weights import first_line, state_sha256

Trust = Literal["data-only", "executes model code"]
_SMALLEST = torch.finfo(torch.float32).tiny


def wrap_module(
    module: nn.Module,
    *,
    name: str | None = None,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
    bounds: tuple[float, float] = (0.0, 1.0),
    input_range: tuple[float, float] | None = None,
    layout: Layout | None = None,
    device: str = "cpu",
    classes: int | None = None,
    sha256: str | None = None,
    trust: Trust = "executes model code",
    notes: tuple[str, ...] = (),
    copy: bool = True,
) -> "TorchClassifier":
    """The module behind the Classifier contract; the caller's own module stays as it is.

    It is used where it lies, in evaluation mode for each call; only one that lies on another device is copied.

    Args:
        module: (N, ...) -> (N, K), in the units that `input_range` or `mean` and `std` name.
        mean: per channel, in [0, 1] pixel units, with `std`.
        bounds: the range of the caller's pixels.
        input_range: the range that the module expects; None is `bounds`.
        layout: "nhwc" if the module wants (N, H, W, C); callers always give (N, C, H, W).
        copy: False for a module that nobody else uses, which may be moved and switched for good.

    Raises:
        UsageError: the preprocessing contradicts itself.
        DeviceError: the device is not there.
    """
    preprocessing = Preprocessing(bounds=bounds, input_range=input_range, mean=mean, std=std, layout=layout)
    device = resolve_device(device)
    digest = sha256 or state_sha256(module)
    found = list(notes)
    borrowed = copy and lies_on(module, device)
    if borrowed:
        tell_training(module, found)
    else:
        module = copied(module, found) if copy else module
        settle(module, found, tell=copy)
    with as_deployed(module) if borrowed else nullcontext():
        obstacles = suspicious_parts(module)
    info = ModelInfo(
        name=name or type(module).__name__,
        format="torch",
        bounds=preprocessing.bounds,
        mean=preprocessing.mean,
        std=preprocessing.std,
        classes=classes,
        device=device,
        sha256=digest,
        obstacles=obstacles,
        twin=Twin(available=True, reason="the module itself"),
        trust=trust,
        notes=tuple(found),
    )
    if not borrowed:
        module = module.to(device)
    return TorchClassifier(module, preprocessing=preprocessing, info=info, borrowed=borrowed)


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
        if self._sample is None and x.dim() > 1 and len(x):
            return self._first(x)
        with torch.no_grad():
            return self._forward(x)

    def differentiable(self, gradient: GradientKind = "exact") -> Forward | None:
        """The same forward with autograd intact to x.

        "bpda": with stand-ins for operations that stop a gradient, as far as they change no bit of the answer on the
        first samples; otherwise, says a note, the exact gradient.
        """
        if gradient == "bpda" and self._soft.offered(self._sample):
            return self._soft
        return self._forward if self._info.twin.available else None

    def double(self) -> Forward | None:
        """The forward of a copy in float64, for float64 x; None where the module cannot be copied."""
        try:
            module = copying.deepcopy(self._module).double()
        except Exception:  # a module may hold anything
            return None
        twin = TorchClassifier(module, preprocessing=self.preprocessing, info=self._info, borrowed=self._borrowed)
        twin._dtype, logarithm = torch.float64, self._info.output == "probabilities"

        def forward(x: Tensor) -> Tensor:
            scores = twin._scores(twin.preprocessing(x.to(twin._device))).to(x.device)
            return scores.clamp(min=_SMALLEST).log() if logarithm else scores

        return forward

    def probe(self, x: Tensor) -> ModelInfo:
        """Decide the kind of output on real samples x (N, *shape), compare the two forwards, return the new info."""
        self._undecided = True
        before = self._random.state
        deployed = self.logits(x)
        self._random.state = before
        with torch.enable_grad():
            point = x.detach().clone().requires_grad_()
            twin = self._forward(point)
        if twin.requires_grad:
            parity = float((deployed - twin.detach()).abs().max()) if len(x) else None
            scale = float(deployed.abs().max()) if len(x) else None
            state = Twin(available=True, reason="the module itself", parity=parity, scale=scale, samples=len(x))
        else:
            state = Twin(available=False, reason="its output has no gradient: it uses no_grad, detach or numpy inside")
        self._info = self._info.model_copy(update={"twin": state})
        return self._info

    def own_units(self, x: Tensor) -> Tensor:
        """The logits (N, K) for x as the module itself wants it, past the preprocessing."""
        return self._scores(x.to(self._device)).float().to(x.device)

    def _first(self, x: Tensor) -> Tensor:
        """The logits of a first batch, watched for operations that stop a gradient."""
        self._sample = x[:SAMPLES].detach().clone()
        before = self._random.state
        seen = watched(self._forward, x, self._module)
        if seen is None:
            self._random.state = before
            with torch.no_grad():
                logits = self._forward(x)
            self._note("the module cannot be watched while it runs")
            with as_deployed(self._module):
                inputs = self.preprocessing(self._sample.to(self._device)).to(self._dtype)
                found = obstacles_in_export(self._module, inputs) or {}
        else:
            logits, found = seen
        update: dict[str, Any] = {
            "obstacles": self._info.obstacles | found,
            "random_operators": tuple(name for name, effect in found.items() if effect == DRAWS),
        }
        self._info = self._info.model_copy(update=update)
        return logits

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
        checked = self._check(scores, inputs)
        if origin:
            self._note(origin)
        return checked

    def _check(self, scores: Tensor | None, inputs: Tensor) -> Tensor:
        """The scores, if they are (N, K) floats with K >= 2."""
        name = self._info.name
        if scores is None:
            raise ModelError(f"{name} returns no tensor of scores: make it return the logits (N, K)")
        shape = tuple(scores.shape)
        if len(shape) != 2 or shape[0] != inputs.shape[0] or shape[1] < 2:
            raise ModelError(
                f"{name} returns {shape} for {inputs.shape[0]} samples, not one logit per class: make it return (N, K) "
                "with at least two classes"
            )
        if not scores.is_floating_point():
            raise ModelError(f"{name} returns {scores.dtype} instead of scores: make it return the logits (N, K)")
        if self._info.classes not in (None, shape[1]):
            raise ModelError(
                f"{name} returns {shape[1]} classes where {self._info.classes} were expected: check --classes"
            )
        return scores

    def _settled(self, scores: Tensor, x: Tensor) -> Tensor:
        """Logits from scores; the first batch without a NaN decides which kind they are."""
        if self._undecided and len(scores) and not bool(scores.isnan().any()):
            self._decide(scores.detach(), x)
        if self._info.output == "probabilities":
            return scores.float().clamp(min=_SMALLEST).log()
        return scores.float()

    def _decide(self, scores: Tensor, x: Tensor) -> None:
        kind = output_kind(scores)
        notes = {
            "probabilities": "the module ends in a softmax, whose gradient vanishes by saturation: export its logits",
            "log-probabilities": "the module gives log-probabilities, which serve as logits",
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
