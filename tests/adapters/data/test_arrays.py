"""Arrays and .npz files to samples."""

import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from robcheck.adapters import load_data
from robcheck.adapters.data import Samples, check_labels, check_shape, from_arrays
from robcheck.adapters.pytorch import weights
from robcheck.harness.errors import DataError, UsageError

RNG = np.random.default_rng(0)
Y = np.arange(6) % 3


def floats(*shape: int) -> Any:
    return RNG.random(shape).astype(np.float32)


def refusal(source: Any, kind: type[Exception] = DataError, **options: Any) -> str:
    """The one sentence with which the data are refused."""
    with pytest.raises(kind) as caught:
        load_data(source, **options)
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_floats_in_the_unit_range_stay_as_they_are() -> None:
    x = floats(6, 3, 8, 8)
    found = from_arrays(x, Y)
    assert isinstance(found, Samples)
    assert np.array_equal(found.x.numpy(), x)
    assert (found.x.dtype, found.y.dtype, found.ids.tolist()) == (torch.float32, torch.int64, list(range(6)))
    assert len(found) == 6
    assert found.sha256 == from_arrays(torch.from_numpy(x), Y.tolist()).sha256 != from_arrays(x, Y[::-1]).sha256
    assert load_data(found).sha256 == found.sha256


def test_bytes_and_named_ranges_are_scaled() -> None:
    x = RNG.integers(0, 256, (6, 3, 8, 8), dtype=np.uint8)
    expected = torch.from_numpy(x).float() / 255
    assert torch.equal(from_arrays(x, Y).x, expected)
    assert torch.equal(load_data((x.astype(np.float64), Y), value_range="0-255").x, expected)
    signed = x.astype(np.float32) / 127.5 - 1
    assert torch.allclose(load_data((signed, Y), value_range=(-1, 1)).x, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (np.full((6, 4), 200.0), "0-255"),
        (np.linspace(-1, 1, 24).reshape(6, 4), "-1-1"),
        (np.linspace(-2, 3, 24).reshape(6, 4), "undo the normalisation"),
        (np.full((6, 4), 12), "0-16"),
        (np.ones((6, 4), dtype=np.uint8), "0-1 or"),
    ],
)
def test_a_range_that_cannot_be_known_is_asked_for(x: Any, words: str) -> None:
    assert words in refusal((x, Y))


def test_pixels_outside_of_the_stated_range_are_refused() -> None:
    x = floats(6, 4)
    x[4, 2] = 1.5
    assert "first in sample 4" in refusal((x, Y), value_range="0-1")


def test_channels_last_are_turned() -> None:
    x = floats(6, 8, 8, 3)
    found = from_arrays(x, Y)
    assert np.array_equal(found.x.numpy(), x.transpose(0, 3, 1, 2))
    assert "channels last" in found.notes[0]
    assert "--layout" in refusal((floats(6, 3, 8, 3), Y))
    assert "--layout" in refusal((floats(6, 7, 8, 9), Y))
    assert load_data((floats(6, 3, 8, 3), Y), layout="nhwc").x.shape == (6, 3, 3, 8)
    assert load_data((floats(6, 3, 8, 3), Y), shape=(3, 8, 3)).x.shape == (6, 3, 8, 3)
    assert load_data((floats(6, 8, 9, 7), Y), shape=(7, 8, 9)).x.shape == (6, 7, 8, 9)


def test_gray_and_flat_samples_take_the_models_shape() -> None:
    gray = floats(6, 4, 4)
    assert from_arrays(gray, Y).x.shape == (6, 1, 4, 4)
    for shape in ((16,), (16, 1), (1, 16), (1, 4, 4)):
        found = load_data((gray, Y), shape=shape)
        assert found.x.shape == (6, *shape)
        assert np.array_equal(found.x.numpy().ravel(), gray.ravel())
    assert load_data((gray.reshape(6, -1), Y), shape=(1, 4, 4)).x.shape == (6, 1, 4, 4)
    assert "the model takes (1, 2, 8)" in refusal((gray, Y), shape=(1, 2, 8))
    assert "the model takes (17,)" in refusal((gray, Y), shape=(17,))


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        (np.zeros((0, 3, 4, 4)), np.zeros(0, int), "no samples"),
        ([], [], "no samples"),
        (np.float32(1), [0], "no samples"),
        (np.zeros((2, 4)), [0, 1, 2], "2 samples but 3 labels"),
        (np.zeros((2, 4)), [0.0, 1.0], "not integers"),
        (np.zeros((2, 4)), np.eye(2, dtype=int), "one-hot"),
        (np.zeros((2, 4)), ["cat", "dog"], "not numbers"),
        (np.zeros((2, 4)), [0, -1], "sample 1 has the label -1"),
        (np.array([[0.1, 0.2], [0.3, np.nan]]), [0, 1], "sample 1 of arrays"),
        (np.array([[np.inf, 0.2], [0.3, 0.1]]), [0, 1], "sample 0 of arrays"),
        ([[0.1, 0.2], [0.3]], [0, 1], "different shapes"),
        (np.zeros(4), [0, 1, 2, 3], "0 dimensions"),
        (np.zeros((2, 1, 1, 1, 1)), [0, 1], "4 dimensions"),
        (np.zeros((2, 4), dtype=complex), [0, 1], "complex128"),
        (np.array([{}, {}]), [0, 1], "object"),
    ],
)
def test_unusable_arrays_are_named(x: Any, y: Any, words: str) -> None:
    assert words in refusal((x, y))


