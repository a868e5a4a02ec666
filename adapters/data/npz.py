"""Samples from an .npz file, which is read without unpickling anything."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from ...harness.errors import DataError
from ..pytorch.weights import first_line, refuse_bomb, require_file
from .arrays import from_arrays
from .samples import Samples, Wanted

_PAIRS = (("x", "y"), ("images", "labels"), ("data", "labels"), ("data", "target"), ("X", "y"))


def load_npz(path: Path, wanted: Wanted) -> Samples:
    """The samples of x and y (or images and labels, x_test and y_test ...), with class_names if the file has them.

    Raises:
        DataError: the file is damaged, holds Python objects, or lacks the arrays.
    """
    head = require_file(path, DataError)
    if not zipfile.is_zipfile(path):
        what = "a pickle" if head[0] == 0x80 else "one array" if head.startswith(b"\x93NUMPY") else "no zip archive"
        raise DataError(f"{path} is {what}, not an .npz file: write it with numpy.savez(path, x=x, y=y)")
    refuse_bomb(path, DataError)
    try:
        with np.load(path, allow_pickle=False) as file:
            first, second = _pair(file.files, path, wanted.split)
            x, y = file[first], file[second]
            names = tuple(map(str, file["class_names"].ravel())) if "class_names" in file.files else ()
    except DataError:
        raise
    except (ValueError, OSError, EOFError, KeyError, MemoryError, zipfile.BadZipFile, NotImplementedError) as error:
        raise DataError(_reason(path, error)) from error
    return from_arrays(x, y, name=path.name, wanted=wanted, class_names=names)


def _pair(keys: list[str], path: Path, split: str) -> tuple[str, str]:
    for pair in ((f"x_{split}", f"y_{split}"), *_PAIRS):
        if set(pair) <= set(keys):
            return pair
    raise DataError(f"{path} holds {', '.join(sorted(keys)) or 'nothing'}, not x and y: name the arrays x and y")


def _reason(path: Path, error: Any) -> str:
    if "allow_pickle" in str(error):
        return f"{path} holds Python objects, which are never unpickled: save arrays of numbers, of one shape"
    return f"{path} is damaged ({first_line(error)}): write or copy it again"
