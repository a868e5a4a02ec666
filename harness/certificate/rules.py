"""What each operation makes of a box: bounds that no rounding of float64 makes too tight.

Source: Gowal et al. 2018, "On the effectiveness of interval bound propagation", section 3.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ..errors import NotApplicableError
from .affine import convolved, multiplied, normalised
from .call import Call, refuse, wide
from .interval import TINY, Interval, Made

_VIEWS = ("alias", "detach", "expand", "permute", "select", "slice", "squeeze", "t", "transpose", "unsqueeze", "view")
_COPIES = ("_reshape_copy", "_unsafe_view", "cat", "clone", "constant_pad_nd", "flip", "repeat", "stack")
_INCREASING = (
    *("amax", "celu", "clamp", "clamp_max", "clamp_min", "elu", "exp", "hardsigmoid", "hardtanh", "leaky_relu"),
    *("maximum", "minimum", "relu", "relu6", "sigmoid", "softplus", "tanh", "upsample_nearest2d"),
)
_AVERAGES = ("_adaptive_avg_pool2d", "avg_pool1d", "avg_pool2d", "avg_pool3d", "mean", "sum")
_FLOATS = (torch.float32, torch.float64)


def moved(call: Call) -> Interval:
    """Numbers change their places only."""
    source, shared = call.first, call.name in _VIEWS
    low, high = call.on(lambda x: x.low), call.on(lambda x: x.high)
    same = isinstance(source, Interval) and low.shape == source.shape and call.name not in ("flip", "permute", "t")
    if shared:
        source.shared = True
    return call.made(low, high, made=source.made if same and call.name != "transpose" else None, shared=shared)


def viewed(call: Call) -> Interval:
    """The model's strides need not be those of the bounds."""
    return moved(replace(call, function=lambda self, size: self.reshape(size)))


def copied(call: Call) -> Interval:
    """To another type or device; types that round are refused."""
    x: Interval = call.first
    dtype = call.given.get("dtype") or x.dtype
    if dtype not in _FLOATS:
        raise NotApplicableError(f"no bounds are known for numbers of {dtype}")
    device = call.given.get("device") or x.device
    return Interval(x.low.to(device), x.high.to(device), dtype, made=x.made)


def increasing(call: Call) -> Interval:
    """No output falls when an input rises."""
    if call.given.get("negative_slope", 0.0) < 0 or not all(
        isinstance(call.given.get(key, 1.0), int | float) and call.given.get(key, 1.0) >= 0
        for key in ("alpha", "scale", "input_scale", "beta")
    ):
        raise refuse(call)
    low, high = call.on(lambda x: x.low), call.on(lambda x: x.high)
    return call.made(low - TINY * low.abs(), high + TINY * high.abs())


def pooled(call: Call) -> tuple[Interval, None]:
    """The largest of each window; nobody may ask where it is."""
    low, high = call.on(lambda x: x.low)[0], call.on(lambda x: x.high)[0]
    return call.made(low, high), None


def averaged(call: Call) -> Interval:
    """Sums with factors that are not negative."""
    if call.given.get("dtype") not in (None, *_FLOATS):
        raise refuse(call)
    low = call.on(lambda x: x.low) - TINY * call.on(lambda x: x.low.abs())
    return call.made(low, call.on(lambda x: x.high) + TINY * call.on(lambda x: x.high.abs()))


def added(call: Call) -> Interval:
    """a + b, a - b and b - a."""
    a, b = (call.given["self"], call.given["other"])
    if call.given.get("alpha", 1) != 1:
        raise refuse(call)
    if call.name == "rsub":
        a, b = b, a
    known = _shifted(a, b) if call.name == "add" else None
    if call.name != "add":
        b = _negative(b)
    low, high = _end(a, "low") + _end(b, "low"), _end(a, "high") + _end(b, "high")
    return call.made(low - TINY * low.abs(), high + TINY * high.abs(), made=known)


def _shifted(a: Any, b: Any) -> Made | None:
    """Scores of a layer whose offset is added by itself."""
    x, row = (a, b) if isinstance(a, Interval) else (b, a)
    if isinstance(row, Interval) or x.made is None or not isinstance(row, Tensor):
        return None
    fits = row.numel() in (1, x.shape[-1]) and (row.dim() < 2 or row.shape[:-1].numel() == 1) and row.dim() <= x.dim()
    return replace(x.made, offset=x.made.offset + wide(row).reshape(-1)) if fits else None


def _end(value: Any, end: str) -> Any:
    return getattr(value, end) if isinstance(value, Interval) else wide(value)


def _negative(value: Any) -> Any:
    return Interval(-value.high, -value.low, value.dtype) if isinstance(value, Interval) else -wide(value)


def negated(call: Call) -> Interval:
    """-a."""
    return call.made(-call.first.high, -call.first.low)


def scaled(call: Call) -> Interval:
    """a b, number by number, and a / b for a constant b."""
    a, b = call.given["self"], call.given["other"]
    if call.name == "div" and (isinstance(b, Interval) or call.given.get("rounding_mode") is not None):
        raise refuse(call)
    corners = [
        call.function(_tensor(_end(a, one)), _tensor(_end(b, other)))
        for one in ("low", "high")
        for other in ("low", "high")
    ]
    low, high = torch.stack(corners).amin(dim=0), torch.stack(corners).amax(dim=0)
    return call.made(low - TINY * low.abs(), high + TINY * high.abs())


def _tensor(value: Any) -> Tensor:
    return value if isinstance(value, Tensor) else torch.tensor(value, dtype=torch.float64)


def log_softmax(call: Call) -> Interval:
    """Every logit less the same number, so that differences stay what they are."""
    x: Interval = call.first
    if call.given.get("dim") not in (-1, x.dim() - 1):
        raise refuse(call)
    low = x.low - x.high.logsumexp(-1, keepdim=True)
    high = x.high - x.low.logsumexp(-1, keepdim=True)
    return call.made(low - TINY * (1 + low.abs()), high + TINY * (1 + high.abs()), made=x.made)


def filled(call: Call) -> Tensor:
    """Constants of a box's shape."""
    shape = call.first.low.to(call.dtype)
    return call.function(**call.given | {"self": shape})  # type: ignore[no-any-return]


RULES: dict[str, Callable[[Call], Any]] = {
    **dict.fromkeys((*_VIEWS, *_COPIES), moved),
    **dict.fromkeys(("view", "_unsafe_view", "_reshape_copy"), viewed),
    **dict.fromkeys(_INCREASING, increasing),
    **dict.fromkeys(_AVERAGES, averaged),
    **dict.fromkeys(("max_pool2d_with_indices", "max_pool3d_with_indices"), pooled),
    **dict.fromkeys(("add", "rsub", "sub"), added),
    **dict.fromkeys(("div", "mul"), scaled),
    **dict.fromkeys(("addmm", "bmm", "mm"), multiplied),
    **dict.fromkeys(("cudnn_batch_norm", "native_batch_norm", "_native_batch_norm_legit_no_training"), normalised),
    **dict.fromkeys(("full_like", "new_full", "new_ones", "new_zeros", "ones_like", "zeros_like"), filled),
    "_log_softmax": log_softmax,
    "_to_copy": copied,
    "convolution": convolved,
    "neg": negated,
}
"""By the name of the operation; what is not here has no bounds."""
