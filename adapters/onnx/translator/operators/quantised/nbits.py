"""MatMulNBits: floats times weights packed with a few bits each, one scale per block of a row."""

import torch
from torch import Tensor
from torch.nn import functional

from ...node import Node, UntranslatableError
from ..obstacle import Obstacle
from ..values import present, together

ROUNDS_AT_4 = "rounds the data at accuracy_level 4, the gradient is zero"


def _unpacked(packed: Tensor, bits: int, count: int) -> Tensor:
    """The first numbers of each row of bytes, low bits first."""
    shifts = torch.arange(0, 8, bits, device=packed.device, dtype=torch.int32)
    numbers = (packed.to(torch.int32).unsqueeze(-1) >> shifts) & ((1 << bits) - 1)
    return numbers.flatten(-2)[..., :count]


def _zeros(node: Node, zeros: Tensor | None, bits: int, shape: tuple[int, int], like: Tensor) -> Tensor:
    """One zero point per block, as floats that broadcast against (N, blocks, block_size)."""
    if zeros is None or not present(zeros):
        return torch.full((), float(1 << (bits - 1)), dtype=node.precision, device=like.device)
    if not zeros.is_floating_point():
        zeros = _unpacked(zeros.reshape(shape[0], -1), bits, shape[1])
    return zeros.to(like.device, node.precision).reshape(*shape, 1)


def _weight(node: Node, packed: Tensor, scales: Tensor, zeros: Tensor | None) -> Tensor:
    """(K, N) in floats.

    Raises: UntranslatableError.
    """
    bits, block = node.integer("bits", 4), node.integer("block_size", 32)
    depth, width = node.integer("K", 0), node.integer("N", 0)
    if bits not in (2, 4, 8) or block < 16 or block & (block - 1):
        raise UntranslatableError(f"{node.key} with {bits} bits in blocks of {block}")
    shape = (width, -(-depth // block))
    numbers = _unpacked(packed.reshape(*shape, -1), bits, block).to(node.precision)
    weight = (numbers - _zeros(node, zeros, bits, shape, packed)) * scales.to(packed.device).reshape(*shape, 1)
    return weight.reshape(width, -1)[:, :depth].transpose(0, 1)


def _rounded(node: Node, a: Tensor, zeros: Tensor | None) -> Tensor:
    """The data as onnxruntime's CPU takes it at accuracy level 4: 8 bits with one scale per block."""
    block, bits = node.integer("block_size", 32), node.integer("bits", 4)
    plain = (bits == 2 and block < 32) or (zeros is not None and zeros.is_floating_point())
    if node.integer("accuracy_level", 0) != 4 or plain:
        return a
    depth = a.shape[-1]
    blocks = functional.pad(a, (0, -depth % block)).reshape(*a.shape[:-1], -1, block)
    largest = blocks.abs().amax(dim=-1, keepdim=True)
    inverse = torch.where(largest > 0, 127.0 / largest, torch.zeros_like(largest))
    return (torch.round(blocks * inverse) * (largest / 127.0)).flatten(-2)[..., :depth]


def _smooth(
    node: Node,
    a: Tensor,
    packed: Tensor,
    scales: Tensor,
    zeros: Tensor | None = None,
    groups: Tensor | None = None,
    bias: Tensor | None = None,
) -> Tensor:
    """a times the unpacked weights, in floats.

    Raises: UntranslatableError.
    """
    if groups is not None and present(groups):
        raise UntranslatableError(f"{node.key} with reordered groups")
    if packed.is_floating_point() or node.integer("weight_prepacked", 0):
        raise UntranslatableError(f"{node.key} with weights packed for one device")
    a, packed = together(a, packed)
    y = torch.matmul(a, _weight(node, packed, scales, zeros).to(a.dtype))
    return y if bias is None or not present(bias) else y + bias


def _exact(node: Node, a: Tensor, packed: Tensor, scales: Tensor, *rest: Tensor | None) -> Tensor:
    zeros = rest[0] if rest and present(rest[0]) else None
    return _smooth(node, _rounded(node, a, zeros), packed, scales, *rest)


MATMUL_NBITS = Obstacle(_exact, ROUNDS_AT_4, _smooth)
