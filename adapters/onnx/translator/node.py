"""One operator of a graph, decoded once and never changed."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ....harness.errors import ModelError
from .types import torch_dtype


class UntranslatableError(ModelError):
    """The twin cannot run this operator or this use of it; the deployed forward is not affected."""


@dataclass(frozen=True)
class Node:
    """Operator, attributes as Python values or tensors, names of inputs and outputs ("" = absent)."""

    domain: str
    op: str
    name: str
    opset: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any] = field(default_factory=dict)
    precision: torch.dtype = torch.float32
    """What float16, bfloat16 and float32 compute in."""
    captured: int = 0
    """How many of the last inputs the node's bodies read from the graph around them."""
    narrow: dict[int, int] = field(default_factory=dict)
    """ONNX type by position for inputs of less than 8 bits, which torch carries in 8."""

    @property
    def key(self) -> str:
        """Operator as a person writes it, with the domain unless it is the standard one."""
        return f"{self.domain}::{self.op}" if self.domain else self.op

    def integer(self, key: str, default: int) -> int:
        """Attribute of type INT."""
        return int(self.attributes.get(key, default))

    def number(self, key: str, default: float) -> float:
        """Attribute of type FLOAT."""
        return float(self.attributes.get(key, default))

    def text(self, key: str, default: str) -> str:
        """Attribute of type STRING."""
        return str(self.attributes.get(key, default))

    def integers(self, key: str) -> list[int] | None:
        """Attribute of type INTS, None when absent."""
        value = self.attributes.get(key)
        return None if value is None else list(value)

    def numbers(self, key: str) -> list[float] | None:
        """Attribute of type FLOATS, None when absent."""
        value = self.attributes.get(key)
        return None if value is None else list(value)

    def tensor(self, key: str) -> Tensor | None:
        """Attribute of type TENSOR, None when absent."""
        value = self.attributes.get(key)
        return value if isinstance(value, Tensor) else None

    def dtype(self, code: int) -> torch.dtype:
        """The torch type for an ONNX type code.

        Raises: UntranslatableError.
        """
        dtype = torch_dtype(code, self.precision)
        if dtype is None:
            raise UntranslatableError(f"{self.key} uses ONNX data type {code}, which the twin does not compute in")
        return dtype
