"""Does the target optimise something while it answers?"""

from ..results import Finding
from .limits import limit
from .records import Records

_AROUND = ("unrolled", "reparameterised", "distilled")
"""Gradients that lead through a loop, or around it."""
_NAMED = 3


def optimises(records: Records) -> Finding | None:
    """A loop at inference hides or bends the gradient; what goes through it or around it has to have attacked too.

    Source: AutoAttack's flag for dynamic defenses (Croce et al. 2021, RobustBench), for which it gives but an upper
    bound; reference sheet C4.
    """
    info, stages = records.info, records.optimising
    said = [
        *([f"one forward makes {info.gradients_inside} backward passes"] if info.gradients_inside else []),
        *(["it changes its own weights or buffers"] if info.rewrites_itself else []),
        *([f"stages search while they answer: {', '.join(stages)}"] if stages else []),
    ]
    if not said:
        return None
    around = [a.name for a in records.attacks if a.status == "ok" and _leads_around(a.gradient)]
    allowed = limit("OPTIMISES")
    return Finding(
        code="OPTIMISES",
        severity=allowed.milder if around else allowed.severity,
        message=f"The target optimises at inference ({'; '.join(said)}), so gradient attacks give an upper bound only"
        f"{_by(around)}.",
        measured=info.gradients_inside + int(info.rewrites_itself) + len(stages),
        threshold=allowed.threshold,
        remedy="Attack the unrolled loop (gradient: unrolled), and add transfer and decision-based attacks.",
    )


def _by(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"; attacked through or around it by {', '.join(names[:_NAMED])}{more}" if names else ""


def _leads_around(gradient: str | None) -> bool:
    """Attacks without a gradient of the target, and gradients made for loops."""
    return gradient is None or gradient.startswith(_AROUND)
