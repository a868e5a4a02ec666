"""A second output that says when a model refuses to answer, as its user declares it."""

import difflib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..harness.classifier import Forward, GradientKind
from ..harness.errors import UsageError


@dataclass(frozen=True)
class Declared:
    """Where the rejection score is, and the score above which an input is rejected, in units of that output."""

    output: str | int
    above: float

    def excess(self, score: Tensor) -> Tensor:
        """How far a score (N,) is above the threshold, as a float tensor; the sign is exact.

        Of floats the threshold is rounded to their type, as numpy and torch compare; whole numbers and truth values
        become floats.
        """
        if not score.is_floating_point():
            return score.float() - self.above
        wide = score if score.dtype == torch.float64 else score.float()
        return wide - self.rounded(score.dtype)

    def rounded(self, dtype: torch.dtype) -> float:
        """The threshold as a number of this type, or as it is where that type does not reach so far."""
        if not dtype.is_floating_point:
            return self.above
        value = float(torch.tensor(self.above, dtype=torch.float64).to(dtype))
        return value if math.isfinite(value) else self.above


def declared(output: str | int | None, above: float | None) -> Declared | None:
    """What the two options say together; None if neither is given.

    Raises:
        UsageError: one is missing, or the threshold is no finite number.
    """
    if output is None and above is None:
        return None
    if output is None:
        raise UsageError(f"--reject-above {above} needs --reject-output: name the output with the rejection score")
    if above is None:
        raise UsageError(f"--reject-output {output} needs --reject-above: give the score above which it rejects")
    if isinstance(output, bool) or not isinstance(output, str | int):
        raise UsageError(f"--reject-output is {output!r}: give the name or the place of an output")
    if isinstance(above, bool) or not isinstance(above, int | float) or not math.isfinite(above):
        raise UsageError(f"--reject-above is {above}: give a finite number")
    return Declared(output, float(above))


def only_with_stand_ins(score: Callable[[GradientKind], Forward], x: Tensor) -> bool:
    """Whether the score of x (N, ...) has a gradient other than zero with stand-ins and none without."""

    def alive(kind: GradientKind) -> bool:
        with torch.enable_grad():
            point = x.detach().clone().requires_grad_(True)
            value = score(kind)(point).sum()
            gradient = torch.autograd.grad(value, point, allow_unused=True)[0] if value.requires_grad else None
        return gradient is not None and bool(gradient.any())

    try:
        return not alive("exact") and alive("bpda")
    except Exception:  # third-party code; a gradient that fails has findings of its own
        return False


def pick(wanted: str | int, outputs: Mapping[Any, Any], owner: str) -> Any:
    """The output of that name.

    Raises:
        UsageError: there is none; the text names those that there are, and the nearest.
    """
    if wanted in outputs:
        return outputs[wanted]
    names = [name for name in outputs if isinstance(name, str)]
    close = difflib.get_close_matches(str(wanted), names, n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    raise UsageError(f"{owner} has no output {wanted!r}{hint} for --reject-output; it has {listed(outputs)}")


def listed(outputs: Mapping[Any, Any]) -> str:
    """Names and shapes, for people."""
    return ", ".join(f"{name!r} {_shape(value)}" for name, value in outputs.items()) or "none"


def _shape(value: Any) -> str:
    shape = getattr(value, "shape", None)
    return type(value).__name__ if shape is None else str(tuple(shape))


def check_score(wanted: Declared, outputs: Mapping[Any, Any], owner: str, *, samples: int, kind: str) -> None:
    """Do nothing if the output is one number per sample, (N,) or (N, 1); `kind` is its numpy kind.

    Raises:
        UsageError: it is something else, or a truth value that the threshold does not tell apart.
    """
    value = outputs[wanted.output]
    if kind not in "biuf" or tuple(getattr(value, "shape", ())) not in ((samples,), (samples, 1)):
        raise UsageError(
            f"the output {wanted.output!r} of {owner} is no rejection score, which is one number per sample, (N,) or "
            f"(N, 1): of {samples} {'sample' if samples == 1 else 'samples'} it makes {listed(outputs)}"
        )
    if kind == "b" and not 0 <= wanted.above < 1:
        raise UsageError(
            f"the output {wanted.output!r} of {owner} is true or false, so --reject-above {wanted.above:g} would "
            f"reject {'everything' if wanted.above < 0 else 'nothing'}: give 0.5"
        )
