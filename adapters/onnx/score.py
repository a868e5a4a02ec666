"""The output by which a file refuses to answer: which one it is, and the same units for both forwards."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from onnx import ModelProto
from torch import Tensor

from ...harness.errors import ModelError
from ...harness.model_info import Rejection
from ..rejection import Declared, check_score, pick
from .facts.formats import number_format
from .facts.scores import is_verdict, sigmoid_behind
from .outputs import SMALLEST, STEP

SMALLEST_SCORE = 1e-2
"""Scores that are all smaller are compared as if they were this large."""
_SMALLEST_EXCESS = 1e-30


@dataclass(frozen=True)
class Score:
    """An output with one number per sample, and how it becomes an excess over the threshold, rejected above 0."""

    name: str
    declared: Declared
    place: str
    """The tensor that the twin computes: the output, or what a final Sigmoid takes."""
    above: float
    """The threshold in the number type of the output."""
    record: Rejection

    @property
    def odds(self) -> bool:
        """Whether the excess is in log-odds: a detector that is sure has no gradient behind its Sigmoid."""
        return self.record.unit == "log-odds"

    def of_file(self, raw: Tensor) -> Tensor:
        """The output, (N,) or (N, 1), as excess (N,) in float32; above 0 exactly where the output is above."""
        score = raw.reshape(-1)
        if not self.odds:
            return self.declared.excess(score).float()
        chance = score.double()
        excess = torch.logit(chance.clamp(SMALLEST, 1 - STEP)) - self._limit
        # Rounding must not move an answer over the threshold.
        rejected, rest = excess.clamp(min=_SMALLEST_EXCESS), excess.clamp(max=0.0)
        return torch.where(chance > self.above, rejected, rest).float()

    def of_twin(self, score: Tensor) -> Tensor:
        """The numbers (N,) of the tensor at `place` as excess, differentiable."""
        return score - (self._limit if self.odds else self.above)

    @property
    def _limit(self) -> float:
        return float(torch.logit(torch.tensor(self.above, dtype=torch.float64)))


def find_score(
    path: Path, model: ModelProto, wanted: Declared, values: Mapping[str, Any], batch: int
) -> tuple[Score, dict[str, Any]]:
    """The declared output among the values of one batch of every output, and what is left for the class.

    Raises: UsageError, ModelError.
    """
    value = pick(wanted.output, values, str(path))
    kind = value.dtype.kind if isinstance(value, np.ndarray) else ""
    check_score(wanted, values, str(path), samples=batch, kind=kind)
    name = str(wanted.output)
    dtype = torch.from_numpy(np.empty(0, value.dtype)).dtype
    above = wanted.rounded(dtype)
    logit = sigmoid_behind(model, name) if kind == "f" and 0 < above < 1 else None
    found = number_format(model, name)
    record = Rejection(
        output=name,
        above=wanted.above,
        unit="log-odds" if logit is not None else "whole" if kind in "biu" else "score",
        tolerance=found.tolerance,
        step=found.step,
    )
    rest = {other: value for other, value in values.items() if other != name}
    if not rest:
        raise ModelError(f"{path} has no output beside {name!r}, so nothing says the class; export the logits as well")
    return Score(name, wanted, logit or name, above, record), rest


def undeclared(model: ModelProto, values: Mapping[str, Any], chosen: str, batch: int) -> tuple[str, ...]:
    """A note for every other output that could be a rejection score."""

    def could(name: str, value: Any) -> bool:
        if name == chosen or not isinstance(value, np.ndarray) or value.shape not in ((batch,), (batch, 1)):
            return False
        # Whole numbers are labels unless a comparison made them.
        return value.dtype.kind in "bf" or (value.dtype.kind in "iu" and is_verdict(model, name))

    return tuple(
        f"the output {name!r} {value.shape} may be a rejection score: --reject-output {name}"
        for name, value in values.items()
        if could(name, value)
    )
