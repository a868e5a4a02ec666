"""Streams: same key same draw, any other key another, and draws that look random."""

import math

import pytest
import torch
from scipy import stats
from torch import Tensor

from robcheck.harness.randomness import Stream

IDS = torch.arange(40)
KINDS = ("uniform", "normal", "signs", "integers")


def draw(stream: Stream, kind: str, step: int, shape: tuple[int, ...]) -> Tensor:
    return stream.integers(step, shape, 1000) if kind == "integers" else getattr(stream, kind)(step, shape)


@pytest.mark.parametrize("kind", KINDS)
def test_the_key_decides_everything(kind: str) -> None:
    base = draw(Stream.create(3, "name", IDS), kind, 5, (16,))
    assert torch.equal(base, draw(Stream.create(3, "name", IDS), kind, 5, (16,)))
    others = [
        draw(Stream.create(4, "name", IDS), kind, 5, (16,)),
        draw(Stream.create(3, "names", IDS), kind, 5, (16,)),
        draw(Stream.create(3, "name", IDS), kind, 6, (16,)),
        draw(Stream.create(3, "name", IDS + 40), kind, 5, (16,)),
        draw(Stream.create(3, "name", IDS).child("a"), kind, 5, (16,)),
        draw(Stream.create(3, "name", IDS).child("b"), kind, 5, (16,)),
        draw(Stream.create(3, "name", IDS).child("a").child("b"), kind, 5, (16,)),
        draw(Stream.create(3, "name", IDS).child("b").child("a"), kind, 5, (16,)),
    ]
    for i, one in enumerate([base, *others]):
        for other in others[i:]:
            assert (one != other).any(dim=1).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_sample_draws_the_same_wherever_it_lies(kind: str) -> None:
    stream = Stream.create(0, "batch", IDS)
    whole = draw(stream, kind, 1, (3, 5))
    assert whole.shape == (40, 3, 5)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    assert torch.equal(draw(Stream.create(0, "batch", IDS[order]), kind, 1, (3, 5)), whole[order])
    assert torch.equal(draw(stream.select(order[:7]), kind, 1, (3, 5)), whole[order[:7]])
    mask = IDS % 3 == 0
    assert torch.equal(
        draw(stream.select(mask).child("c"), kind, 1, (3, 5)), draw(stream.child("c"), kind, 1, (3, 5))[mask]
    )
    one = draw(Stream.create(0, "batch", torch.tensor([17])), kind, 1, (3, 5))
    assert torch.equal(one, whole[17:18])


def test_fold_is_sample_major_and_independent() -> None:
    stream = Stream.create(0, "fold", IDS)
    folded = stream.fold(4).uniform(0, (8,)).reshape(40, 4, 8)
    assert torch.equal(stream.select(torch.tensor([9])).fold(4).uniform(0, (8,)), folded[9])
    flat = folded.reshape(160, 8)
    assert len({tuple(row) for row in flat.tolist()}) == 160
    # More draws keep the first ones.
    assert torch.equal(stream.fold(6).uniform(0, (8,)).reshape(40, 6, 8)[:, :4], folded)
    assert not torch.equal(stream.fold(1).uniform(0, (8,)), stream.uniform(0, (8,)))


def test_shapes() -> None:
    stream = Stream.create(0, "shape", IDS[:3])
    assert stream.uniform(0, ()).shape == (3,)
    assert stream.normal(0, (5,)).shape == (3, 5)
    assert stream.normal(0, (1,)).shape == (3, 1)
    assert Stream.create(0, "none", IDS[:0]).uniform(0, (4, 2)).shape == (0, 4, 2)
    assert stream.integers(0, (2,), torch.tensor([5, 1])).dtype == torch.int64
    assert stream.uniform(0, (2,)).dtype == torch.float32


def test_uniform_is_uniform() -> None:
    values = Stream.create(7, "uniform", torch.arange(500)).uniform(2, (400,)).flatten()
    assert values.min() >= 0
    assert values.max() < 1
    counts = torch.histc(values, bins=100, min=0, max=1).numpy()
    assert stats.chisquare(counts).pvalue > 1e-4
    assert stats.kstest(values.numpy()[:20000], "uniform").pvalue > 1e-4
    assert (values * 2**24 == (values * 2**24).round()).all()


