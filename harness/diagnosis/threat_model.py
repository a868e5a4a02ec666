"""Does the claim make sense: norm, radius, box, targets and the range of the data?"""

from collections.abc import Iterator

from ..results import Finding
from ..trust import Severity
from .claim import Claim
from .limits import COLOUR_RADIUS, DIVIDED_TWICE, LEVEL, NARROW_DATA, SHARE_OF_LEVEL, limit
from .records import Records


def threat_model(records: Records) -> list[Finding]:
    """One finding for each thing that does not fit; severe only where no number about the claim could mean anything.

    Source: Carlini et al. 2019, 2.2 (state a threat model that fits the data); reference sheet C2.1.
    """
    claim = records.claim
    if claim is None or records.evaluated == 0:
        return []
    return [*_radius(claim), *_data(claim)]


def _radius(claim: Claim) -> Iterator[Finding]:
    if claim.radii is None:
        return
    allowed, large = limit("THREAT_MODEL"), claim.radii[1]
    unit = "features" if claim.norm == "l0" else "pixel units"
    named = f"{claim.norm} radius {large:.3g}"
    if claim.even >= 1:
        remedy = "Give the radius in [0, 1] pixel units: 8/255, not 8." if claim.norm == "linf" else "Check the radius."
        yield _finding(
            allowed.severity, f"The {named} ({unit}) allows every input there is.", large, claim.whole, remedy
        )
    elif claim.image and claim.even >= allowed.threshold:
        grey = "change half of the features" if claim.norm == "l0" else "turn every image into plain grey"
        message = f"The {named} ({unit}) can {grey}, so little is left that has a class."
        yield _finding(allowed.milder, message, large, allowed.threshold * claim.whole, "Check the radius.")
    elif claim.image and claim.norm == "linf" and claim.channels >= 3 and claim.even > COLOUR_RADIUS:
        message = f"The {named} is large for colour images, where 8/255 is usual; 0.3 is a radius for MNIST."
        yield _finding(allowed.milder, message, large, COLOUR_RADIUS, "Check the radius.")
    if claim.image and claim.norm != "l0" and large > 0:
        yield from _small(claim, large)


def _small(claim: Claim, large: float) -> Iterator[Finding]:
    allowed, remedy = limit("THREAT_MODEL"), "Give the radius in [0, 1] pixel units, divided by 255 once."
    if claim.norm == "linf" and claim.grid_only and large < LEVEL * (1 - SHARE_OF_LEVEL):
        message = f"The radius {large:.3g} is below one of 256 levels, and only such levels count: nothing can move."
        yield _finding(allowed.severity, message, large, LEVEL, remedy)
    elif large < SHARE_OF_LEVEL * LEVEL:
        message = f"The {claim.norm} radius {large:.3g} is next to nothing: less than a tenth of one grey level."
        yield _finding(allowed.severity, message, large, SHARE_OF_LEVEL * LEVEL, remedy)
    elif claim.grid and claim.norm == "linf" and large < LEVEL * (1 - SHARE_OF_LEVEL):
        message = f"The radius {large:.3g} is below one grey level of these 8-bit images, so no image file can show it."
        yield _finding(allowed.milder, message, large, LEVEL, remedy)
    elif claim.norm != "linf" and claim.even < SHARE_OF_LEVEL * LEVEL:
        message = f"The {claim.norm} radius {large:.3g} spread over {claim.features:,} features is next to nothing."
        yield _finding(allowed.milder, message, large, SHARE_OF_LEVEL * LEVEL * claim.whole, remedy)


def _data(claim: Claim) -> Iterator[Finding]:
    if not claim.image:
        return
    allowed, span = limit("THREAT_MODEL"), claim.high - claim.low
    remedy = "Check the range of the samples (--range) and how they were scaled."
    if span <= DIVIDED_TWICE:
        message = f"All pixels lie within {span:.2g} of the claimed range: were they divided by 255 twice?"
        yield _finding(allowed.severity, message, span, DIVIDED_TWICE, remedy)
    elif span < NARROW_DATA:
        message = f"All pixels lie between {claim.low:.2g} and {claim.high:.2g} of the claimed range."
        yield _finding(allowed.milder, message, span, NARROW_DATA, remedy)
    elif claim.low >= allowed.threshold:
        message = "All pixels lie in the upper half of the claimed range: is it that of other samples?"
        yield _finding(allowed.milder, message, claim.low, allowed.threshold, remedy)


def _finding(severity: Severity, message: str, measured: float, threshold: float, remedy: str) -> Finding:
    return Finding(
        code="THREAT_MODEL",
        severity=severity,
        message=message,
        measured=measured,
        threshold=threshold,
        remedy=remedy,
    )
