"""Are the scores what they are taken for?"""

from ...model_info import ModelInfo
from ...results import Finding
from ..limits import limit
from ..records import Probe
from .unchecked import NOT_ASKED, unchecked

_REMEDY = "Export the logits in front of the softmax; a saturated softmax hides the gradient."


def output_kind(probe: Probe, info: ModelInfo) -> Finding:
    """Probabilities that are taken for logits make saturated losses; labels leave black-box attacks no score."""
    if probe.samples == 0 or probe.looks_like is None:
        return unchecked("OUTPUT_KIND", NOT_ASKED if probe.samples == 0 else "the answers are not finite")
    if info.output == "logits" and probe.looks_like in ("probabilities", "sigmoids", "labels"):
        return _finding(
            "SCORES_ARE_NO_LOGITS",
            f"The scores are taken for logits but look like {probe.looks_like}.",
            _REMEDY,
        )
    if info.twin.available and info.twin.tap and "labels" not in (info.output, probe.looks_like):
        message = f"The scores are {info.output}; gradients start in front of the final {info.twin.tap}."
        return _well(message)
    if "labels" in (info.output, probe.looks_like):
        message = "The model answers with labels alone, so score attacks see nothing between two flips."
        return _finding("LABELS_ONLY", message, "Export the scores in front of the argmax.")
    if info.output == "probabilities":
        message = "The model ends in probabilities; their logarithm is attacked."
        return _finding("OUTPUT_KIND", message, _REMEDY)
    if info.output == "sigmoids":
        message = "The model ends in one probability per class; the logits behind them are attacked."
        return _finding("OUTPUT_KIND", message, "Export the logits in front of the sigmoid.")
    return _well(f"The scores are {info.output}.")


def _finding(code: str, message: str, remedy: str) -> Finding:
    return Finding(code=code, severity=limit(code).severity, message=message, remedy=remedy)


def _well(message: str) -> Finding:
    return Finding(code="OUTPUT_KIND", severity="ok", message=message)
