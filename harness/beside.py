"""Numbers that stand beside the headline: accuracy over the radius, and on the 8-bit pixel grid."""

from .diagnosis.eps_nonmonotone import NAME as RADII
from .diagnosis.eps_nonmonotone import Radii
from .diagnosis.invalid_ae import NAME as GRID
from .diagnosis.invalid_ae import OnGrid
from .evaluation import Evaluated
from .results import CurvePoint, GridRecord
from .statistics import bootstrap, clopper_pearson


def curve(done: Evaluated) -> list[CurvePoint]:
    """Accuracy over the radius on a part of the samples; nothing where it was not measured."""
    found = done.outcomes.get(RADII)
    if not isinstance(found, Radii):
        return []
    return [
        CurvePoint(epsilon=p.epsilon, accuracy=p.standing / found.samples, samples=found.samples) for p in found.points
    ]


def on_grid(done: Evaluated) -> GridRecord | None:
    """The worst case on the 8-bit pixel grid; None where it was not asked for, or is the headline itself."""
    found = done.outcomes.get(GRID)
    if not isinstance(found, OnGrid) or not found.rates:
        return None
    ledger = done.campaign.ledger
    # A point of the grid is a point of the ball: what was found since, or by luck of the draws, holds here too.
    rates = [max(pair) for pair in zip(found.rates, ledger.rates.tolist(), strict=True)]
    n, total, confidence = int(ledger.taken.sum()), sum(rates), done.job.gate.confidence
    unknown = n - len(rates)
    if done.campaign.pipeline.random:
        interval = bootstrap(rates, confidence, unknown=unknown)
    else:
        low = clopper_pearson(total, n, confidence)[0]
        interval = (low, clopper_pearson(min(n, total + unknown), n, confidence)[1])
    return GridRecord(robust_accuracy=total / len(rates), interval=interval, kept=found.kept, breaks=found.breaks)