def test_labels_are_checked_against_the_model() -> None:
    text = refusal((np.zeros((3, 4)), [0, 1, 2]), classes=2)
    assert "sample 2 has the label 2, but the model has 2 classes" in text
    assert "count from 0" in text
    check_labels(torch.tensor([0, 1]), 2)
    check_shape(torch.zeros(2, 3, 4, 4), (3, -1, 4))
    assert load_data((np.zeros((2, 4)), [[0], [1]])).y.tolist() == [0, 1]


def test_a_subset_is_seeded_and_in_order() -> None:
    x, y = floats(50, 4), np.arange(50) % 5
    a, b, c = (load_data((x, y), samples=10, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(a.ids, b.ids)
    assert not torch.equal(a.ids, c.ids)
    assert a.ids.tolist() == sorted(set(a.ids.tolist()))
    assert np.array_equal(a.x.numpy(), x[a.ids.numpy()])
    assert len(load_data((x, y), samples=99)) == 50
    again = load_data(a, samples=3)
    assert np.array_equal(again.x.numpy(), x[again.ids.numpy()]), "positions stay those of the first source"
    refusal((x, y), UsageError, samples=0)
    refusal((x, y, y), UsageError)
    refusal((x, y), UsageError, layout="chw")
    refusal((x, y), UsageError, value_range="big")


@pytest.mark.parametrize("keys", [("x", "y"), ("images", "labels"), ("x_test", "y_test"), ("X", "y")])
def test_npz_files(tmp_path: Path, keys: tuple[str, str]) -> None:
    path = tmp_path / "d.npz"
    x = floats(6, 3, 8, 8)
    np.savez(path, **{keys[0]: x, keys[1]: Y, "class_names": np.array(["a", "b", "c"])})
    found = load_data(path)
    assert np.array_equal(found.x.numpy(), x)
    assert (found.name, found.class_names) == ("d.npz", ("a", "b", "c"))


def test_npz_splits(tmp_path: Path) -> None:
    path = tmp_path / "d.npz"
    np.savez(path, x_train=floats(3, 4), y_train=Y[:3], x_test=floats(6, 4), y_test=Y)
    assert len(load_data(path)) == 6
    assert len(load_data(path, split="train")) == 3


class Payload:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        import os

        return os.mkdir, (str(self.marker),)


def test_unusable_npz_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, marker = tmp_path / "d.npz", tmp_path / "marker"
    np.savez(path, x=np.array([Payload(marker)], dtype=object), y=Y[:1])
    assert "never unpickled" in refusal(path)
    path.write_bytes(pickle.dumps(Payload(marker)))
    assert "pickle" in refusal(path)
    assert not marker.exists()
    np.savez(path, a=Y)
    assert "holds a, not x and y" in refusal(path)
    np.savez(path, x=floats(6, 4), y=Y)
    path.write_bytes(path.read_bytes()[:200])
    refusal(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", b"\x93NUMPY\x01\x00 nonsense")
        archive.writestr("y.npy", b"")
    assert "damaged" in refusal(path)
    for data, words in (
        (b"", "empty"),
        (b"version https://git-lfs", "git lfs pull"),
        (b"x,y\n1,2\n", "no zip archive"),
    ):
        path.write_bytes(data)
        assert words in refusal(path)
    np.savez_compressed(path, x=np.zeros((1000, 100)), y=np.zeros(1000, int))
    monkeypatch.setattr(weights, "BOMB_BYTES", 10_000)
    assert "zip bomb" in refusal(path)


def test_unknown_sources(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("1,2\n")
    assert "no known kind" in refusal(tmp_path / "d.csv")
    assert "does not exist" in refusal(tmp_path / "d.npz")
    assert "did you mean digits" in refusal("digit")
