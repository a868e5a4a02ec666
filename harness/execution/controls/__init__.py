"""The control experiments: one file each, listed here once, in the order in which they run."""

from ...diagnosis import CHECKS
from ...trust import ControlLevel
from .broader import broader
from .certificate import certificate
from .control import Control, run_controls
from .frozen_draws import frozen_draws
from .generic import generic
from .grid import grid
from .indicators import indicators
from .losses import losses
from .one_step import one_step
from .planted import planted
from .radii import radii
from .random_points import random_points
from .settings import settings
from .sibling import sibling
from .steps import steps
from .targets import targets
from .toys import toys
from .unbounded import unbounded

CONTROLS: tuple[Control, ...] = (
    Control("one_step", "Does one step break what twenty do not?", one_step),
    Control("steps", "Do more steps still break what the plan left standing?", steps),
    Control("generic", "Does plain PGD break what the plan left standing?", generic),
    Control("frozen", "Does the attack win when nothing is random any more?", frozen_draws),
    Control("sibling", "Does the attack win where there is no defense?", sibling),
    Control("targets", "Does aiming at classes break what the plan left standing?", targets),
    Control("losses", "Does another loss break what the plan left standing?", losses),
    Control("settings", "Does another step size break what the plan left standing?", settings),
    Control("unbounded", "Does the gradient attack succeed when it may do anything?", unbounded),
    Control("toys", "Do the attacks break tiny models that surely break?", toys),
    Control("planted", "Does the plan find adversarial examples that surely are there?", planted),
    Control("indicators", "Was there anything wrong with how the attack failed?", indicators),
    Control("radii", "How does accuracy fall with the radius?", radii),
    Control("random", "Do random points break what every attack left standing?", random_points),
    # Looks at what all the others found, so it stays last.
    Control("grid", "Are the adversarial examples still such on the 8-bit pixel grid?", grid),
    Control("broader", "How does the model do outside of the threat model?", broader, full=True),
    # The last one: it looks at what all others broke.
    Control("certificate", "What is proven, whatever attacks?", certificate),
)


def scheduled(level: ControlLevel) -> tuple[Control, ...]:
    """The experiments that checks declare, and that a suite of this level pays for."""
    if level == "none":
        return ()
    declared = {name for check in CHECKS for name in check.needs}
    return tuple(c for c in CONTROLS if c.name in declared and (level == "full" or not c.full))


__all__ = ["CONTROLS", "Control", "run_controls", "scheduled"]
