"""What is known of the truth from both sides: proven, attacked, and attacked on the 8-bit pixel grid."""

from ..harness.results import CertifiedRecord, Result
from .wording import NARROW, count, interval, number, percent, plural

AT_MOST = "\N{LESS-THAN OR EQUAL TO}"


def on_grid(result: Result) -> bool:
    """Whether the headline itself counts only points on the 8-bit pixel grid."""
    return result.threat.pixel_grid == "8bit"


def proven(result: Result) -> CertifiedRecord | None:
    """The certificate, where it holds: none was made, none is contradicted, of at least one sample."""
    found = result.certified
    return found if found is not None and found.samples > 0 and not found.contradicted else None


def proven_samples(result: Result) -> int:
    """How many samples are proven, where every sample was asked; else 0."""
    found = proven(result)
    if found is None or found.samples != len(result.samples):
        return 0
    standing = sum(sample.outcome == "survived" for sample in result.samples)
    return min(standing, round(found.accuracy * found.samples)) if found.accuracy >= 0 else 0


def certified_words(result: Result) -> str:
    """The lower bound in a sentence; empty where nobody asked for one."""
    found = result.certified
    if found is None:
        return ""
    if found.contradicted:
        return (
            f"the proof is void: an attack broke {plural(found.contradicted, 'sample')} that interval bounds had proven"
        )
    if found.accuracy == 0:
        return f"interval bounds prove none of {plural(found.samples, 'sample')}"
    part = "" if found.samples == len(result.samples) else f", on {plural(found.samples, 'sample')}"
    proved, attacked = percent(found.accuracy), percent(result.robust_accuracy)
    return f"proven {proved} {AT_MOST} truth {AT_MOST} attacked {attacked}{part}"


def grid_words(result: Result) -> str:
    """How many breaks are breaks on the 8-bit pixel grid; empty where the samples are no images."""
    found = result.grid
    if found is None:
        return ""
    held = f"{count(found.kept)} of {plural(found.breaks, 'break')} hold there"
    return f"{number(100 * result.gate.confidence)}{NARROW}% interval {interval(found.interval)}; {held}"
