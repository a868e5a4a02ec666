"""Signs of slopes over step sizes, on functions whose answer is known."""

import math

import pytest
import torch
from torch import Tensor

from robcheck.harness.gradients.stability import SIZES, sign_stability, step_sizes
from robcheck.harness.randomness import Stream

WEIGHT = torch.randn(1, 8, 8, generator=torch.Generator().manual_seed(0))
X = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(1))
STREAM = Stream.create(0, "stability", torch.arange(6))


def smooth(points: Tensor) -> Tensor:
    return (points * WEIGHT).flatten(2).mean(dim=2).tanh() * 20 + 5


def shattered(points: Tensor) -> Tensor:
    """A number without any neighbourhood: the fraction of a large multiple."""
    return ((points.double() * WEIGHT).flatten(2).sum(dim=2) * 1e7).frac()


def test_a_smooth_function_is_stable() -> None:
    found = sign_stability(smooth, X, STREAM)
    assert found.sizes == SIZES
    assert found.overall == 1.0
    assert set(found.pairs.values()) == {1.0}
    assert set(found.pairs) == {(a, b) for i, a in enumerate(SIZES) for b in SIZES[i + 1 :]}
    assert not found.shattered
    assert found.measured > 0.5


def test_in_a_shattered_one_signs_are_chance() -> None:
    found = sign_stability(shattered, X, STREAM, places=64)
    assert found.overall == pytest.approx(0.5, abs=0.05)
    assert all(share == pytest.approx(0.5, abs=0.12) for share in found.pairs.values())
    assert found.shattered


def test_a_kink_between_two_sizes_shows_at_those_alone() -> None:
    """Downhill for 0.03 to either side, uphill beyond: |x - x0| bent so that long steps tell the other sign."""
    x = torch.full((2, 1, 8, 8), 0.5)

    def bent(points: Tensor) -> Tensor:
        away = points - 0.5
        return (torch.where(away.abs() < 0.03, -away, 4 * away) * WEIGHT.abs()).flatten(2).sum(dim=2)

    pairs = sign_stability(bent, x, STREAM.select(torch.arange(2))).pairs
    assert pairs[1e-3, 1e-2] == 1.0
    assert pairs[1e-4, 1e-1] == pairs[1e-3, 1e-1] == pairs[1e-2, 1e-1] == 0.0


def test_flat_ground_is_told_apart_from_chance() -> None:
    """Behind 3 bits short steps see nothing; steps of a level and more agree."""

    def rounded(points: Tensor) -> Tensor:
        return smooth((points * 7).round() / 7)

    blind = sign_stability(rounded, X, STREAM)
    assert blind.measured < 0.3
    told = sign_stability(rounded, X, STREAM, quantum=1 / 7)
    assert min(told.sizes) == pytest.approx(1 / 7)
    assert told.overall > 0.95
    assert told.measured > 0.9
    nothing = sign_stability(lambda points: points.flatten(2).sum(dim=2) * 0 + 3, X, STREAM)
    assert math.isnan(nothing.overall)
    assert nothing.measured == 0.0
    assert nothing.shattered


def test_sizes_are_no_shorter_than_what_shows() -> None:
    assert step_sizes(0.0) == SIZES
    assert step_sizes(1 / 255) == (1 / 255, 1e-2, 1e-1)
    assert step_sizes(0.25) == (0.25, 0.375)


def test_as_many_questions_as_stated_and_the_same_answer_every_time() -> None:
    asked = 0

    def counted(points: Tensor) -> Tensor:
        nonlocal asked
        asked += points.shape[1]
        assert bool(((points >= 0) & (points <= 1)).all())
        return smooth(points)

    found = sign_stability(counted, X, STREAM, places=10)
    assert asked == found.queries == 2 * 4 * 10
    order = torch.tensor([4, 2, 0, 1, 5, 3])
    assert sign_stability(smooth, X[order], STREAM.select(order), places=10) == found


def test_features_of_large_inputs_move_together() -> None:
    """3 x 64 x 64 features of slope 1e-3 each: one alone would drown in the rounding of a value of 100."""
    x = torch.full((1, 3, 64, 64), 0.5)
    weight = torch.randn(3, 64, 64, generator=torch.Generator().manual_seed(2)) * 1e-3
    keys = Stream.create(0, "stability", torch.arange(1))
    changed = []

    def ask(points: Tensor) -> Tensor:
        changed.append((points != 0.5).flatten(2).sum(dim=2))
        return 10 + (points * weight).flatten(2).sum(dim=2)

    found = sign_stability(ask, x, keys)
    assert {int(count) for call in changed for count in call.flatten()} == {24}
    assert found.overall == 1.0
    assert found.pairs[1e-2, 1e-1] == 1.0


def test_answers_that_are_no_numbers_do_not_count() -> None:
    def holed(points: Tensor) -> Tensor:
        return torch.where(points[:, :, 0, 0, 0] != X[:, None, 0, 0, 0], math.nan, smooth(points))

    found = sign_stability(holed, X, STREAM, places=64)
    assert found.overall == 1.0
