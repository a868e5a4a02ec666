"""ONNX element types: what torch and numpy call them."""

import numpy as np
import torch
from onnx import TensorProto, helper

_EXACT: dict[int, torch.dtype] = {
    TensorProto.UINT8: torch.uint8,
    TensorProto.INT8: torch.int8,
    TensorProto.UINT16: torch.uint16,
    TensorProto.INT16: torch.int16,
    TensorProto.INT32: torch.int32,
    TensorProto.INT64: torch.int64,
    TensorProto.UINT32: torch.uint32,
    TensorProto.UINT64: torch.uint64,
    TensorProto.BOOL: torch.bool,
    TensorProto.DOUBLE: torch.float64,
}
_COMPUTED = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16)
_BITS: dict[int, int] = {TensorProto.UINT4: 4, TensorProto.INT4: 4, TensorProto.FLOAT4E2M1: 4}
_BITS.update({getattr(TensorProto, name): 2 for name in ("UINT2", "INT2") if hasattr(TensorProto, name)})
_BITS.update({getattr(TensorProto, name): 6 for name in ("FLOAT6E2M3", "FLOAT6E3M2") if hasattr(TensorProto, name)})
NARROW: dict[int, tuple[int, int]] = {TensorProto.UINT4: (0, 15), TensorProto.INT4: (-8, 7)}
"""Least and greatest number of the integer types that torch lacks; the twin carries them in 8 bits."""
NARROW.update({TensorProto.UINT2: (0, 3)} if hasattr(TensorProto, "UINT2") else {})
NARROW.update({TensorProto.INT2: (-2, 1)} if hasattr(TensorProto, "INT2") else {})
_INTEGER = tuple(code for code, dtype in _EXACT.items() if not dtype.is_floating_point)


def torch_dtype(code: int, precision: torch.dtype) -> torch.dtype | None:
    """The torch type the twin computes in, None when it has none."""
    return precision if code in _COMPUTED else _EXACT.get(code)


def carrier(code: int, precision: torch.dtype) -> torch.dtype | None:
    """The torch type that holds a constant: as `torch_dtype`, and 8 bits for what is narrower."""
    if code in NARROW:
        return torch.int8 if NARROW[code][0] < 0 else torch.uint8
    return torch_dtype(code, precision)


def is_integer(code: int) -> bool:
    """Integers and bool."""
    return code in _INTEGER


def numpy_dtype(code: int) -> "np.dtype[np.generic]":
    """The numpy type that onnxruntime takes for this code."""
    return np.dtype(helper.tensor_dtype_to_np_dtype(code))


def storage_bytes(code: int, elements: int) -> int | None:
    """Bytes of `raw_data` for this many elements; None for strings and unknown types."""
    if code in _BITS:
        return (elements * _BITS[code] + 7) // 8
    if code == TensorProto.STRING or code not in TensorProto.DataType.values():
        return None
    return elements * int(numpy_dtype(code).itemsize)


def type_name(code: int) -> str:
    """FLOAT, INT64, ... as ONNX writes it."""
    return str(TensorProto.DataType.Name(code)) if code in TensorProto.DataType.values() else f"type {code}"
