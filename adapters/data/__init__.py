"""Labelled samples from a file, a folder, a data set's name, or arrays."""

import difflib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...harness.errors import DataError, UsageError
from ..preprocessing import Layout, Range, checked_range, parse_range
from ..pytorch.weights import require_file
from .arrays import from_arrays
from .samples import NothingLeftError, Samples, Wanted, check_labels, check_shape

__all__ = ["Samples", "check_labels", "check_shape", "from_arrays", "load_data", "load_held_out"]

_FORMS = "digits, an .npz file, a folder or .zip of class folders with images, or torchvision:NAME@FOLDER"


def load_data(
    source: str | Path | tuple[Any, Any] | Samples,
    *,
    samples: int | None = None,
    seed: int = 0,
    shape: Sequence[int] | None = None,
    layout: Layout | None = None,
    value_range: str | Range | None = None,
    split: str = "test",
    resize: tuple[int, int] | None = None,
    classes: int | None = None,
    held_out: int | None = None,
) -> Samples:
    """Labelled samples with pixels in [0, 1].

    Args:
        source: digits, an .npz file, an image folder or a zip of one, torchvision:NAME@FOLDER, or arrays (x, y).
        samples: how many to keep, at most: the first ones of a seeded permutation, in the order of the source.
        shape: the model's input shape without the batch; flat samples or shapes are reshaped to it.
        layout: where the channels of image arrays are, if that cannot be seen: nchw or nhwc.
        value_range: the range of the pixels, such as 0-255; needed where floats leave [0, 1].
        resize: (height, width) for images from files.
        classes: how many classes the model has, to check the labels against.
        held_out: how many samples to leave for `load_held_out`, at least.

    Raises:
        UsageError: an option is wrong.
        DataError: the samples or labels cannot be used; the text names the place.
    """
    wanted = _wanted(
        samples=samples,
        seed=seed,
        shape=shape,
        layout=layout,
        value_range=value_range,
        split=split,
        resize=resize,
        classes=classes,
        held_out=held_out,
    )
    return _load(source, wanted)


def load_held_out(source: str | Path | tuple[Any, Any] | Samples, **options: Any) -> Samples | None:
    """The samples that `load_data` with the same arguments leaves, at most `held_out` of them (1000 unless given).

    None if there are none.

    Raises:
        UsageError: an option is wrong.
        DataError: the samples or labels cannot be used; the text names the place.
    """
    if options.get("held_out") == 0:
        return None
    try:
        return _load(source, replace(_wanted(**options), further=True))
    except NothingLeftError:
        return None


def _wanted(
    *,
    samples: int | None = None,
    shape: Sequence[int] | None = None,
    layout: Layout | None = None,
    value_range: str | Range | None = None,
    held_out: int | None = None,
    **others: Any,
) -> Wanted:
    if samples is not None and samples < 1:
        raise UsageError(f"{samples} samples were asked for: ask for at least one")
    if held_out is not None and held_out < 0:
        raise UsageError(f"{held_out} samples were to be held out: ask for none or more")
    if layout not in (None, "nchw", "nhwc"):
        raise UsageError(f"the layout {layout!r} is unknown: use nchw or nhwc")
    limits = parse_range(value_range) if isinstance(value_range, str) else value_range
    return Wanted(
        samples=samples,
        shape=None if shape is None else tuple(shape),
        layout=layout,
        value_range=None if limits is None else checked_range(limits, "value range"),
        held_out=held_out,
        **others,
    )


def _load(source: str | Path | tuple[Any, Any] | Samples, wanted: Wanted) -> Samples:
    if isinstance(source, Samples):
        found = from_arrays(source.x, source.y, name=source.name, wanted=wanted, class_names=source.class_names)
        return replace(found, ids=source.ids[found.ids], notes=(*source.notes, *found.notes))
    if isinstance(source, tuple):
        if len(source) != 2:
            raise UsageError(f"a tuple of {len(source)} is no data: give (x, y)")
        return from_arrays(source[0], source[1], wanted=wanted)
    return _from_name(str(source), wanted)


def _from_name(text: str, wanted: Wanted) -> Samples:
    if text == "digits":
        from .digits import load_digits

        return load_digits(wanted)
    if text.startswith("torchvision:"):
        from .torchvision_set import load_torchvision

        return load_torchvision(text.removeprefix("torchvision:"), wanted)
    path = Path(text)
    if path.is_dir() or path.suffix.lower() == ".zip":
        from .images import load_images

        return load_images(path, wanted)
    if path.suffix.lower() == ".npz":
        from .npz import load_npz

        return load_npz(path, wanted)
    if difflib.get_close_matches(text, ["digits"]) and not path.exists():
        raise DataError(f"there is no data set {text!r}: did you mean digits?")
    require_file(path, DataError)
    raise DataError(f"{path} is of no known kind (its name ends in {path.suffix or 'nothing'!r}): give {_FORMS}")
