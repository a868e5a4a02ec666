"""Operators that draw random numbers, from torch's global generator so that `vmap` can draw per sample.

Seeds in attributes are ignored: onnxruntime's generator is another one, so no seed would give its numbers.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from ..node import Node, UntranslatableError
from .joins import check_size
from .obstacle import DRAWS, Drawing, Obstacle
from .shapes import dropout


def _kind(node: Node, like: Tensor | None) -> torch.dtype:
    """Type of the attribute, of the input, or float.

    Raises: UntranslatableError.
    """
    code = node.integer("dtype", 0)
    dtype = node.dtype(code) if code else node.precision if like is None else like.dtype
    if not dtype.is_floating_point:
        raise UntranslatableError(f"{node.key} draws {dtype}")
    return dtype


def _shape(node: Node) -> list[int]:
    shape = node.integers("shape") or []
    check_size(node, shape)
    return shape


def _normal(node: Node, shape: list[int], like: Tensor | None = None) -> Tensor:
    device = None if like is None else like.device
    noise = torch.randn(shape, dtype=_kind(node, like), device=device)
    return noise * node.number("scale", 1.0) + node.number("mean", 0.0)


def _uniform(node: Node, shape: list[int], like: Tensor | None = None) -> Tensor:
    device = None if like is None else like.device
    low, high = node.number("low", 0.0), node.number("high", 1.0)
    return torch.rand(shape, dtype=_kind(node, like), device=device) * (high - low) + low


def _bernoulli(node: Node, p: Tensor) -> Tensor:
    """0 with probability p, else 1.

    That is the wrong way round and what onnxruntime answers: it has no kernel and runs the function body of the
    standard, which compares a uniform number the other way than the standard's text.
    """
    code = node.integer("dtype", 0)
    drawn = torch.rand(p.shape, dtype=p.dtype, device=p.device) > p
    return drawn.to(node.dtype(code) if code else p.dtype)


def _multinomial(node: Node, scores: Tensor) -> Tensor:
    """Classes drawn with replacement from unnormalised log-probabilities (N, K), by the largest of noisy scores."""
    count = node.integer("sample_size", 1)
    shape = [scores.shape[0], count, scores.shape[1]]
    check_size(node, shape)
    noise = -torch.log(-torch.log(torch.rand(shape, dtype=scores.dtype, device=scores.device).clamp(min=1e-30)))
    return torch.argmax(scores.unsqueeze(1) + noise, dim=2).to(node.dtype(node.integer("dtype", 6)))


def _ratio(ratio: Tensor | None) -> Tensor:
    return torch.tensor(0.5) if ratio is None or not ratio.numel() else ratio.reshape(())


def _dropout(
    node: Node, x: Tensor, ratio: Tensor | None = None, training: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """In training mode zero with probability `ratio` and scaled up otherwise, with the mask of what is kept."""
    if training is None or not bool(training.reshape(())):
        return dropout(node, x, ratio)
    share = float(_ratio(ratio))
    uniform = torch.rand(x.numel(), dtype=x.dtype, device=x.device)
    if x.numel() and x.device.type == "cpu":
        # onnxruntime seeds its generator anew for every call, with numbers so small that the first draw is 0
        uniform = torch.cat([torch.zeros_like(uniform[:1]), uniform[1:]])
    mask = uniform.reshape(x.shape) >= share
    return torch.where(mask, x, torch.zeros_like(x)) / max(1.0 - share, torch.finfo(x.dtype).tiny), mask


def _trains(node: Node, constants: Mapping[str, Tensor]) -> bool:
    """Whether a Dropout may drop: training mode is not known to be off, nor the ratio to be 0."""
    _, ratio, training = (*node.inputs, "", "")[:3]
    off = not training or (training in constants and not bool(constants[training].any()))
    return not off and not (ratio in constants and float(_ratio(constants[ratio])) == 0)


def _expected(_node: Node, p: Tensor) -> Tensor:
    return 1 - p


RANDOM_NORMAL = Obstacle(lambda node: _normal(node, _shape(node)), DRAWS, None)
RANDOM_NORMAL_LIKE = Obstacle(lambda node, x: _normal(node, list(x.shape), x), DRAWS, None)
RANDOM_UNIFORM = Obstacle(lambda node: _uniform(node, _shape(node)), DRAWS, None)
RANDOM_UNIFORM_LIKE = Obstacle(lambda node, x: _uniform(node, list(x.shape), x), DRAWS, None)
BERNOULLI = Obstacle(_bernoulli, DRAWS, _expected)
MULTINOMIAL = Obstacle(_multinomial, DRAWS, None)
DROPOUT = Drawing(_dropout, dropout, _trains)
