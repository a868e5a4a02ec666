"""Plain PGD, as one would attack any model."""

from dataclasses import replace

from ...attacks import AnyAttack
from ...attacks.pgd import PGD
from ...attacks.transfer import Transfer
from ...diagnosis.adaptive_weaker import Generic
from ...errors import NotApplicableError
from ...gradients import Bpda, Exact
from ...pipeline import Pipeline
from ...planner import Step
from ..lab import Lab
from .climb import climbers, shortened

STEPS = 20


def generic(lab: Lab) -> Generic:
    """On the exact gradient of what is deployed, one draw; where stages have none, on the bare model around them."""
    step, config = climbers(lab)[0]
    label, plain, attack = _plain(lab.campaign.pipeline, step)
    rows, everyone = lab.left(), len(lab.campaign.job.x)
    again = lab.attack(shortened(config, STEPS), rows, key="again", step=step)
    tried = lab.attack(attack, rows, key="generic", step=plain)
    return Generic(
        attack=label,
        samples=len(rows),
        standing=len(lab.left(everyone)),
        of=everyone,
        fell=int(tried.fell.sum()),
        again=int(again.fell.sum()),
        only_generic=int((tried.fell & ~again.fell).sum()),
        only_again=int((again.fell & ~tried.fell).sum()),
    )


def _plain(pipeline: Pipeline, step: Step) -> tuple[str, Step, AnyAttack]:
    """The generic attack, what to call it, and its gradient.

    Raises:
        NotApplicableError: the target has no gradient that a generic attack could use.
    """
    if pipeline.no_gradient:
        raise NotApplicableError(f"no generic attack has a gradient: {pipeline.no_gradient}")
    through = Bpda() if pipeline.classifier.info.obstacles else Exact()
    plain = replace(step, gradient=through, draws=1)
    if all(stage.surrogate.kind == "exact" for stage in pipeline.stages):
        return f"PGD of {STEPS} steps on one draw", plain, PGD(steps=STEPS)
    if pipeline.reshaped:
        raise NotApplicableError("a stage has no exact gradient, and the bare model takes no samples as they are")
    return "PGD on the bare model", plain, Transfer(source="twin", steps=STEPS)
