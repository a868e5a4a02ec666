"""Codes of a generator: their tangent, the code closest to a point, and a code that is wrong and close to a ball.

The Jacobian J of the images (N, D pixels) in their codes is never built: products with it and its transpose are one
backward pass of the generator each, and least squares are solved by conjugate gradients.
"""

import math

import torch
from torch import Tensor

from ..decision import Objective
from ..geometry import per_sample
from ..target import Generator, Problem

_ROUNDS = 12
_DAMPING = 1e-4
"""Of the curvature along the right-hand side: keeps codes that hardly change an image from moving far."""
_FOLLOWING = 2
_STEP = 0.1
"""First step of a descent, in sizes of the code."""
_INERTIA = 0.8
_WEIGHT_STEP = 1.1
_LEAST, _MOST = 1e-2, 1e2


def tangential(generator: Generator, z: Tensor, slope: Tensor) -> Tensor:
    """The part of a slope (N, ...) at the images of z (N, D) that lies along the range of the generator.

    It is the gradient, to a point of the range, of what depends on the closest code alone.
    """
    return _times(generator, z, _solved(generator, z, _transposed(generator, z, slope)))


def followed(generator: Generator, z: Tensor, x: Tensor) -> Tensor:
    """Codes (N, D) closer to x (N, ...) than z, by Gauss-Newton; z itself where a step leads away."""
    with torch.no_grad():
        off = generator.images(z) - x
    for _ in range(_FOLLOWING):
        moved = z - _solved(generator, z, _transposed(generator, z, off))
        with torch.no_grad():
            left = generator.images(moved) - x
        closer = left.flatten(1).square().sum(dim=1) < off.flatten(1).square().sum(dim=1)
        z = torch.where(closer[:, None], moved, z)
        off = torch.where(per_sample(closer, off), left, off)
    return z


def descended(problem: Problem, objective: Objective, steps: int, first: int) -> Tensor:
    """Codes (N, D) whose images are wrong and close to the ball, from the samples' own codes on.

    The weight of the distance goes up while an image is wrong and down while it is right; both slopes have length 1.
    """
    generator = problem.target.generator()
    z = generator.codes(problem.x, first)
    size = z.square().mean(dim=1).sqrt()
    size = torch.where(size > 0, size, torch.ones_like(size)) * z.shape[1] ** 0.5
    speed, weight = torch.zeros_like(z), torch.ones_like(size)
    for k in range(steps):
        with torch.no_grad():
            images = generator.images(z)
        answer = generator.behind.gradient(images, objective, first + k)
        uphill = _transposed(generator, z, answer.gradient)
        outward = _transposed(generator, z, images - problem.ball.project(images))
        speed = _INERTIA * speed + _unit(_unit(uphill) - weight[:, None] * _unit(outward))
        weight = weight * torch.where(answer.score > 0, _WEIGHT_STEP, 1 / _WEIGHT_STEP)
        weight = weight.clamp(_LEAST, _MOST)
        fading = _STEP * 0.5 * (1 + math.cos(math.pi * k / steps))
        z = z + (1 - _INERTIA) * fading * size[:, None] * speed
    return z


def _transposed(generator: Generator, z: Tensor, v: Tensor) -> Tensor:
    """J^T v for v (N, ...), (N, D)."""
    with torch.enable_grad():
        z = z.detach().requires_grad_(True)
        (product,) = torch.autograd.grad(generator.images(z), [z], v)
    return product


def _times(generator: Generator, z: Tensor, u: Tensor) -> Tensor:
    """J u for u (N, D), (N, ...): the derivative of J^T w to w, along u."""
    with torch.enable_grad():
        z = z.detach().requires_grad_(True)
        images = generator.images(z)
        w = torch.zeros_like(images, requires_grad=True)
        (product,) = torch.autograd.grad(images, [z], w, create_graph=True)
        (along,) = torch.autograd.grad(product, [w], u)
    return along


def _solved(generator: Generator, z: Tensor, b: Tensor) -> Tensor:
    """The a (N, D) with (J^T J + damping) a = b, by conjugate gradients, sample by sample."""
    solution, rest, way = torch.zeros_like(b), b, b
    size = rest.square().sum(dim=1, keepdim=True)
    damping: Tensor | None = None
    for _ in range(min(_ROUNDS, b.shape[1])):
        bent = _transposed(generator, z, _times(generator, z, way))
        curvature = (way * bent).sum(dim=1, keepdim=True)
        if damping is None:
            damping = _DAMPING * curvature / size.clamp(min=1e-30)
        bent = bent + damping * way
        curvature = curvature + damping * way.square().sum(dim=1, keepdim=True)
        length = torch.where(curvature > 0, size / curvature.clamp(min=1e-30), 0.0)
        solution, rest = solution + length * way, rest - length * bent
        new = rest.square().sum(dim=1, keepdim=True)
        way = rest + torch.where(size > 0, new / size.clamp(min=1e-30), 0.0) * way
        size = new
    return solution


def _unit(slope: Tensor) -> Tensor:
    """Each row (N, D) at length 1; zero where it is zero or no number."""
    slope = slope.nan_to_num(0.0, 0.0, 0.0)
    largest = slope.abs().amax(dim=1, keepdim=True)
    scaled = slope / torch.where(largest > 0, largest, torch.ones_like(largest))
    length: Tensor = scaled.square().sum(dim=1, keepdim=True).sqrt()
    return scaled / length.clamp(min=1e-12)
