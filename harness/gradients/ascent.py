"""How far a kind of gradient led uphill, as measured on the deployed model."""

from dataclasses import dataclass

ASCENDING = 0.8
"""Share of samples on which an honest gradient has to lead uphill."""


@dataclass(frozen=True)
class Ascent:
    """Ten steps along one kind of gradient, judged by the deployed model, beside random steps of equal size."""

    gradient: str
    """The estimator's label."""
    samples: int = 0
    ascended: int = 0
    """Samples whose deployed score rose by more than the mean and one standard deviation of the random rises, or by
    nearly as much as the best of them."""
    rise: float = 0.0
    """Mean rise of the deployed score, in logits."""
    random_rise: float = 0.0
    """The same for the random steps."""
    rises: tuple[float, ...] = ()
    """The rise of each sample."""
    by_twin: int = 0
    """Samples judged by the twin's own scores, because the deployed ones are labels or saturated and do not move."""
    error: str = ""
    """Why the gradient could not be followed."""

    @property
    def leads_uphill(self) -> bool:
        """Whether it does on enough samples."""
        return not self.error and self.ascended >= ASCENDING * self.samples > 0
