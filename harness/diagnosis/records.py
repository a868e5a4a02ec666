"""What the checks judge: plain numbers, gathered by the evaluation."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

from ..gradients.ascent import Ascent
from ..gradients.stability import Stability
from ..model_info import ModelInfo, OutputKind
from ..results import AttackRecord, PlanEntry, RejectionRecord, ThreatRecord
from ..trust import ControlLevel
from .claim import Claim
from .comparison import Comparison, significant
from .limits import ALIKE, BLIND, UNSEEN
from .outcome import Compared, Outcome

_O = TypeVar("_O", bound=Outcome)


@dataclass(frozen=True)
class LongSteps:
    """A gradient against long steps along the half of the features in which it is small, and along the other half."""

    blind: float
    """Mean square of the rises along the half where it is small, as a share of both."""
    expected: float
    """The same of the rises that the gradient predicts."""
    correlation: float
    """Between predicted and seen rises; 1 at best."""

    @property
    def agrees(self) -> bool:
        """Whether the gradient may be the model's: networks of signs, ranks or two levels come to 0.44, 0.13, 0.38."""
        unseen = self.blind > BLIND and self.blind > UNSEEN * self.expected
        return not unseen and self.correlation >= ALIKE


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
    rejection_parity: float | None = None
    """Largest difference between twin and deployed rejection score; None: the model does not reject."""
    rejection_excess: float = 0.0
    """The same less what chance explains."""
    rejection_scale: float = 1.0
    """Largest absolute rejection score."""
    rejection_slack: float = 0.0
    """`rejection_excess` near the threshold, in units of what is rejected above 0."""
    cut_rejection: bool = False
    """Whether no kind of twin has a rejection score with a gradient to its input."""
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
    """Per sample, the relative error of the exact gradient against central differences, at the best step."""
    slope_limit: float = 0.01
    """The largest error that is none: larger where only float32 could be used."""
    unexplained: int = 0
    """Samples with a wrong slope on which the model is not flat and no stand-in changes the gradient."""
    long_steps: LongSteps | None = None
    """The gradient in use against long steps; None where they were not made."""
    slopes_unchecked: str = "the model offers no twin in float64"
    """Why there are no slope errors."""
    ascents: tuple[Ascent, ...] = ()
    """Every kind of gradient that was tried."""
    escalated: str = ""
    """The gradient that the run went on with where those of the plan led nowhere, if it leads uphill."""
    stability: Stability | None = None
    """Of signs over step sizes, where gradients rest on answers."""
    used: tuple[str, ...] = ()
    """The kinds that the plan uses."""
    accuracy: float = 0.0
    accuracy_samples: int = 0
    expected_accuracy: float | None = None


@dataclass(frozen=True)
class Fit:
    """How well a trained network resembles what an attack uses it for."""

    name: str
    measured: float
    """On held-out samples: share of equal answers, or root mean square error per number."""
    threshold: float
    share: bool
    """A share of equal answers (more is better) rather than an error (less is better)."""

    @property
    def good(self) -> bool:
        """Whether an attack on it can be expected to say something of the target."""
        return self.measured >= self.threshold if self.share else self.measured <= self.threshold

    @property
    def text(self) -> str:
        """What was measured, in words."""
        return (
            f"{self.name}: agrees on {self.measured:.0%} of held-out points"
            if self.share
            else f"{self.name}: held-out error {self.measured:.3g} per number, bad above {self.threshold:.3g}"
        )


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
    outcomes: Mapping[str, Outcome] = field(default_factory=dict)
    """What control experiments brought, by their names."""
    unrun: Mapping[str, str] = field(default_factory=dict)
    """Control experiments that were to run and failed, and why."""
    controls: ControlLevel = "standard"
    trained_with: str = ""
    """The attack that the model was trained against, as its owner says."""
    threat: ThreatRecord | None = None
    complete: bool = True
    zero_radii: int = 0
    """Samples whose ball is a single point."""
    immovable: bool = False
    """Whether these are all of the samples that an attack could have changed."""
    fits: dict[str, Fit] = field(default_factory=dict)
    """Networks that attacks were crafted on, by the label of the gradient that used them."""
    idle_rule: str = ""
    """The declared decision rule, where nothing is random and it changes nothing."""
    rejection: RejectionRecord | None = None
    """Of a target that may refuse to answer."""
    claim: Claim | None = None
    """The threat model beside the data."""
    optimising: tuple[str, ...] = ()
    """Stages in front of the model that search at inference."""
    drift: float = 0.0
    """Between the first samples' answers before and after the attacks, as `Probe.difference`."""

    def outcome(self, kind: type[_O], name: str) -> _O | None:
        """What the experiment of that name brought; None where it did not run."""
        found = self.outcomes.get(name)
        return found if isinstance(found, kind) else None

    @cached_property
    def comparisons(self) -> dict[str, Comparison]:
        """Of all experiments that set two attacks against each other, by their names."""
        return {name: found.comparison for name, found in self.outcomes.items() if isinstance(found, Compared)}

    @cached_property
    def significant(self) -> set[str]:
        """The experiments in which the attack that should be weaker is clearly ahead, after Holm over all of them."""
        return significant(self.comparisons)
