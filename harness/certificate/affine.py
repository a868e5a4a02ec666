"""Sums with constant factors: products of matrices, convolutions, stored batch statistics."""

from collections.abc import Callable

from torch import Tensor

from .call import Call, refuse, wide
from .interval import TINY, Interval, Made


def _product(call: Call, x: Interval, multiply: Callable[[Tensor, bool], Tensor], offset: Tensor | None) -> Interval:
    """`multiply` with the weights, or with their absolute values."""
    centre = x.centre
    radius = multiply(x.radius(centre), True)
    middle = multiply(centre, False)
    if offset is not None:
        middle, radius = middle + offset, radius + TINY * offset.abs()
    return call.made(middle - radius, middle + radius)


def multiplied(call: Call) -> Interval:
    """Products of matrices, one of them constant."""
    names = ("mat1", "mat2") if call.name == "addmm" else ("self", "mat2")
    a, b = call.given[names[0]], call.given[names[1]]
    offset = wide(call.given["self"]) if call.name == "addmm" else None
    plain = isinstance(offset, Interval) or any(call.given.get(key, 1) != 1 for key in ("alpha", "beta"))
    if plain or (isinstance(a, Interval) and isinstance(b, Interval)):
        raise refuse(call)
    left = isinstance(a, Interval)
    x, weight = (a, wide(b)) if left else (b, wide(a))

    def multiply(values: Tensor, absolute: bool) -> Tensor:
        factor = weight.abs() if absolute else weight
        found: Tensor = values @ factor if left else factor @ values
        return found

    found = _product(call, x, multiply, offset)
    if left and weight.dim() == 2 and (offset is None or offset.dim() == 1):
        row = weight.new_zeros(weight.shape[1]) if offset is None else offset.expand(weight.shape[1])
        found.made = Made(x, weight, row)
    return found


def convolved(call: Call) -> Interval:
    """Convolutions with constant weights."""
    x, weight, bias = (call.given[key] for key in ("input", "weight", "bias"))
    if not isinstance(x, Interval) or isinstance(weight, Interval) or isinstance(bias, Interval):
        raise refuse(call)
    weight = wide(weight)
    offset = None if bias is None else wide(bias).reshape(1, -1, *[1] * (x.dim() - 2))

    def multiply(values: Tensor, absolute: bool) -> Tensor:
        factor = weight.abs() if absolute else weight
        found: Tensor = call.on(lambda _: values, weight=factor, bias=None)
        return found

    return _product(call, x, multiply, offset)


def normalised(call: Call) -> tuple[Interval, None, None]:
    """Batch normalisation with stored statistics."""
    given = {key: wide(value) for key, value in call.given.items()}
    x, mean, var = call.first, given.get("running_mean"), given.get("running_var")
    constants = [given.get(key) for key in ("weight", "bias", "running_mean", "running_var")]
    if given.get("training") or mean is None or var is None or any(isinstance(c, Interval) for c in constants):
        raise refuse(call)
    shape = (1, -1, *[1] * (x.dim() - 2))
    scale = (var + given.get("eps", given.get("epsilon"))).rsqrt()
    scale = scale if given.get("weight") is None else scale * given["weight"]
    shift = -mean * scale if given.get("bias") is None else given["bias"] - mean * scale
    factor = scale.reshape(shape)

    def multiply(values: Tensor, absolute: bool) -> Tensor:
        product: Tensor = values * (factor.abs() if absolute else factor)
        return product

    return _product(call, x, multiply, shift.reshape(shape)), None, None