def test_the_finest_bits_are_fair() -> None:
    grid = (Stream.create(1, "bits", torch.arange(300)).uniform(0, (300,)).double() * 2**24).long().flatten()
    for bit in range(24):
        ones = int(((grid >> bit) & 1).sum())
        assert abs(ones - len(grid) / 2) < 4.5 * math.sqrt(len(grid) / 4)


def test_uniform_range() -> None:
    values = Stream.create(0, "range", IDS).uniform(0, (500,), -2.0, 6.0)
    assert values.min() >= -2
    assert values.max() < 6
    assert float(values.mean()) == pytest.approx(2, abs=4 * 8 / math.sqrt(12 * 20000))


def test_normal_is_normal() -> None:
    values = Stream.create(9, "normal", torch.arange(300)).normal(0, (301,)).flatten()
    n = len(values)
    assert abs(float(values.mean())) < 4 / math.sqrt(n)
    assert abs(float(values.var()) - 1) < 4 * math.sqrt(2 / n)
    assert abs(float((values**4).mean()) - 3) < 4 * math.sqrt(96 / n)
    assert stats.kstest(values.numpy()[:30000], "norm").pvalue > 1e-4
    # Cosine and sine halves of the same pairs.
    both = Stream.create(9, "pairs", torch.arange(300)).normal(0, (200,))
    assert abs(float((both[:, :100] * both[:, 100:]).mean())) < 4 / math.sqrt(30000)


def test_normal_draws_are_always_finite() -> None:
    """The smallest of 2^24 radii must not be log(0): a data set of photographs draws more than that."""
    stream = Stream.create(0, "x", torch.arange(32))
    for step in range(2):
        assert stream.normal(step, (2**20,)).isfinite().all()


def test_signs_and_integers_are_fair() -> None:
    stream = Stream.create(5, "fair", torch.arange(200))
    signs = stream.signs(0, (200,))
    assert set(signs.unique().tolist()) == {-1.0, 1.0}
    assert abs(float(signs.mean())) < 4 / math.sqrt(40000)
    dice = stream.integers(0, (300,), 6).flatten()
    assert stats.chisquare(torch.bincount(dice, minlength=6).numpy()).pvalue > 1e-4
    assert (stream.integers(0, (50,), 1) == 0).all()
    high = torch.tensor([1, 2, 1000])
    assert (stream.integers(1, (3,), high) < high).all()


@pytest.mark.parametrize("neighbours", ["ids", "steps", "features", "seeds", "folds"])
def test_neighbours_are_not_correlated(neighbours: str) -> None:
    def rows(shift: int) -> Tensor:
        ids = torch.arange(200) + (shift if neighbours == "ids" else 0)
        stream = Stream.create(shift if neighbours == "seeds" else 0, "near", ids)
        if neighbours == "folds":
            stream = stream.fold(2).select(torch.arange(200) * 2 + shift)
        return stream.normal(shift if neighbours == "steps" else 0, (101,))

    a, b = rows(0), rows(1)
    if neighbours == "features":
        a, b = a[:, :-1], a[:, 1:]
    product = (a * b).flatten()
    assert abs(float(product.mean())) < 4.5 / math.sqrt(len(product))
    level = ((a > 0) == (b > 0)).float().mean()
    assert abs(float(level) - 0.5) < 4.5 * 0.5 / math.sqrt(len(product))


def test_torch_generator_is_neither_read_nor_moved() -> None:
    torch.manual_seed(11)
    before = torch.get_rng_state()
    first = [draw(Stream.create(0, "g", IDS), kind, 0, (4,)) for kind in KINDS]
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(12)
    again = [draw(Stream.create(0, "g", IDS), kind, 0, (4,)) for kind in KINDS]
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


def test_draws_stay_what_they_are() -> None:
    """Results are compared between versions: these are the draws of the published construction."""

    def mixed(z: int) -> int:
        z &= 2**64 - 1
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
        return z ^ (z >> 31)

    stream = Stream(torch.tensor([123456789, -5]))
    child = stream.child("name").keys
    from hashlib import sha256

    word = int.from_bytes(sha256(b"name").digest()[:8], "little")
    assert [k % 2**64 for k in child.tolist()] == [mixed(123456789 + word), mixed(-5 + word)]
