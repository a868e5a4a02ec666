"""Samples that are kept from the evaluation: of the same source, and never one of those that are evaluated."""

import sys
import types
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from robcheck.adapters import load_data, load_held_out
from robcheck.harness.errors import DataError, UsageError

N = 40


def numbered() -> tuple[Any, Any]:
    """Samples that say where they are: pixel 0 holds the position."""
    x = np.full((N, 4), 0.5, dtype=np.float32)
    x[:, 0] = np.arange(N) / N
    return x, np.arange(N) % 3


class Items:
    """A torchvision data set of gray images, one number each."""

    def __init__(self, root: str, train: bool = True, download: bool = False) -> None:
        assert root
        assert not train
        assert not download

    def __len__(self) -> int:
        return N

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return Image.fromarray(np.full((4, 4), 6 * index, np.uint8)), index % 3


@pytest.fixture(params=["arrays", "npz", "folder", "zip", "torchvision", "samples"])
def source(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    x, y = numbered()
    if request.param == "arrays":
        return x, y
    if request.param == "samples":
        return load_data((x, y))
    if request.param == "npz":
        np.savez(tmp_path / "d.npz", x=x, y=y)
        return tmp_path / "d.npz"
    if request.param == "torchvision":
        datasets = types.ModuleType("torchvision.datasets")
        datasets.Items = Items  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "torchvision.datasets", datasets)
        return f"torchvision:Items@{tmp_path}"
    for place in range(N):
        path = tmp_path / "set" / "abc"[place % 3] / f"{place:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((4, 4), 6 * place, np.uint8)).save(path)
    if request.param == "folder":
        return tmp_path / "set"
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for path in sorted((tmp_path / "set").rglob("*.png")):
            archive.write(path, path.relative_to(tmp_path / "set"))
    return tmp_path / "set.zip"


def pixels(found: Any) -> set[bytes]:
    return {sample.numpy().tobytes() for sample in found.x}


@pytest.mark.parametrize("options", [{"samples": 12}, {"samples": 12, "held_out": 20}, {"held_out": 7, "seed": 3}])
def test_no_sample_is_in_both(source: Any, options: dict[str, int]) -> None:
    first, rest = load_data(source, **options), load_held_out(source, **options)  # type: ignore[arg-type]
    assert rest is not None
    assert len(pixels(first)) == len(first)
    assert pixels(first).isdisjoint(pixels(rest))
    assert not set(first.ids.tolist()) & set(rest.ids.tolist())
    assert len(first) == min(options.get("samples", N), N - options.get("held_out", 0))
    assert len(rest) == options.get("held_out", N - len(first))
    everything = load_data(source)
    for part in (first, rest):
        at = torch.searchsorted(everything.ids, part.ids)
        assert torch.equal(part.x, everything.x[at])
        assert torch.equal(part.y, everything.y[at])


def test_what_is_evaluated_does_not_depend_on_what_is_held_out_where_there_is_room(source: Any) -> None:
    plain, beside = load_data(source, samples=10), load_data(source, samples=10, held_out=30)
    assert torch.equal(plain.ids, beside.ids)
    assert len(load_data(source, samples=1000, held_out=30)) == 10, "what has to be held out comes first"


def test_nothing_may_be_left(source: Any) -> None:
    assert load_held_out(source) is None
    assert load_held_out(source, samples=N) is None
    assert load_held_out(source, samples=5, held_out=0) is None
    assert len(load_data(source, samples=N, held_out=0)) == N


def test_more_than_there_is_is_refused(source: Any) -> None:
    for load in (load_data, load_held_out):
        with pytest.raises(DataError, match=f"{N} samples: --held-out {N} leaves none") as caught:
            load(source, held_out=N)
        assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match="held out"):
        load_data(source, held_out=-1)


def test_a_thousand_are_enough() -> None:
    x, y = np.zeros((1500, 4), np.float32), np.zeros(1500, int)
    found = load_held_out((x, y), samples=100)
    assert found is not None
    assert len(found) == 1000


def test_digits_keep_their_split() -> None:
    first, rest = load_data("digits", samples=300), load_held_out("digits", samples=300)
    assert rest is not None
    assert (len(first), len(rest)) == (300, 240)
    assert pixels(first).isdisjoint(pixels(rest))
