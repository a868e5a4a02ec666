"""Names of torch operations that stop, fake or randomise a gradient -> what they do to it."""

import torch

from ...effects import (
    BITS,
    QUANTISES,
    ROUNDS,
    SIGNS,
    SORTS,
    THRESHOLDS,
    TRUNCATES,
    WRAPS,
)

EFFECTS: dict[str, str] = {
    "argmax": SORTS,
    "argmin": SORTS,
    "bucketize": THRESHOLDS,
    "ceil": ROUNDS,
    "dequantize": QUANTISES,
    "eq": THRESHOLDS,
    "floor": ROUNDS,
    "floor_divide": ROUNDS,
    "fmod": WRAPS,
    "frac": WRAPS,
    "ge": THRESHOLDS,
    "gt": THRESHOLDS,
    "heaviside": THRESHOLDS,
    "histc": SORTS,
    "le": THRESHOLDS,
    "lt": THRESHOLDS,
    "ne": THRESHOLDS,
    "nonzero": SORTS,
    "remainder": WRAPS,
    "round": ROUNDS,
    "searchsorted": THRESHOLDS,
    "sgn": SIGNS,
    "sign": SIGNS,
    "signbit": SIGNS,
    "topk": SORTS,
    "trunc": ROUNDS,
    "unique_dim": SORTS,
    "_unique2": SORTS,
}

BITWISE = {
    "bitwise_and",
    "bitwise_left_shift",
    "bitwise_not",
    "bitwise_or",
    "bitwise_right_shift",
    "bitwise_xor",
    "__lshift__",
    "__rshift__",
}

RANKING = {"cummax", "cummin", "kthvalue", "max", "median", "min", "mode", "nanmedian", "sort"}
"""Values with a good gradient, and places without one, which matter only when somebody uses them."""

_QUANTISING = ("quantize_per_", "fake_quantize_", "_fake_quantize_", "_make_per_")
_QUANTISED = ("quantized", "quantized_decomposed", "torchao")
_COPIES = {"_to_copy", "copy", "to"}


def base_name(operation: torch._ops.OpOverload) -> str:
    """The name without namespace and overload, the same for the form that works in place."""
    name = operation._schema.name.partition("::")[2]
    return name if name.endswith("__") else name.removesuffix("_").removesuffix("_cachemask")


def effect_of(namespace: str, name: str) -> str | None:
    """What the operation does to a gradient whatever its types, None for nothing."""
    if namespace in _QUANTISED or name.startswith(_QUANTISING):
        return QUANTISES
    return EFFECTS.get(name) if namespace == "aten" else None


def effect_of_types(name: str, source: torch.dtype, result: torch.dtype) -> tuple[str, str] | None:
    """(key, effect) for an operation that is an obstacle only from one number type to another."""
    kind = str(result).removeprefix("torch.")
    if name in BITWISE and result != torch.bool:
        return name.strip("_"), BITS
    if not source.is_floating_point or result.is_floating_point or result.is_complex:
        return None
    if name in _COPIES:
        return f"to({kind})", THRESHOLDS if result == torch.bool else TRUNCATES
    return (f"view({kind})", BITS) if name == "view" else None


def draws(operation: torch._ops.OpOverload, arguments: dict[str, object]) -> bool:
    """Whether a call takes random numbers; attention and recurrent kernels only could, for a dropout that is off."""
    if torch.Tag.nondeterministic_seeded not in operation.tags or operation._schema.name.startswith("aten::_"):
        return False
    takes = {argument.name for argument in operation._schema.arguments}
    if "dropout_p" in takes and not arguments.get("dropout_p"):
        return False
    return all(arguments.get(switch) is not False for switch in ("train", "training"))
