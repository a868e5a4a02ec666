"""Numbers and names as a person reads them."""

import math
import re
from collections.abc import Sequence

from ..harness.results import Gate, ThreatRecord

NARROW = "\N{NARROW NO-BREAK SPACE}"
MISSING = "\N{EN DASH}"
_NORMS = {"linf": "L\N{INFINITY}", "l2": "L2", "l1": "L1", "l0": "L0"}
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_DIRECTION = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def clean(text: object) -> str:
    """The text without characters that XML forbids or that reorder what a reader sees."""
    return _DIRECTION.sub("", _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", str(text)))


def percent(fraction: float | None) -> str:
    """0.995 as `99.5 %`; a rate that is not quite 0 or 1 is never rounded to it."""
    if fraction is None or not math.isfinite(fraction):
        return MISSING
    shown = round(100 * fraction, 1)
    if shown >= 100 and fraction < 1:
        return f">{NARROW}99.9{NARROW}%"
    if shown == 0 and fraction > 0:
        return f"<{NARROW}0.1{NARROW}%"
    return f"{shown:.1f}{NARROW}%"


def within(share: float) -> float:
    """A share as a width in per cent that can be drawn: between 0 and 100, 0 where it is not a number."""
    return 100 * min(max(share, 0.0), 1.0) if math.isfinite(share) else 0.0


def capfirst(text: str) -> str:
    """The text with a capital at its start."""
    return text[:1].upper() + text[1:]


def points(difference: float) -> str:
    """A difference of two shares: 0.025 as `+2.5 points`."""
    if not math.isfinite(difference):
        return MISSING
    shown = round(100 * difference, 1)
    sign = "\N{MINUS SIGN}" if shown < 0 else "+" if shown > 0 else ""
    return f"{sign}{abs(shown):.1f} points"


def count(number: int | None) -> str:
    """1234567 as `1,234,567`."""
    return MISSING if number is None else f"{number:,}"


def plural(number: int, one: str, many: str = "") -> str:
    """`1 sample`, `1,000 samples`."""
    return f"{count(number)} {one if number == 1 else many or one + 's'}"


def number(value: float | None) -> str:
    """A measured value with four significant digits, without a tail of zeros."""
    if value is None:
        return MISSING
    if not math.isfinite(value):
        return "not a number" if math.isnan(value) else ("infinite" if value > 0 else "minus infinite")
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return re.sub(r"e([+-])0*", lambda sign: "e" + sign[1].replace("+", ""), f"{value:.4g}")


def rate(total: int, samples: int) -> str:
    """Passes per sample: `1,020`, `3.4`."""
    if samples <= 0:
        return MISSING
    each = total / samples
    return f"{each:,.0f}" if each >= 100 or each == int(each) else f"{each:.1f}"


def duration(seconds: float) -> str:
    """`0.4 s`, `12 s`, `3 min 20 s`, `2 h 05 min`."""
    if not math.isfinite(seconds):
        return MISSING
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def norm(threat: ThreatRecord) -> str:
    """`L2`, or `box` where every feature has its own range."""
    return "box" if threat.box else _NORMS.get(threat.norm.lower(), clean(threat.norm))


def radius(threat: ThreatRecord) -> str:
    """The radius, as k/255 too where it is near one: `8/255 = 0.03137`."""
    if threat.epsilon is None:
        return "one range per feature"
    if isinstance(threat.epsilon, tuple):
        low, high = (number(value) for value in threat.epsilon)
        return low if low == high else f"{low} to {high}, one per sample"
    steps = round(255 * threat.epsilon) if math.isfinite(threat.epsilon) else 0
    near = abs(255 * threat.epsilon - steps) < 0.01 if steps else False
    if near and steps < 255 and threat.norm.lower() in {"linf", "l2"}:
        return f"{steps}/255 = {number(threat.epsilon)}"
    return number(threat.epsilon)


def interval(bounds: Sequence[float]) -> str:
    """`41.2 % to 47.5 %`."""
    return f"{percent(bounds[0])} to {percent(bounds[1])}"


def gate(held: Gate) -> str:
    """The least robust accuracy that passes, in words."""
    if held.min_robust_accuracy is None:
        return "no gate"
    return f"at least {percent(held.min_robust_accuracy)}"


def held_against(held: Gate) -> str:
    """Which number the gate was held against."""
    if held.min_robust_accuracy is None:
        return "the number stands alone"
    if held.on == "point":
        return "held against the measured value"
    return f"held against the {100 * held.confidence:.4g}{NARROW}% interval"
