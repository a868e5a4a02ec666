"""From the caller's pixels to the numbers that a model expects, and which of the usual mappings fits best."""

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from ..harness.errors import UnusableError, UsageError

Layout = Literal["nchw", "nhwc"]
Range = tuple[float, float]

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CIFAR10 = ((0.4914, 0.4822, 0.4465), (0.2471, 0.2435, 0.2616))

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_RANGE = re.compile(rf"\s*({_NUMBER})\s*[-,:]\s*({_NUMBER})\s*")


def parse_range(text: str) -> Range:
    """The limits that "0-1", "0-255", "-1-1" or "0,1" names.

    Raises:
        UsageError: the text is no range, or its lower limit is not below its upper one.
    """
    match = _RANGE.fullmatch(text)
    if match is None:
        raise UsageError(f"{text!r} is no value range: write it like 0-1, 0-255 or -1-1")
    return checked_range((float(match[1]), float(match[2])), "value range")


def parse_channels(text: str, what: str = "mean") -> tuple[float, ...]:
    """The numbers of "0.5,0.5,0.5", one per channel, in [0, 1] pixel units.

    Raises:
        UsageError: a part is no finite number.
    """
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = (math.nan,)
    if not all(math.isfinite(value) for value in values):
        raise UsageError(f"{text!r} is no {what}: write one number per channel, like 0.5,0.5,0.5")
    return values


def checked_range(limits: Sequence[float], what: str) -> Range:
    """The two limits as floats.

    Raises:
        UsageError: they are not two finite numbers in ascending order.
    """
    values = tuple(float(value) for value in limits)
    if len(values) != 2 or not all(map(math.isfinite, values)) or values[0] >= values[1]:
        raise UsageError(f"the {what} {tuple(limits)} is not two finite numbers, the lower one first")
    return values[0], values[1]


@dataclass(frozen=True)
class Preprocessing:
    """Maps (N, *shape) in units of `bounds` to what the model expects; differentiable, exactly x if nothing is to do.

    `input_range` is the range that the model expects (None: the bounds); `mean` and `std` are per channel, in
    [0, 1] pixel units, and exclude it; layout "nhwc" turns (N, C, H, W) into (N, H, W, C) at the end; `bgr` reverses
    the channels first.

    Raises:
        UsageError: the settings contradict each other.
    """

    bounds: Range = (0.0, 1.0)
    input_range: Range | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    layout: Layout | None = None
    bgr: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "bounds", checked_range(self.bounds, "bounds"))
        if self.input_range is not None:
            object.__setattr__(self, "input_range", checked_range(self.input_range, "input range"))
        if self.layout not in (None, "nchw", "nhwc"):
            raise UsageError(f"the layout {self.layout!r} is unknown: use nchw or nhwc")
        if self.mean is not None or self.std is not None:
            self._check_normalisation()

    def _check_normalisation(self) -> None:
        if self.mean is None or self.std is None or len(self.mean) != len(self.std):
            raise UsageError("mean and std go together: give both, with one number per channel each")
        if self.input_range is not None:
            raise UsageError("an input range and mean/std exclude each other: mean/std are in [0, 1] pixel units")
        if not all(map(math.isfinite, (*self.mean, *self.std))) or min(self.std) <= 0:
            raise UsageError("mean and std need finite numbers, and every std must be above 0")
        object.__setattr__(self, "mean", tuple(map(float, self.mean)))
        object.__setattr__(self, "std", tuple(map(float, self.std)))

    def __call__(self, x: Tensor) -> Tensor:
        if self.bgr:
            x = x.flip(1)
        if self.mean is not None and self.std is not None:
            x = (_rescale(x, self.bounds, (0.0, 1.0)) - _column(self.mean, x)) / _column(self.std, x)
        elif self.input_range is not None:
            x = _rescale(x, self.bounds, self.input_range)
        if self.layout == "nhwc":
            if x.dim() != 4:
                raise UsageError(f"the layout nhwc needs images (N, C, H, W), but the samples are {tuple(x.shape)}")
            x = x.permute(0, 2, 3, 1)
        return x


