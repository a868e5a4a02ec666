"""Twice the steps, and again, until that changes nothing."""

from ...diagnosis.not_converged import CAP, Doubling, Doublings, quiet
from ...planner import Step
from ..lab import Lab
from .climb import Climber, Heights, climbers, everywhere


def steps(lab: Lab) -> Doublings:
    """The plan's longest attack on standing samples; where one fell, the longest run is repeated on all that stand."""
    step, config = _longest(lab)
    rows, everyone = lab.left(), len(lab.campaign.job.x)
    sample, standing, heights = rows, len(lab.left(everyone)), Heights.of(lab, rows)
    first = lab.attack(config, rows, key="again", step=step)
    again = int(first.fell.sum())
    heights, rows = heights.raised(first).select(~first.fell), rows[~first.fell]
    runs: list[Doubling] = []
    factor, start, total = 1, float(heights.climbed) if len(rows) else 1.0, 0.0
    while factor < CAP and len(rows):
        factor *= 2
        config = config.model_copy(update={"steps": config.steps * 2})
        tried = lab.attack(config, rows, key=f"{factor} times the steps", step=step)
        runs.append(Doubling(config.steps, int(tried.fell.sum()), heights.climb(tried)))
        total += runs[-1].climb * float(heights.climbed) / start
        heights, rows = heights.raised(tried).select(~tried.fell), rows[~tried.fell]
        ahead = runs[-1].fell - again
        if quiet(ahead / len(sample) * standing / everyone, runs[-1].climb):
            break
    fell = again + sum(run.fell for run in runs)
    return Doublings(
        attack=step.request.name,
        steps=config.steps // factor,
        samples=len(sample),
        standing=standing,
        of=everyone,
        again=again,
        runs=tuple(runs),
        climb=total,
        everyone=fell > 0 and everywhere(lab, config, step, sample, key="everyone"),
    )


def _longest(lab: Lab) -> tuple[Step, Climber]:
    """Most steps from one start, and of those that have them the one that costs most."""
    return max(climbers(lab), key=lambda found: (found[1].steps, found[0].request.config.most_passes))
