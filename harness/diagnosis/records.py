"""What the checks judge: plain numbers, gathered by the evaluation."""

from dataclasses import dataclass, field

from ..results import AttackRecord, PlanEntry


@dataclass(frozen=True)
class Probe:
    """What a few questions before the first attack told."""

    samples: int = 0
    difference: float = 0.0
    """Between two answers to the same question: largest L2 distance of normalised logits."""
    batch_difference: float = 0.0
    """The same between a batch and its samples one by one."""
    nan_outputs: int = 0
    parity: float | None = None
    """Largest absolute difference between twin and deployed logits."""
    scale: float = 1.0
    """Largest absolute logit."""
    twin_disagrees: int = 0
    """Samples on which twin and deployed model predict different classes by more than the tolerance."""
    cut_gradient: str = ""
    """Why the twin's output carries no gradient to its input; empty when it does."""
    dead_gradients: int = 0
    """Samples whose margin gradient at a random point of the ball is zero or not finite."""
    gradient_samples: int = 0
    gradient_error: str = ""
    """Why the gradient question failed."""


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
    twin_missing: str
    """Why there is no differentiable twin; empty when there is one."""
    probe: Probe
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
