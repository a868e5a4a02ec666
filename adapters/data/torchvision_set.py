"""Samples from a data set of torchvision that lies on the disk already."""

import difflib
import importlib
import inspect
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...harness.errors import DataError, UsageError
from ..pytorch.weights import first_line
from .arrays import from_arrays
from .samples import Samples, Wanted, chosen


def load_torchvision(text: str, wanted: Wanted) -> Samples:
    """The samples of NAME@FOLDER, where NAME is a class of torchvision.datasets; nothing is downloaded.

    Raises:
        UsageError: the folder or the name is wrong.
        DataError: torchvision or the files are missing.
    """
    name, _, root = text.partition("@")
    if not root:
        raise UsageError(f"torchvision:{text} does not say where the files are: write torchvision:{name}@FOLDER")
    try:
        datasets = importlib.import_module("torchvision.datasets")
    except ImportError as error:
        raise DataError(
            f"torchvision:{name} needs torchvision, which is not installed: pip install torchvision"
        ) from error
    kind = getattr(datasets, name, None)
    if not inspect.isclass(kind):
        close = difflib.get_close_matches(name, [word for word in dir(datasets) if word[0].isupper()], n=1)
        raise UsageError(f"torchvision has no data set {name!r}{f' (did you mean {close[0]!r}?)' if close else ''}")
    items = _opened(kind, Path(root), wanted)
    ids = chosen(len(items), wanted)
    pixels, labels = _stacked(items, ids)
    names = tuple(map(str, getattr(items, "classes", ())))
    layout = wanted.layout if pixels.ndim != 4 else "nhwc"
    plain = replace(wanted.every(), layout=layout, value_range=(0.0, 255.0))
    found = from_arrays(pixels, labels, name=f"torchvision:{name}", wanted=plain, class_names=names)
    return replace(found, ids=torch.from_numpy(ids))


def _opened(kind: Any, root: Path, wanted: Wanted) -> Any:
    known = inspect.signature(kind).parameters
    options: dict[str, Any] = {}
    if "train" in known:
        options["train"] = wanted.split == "train"
    elif "split" in known:
        options["split"] = wanted.split
    if "download" in known:
        options["download"] = False
    try:
        return kind(str(root), **options)
    except (RuntimeError, ValueError, OSError, TypeError) as error:
        raise DataError(
            f"torchvision cannot open {kind.__name__} in {root} ({first_line(error)}): put its files there"
        ) from error


def _stacked(items: Any, ids: Any) -> tuple[Any, Any]:
    pixels, labels = [], []
    for index in ids:
        image, label = items[int(index)]
        pixels.append(np.asarray(image))
        labels.append(label)
        if pixels[-1].shape != pixels[0].shape:
            raise DataError(
                f"the images differ in size ({pixels[0].shape}, {pixels[-1].shape}): resize them to one size"
            )
    if not pixels:
        raise DataError("the data set has no samples: check its folder")
    return np.stack(pixels), np.asarray(labels)
