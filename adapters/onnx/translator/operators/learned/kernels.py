"""How similar samples are to support vectors."""

import torch
from torch import Tensor

from ...node import Node, UntranslatableError
from .transforms import weights


def _radial(x: Tensor, vectors: Tensor, gamma: Tensor) -> Tensor:
    """exp(-gamma |x - v|^2), the squares expanded in double precision to spare the memory of all differences."""
    wide, supports = x.double(), vectors.double()
    apart = wide.square().sum(-1, keepdim=True) + supports.square().sum(-1) - 2.0 * (wide @ supports.T)
    return torch.exp(-gamma.double() * apart).to(x.dtype)


def similarities(node: Node, x: Tensor, vectors: Tensor) -> Tensor:
    """The kernel between samples (N, F) and support vectors (V, F), (N, V).

    Raises: UntranslatableError.
    """
    kind = node.text("kernel_type", "LINEAR")
    given = weights(node, "kernel_params", x)
    gamma, offset, degree = given[:3] if len(given) else x.new_zeros(3)
    if kind == "LINEAR":
        return x @ vectors.T
    if kind == "RBF":
        return _radial(x, vectors, gamma)
    product = gamma * (x @ vectors.T) + offset
    if kind == "POLY":
        return torch.pow(product, degree)
    if kind == "SIGMOID":
        return torch.tanh(product)
    raise UntranslatableError(f"{node.key} with the kernel {kind!r}")
