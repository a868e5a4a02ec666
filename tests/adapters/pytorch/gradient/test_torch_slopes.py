"""What each stand-in does: the bits of the function itself, and the derivative that its rule states."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from robcheck.adapters.pytorch.gradient.mode import Surrogates
from robcheck.adapters.pytorch.gradient.run import Run
from robcheck.adapters.pytorch.gradient.shadows import through

Function = Callable[[Tensor], Any]


def slope(function: Function, *values: float) -> tuple[Tensor, Tensor]:
    """The answer at the values and its gradient, after a comparison with the answer outside."""
    point = torch.tensor(values)
    plain = function(point.clone())
    x = point.clone().requires_grad_()
    with Surrogates():
        answer = function(x * 1)
    assert torch.equal(answer.detach(), plain)
    assert answer.dtype == plain.dtype
    assert answer.stride() == plain.stride()
    (gradient,) = torch.autograd.grad(answer.sum(), x, materialize_grads=True) if answer.requires_grad else (0 * x,)
    return answer, gradient


def step(d: float) -> float:
    return 5 / (1 + 10 * abs(d)) ** 2


ONE = [
    (torch.round, 0.7, 1.0),
    (torch.floor, 0.7, 1.0),
    (lambda x: x.ceil_(), 0.7, 1.0),
    (lambda x: torch.trunc(input=x), 0.7, 1.0),
    (lambda x: x.round(decimals=1), 0.77, 1.0),
    (torch.ops.aten.round.default, 0.7, 1.0),
    (lambda x: x // 0.25, 0.7, 4.0),
    (lambda x: 1 // x, 0.5, -4.0),
    (lambda x: torch.div(x, 0.25, rounding_mode="trunc"), 0.7, 4.0),
    (lambda x: torch.div(x, 0.25), 0.7, 4.0),
    (lambda x: x % 0.25, 0.7, 0.5),
    (lambda x: x - x.frac(), 0.7, 0.5),
    (torch.sign, 0.7, 2 * step(0.7)),
    (torch.sign, 1.7, 2 * step(1.7)),
    (lambda x: torch.heaviside(x, torch.ones(())), 0.1, step(0.1)),
    (lambda x: (x > 0.5).float(), 0.6, step(0.1)),
    (lambda x: x.new_tensor(0.5).gt(x).float(), 0.6, -step(-0.1)),
    (lambda x: torch.le(x, 0.5).to(torch.float64), 0.6, -step(-0.1)),
    (lambda x: (x * 255 > 128) * 1.0, 0.1, 255 * step(25.5 - 128)),
    (lambda x: (~(x > 0.5)).float(), 0.6, -step(0.1)),
    (lambda x: torch.where(x > 0.5, 3.0, 1.0), 0.6, 2 * step(0.1)),
    (lambda x: torch.zeros(1).where(x > 0.5, torch.ones(1)), 0.6, -step(0.1)),
    (lambda x: x.masked_fill(x > 0.5, -math.inf), 0.4, 1.0),
    (lambda x: x * (x > 0.5), 0.6, 1 + 0.6 * step(0.1)),
    (lambda x: (x * 10).int().float(), 0.77, 10.0),
    (lambda x: (x * 255).to(torch.uint8) / 255, 0.5, 1.0),
    (lambda x: (x * 8).long() * 2 - 1 + 0.0, 0.5, 16.0),
    (lambda x: ((x * 255).byte() >> 4).float(), 0.5, 255 / 16),
    (lambda x: ((x * 255).byte() & 0xF0).float(), 0.5, 255.0),
    (lambda x: torch.linspace(0, 30, 16)[(x * 15).long()], 0.5, 30.0),
    (lambda x: torch.nn.functional.embedding((x * 15).long(), torch.linspace(0, 30, 16).reshape(-1, 1)), 0.5, 30.0),
    (lambda x: x.detach() * 3, 0.5, 3.0),
    (lambda x: x.data, 0.5, 1.0),
    (lambda x: torch.tensor(x.tolist()) * 1, 0.5, 1.0),
    (lambda x: torch.from_numpy(x.detach().numpy() * 2) * 1, 0.5, 1.0),
    (lambda x: torch.fake_quantize_per_tensor_affine(x, 0.1, 0, 0, 3), 0.2, 1.0),
    (lambda x: torch.fake_quantize_per_tensor_affine(x, 0.1, 0, 0, 3), 0.7, 0.0),
    (lambda x: (x > 0.5).sum(), 0.6, 0.0),
    (lambda x: torch.stack([x > 0.5, x > 0.6]).sum(0) / 2, 0.6, (step(0.1) + step(0.0)) / 2),
    (lambda x: ((x > 0.5) & (x > 0.0)).float(), 0.6, step(0.1) + step(0.6)),
    (lambda x: ((x > 0.5) | (x > 9.0)).float(), 0.6, step(0.1) + 0.25 * step(-8.4)),
    (lambda x: ((x > 0.5) ^ (x > 9.0)).float(), 0.6, step(0.1) - step(-8.4)),
    (lambda x: (x > 0.5).any() * 1.0, 0.6, step(0.1)),
    (lambda x: torch.searchsorted(torch.tensor([0.5]), x).float(), 0.6, step(0.1)),
]


@pytest.mark.parametrize(("function", "at", "expected"), ONE)
def test_the_slope_at_one_point(function: Function, at: float, expected: float) -> None:
    _, gradient = slope(function, at)
    assert gradient.item() == pytest.approx(expected, rel=1e-4, abs=1e-12)


def overwritten(x: Tensor) -> Tensor:
    x = x.clone()
    x[x < 0.5] = 2.0
    return x


def filled(x: Tensor) -> Tensor:
    mask = torch.zeros(3, dtype=torch.bool)
    mask[1:] = (x > 0.5)[1:]
    return mask.float()


def grown(x: Tensor) -> Tensor:
    mask = x > 0.5
    mask |= x > 0.55
    mask.logical_not_()
    return mask.float()


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (overwritten, [-1.6 * step(0.1), 1 - 1.4 * step(-0.1), 1 - 1.2 * step(-0.3)]),
        (filled, [0.0, step(0.1), step(0.3)]),
        (grown, [-step(-0.1) - step(-0.15), -0.25 * step(0.1) - 0.25 * step(0.05), -0.25 * (step(0.3) + step(0.25))]),
        (lambda x: x[x > 0.5], [0.0, 1.0, 1.0]),
        (lambda x: torch.zeros(3).copy_(x > 0.5), [step(-0.1), step(0.1), step(0.3)]),
        (lambda x: torch.zeros(3).add_(x.round().int()), [1.0, 1.0, 1.0]),
        (lambda x: torch.topk(x, 2).values, [0.0, 1.0, 1.0]),
    ],
)
def test_writing_and_picking(function: Function, expected: list[float]) -> None:
    _, gradient = slope(function, 0.4, 0.6, 0.8)
    assert torch.allclose(gradient, torch.tensor(expected), rtol=1e-4)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: torch.nn.functional.one_hot(x.argmax(), 3)[1].float(),
        lambda x: torch.nn.functional.one_hot(x.max(dim=0).indices, 3)[1] * 1.0,
        lambda x: torch.zeros(3).scatter(0, x.argmax(dim=0, keepdim=True), 1.0)[1],
        lambda x: torch.zeros(3).scatter_(0, x.topk(2).indices, 1.0)[1],
        lambda x: torch.tensor([[0.0], [5.0], [0.0]])[x.argmax(dim=0)][0],
        lambda x: torch.nn.functional.embedding(x.argmax(dim=0), torch.tensor([[0.0], [5.0], [0.0]]))[0],
    ],
)
def test_a_choice_follows_its_candidates(function: Function) -> None:
    """What stands for the second candidate rises with it and falls with the others."""
    _, gradient = slope(function, 0.3, 0.5, 0.4)
    assert gradient[1] > 0
    assert gradient[0] <= 0 or gradient[0] < gradient[1]


def k_winners(x: Tensor) -> Tensor:
    values, places = x.topk(2)
    return torch.zeros(3).scatter(0, places, values)


def k_winners_in_place(x: Tensor) -> Tensor:
    values, places = x.topk(2)
    return torch.zeros(3).scatter_(0, places, values)


@pytest.mark.parametrize("function", [k_winners, k_winners_in_place])
def test_winners_that_are_written_have_the_gradient_of_winners_that_are_masked(function: Function) -> None:
    """As torch has it for the values, and besides for who the winners are."""
    masked = slope(lambda x: x * torch.zeros(3).scatter(0, x.topk(2).indices, 1.0), 0.3, 0.5, 0.301)[1]
    _, gradient = slope(function, 0.3, 0.5, 0.301)
    assert torch.allclose(gradient, masked, rtol=0.01)
    assert masked[0] > 0.1


@pytest.mark.parametrize(
    "function",
    [
        lambda x: torch.zeros(3).scatter_add(0, x.argsort(), x),
        lambda x: torch.zeros(3).index_add(0, (x * 3).long(), x),
        lambda x: torch.zeros(3).index_put(((x * 3).long(),), x),
        lambda x: x.take((x * 3).long()),
        lambda x: torch.nn.functional.cross_entropy(x, x.argmax(dim=0)),
    ],
)
def test_where_no_stand_in_fits_the_floats_keep_their_gradient(function: Function) -> None:
    _, gradient = slope(function, 0.1, 0.5, 0.9)
    x = torch.tensor([0.1, 0.5, 0.9], requires_grad=True)
    assert torch.equal(gradient, torch.autograd.grad(function(x).sum(), x)[0])
    assert gradient.abs().sum() > 0


def test_a_lack_of_memory_is_no_lack_of_a_stand_in() -> None:
    def exhausted() -> Tensor:
        raise torch.OutOfMemoryError("no")

    with pytest.raises(torch.OutOfMemoryError):
        Run().attempt("round", exhausted)


def test_draws_use_the_same_random_numbers() -> None:
    x = torch.full((50,), 0.4)
    torch.manual_seed(3)
    plain = torch.bernoulli(x) + torch.empty(50).bernoulli_(x) + torch.rand(50)
    torch.manual_seed(3)
    point = x.clone().requires_grad_()
    with Surrogates():
        answer = torch.bernoulli(point) + torch.empty(50).bernoulli_(point) + torch.rand(50)
    assert torch.equal(plain, answer)
    assert torch.equal(torch.autograd.grad(answer.sum(), point)[0], torch.full((50,), 2.0))


def test_the_bits_of_one_tensor_and_the_gradient_of_another() -> None:
    exact = torch.tensor([-0.0, math.inf, math.nan, 1e-45])
    shadow = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    joined = through(exact.clone(), shadow)
    assert torch.equal(joined.detach().view(torch.int32), exact.view(torch.int32))
    joined.mul_(2)
    assert torch.autograd.grad(joined.nan_to_num(0, 0, 0).sum(), shadow)[0].dtype == torch.float64


def test_where_no_stand_in_is_known_the_gradient_ends_with_a_mark() -> None:
    x = torch.rand(5, requires_grad=True)
    with Surrogates() as mode:
        answer = (x * 1).argsort().float()
    assert list(mode.run.missing) == ["argsort"]
    assert not answer.requires_grad


def test_weights_and_buffers_never_get_a_gradient() -> None:
    weight, x = torch.zeros(3), torch.rand(3, requires_grad=True)
    with Surrogates(lambda: [weight]), torch.no_grad():
        weight.mul_(0.9).add_(x)
        weight[0] = x[0]
    assert weight.is_leaf
    assert not weight.requires_grad
    assert torch.equal(weight, x)
