"""What the checks judge: plain numbers, gathered by the evaluation."""

from dataclasses import dataclass, field

from ..gradients.ascent import Ascent, GradientName
from ..model_info import ModelInfo, OutputKind
from ..results import AttackRecord, PlanEntry

DIFFERENCE = 1e-4
"""Largest L2 distance of normalised outputs that is one answer. Source: AutoAttack, flag for randomised models."""


@dataclass(frozen=True)
class Probe:
    """What a few questions before the first attack told."""

    samples: int = 0
    difference: float = 0.0
    """Between two answers to the same question: largest L2 distance of normalised logits."""
    random: bool = False
    """Whether two answers differed, or the graph holds operators that draw random numbers."""
    batch_difference: float = 0.0
    """The same between a batch and its samples one by one."""
    nan_outputs: int = 0
    infinite_outputs: int = 0
    """Samples with an infinite score and no NaN."""
    looks_like: OutputKind | None = None
    """What kind of output the answers seem to be."""
    parity: float | None = None
    """Largest absolute difference between twin and deployed logits; of their means where the model is random."""
    excess: float = 0.0
    """The same less what chance explains; equal where nothing is random."""
    scale: float = 1.0
    """Largest absolute logit."""
    twin_disagrees: int = 0
    """Samples on which twin and deployed model predict different classes by more than the tolerance."""
    one_sided_noise: str = ""
    """Which of the two is random while the other is not; empty when they agree on that."""
    twin_error: str = ""
    """Why the twin could not be compared."""
    no_gradient: str = ""
    """Why there is no differentiable twin; empty when there is one."""
    cut_gradient: str = ""
    """Why no kind of twin has an output with a gradient to its input; empty when one does."""
    dead_gradients: int = 0
    """Samples whose margin gradient at a random point of the ball is zero or not finite."""
    gradient_samples: int = 0
    gradient_error: str = ""
    """Why the gradient question failed."""
    slope_errors: tuple[float, ...] = ()
    """Per sample, the relative error of the float64 gradient against central differences, at the best step."""
    slopes_unchecked: str = "the model offers no twin in float64"
    """Why there are no slope errors."""
    ascents: tuple[Ascent, ...] = ()
    """Every kind of gradient that was tried."""
    used: tuple[GradientName, ...] = ()
    """The kinds that the plan uses."""
    accuracy: float = 0.0
    accuracy_samples: int = 0
    expected_accuracy: float | None = None


@dataclass(frozen=True)
class Unbounded:
    """The attack with the whole box to move in, which has to succeed."""

    samples: int
    survived: int


@dataclass(frozen=True)
class Records:
    """Everything that a check may look at."""

    samples: int
    evaluated: int
    classes: int
    clean_accuracy: float
    probe: Probe
    info: ModelInfo
    plan: list[PlanEntry] = field(default_factory=list)
    attacks: list[AttackRecord] = field(default_factory=list)
    broken: int = 0
    blackbox_only: int = 0
    """Samples that fell to a black-box attack after every gradient attack had failed on them."""
    unbounded: Unbounded | None = None
    complete: bool = True
    zero_radii: int = 0
    """Samples whose ball is a single point."""
    drift: float = 0.0
    """Between the first samples' answers before and after the attacks, as `Probe.difference`."""
