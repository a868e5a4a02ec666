"""What a module returns: where its scores are, and which kind they are."""

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from ...harness.errors import ModelError
from ...harness.model_info import OutputKind
from ..rejection import Declared, check_score, pick

_SUM_TOLERANCE = 1e-5
_HALF_SUM_TOLERANCE = 5e-3
_SMALLEST = torch.finfo(torch.float32).tiny
_ALMOST_ONE = 1 - torch.finfo(torch.float32).eps / 2
"""The largest float32 below one; nearer to one even float64 has few digits left for a logit."""


def output_kind(scores: Tensor, last: str = "") -> OutputKind:
    """What finite scores (N, K) are, to judge by their signs, the sums of their rows and the last operation."""
    tolerance = _HALF_SUM_TOLERANCE if scores.dtype in (torch.float16, torch.bfloat16) else _SUM_TOLERANCE
    scores = scores.double()
    if bool((scores >= 0).all()) and _sum_to_one(scores, tolerance):
        return "labels" if bool((scores.amax(dim=1) == 1).all()) else "probabilities"
    if last == "sigmoid" and bool(((scores >= 0) & (scores <= 1)).all()):
        return "sigmoids"
    if bool((scores <= 0).all()) and _sum_to_one(scores.exp(), tolerance):
        return "log-probabilities"
    return "logits"


def _sum_to_one(rows: Tensor, tolerance: float) -> bool:
    return bool(((rows.sum(dim=1) - 1).abs() <= tolerance).all())


def as_logits(scores: Tensor, kind: OutputKind) -> Tensor:
    """Scores (N, K) of some kind -> (N, K) with the same order and without the saturation of a softmax or sigmoid."""
    if kind == "probabilities":
        return scores.clamp(min=_SMALLEST).log()
    if kind == "sigmoids":
        return scores.clamp(_SMALLEST, _ALMOST_ONE).logit()
    return scores


def checked(scores: Tensor | None, *, samples: int, name: str, classes: int | None) -> Tensor:
    """The scores, if they are (N, K) floats with K >= 2.

    Raises:
        ModelError: they are not, or there are none.
    """
    if scores is None:
        raise ModelError(f"{name} returns no tensor of scores: make it return the logits (N, K)")
    shape = tuple(scores.shape)
    if len(shape) != 2 or shape[0] != samples or shape[1] < 2:
        raise ModelError(
            f"{name} returns {shape} for {samples} samples, not one logit per class: make it return (N, K) "
            "with at least two classes"
        )
    if not scores.is_floating_point():
        raise ModelError(f"{name} returns {scores.dtype} instead of scores: make it return the logits (N, K)")
    if classes not in (None, shape[1]):
        raise ModelError(f"{name} returns {shape[1]} classes where {classes} were expected: check --classes")
    return scores


class Unpacked(NamedTuple):
    """What is inside of a module's return value."""

    scores: Tensor | None
    """Of the classes; None where there is no tensor."""
    rejection: Tensor | None
    """The declared output, as it is."""
    notes: tuple[str, ...]


def unpacked(raw: object, *, samples: int, name: str, wanted: Declared | None = None) -> Unpacked:
    """The scores inside of a module's return value, the declared rejection score, and notes on where they were found.

    Raises:
        UsageError: there is no such output, or it is no number per sample.
    """
    outputs = _outputs(raw, wanted)
    rejection, place = None, None
    if wanted is not None:
        place = _place(outputs, wanted.output)
        rejection = pick(place, outputs, name)
        kind = "" if not isinstance(rejection, Tensor) else _numpy_kind(rejection.dtype)
        check_score(replace(wanted, output=place), outputs, name, samples=samples, kind=kind)
    rest = {key: value for key, value in outputs.items() if key != place and isinstance(value, Tensor)}
    kind = type(raw).__name__
    key = "logits" if "logits" in rest else next(iter(rest), None)
    if isinstance(raw, Tensor) or key is None:
        return Unpacked(None if key is None else rest[key], rejection, ())
    where = "logits were taken out of" if key == "logits" else "first tensor of"
    note = f"the {where} the {kind} that the module returns"
    notes = [note if key == "logits" else f"{note} is taken as its logits"]
    if wanted is None:
        notes += [
            f"the output {other!r} {tuple(value.shape)} may be a rejection score: --reject-output {other}"
            for other, value in rest.items()
            if other != key and _may_reject(value, samples)
        ]
    return Unpacked(rest[key], rejection, tuple(notes))


def _outputs(raw: object, wanted: Declared | None) -> dict[str | int, object]:
    """Everything that a module returns, by key, field or place."""
    if isinstance(raw, Tensor):
        return {0: raw}
    if isinstance(raw, Mapping):
        return {key if isinstance(key, int) else str(key): value for key, value in raw.items()}
    if isinstance(raw, tuple | list):
        return dict(zip(getattr(raw, "_fields", range(len(raw))), raw, strict=True))
    fields = {key: value for key, value in getattr(raw, "__dict__", {}).items() if not key.startswith("_")}
    asked = ["logits", *([] if wanted is None else [str(wanted.output)])]
    return fields | {key: getattr(raw, key) for key in asked if hasattr(raw, key)}


def _place(outputs: Mapping[str | int, object], output: str | int) -> str | int:
    """The key that a name or a number, perhaps counted from the end or written as text, means."""
    if isinstance(output, str) and output not in outputs and output.removeprefix("-").isdigit():
        output = int(output)
    if isinstance(output, int) and output not in outputs and -len(outputs) <= output < len(outputs):
        return list(outputs)[output]
    return output


def _numpy_kind(dtype: torch.dtype) -> str:
    return "b" if dtype == torch.bool else "f" if dtype.is_floating_point else "" if dtype.is_complex else "i"


def _may_reject(value: Tensor, samples: int) -> bool:
    # Whole numbers may well be labels.
    return tuple(value.shape) in ((samples,), (samples, 1)) and _numpy_kind(value.dtype) in ("b", "f")
