"""Small tensors as Python numbers, and host constants beside device data."""

from collections.abc import Callable

from torch import Tensor

Operator = Callable[..., Tensor | tuple[Tensor, ...]]
"""(node, *inputs) -> output or outputs: a pure function of its inputs, safe under `torch.func.vmap`."""


def ints(value: Tensor) -> list[int]:
    """A shape-like tensor as a list."""
    return [int(number) for number in value.reshape(-1).tolist()]


def floats(value: Tensor) -> list[float]:
    """A small float tensor as a list."""
    return [float(number) for number in value.reshape(-1).tolist()]


def present(value: Tensor | None) -> bool:
    """Whether an optional input was given; exporters also write it as an empty tensor."""
    return value is not None and value.numel() > 0


def together(*values: Tensor) -> tuple[Tensor, ...]:
    """All on one device: shape arithmetic lives on the CPU even when the data does not."""
    for value in values:
        if value.device.type != "cpu":
            return tuple(other.to(value.device) for other in values)
    return values