def _rescale(x: Tensor, source: Range, target: Range) -> Tensor:
    """Affine from one range to the other, with no arithmetic where none is needed."""
    if source == target:
        return x
    if source[0] != 0.0:
        x = x - source[0]
    factor = (target[1] - target[0]) / (source[1] - source[0])
    if factor != 1.0:
        x = x * factor
    return x + target[0] if target[0] != 0.0 else x


def _column(values: tuple[float, ...], like: Tensor) -> Tensor:
    """Per-channel values shaped to broadcast against (N, C, ...)."""
    if like.dim() < 2 or len(values) not in (1, like.shape[1]):
        raise UsageError(f"mean and std have {len(values)} values, but the samples are {tuple(like.shape)}")
    return torch.tensor(values, dtype=like.dtype, device=like.device).reshape(1, -1, *([1] * (like.dim() - 2)))


class ContractScore(NamedTuple):
    """How well the model does when its inputs are prepared in one way."""

    description: str
    accuracy: float


def candidates(x: Tensor, stated: Preprocessing) -> Iterator[tuple[str, Preprocessing]]:
    """The common ways to prepare x (N, ...) in [0, 1], each with the option that asks for it, without `stated`."""
    image = x.dim() == 4
    base = replace(stated, bounds=(0.0, 1.0), input_range=None, mean=None, std=None)
    found = [
        (f"--range {low}-{high}", replace(base, input_range=(float(low), float(high))))
        for low, high in ((0, 1), (0, 255), (-1, 1))
    ]
    if image and x.shape[1] == 3:
        for name, (mean, std) in (("ImageNet", IMAGENET), ("CIFAR-10", CIFAR10)):
            option = f"--mean {','.join(map(str, mean))} --std {','.join(map(str, std))} ({name})"
            found.append((option, replace(base, mean=mean, std=std)))
        found.append(("the channels reversed (BGR)", replace(_in_pixels(stated), bgr=not stated.bgr)))
    if image:
        other: Layout = "nchw" if stated.layout == "nhwc" else "nhwc"
        found.append((f"--layout {other}", replace(_in_pixels(stated), layout=other)))
    own = _in_pixels(stated)
    return ((name, way) for name, way in found if way != own)


def _in_pixels(stated: Preprocessing) -> Preprocessing:
    """The same mapping for callers whose pixels are in [0, 1]."""
    expected = stated.input_range or (stated.bounds if stated.mean is None else None)
    return replace(stated, bounds=(0.0, 1.0), input_range=expected)


def probe_contract(
    forward: Callable[[Tensor], Tensor], x: Tensor, y: Tensor, *, stated: Preprocessing | None = None
) -> list[ContractScore]:
    """The clean accuracy in [0, 1] under the stated contract (first) and under the common others, best first.

    Args:
        forward: the model in its own units, (N, ...) -> (N, K).
        x: samples (N, ...) with pixels in [0, 1].
        y: labels (N,).
        stated: the mapping in use; its bounds are taken to be those of the caller's pixels, rescaled from [0, 1].
    """
    stated = stated or Preprocessing()
    first = ContractScore("the stated contract", _accuracy(forward, _in_pixels(stated), x, y) or 0.0)
    scores = []
    for description, way in candidates(x, stated):
        accuracy = _accuracy(forward, way, x, y)
        if accuracy is not None:
            scores.append(ContractScore(description, accuracy))
    return [first, *sorted(scores, key=lambda score: -score.accuracy)]


def _accuracy(forward: Callable[[Tensor], Tensor], way: Preprocessing, x: Tensor, y: Tensor) -> float | None:
    """None where the model cannot take such an input at all, as with a layout that is not its own."""
    try:
        with torch.no_grad():
            predicted = forward(way(x)).argmax(dim=1)
    except (UnusableError, RuntimeError, ValueError):
        return None
    return float((predicted.cpu() == y.cpu()).double().mean())


def advice(scores: Sequence[ContractScore], *, margin: float = 0.05) -> str | None:
    """One sentence if another contract beats the stated one by more than `margin`, else None."""
    if len(scores) < 2 or scores[1].accuracy <= scores[0].accuracy + margin:
        return None
    return (
        f"clean accuracy under the stated contract is {scores[0].accuracy:.1%}; with {scores[1].description} it is "
        f"{scores[1].accuracy:.1%}: check how the model wants its inputs, for a wrong range also changes what eps means"
    )
