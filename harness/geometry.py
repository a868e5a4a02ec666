"""Norms, balls and exact projections, batched over samples. Points are (N, ...), radii (N,)."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

Norm = Literal["linf", "l2", "l1", "l0"]
NORMS: tuple[Norm, ...] = ("linf", "l2", "l1", "l0")

_NEWTON_STEPS = 100


def per_sample(values: Tensor, like: Tensor) -> Tensor:
    """Values (N,) shaped (N, 1, ...) to broadcast against `like` (N, ...)."""
    return values.reshape(-1, *([1] * (like.dim() - 1)))


def norms(delta: Tensor, norm: Norm) -> Tensor:
    """The norm of each sample of delta (N, ...), (N,); L0 counts changed features."""
    flat = delta.flatten(1)
    if norm == "linf":
        return flat.abs().amax(dim=1)
    if norm == "l2":
        length: Tensor = torch.linalg.vector_norm(flat, dim=1)
        return length
    if norm == "l1":
        return flat.abs().sum(dim=1)
    return (flat != 0).sum(dim=1).to(flat.dtype)


def distances(a: Tensor, b: Tensor, norm: Norm) -> Tensor:
    """The distance between two batches of points, measured in float64, (N,)."""
    return norms(a.to(torch.float64) - b.to(torch.float64), norm)


def project(delta: Tensor, eps: Tensor, low: Tensor, high: Tensor, norm: Norm) -> Tensor:
    """The nearest point (in L2; exact) of {|d|_norm <= eps, low <= d <= high} to each delta.

    Args:
        delta: perturbations (N, ...).
        eps: radii (N,).
        low: lower limits of the perturbation (N, ...), at most 0.
        high: upper limits of the perturbation (N, ...), at least 0.
    """
    shape = delta.shape
    d, a, b = delta.flatten(1), low.flatten(1), high.flatten(1)
    return _PROJECTIONS[norm](d, eps[:, None], a, b).reshape(shape)


def _project_linf(d: Tensor, eps: Tensor, low: Tensor, high: Tensor) -> Tensor:
    return d.clamp(torch.maximum(low, -eps), torch.minimum(high, eps))


def _project_l2(d: Tensor, eps: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """clamp(s d) with the largest s <= 1 that fits the ball: s is the root of a monotone piecewise quadratic.

    Every round solves for s with the present set of clipped features; the set only grows, so it ends exactly.
    """
    result = d.clamp(low, high)
    outside = torch.linalg.vector_norm(result, dim=1) > eps[:, 0]
    if not bool(outside.any()):
        return result
    d, low, high, eps = d[outside].double(), low[outside].double(), high[outside].double(), eps[outside].double()
    clipped = torch.zeros_like(d, dtype=torch.bool)
    inside = d
    for _ in range(_NEWTON_STEPS):
        fixed = torch.where(clipped, inside, torch.zeros_like(inside)).square().sum(dim=1, keepdim=True)
        free = torch.where(clipped, torch.zeros_like(d), d).square().sum(dim=1, keepdim=True)
        scale = ((eps.square() - fixed).clamp(min=0) / free.clamp(min=1e-300)).sqrt().clamp(max=1.0)
        scaled = scale * d
        inside = scaled.clamp(low, high)
        now = (scaled < low) | (scaled > high)
        if bool((now == clipped).all()):
            break
        clipped = now
    result[outside] = inside.to(result.dtype)
    return result


def _project_l1(d: Tensor, eps: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """clamp(soft-threshold(d, t)) with the smallest t >= 0 that fits the ball, found on the sorted breakpoints.

    Source: Croce and Hein 2021, "Mind the box", proposition 2.1.
    """
    room = torch.where(d > 0, high, -low)
    sizes = d.abs()
    result = d.clamp(low, high)
    outside = result.abs().sum(dim=1) > eps[:, 0]
    if not bool(outside.any()):
        return result
    size, room, radius = sizes[outside].double(), room[outside].double(), eps[outside].double()
    # As the threshold t falls from infinity, feature i starts to count at t = size and is full at t = size - room.
    points = torch.cat([size, size - room], dim=1)
    slopes = torch.cat([torch.ones_like(size), -torch.ones_like(size)], dim=1)
    points, order = points.sort(dim=1, descending=True)
    slope = slopes.gather(1, order).cumsum(dim=1)
    gains = slope[:, :-1] * (points[:, :-1] - points[:, 1:])
    used = torch.cat([torch.zeros_like(radius), gains.cumsum(dim=1)], dim=1)
    last = ((used <= radius).sum(dim=1, keepdim=True) - 1).clamp(min=0)
    rest = (radius - used.gather(1, last)).clamp(min=0)
    threshold = points.gather(1, last) - rest / slope.gather(1, last).clamp(min=1)
    shrunk = torch.minimum((size - threshold.clamp(min=0)).clamp(min=0), room)
    result[outside] = (shrunk * d[outside].sign().double()).to(result.dtype)
    return result


def _project_l0(d: Tensor, eps: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Keep the features whose loss would cost most; as many as the radius allows."""
    clipped = d.clamp(low, high)
    gain = clipped.double() * (2 * d.double() - clipped.double())
    order = gain.argsort(dim=1, descending=True, stable=True)
    rank = torch.empty_like(order).scatter_(1, order, torch.arange(d.shape[1], device=d.device).expand_as(order))
    return torch.where(rank < eps.floor(), clipped, torch.zeros_like(clipped))


_PROJECTIONS: dict[Norm, Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]] = {
    "linf": _project_linf,
    "l2": _project_l2,
    "l1": _project_l1,
    "l0": _project_l0,
}


def steepest(gradient: Tensor, norm: Norm, sparsity: Tensor | None = None) -> Tensor:
    """The ascent direction for each sample: signs (Linf), unit length (L2), the largest features (L1).

    For L0 it is the gradient scaled to a largest entry of 1: after a long step the projection keeps the features
    with the largest product of slope and room.

    Args:
        gradient: (N, ...).
        sparsity: for L1, the number of features to move per sample (N,); one without it.
    """
    if norm == "linf":
        return gradient.sign()
    flat = gradient.flatten(1)
    if norm in ("l2", "l0"):
        # Scaled by the largest entry first: squares of very small or large gradients leave float32.
        largest = flat.abs().amax(dim=1, keepdim=True)
        scaled = flat / torch.where(largest > 0, largest, torch.ones_like(largest))
        if norm == "l2":
            scaled = scaled / scaled.norm(dim=1, keepdim=True).clamp(min=1e-12)
        return scaled.reshape(gradient.shape)
    count = torch.ones(flat.shape[0], device=flat.device) if sparsity is None else sparsity
    order = flat.abs().argsort(dim=1, descending=True, stable=True)
    rank = torch.empty_like(order).scatter_(1, order, torch.arange(flat.shape[1], device=flat.device).expand_as(order))
    kept = torch.where(rank < count[:, None].clamp(min=1), flat.sign(), torch.zeros_like(flat))
    return (kept / kept.abs().sum(dim=1, keepdim=True).clamp(min=1)).reshape(gradient.shape)
