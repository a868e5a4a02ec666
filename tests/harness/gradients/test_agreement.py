"""Doubling draws on gradients whose noise is known."""

import pytest
import torch
from torch import Tensor

from robcheck.harness.gradients.agreement import cosines, enough_draws

N, D = 40, 400


def noisy(ratio: float, calls: list[tuple[int, int]] | None = None):
    """Gradients of length 1 under isotropic noise of length `ratio` per draw: the cosine of two means of k is about
    1 / (1 + ratio^2 / k)."""
    truth = torch.nn.functional.normalize(torch.randn(N, D, generator=torch.Generator().manual_seed(0)), dim=1)
    generator = torch.Generator().manual_seed(1)

    def half(k: int, which: int) -> Tensor:
        if calls is not None:
            calls.append((k, which))
        return truth + torch.randn(N, D, generator=generator) * ratio / (D * k) ** 0.5

    return half


@pytest.mark.parametrize(("ratio", "draws"), [(0.3, 1), (1.7, 4), (3.0, 16), (7.0, 64), (13.0, 256)])
def test_as_many_draws_as_the_noise_asks_for(ratio: float, draws: int) -> None:
    """The first power of two from which 1 / (1 + ratio^2 / k) is one half."""
    found, cosine = enough_draws(noisy(ratio))
    assert found == draws
    assert cosine == pytest.approx(1 / (1 + ratio**2 / draws), abs=0.05)


def test_the_cap_ends_it_and_the_cosine_tells() -> None:
    calls: list[tuple[int, int]] = []
    found, cosine = enough_draws(noisy(60.0, calls))
    assert found == 500
    assert cosine == pytest.approx(1 / (1 + 3600 / 500), abs=0.03)
    assert [k for k, _ in calls] == [1, 1, 2, 4, 8, 16, 32, 64, 128, 256, 500]
    assert len(set(calls)) == len(calls)
    assert enough_draws(noisy(60.0), cap=8)[0] == 8
    assert enough_draws(noisy(0.1), start=16, cap=4)[0] == 4


def test_no_draw_is_thrown_away() -> None:
    """k draws are settled with 2 k: the two halves of one round are one half of the next."""
    drawn: list[Tensor] = []

    def half(k: int, which: int) -> Tensor:
        del which
        own = torch.randn(k, 1, D, generator=torch.Generator().manual_seed(len(drawn)))
        drawn.append(own)
        return own.mean(dim=0)

    found, cosine = enough_draws(half, cap=16)
    assert found == 16
    every = torch.cat(drawn)
    assert len(every) == 32
    truth = torch.nn.functional.cosine_similarity(every[:16].mean(dim=0), every[16:].mean(dim=0))
    assert cosine == pytest.approx(float(truth), abs=1e-6)


def test_zero_gradients_agree_with_nothing() -> None:
    dead = torch.arange(N) < 30

    def half(k: int, which: int) -> Tensor:
        return torch.where(dead[:, None], 0.0, noisy(0.01)(k, which))

    found, cosine = enough_draws(half, cap=32)
    assert found == 32
    assert cosine == pytest.approx(0.25, abs=0.01)


def test_cosines_of_odd_gradients() -> None:
    a = torch.tensor([[1e-30, 0.0], [1e30, 1e30], [0.0, 0.0], [float("nan"), 1.0], [float("inf"), 1.0], [3.0, 4.0]])
    b = torch.tensor([[1e-30, 0.0], [-1e30, -1e30], [0.0, 0.0], [1.0, 1.0], [1.0, 1.0], [4.0, -3.0]])
    assert cosines(a, b).tolist() == pytest.approx([1.0, -1.0, 0.0, 0.0, 0.0, 0.0])
    assert enough_draws(lambda *_: torch.zeros(0, 3)) == (1, 1.0)
