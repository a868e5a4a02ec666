"""Quantisation, and layers that compute on quantised numbers: the same layers on real numbers stand in."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ..call import Call
from ..run import Run


def quantising(run: Run, call: Call) -> Any:
    """quantize_per_tensor and per_channel: the identity between the smallest and the largest level."""
    x, scale, zero = call.args[0], call.get(1, "scale", "scales"), call.get(2, "zero_point", "zero_points")
    channels = "channel" in call.name
    kind = call.get(4, "dtype") if channels else call.get(3, "dtype")
    if channels:
        shape = [-1 if place == call.get(3, "axis") % x.dim() else 1 for place in range(x.dim())]
        scale, zero = scale.reshape(shape), zero.reshape(shape)
    return run.answer(call, lambda: _clipped(run.soft(x), scale, zero, kind))


def dequantising(run: Run, call: Call) -> Any:
    """dequantize: the identity."""
    return run.answer(call, lambda: run.soft(call.args[0]) * 1)


def layer(run: Run, call: Call) -> Any:
    """quantized::linear, conv2d and the like, whose weights are packed in an object."""
    return _quantised(run, call, lambda: _layer(call.name, run.soft(call.args[0]), call.get(1, "W_prepack")))


def combining(run: Run, call: Call) -> Any:
    """quantized::add, mul and cat."""
    kind = call.name.removeprefix("quantized::").removesuffix("_relu")

    def combined() -> Tensor:
        if kind == "cat":
            return torch.cat([run.soft(part) for part in call.args[0]], dim=call.get(1, "dim"))
        first, second = run.soft(call.args[0]), run.operand(call.get(1, "qb"))
        joined: Tensor = first + second if kind == "add" else first * second
        return joined

    return _quantised(run, call, combined)


def _quantised(run: Run, call: Call, compute: Callable[[], Tensor]) -> Any:
    """What a layer computes, passed through its relu and its range of levels."""
    scale, zero = call.get(2, "scale"), call.get(3, "zero_point")

    def surrogate() -> Tensor:
        value = functional.relu(compute()) if "_relu" in call.name else compute()
        # Dynamically quantised layers answer in real numbers.
        return value if scale is None or "dynamic" in call.name else _clipped(value, scale, zero, torch.quint8)

    return run.answer(call, surrogate)


def _layer(name: str, x: Tensor, packed: Any) -> Tensor:
    weight, bias = packed.unpack()
    weight = weight.dequantize().to(x.device)
    if "linear" in name:
        return functional.linear(x, weight, bias)
    convolve = functional.conv2d if x.dim() == 4 else functional.conv3d
    answer: Tensor = convolve(x, weight, bias, packed.stride(), packed.padding(), packed.dilation(), packed.groups())
    return answer


def _clipped(x: Tensor, scale: Any, zero: Any, kind: torch.dtype) -> Tensor:
    levels = torch.iinfo(kind)
    low, high = (
        torch.as_tensor((level - zero) * scale, dtype=x.dtype, device=x.device) for level in (levels.min, levels.max)
    )
    return torch.clamp(x, low, high)
