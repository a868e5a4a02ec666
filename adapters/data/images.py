"""Samples from a folder of class folders with images, or from a zip archive of one, which is read in memory."""

import io
import warnings
import zipfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from PIL import Image

from ...harness.errors import DataError
from ..pytorch.weights import first_line, refuse_bomb, require_file
from .arrays import from_arrays
from .samples import Samples, Wanted, chosen

_ENDINGS = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".ppm", ".pgm", ".tif", ".tiff"}
_GRAY = {"1", "L", "LA"}
_DEEP = {"I", "F"}
_SPLITS = {"train", "test", "val", "valid", "validation"}
_MOST_PIXELS = 50_000_000
_MOST_BYTES = 1 << 30


class Entry(NamedTuple):
    """An image file, by its path in the source, and its class folder."""

    path: PurePosixPath
    label: str


def load_images(path: Path, wanted: Wanted) -> Samples:
    """The images (N, C, H, W) of a folder or zip; the sorted names of the class folders are the labels.

    Raises:
        DataError: there are no class folders or images, or they are damaged, of mixed sizes or of 16 bits per channel.
    """
    source: _Source = _Folder(path) if path.is_dir() else _Zip(path)
    with closing(source):
        entries, names = _classified(source.files(), path, wanted.split)
        ids = chosen(len(entries), wanted)
        used = [entries[i] for i in ids]
        images = [_opened(source.read(entry.path), entry.path, wanted.resize) for entry in used]
    notes: list[str] = []
    mode = _mode([image.mode for image in images], wanted.shape, notes)
    _same_size(images, used)
    pixels = np.stack([np.asarray(image.convert(mode)) for image in images])
    labels = np.array([names.index(entry.label) for entry in used])
    return _named(pixels, labels, ids, path, names, notes, wanted)


def _named(
    pixels: Any, labels: Any, ids: Any, path: Path, names: tuple[str, ...], notes: list[str], wanted: Wanted
) -> Samples:
    plain = replace(wanted.every(), layout=None if pixels.ndim == 3 else "nhwc", value_range=(0.0, 255.0))
    found = from_arrays(pixels, labels, name=path.name, wanted=plain, class_names=names)
    if wanted.resize is not None:
        notes.append(f"the images were resized to {wanted.resize[0]}x{wanted.resize[1]} (bilinear)")
    return replace(found, ids=torch.from_numpy(ids), notes=(*notes, *found.notes))


class _Source(Protocol):
    """Where image files come from, by relative paths."""

    def files(self) -> list[PurePosixPath]: ...

    def read(self, path: PurePosixPath) -> bytes: ...

    def close(self) -> None: ...


class _Folder:
    def __init__(self, root: Path) -> None:
        self._root = root

    def files(self) -> list[PurePosixPath]:
        found = (path for path in self._root.rglob("*") if path.is_file())
        return [PurePosixPath(path.relative_to(self._root).as_posix()) for path in found]

    def read(self, path: PurePosixPath) -> bytes:
        require_file(self._root / path, DataError)
        return (self._root / path).read_bytes()

    def close(self) -> None:
        """A folder holds nothing open."""


class _Zip:
    def __init__(self, path: Path) -> None:
        require_file(path, DataError)
        if not zipfile.is_zipfile(path):
            raise DataError(f"{path} is no zip archive: give a zip of class folders with images")
        refuse_bomb(path, DataError)
        self._path = path
        self._archive = zipfile.ZipFile(path)

    def close(self) -> None:
        self._archive.close()

    def files(self) -> list[PurePosixPath]:
        found = [PurePosixPath(entry.filename) for entry in self._archive.infolist() if not entry.is_dir()]
        for path in found:
            if path.is_absolute() or ".." in path.parts:
                self._archive.close()
                raise DataError(f"{self._path} has the entry {path}, which points outside of it: get it from elsewhere")
        return found

    def read(self, path: PurePosixPath) -> bytes:
        entry = self._archive.getinfo(str(path))
        if entry.file_size > _MOST_BYTES:
            raise DataError(f"{path} would unpack to {entry.file_size / 2**30:.1f} GiB: it is no ordinary image")
        try:
            return self._archive.read(entry)
        except (zipfile.BadZipFile, OSError, EOFError, RuntimeError, NotImplementedError, ValueError) as error:
            raise DataError(
                f"{path} in {self._path} cannot be read ({first_line(error)}): write the zip again"
            ) from error


def _classified(files: Sequence[PurePosixPath], where: Path, split: str) -> tuple[list[Entry], tuple[str, ...]]:
    """The images sorted by class and name, without a folder that holds everything, and the sorted class names."""
    plain = [path for path in files if not any(part.startswith((".", "__MACOSX")) for part in path.parts)]
    images = sorted((path for path in plain if path.suffix.lower() in _ENDINGS), key=lambda path: path.parts)
    depth = 0
    while images and min(len(path.parts) for path in images) > depth + 2:
        tops = {path.parts[depth] for path in images}
        if len(tops) > 1 and split in tops and tops <= _SPLITS:
            images = [path for path in images if path.parts[depth] == split]
        elif len(tops) > 1:
            break
        depth += 1
    if not images:
        raise DataError(f"{where} has no images ({', '.join(sorted(_ENDINGS))}): give a folder of class folders")
    loose = next((path for path in images if len(path.parts) < depth + 2), None)
    if loose is not None:
        raise DataError(
            f"{where} has the image {loose} outside of a class folder: put every image into class/image.png"
        )
    entries = [Entry(path, path.parts[depth]) for path in images]
    return entries, tuple(sorted({entry.label for entry in entries}))


def _opened(data: bytes, path: PurePosixPath, resize: tuple[int, int] | None) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image: Image.Image = Image.open(io.BytesIO(data))
            if image.width * image.height > _MOST_PIXELS:
                raise DataError(f"the image {path} has {image.width}x{image.height} pixels: make it smaller first")
            image.load()
            if image.mode.split(";")[0] in _DEEP:
                raise DataError(f"the image {path} has 16 bits or floats per channel: convert it to 8 bits first")
            image = image.convert("RGBA" if "A" in image.mode else "RGB") if image.mode in ("P", "PA") else image
            return image if resize is None else image.resize((resize[1], resize[0]), Image.Resampling.BILINEAR)
    except DataError:
        raise
    except Exception as error:  # a damaged image may raise anything
        raise DataError(f"the image {path} cannot be read ({first_line(error)}): repair or remove it") from error


def _mode(modes: list[str], shape: tuple[int, ...] | None, notes: list[str]) -> str:
    """ "L" or "RGB": what the model takes, else what most images are."""
    gray = sum(mode in _GRAY for mode in modes)
    mode = "L" if 2 * gray > len(modes) else "RGB"
    if shape is not None and len(shape) == 3 and shape[0] in (1, 3):
        mode = "L" if shape[0] == 1 else "RGB"
    changed = len(modes) - gray if mode == "L" else gray
    if changed:
        notes.append(f"{changed} of {len(modes)} images were converted to {'gray' if mode == 'L' else 'RGB'}")
    if any("A" in each for each in modes):
        notes.append("the alpha channel of the images was dropped")
    return mode


def _same_size(images: list[Image.Image], entries: list[Entry]) -> None:
    first = images[0].size
    for image, entry in zip(images, entries, strict=True):
        if image.size != first:
            raise DataError(
                f"the images differ in size ({entries[0].path} is {first[1]}x{first[0]}, {entry.path} is "
                f"{image.height}x{image.width}): say --resize HxW"
            )
