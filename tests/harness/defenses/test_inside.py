"""Defenses inside a network: against numpy, and against what their names promise."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robcheck.harness.defenses.dropout import InferenceDropout
from robcheck.harness.defenses.kwta import KWinnersTakeAll


@settings(max_examples=40, deadline=None)
@given(
    shape=st.lists(st.integers(1, 5), min_size=2, max_size=4),
    share=st.floats(0.01, 1.0),
    seed=st.integers(0, 10**6),
)
def test_winners_are_those_of_a_sort(shape: list[int], share: float, seed: int) -> None:
    x = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    features = x[0].size
    k = max(1, int(share * features + 1e-9))
    expected = np.zeros_like(x).reshape(len(x), -1)
    for row, values in enumerate(x.reshape(len(x), -1)):
        winners = np.argsort(values)[features - k :]
        expected[row, winners] = values[winners]
    got = KWinnersTakeAll(share)(torch.from_numpy(x))
    assert np.array_equal(got.numpy(), expected.reshape(shape))


def test_equal_values_win_together_and_negative_ones_may() -> None:
    x = torch.tensor([[1.0, 1.0, 0.0, -1.0], [-3.0, -1.0, -2.0, -4.0]])
    assert KWinnersTakeAll(0.25)(x).tolist() == [[1, 1, 0, 0], [0, -1, 0, 0]]
    assert KWinnersTakeAll(0.5)(x).tolist() == [[1, 1, 0, 0], [0, -1, -2, 0]]
    assert KWinnersTakeAll(0.29).winners(100) == 29
    assert KWinnersTakeAll(0.001).winners(100) == 1


def test_the_gradient_is_that_of_the_winners() -> None:
    x = torch.tensor([[3.0, 1.0, 2.0]], requires_grad=True)
    (gradient,) = torch.autograd.grad((KWinnersTakeAll(0.7)(x) * torch.tensor([5.0, 6.0, 7.0])).sum(), [x])
    assert gradient.tolist() == [[5, 0, 7]]


@pytest.mark.parametrize("share", [0.0, -0.1, 1.1])
def test_impossible_shares(share: float) -> None:
    with pytest.raises(ValueError, match="share"):
        KWinnersTakeAll(share)


def test_dropout_stays_on() -> None:
    layer = InferenceDropout(0.25).eval()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        x = torch.ones(1, 40_000)
        once, again = layer(x), layer(x)
    assert not torch.equal(once, again)
    assert once.unique().tolist() == [0.0, pytest.approx(4 / 3)]
    assert abs(float(once.mean()) - 1) < 0.02
    assert torch.equal(InferenceDropout(0.0)(x), x)
    with pytest.raises(ValueError, match="probability"):
        InferenceDropout(1.0)
