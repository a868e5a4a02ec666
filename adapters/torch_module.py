"""An nn.Module as a Classifier: evaluation mode, frozen weights, private randomness, one kind of output."""

import copy as copying
import re
from contextlib import nullcontext
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..harness.classifier import Forward, GradientKind
from ..harness.errors import DeviceError, ModelError, RobcheckError
from ..harness.model_info import ModelInfo, Twin
from .borrowed import as_deployed
from .module_output import output_kind, unpacked
from .preprocessing import Layout, Preprocessing
from .private_random import RandomState
from .weights import first_line, state_sha256

Trust = Literal["data-only", "executes model code"]

_SMALLEST = torch.finfo(torch.float32).tiny
_SUSPECTS = {
    "rounds values": {"round", "rounding", "quant", "quantize", "quantizer", "quantization", "discretize", "jpeg"},
    "takes signs": {"sign", "binarize", "binarizer", "binary", "heaviside"},
    "draws random numbers": {"noise", "noisy", "random", "stochastic", "bernoulli"},
}


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
    borrowed = copy and _lies_on(module, device)
    if borrowed:
        _tell(module, found)
    else:
        module = _copied(module, found) if copy else module
        _settle(module, found, tell=copy)
    with as_deployed(module) if borrowed else nullcontext():
        obstacles = _obstacles(module)
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


def _lies_on(module: nn.Module, device: str) -> bool:
    wanted = torch.device(device)
    tensors = [*module.parameters(), *module.buffers()]
    return all(t.device.type == wanted.type and wanted.index in (None, t.device.index) for t in tensors)


def resolve_device(name: str) -> str:
    """The device that a name stands for: "auto" is cuda where there is one, else cpu.

    Raises:
        DeviceError: the name is unknown, or the device is not there.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cpu":
        return name
    kind, _, index = name.partition(":")
    if kind != "cuda" or not (index.isdigit() or name == "cuda"):
        raise DeviceError(f"the device {name!r} is unknown: use cpu, cuda, cuda:0 or auto")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count == 0:
        raise DeviceError(f"the device {name!r} was asked for, but torch sees no CUDA device: use cpu or auto")
    if index and int(index) >= count:
        raise DeviceError(f"the device {name!r} was asked for, but the last one is cuda:{count - 1}: use that or auto")
    return name


def _copied(module: nn.Module, notes: list[str]) -> nn.Module:
    try:
        return copying.deepcopy(module)
    except Exception as error:  # a module may hold anything: locks, generators, tensors with a history
        notes.append(
            f"the module cannot be copied ({first_line(error)}), so it was itself put into evaluation mode and frozen"
        )
        return module


def _settle(module: nn.Module, notes: list[str], *, tell: bool) -> None:
    """Evaluation mode and no gradient on the weights, in place; `tell` if the module was in training mode."""
    if tell:
        _tell(module, notes)
    for part in module.modules():
        try:
            part.eval()
        except NotImplementedError:  # programs from torch.export have their mode built in
            notes.append("the program keeps the mode in which it was exported")
            break
    if not tell:
        notes.extend(_left_training(module))
    for weight in module.parameters():
        weight.requires_grad_(False)


def _tell(module: nn.Module, notes: list[str]) -> None:
    """Note what was in training mode, and what no switch reaches."""
    training = [name or "the module itself" for name, part in module.named_modules() if part.training]
    if training:
        notes.append(
            f"{len(training)} of its parts were in training mode (first: {training[0]}): evaluated in evaluation mode"
        )
    notes.extend(_left_training(module))


def _left_training(module: nn.Module) -> list[str]:
    return [
        f"the modules in the plain list or dictionary {name!r} stay in training mode: put them into nn.ModuleList"
        for name in _hidden(module)
    ]


def _hidden(module: nn.Module) -> list[str]:
    """Modules in plain lists and dictionaries, which torch neither finds, moves nor switches to evaluation mode."""
    found = []
    for prefix, part in module.named_modules():
        for name, value in vars(part).items():
            held = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
            if name != "_modules" and any(isinstance(item, nn.Module) and item.training for item in held):
                found.append(f"{prefix}.{name}".lstrip("."))
    return found


def _obstacles(module: nn.Module) -> dict[str, str]:
    """Module types that round, take signs, quantise or draw random numbers, by type, mode and name."""
    found: dict[str, str] = {}
    for part in module.modules():
        kind = type(part).__name__
        words = {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", kind)}
        if part.training and isinstance(part, nn.modules.dropout._DropoutNd):
            found[kind] = "draws random numbers (it stays in training mode)"
        elif part.training and isinstance(part, nn.modules.batchnorm._BatchNorm):
            found[kind] = "depends on the batch (it stays in training mode)"
        elif ".quantized" in type(part).__module__ or ".quantization" in type(part).__module__:
            found[kind] = "quantises"
        else:
            for effect, suspects in _SUSPECTS.items():
                if words & suspects:
                    found[kind] = f"{effect}, to judge by its name"
    return found


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

    @property
    def info(self) -> ModelInfo:
        """What is known so far; shape, classes and kind of output come with the first batch."""
        return self._info

    def logits(self, x: Tensor) -> Tensor:
        """The forward without a gradient, (N, K) float32 on the device of x (N, *shape) in units of the bounds.

        Raises:
            ModelError: the module fails on x, or its output is no (N, K) scores.
        """
        with torch.no_grad():
            return self._forward(x)

    def differentiable(self, gradient: GradientKind = "exact") -> Forward | None:  # noqa: ARG002
        """The same forward with autograd intact to x; a module has one, whatever the kind of gradient."""
        return self._forward if self._info.twin.available else None

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

    def _forward(self, x: Tensor) -> Tensor:
        if x.dim() < 2:
            raise ModelError(f"samples of shape {tuple(x.shape)} are no batch: give (N, C, H, W) or (N, D)")
        scores = self._scores(self.preprocessing(x.to(self._device)))
        return self._settled(scores, x).to(x.device)

    def _scores(self, inputs: Tensor) -> Tensor:
        """The module's own (N, K) output, whatever it is packed in."""
        try:
            with (
                self._random.private(),
                as_deployed(self._module) if self._borrowed else nullcontext(),
                # TF32 rounds differently for different batch sizes, which no check could tell from a defect.
                torch.backends.cudnn.flags(enabled=True, allow_tf32=False)
                if self._device.type == "cuda"
                else nullcontext(),
            ):
                # A copy, because somebody else's code may change its input in place.
                raw = self._module(inputs.to(self._dtype).clone())
        except (RobcheckError, torch.OutOfMemoryError, MemoryError):
            raise
        except (Exception, SystemExit) as error:  # somebody else's code
            raise ModelError(
                f"{self._info.name} fails on an input of shape {tuple(inputs.shape)} ({first_line(error)}): "
                "check the shape of the samples, --layout and the model's code"
            ) from error
        scores, origin = unpacked(raw)
        checked = self._check(scores, inputs)
        if origin and origin not in self._info.notes:
            self._info = self._info.model_copy(update={"notes": (*self._info.notes, origin)})
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
