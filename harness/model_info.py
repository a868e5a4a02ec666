"""What is known about a model before it is attacked."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

OutputKind = Literal["logits", "probabilities", "log-probabilities", "sigmoids", "labels"]
"""`sigmoids` are probabilities of one class each that do not sum to one."""

_SMALLEST_SCORE = 1e-2
_SHARE = 0.05
"""Of samples that are so close to a step that rounding decides."""


class Twin(BaseModel):
    """The differentiable twin of the deployed forward, and how the two were compared."""

    model_config = ConfigDict(frozen=True)

    available: bool
    reason: str = ""
    """Why there is no twin, or what is special about it."""
    tap: str = ""
    """The operator in front of which gradients start, empty for the output itself."""
    floor: float = 0.0
    """Probabilities below this are all the same to the deployed model, so they say nothing about the twin."""
    parity: float | None = None
    """Largest absolute difference of the logits on the samples compared, None before it was measured."""
    scale: float | None = None
    """Largest absolute logit on the same samples."""
    samples: int = 0
    tolerance: float = 1e-4
    """How far the twin may be off, relative to the largest logit: what the number format of the file allows."""
    step: float | None = None
    """One quantisation step of the output, in logits; None where the output is not quantised."""

    def allowed(self, scale: float) -> float:
        """The difference in logits that is rounding, on logits up to `scale`."""
        return max(self.tolerance * scale, 2 * (self.step or 0.0))


class Rejection(BaseModel):
    """The output by which the model refuses to answer, and how its twin was compared."""

    model_config = ConfigDict(frozen=True)

    output: str
    above: float
    """Rejected is what scores above this, in units of the output."""
    unit: Literal["score", "log-odds", "whole"] = "score"
    """What the excess over the threshold is in; log-odds where the score is a sigmoid, whose gradient vanishes."""
    parity: float | None = None
    """Largest absolute difference of the scores (of whole ones: share of samples where they differ) on the samples
    compared, None before it was measured."""
    scale: float | None = None
    """Largest absolute score on the same samples."""
    tolerance: float = 1e-4
    """How far the twin may be off, relative to the largest score."""
    step: float | None = None
    """One quantisation step of the score; None where it is not quantised."""

    def allowed(self, scale: float) -> float:
        """The difference that is rounding, on scores up to `scale`; inside the network numbers are of the size of 1."""
        if self.unit == "whole":
            return _SHARE
        return max(self.tolerance * max(scale, _SMALLEST_SCORE), 2 * (self.step or 0.0))


class ModelInfo(BaseModel):
    """The contract of a classifier: shapes without the batch dimension, pixel bounds, output, provenance."""

    model_config = ConfigDict(frozen=True)

    name: str
    format: Literal["onnx", "torch"]
    input_shape: tuple[int, ...] | None = None
    """Without the batch dimension; None when the file leaves it open."""
    bounds: tuple[float, float] = (0.0, 1.0)
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    classes: int | None = None
    output: OutputKind = "logits"
    batch: int | None = None
    """The batch size that the file insists on, None for any."""
    quantum: float = 0.0
    """The smallest change of a feature, as a share of its range, that shows for certain; 0 where any may."""
    device: str = "cpu"
    provider: str | None = None
    sha256: str | None = None
    opset: int | None = None
    operators: dict[str, int] = {}
    """How often each graph operator occurs."""
    obstacles: dict[str, str] = {}
    """Operators that round, sign, sort, quantise or draw random numbers -> what they do."""
    random_operators: tuple[str, ...] = ()
    """Graph operators that draw random numbers: such a model is random even where two answers agree."""
    gradients_inside: int = 0
    """How many backward passes of its own one forward makes: it optimises while it answers."""
    rewrites_itself: bool = False
    """Whether one forward changes its parameters or buffers."""
    missing_operators: tuple[str, ...] = ()
    """Operators that the twin cannot run."""
    twin: Twin = Twin(available=False)
    rejection: Rejection | None = None
    """None: the model answers every input."""
    trust: Literal["data-only", "executes model code"] = "data-only"
    notes: tuple[str, ...] = ()
