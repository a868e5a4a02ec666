"""What one evaluation is asked."""

from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor

from ..geometry import Norm
from ..pipeline import Pipeline
from ..request import Request
from ..results import Gate, Result
from ..trust import ControlLevel, Waiver


@dataclass(frozen=True)
class Job:
    """What to evaluate: tensors on the CPU, x (N, ...) in units of the classifier's bounds."""

    pipeline: Pipeline
    x: Tensor
    y: Tensor
    norm: Norm
    eps: Tensor | None
    """Radii (N,) in [0, 1] pixel units; None with a box."""
    requests: list[Request]
    gate: Gate = field(default_factory=Gate)
    box: tuple[Tensor, Tensor] | None = None
    """Lower and upper limits (N, ...) in units of bounds; replaces norm, eps and bounds."""
    targets: Tensor | None = None
    ids: Tensor | None = None
    seed: int = 0
    device: str = "cpu"
    batch: int | None = None
    budget: int | None = None
    """Passes that attacks may spend, all samples together."""
    held_out: Tensor | None = None
    """Other clean samples (M, ...), to set thresholds of rejection by; none of them is evaluated."""
    expected_accuracy: float | None = None
    """What the owner of the model says about its clean accuracy."""
    controls: ControlLevel = "standard"
    """Which control experiments run after the attacks."""
    waivers: tuple[Waiver, ...] = ()
    """Findings that may stand without standing against a PASS."""
    pixel_grid: Literal["none", "8bit"] = "none"
    """8bit: only points on the 8-bit pixel grid count; x lies on it."""
    rounded: int = 0
    """Samples that lay off the grid before."""
    trained_with: str = ""
    """The attack that the model was trained against, as its owner says; empty where nobody said."""
    stop_when_decided: bool = False
    """Take the samples in portions and stop as soon as the gate is decided."""
    baseline: Result | None = None
    """An earlier evaluation of the same samples."""
    labels: dict[str, Any] = field(default_factory=dict)
    """Names for the record: suite, data, class names."""
