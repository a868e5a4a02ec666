"""Names of torch functions -> what to do when they meet something that depends on the input."""

from collections.abc import Callable
from typing import Any

from ..call import Call
from ..run import Run
from . import (
    casting,
    choosing,
    comparing,
    cutting,
    drawing,
    logic,
    lookup,
    masking,
    quantised,
    rounding,
)

Rule = Callable[[Run, Call], Any]


def _named(rule: Rule, *names: str) -> dict[str, Rule]:
    return dict.fromkeys(names, rule)


def _both(rule: Rule, *names: str) -> dict[str, Rule]:
    """With the form that works in place."""
    return _named(rule, *names, *(f"{name}_" for name in names if not name.endswith("_")))


_LAYERS = [
    f"{kind}{ending}"
    for kind in ("linear", "conv2d", "conv3d")
    for ending in ("", "_relu", "_dynamic", "_relu_dynamic")
]

ALWAYS: dict[str, Rule] = {"_set_grad_enabled": cutting.switching}
"""These have no tensors that could depend on anything."""

RULES: dict[str, Rule] = {
    **_both(rounding.rounding, "round", "floor", "ceil", "trunc", "fix", "special_round"),
    **_both(rounding.dividing, "div", "divide", "floor_divide", "__floordiv__", "__rfloordiv__", "__ifloordiv__"),
    **_both(rounding.wrapping, "remainder", "fmod", "frac", "__mod__", "__rmod__", "__imod__"),
    **_both(rounding.sign, "sign", "sgn"),
    **_both(rounding.heaviside, "heaviside"),
    **_named(rounding.bucketizing, "bucketize", "searchsorted"),
    **_both(comparing.comparing, *comparing.GREATER, *comparing.LESS, *comparing.EQUAL, *comparing.UNEQUAL),
    **_named(comparing.sign_bit, "signbit"),
    **_named(comparing.truth, "any", "all"),
    **_both(logic.joining, *logic.AND, *logic.OR, *logic.XOR, *logic.RIGHT, *logic.LEFT),
    **_both(logic.negating, *logic.NOT),
    **_named(casting.casting, *casting.CASTS),
    **_named(casting.building, "tensor", "as_tensor", "asarray", "new_tensor"),
    **_both(cutting.detaching, "detach", "get data"),
    **_named(cutting.requiring, "requires_grad_", "set requires_grad"),
    **_named(cutting.leaving, "numpy", "tolist", "item", "__array__", "__dlpack__"),
    **_named(cutting.leaving, "__bool__", "__float__", "__int__", "__index__"),
    **_named(cutting.leaving, "__repr__", "__format__", "is_nonzero", "equal", "allclose"),
    **_named(choosing.place_of_extreme, "argmax", "argmin"),
    **_named(choosing.extreme, "max", "min"),
    **_named(choosing.top, "topk"),
    **_named(choosing.one_hot, "one_hot"),
    **_both(choosing.scattering, "scatter"),
    **_named(masking.where, "where"),
    **_both(masking.filling, "masked_fill"),
    **_named(masking.writing, "__setitem__"),
    **_named(lookup.reading, "__getitem__"),
    **_named(lookup.embedding, "embedding"),
    **_named(lookup.gathering, "gather", "take_along_dim", "index_select", "masked_select"),
    **_both(drawing.drawing, "bernoulli", "poisson", "normal"),
    **_named(quantised.quantising, "quantize_per_tensor", "quantize_per_channel"),
    **_named(quantised.dequantising, "dequantize"),
    **_named(quantised.layer, *(f"quantized::{name}" for name in _LAYERS)),
    **_named(quantised.combining, *(f"quantized::{name}" for name in ("add", "add_relu", "mul", "mul_relu", "cat"))),
}
