"""Digits, image folders, zips of them, and torchvision's data sets."""

import sys
import types
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from robcheck.adapters import load_data
from robcheck.adapters.data.digits import digits
from robcheck.adapters.pytorch import weights
from robcheck.harness.errors import DataError, UsageError


def refusal(source: Any, kind: type[Exception] = DataError, **options: Any) -> str:
    """The one sentence with which the data are refused."""
    with pytest.raises(kind) as caught:
        load_data(source, **options)
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_digits_are_split_once_and_for_all() -> None:
    x, y = digits("test")
    train_x, train_y = digits("train")
    assert x.shape == (540, 1, 8, 8)
    assert len(train_x) == 1257
    assert np.bincount(y).min() >= 52
    assert np.bincount(y).max() <= 55
    seen = {row.tobytes() for row in train_x}
    assert sum(row.tobytes() in seen for row in x) == 0
    found = load_data("digits", shape=(1, 8, 8), classes=10)
    assert np.array_equal(found.x.numpy(), x)
    assert found.class_names[9] == "9"
    assert found.sha256.startswith("88381213fdd7")
    assert len(load_data("digits", split="train", samples=5)) == 5
    refusal("digits", UsageError, split="val")
    assert len(train_y) == len(train_x)


def colour(value: int, size: tuple[int, int] = (5, 4), mode: str = "RGB") -> Image.Image:
    return Image.new(mode, size, value if mode in ("L", "I;16") else (value, 2 * value, 0, 99)[: len(mode)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "set"
    for label, name in enumerate(("dog", "ant")):
        (root / name).mkdir(parents=True)
        for i in range(3):
            colour(10 * label + i).save(root / name / f"{i}.png")
    (root / "ant" / "notes.txt").write_text("hello")
    return root


def zipped(folder: Path, target: Path, prefix: str = "") -> Path:
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, prefix + path.relative_to(folder).as_posix())
    return target


def test_folders_and_zips_give_the_same(folder: Path, tmp_path: Path) -> None:
    found = load_data(folder)
    assert found.class_names == ("ant", "dog")
    assert found.y.tolist() == [0, 0, 0, 1, 1, 1]
    assert found.x.shape == (6, 3, 4, 5)
    assert torch.allclose(found.x[1, :, 0, 0] * 255, torch.tensor([11.0, 22.0, 0.0]))
    for prefix in ("", "all/", "all/test/"):
        other = load_data(zipped(folder, tmp_path / "set.zip", prefix))
        assert (other.sha256, other.class_names) == (found.sha256, found.class_names)
    part = load_data(folder, samples=2)
    assert len(part) == 2
    assert torch.equal(part.x, found.x[part.ids])


def test_a_split_folder_is_chosen(folder: Path) -> None:
    for split in ("train", "test"):
        (folder.parent / "both" / split).parent.mkdir(exist_ok=True)
    folder.rename(folder.parent / "both" / "test")
    (folder.parent / "both" / "train" / "ant").mkdir(parents=True)
    colour(99).save(folder.parent / "both" / "train" / "ant" / "0.png")
    assert len(load_data(folder.parent / "both")) == 6
    assert load_data(folder.parent / "both", split="train").class_names == ("ant",)


def test_modes_follow_the_model_or_the_majority(folder: Path) -> None:
    assert load_data(folder, shape=(1, 4, 5)).x.shape == (6, 1, 4, 5)
    colour(7, mode="L").save(folder / "ant" / "0.png")
    colour(7, mode="RGBA").save(folder / "ant" / "1.png")
    found = load_data(folder)
    assert found.x.shape[1] == 3
    assert "1 of 6 images were converted to RGB" in found.notes
    assert "the alpha channel of the images was dropped" in found.notes


def test_mixed_sizes_ask_for_a_size(folder: Path) -> None:
    colour(7, size=(6, 6)).save(folder / "dog" / "0.png")
    text = refusal(folder)
    assert "4x5" in text
    assert "6x6" in text
    assert "--resize HxW" in text
    found = load_data(folder, resize=(3, 2))
    assert found.x.shape == (6, 3, 3, 2)
    assert "resized to 3x2" in found.notes[0]


def test_unusable_folders(folder: Path, tmp_path: Path) -> None:
    (folder / "dog" / "0.png").write_bytes(b"no image")
    assert "dog/0.png cannot be read" in refusal(folder)
    (folder / "dog" / "0.png").write_bytes(b"")
    assert "empty" in refusal(folder)
    colour(300, mode="I;16").save(folder / "dog" / "0.png")
    assert "16 bits" in refusal(folder)
    (folder / "dog" / "0.png").unlink()
    colour(1).save(folder / "loose.png")
    assert "outside of a class folder" in refusal(folder)
    (tmp_path / "bare").mkdir()
    assert "no images" in refusal(tmp_path / "bare")


def test_unusable_zips(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "set.zip"
    assert "does not exist" in refusal(path)
    path.write_bytes(b"nothing of the kind")
    assert "no zip archive" in refusal(path)
    for name in ("../evil/0.png", "/evil/0.png"):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(name, b"x")
        assert "points outside" in refusal(path)
    zipped(folder, path)
    data = path.read_bytes()
    at = data.index(b"IDAT")
    path.write_bytes(data[:at] + bytes(4) + data[at + 4 :])
    assert "cannot be read" in refusal(path)
    zipped(folder, path)
    monkeypatch.setattr(weights, "BOMB_BYTES", 10)
    monkeypatch.setattr(weights, "BOMB_RATIO", 0)
    assert "zip bomb" in refusal(path)


class FakeSet:
    """Stands in for a data set class of torchvision."""

    classes = ("a", "b")

    def __init__(self, root: str, train: bool = True, download: bool = False) -> None:
        assert not download
        if not Path(root).exists():
            raise RuntimeError("Dataset not found.\nYou can use download=True")
        self.size = 3 if train else 4

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        return colour(index), index % 2


def test_torchvision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchvision.datasets", None)
    assert "pip install torchvision" in refusal(f"torchvision:CIFAR10@{tmp_path}")
    assert "@FOLDER" in refusal("torchvision:CIFAR10", UsageError)
    datasets = types.ModuleType("torchvision.datasets")
    datasets.CIFAR10 = FakeSet  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torchvision.datasets", datasets)
    found = load_data(f"torchvision:CIFAR10@{tmp_path}", samples=3)
    assert found.x.shape == (3, 3, 4, 5)
    assert (found.class_names, len(found.ids)) == (("a", "b"), 3)
    assert len(load_data(f"torchvision:CIFAR10@{tmp_path}", split="train")) == 3
    assert "did you mean 'CIFAR10'" in refusal(f"torchvision:CIFAR1@{tmp_path}", UsageError)
    assert "Dataset not found" in refusal(f"torchvision:CIFAR10@{tmp_path}/none")
