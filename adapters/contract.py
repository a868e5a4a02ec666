"""Stops an evaluation whose clean accuracy says that the stated contract is wrong, and names the one that fits."""

from typing import Any

from torch import Tensor

from ..harness.classifier import Classifier, RejectingClassifier
from ..harness.diagnosis.clean_accuracy import chance_limit
from ..harness.errors import DataError
from ..harness.execution.observer import Observer
from .preprocessing import advice, probe_contract

_SAMPLES = 256
_MARGIN = 0.05
_BEYOND_DOUBT = 0.95
"""A clean accuracy above this needs no other contract to be tried."""


class _ContractObserver:
    """Passes everything on, and looks at the clean accuracy on the way."""

    def __init__(self, inner: Observer, classifier: Classifier, x: Tensor, y: Tensor) -> None:
        self.inner, self.classifier, self.x, self.y = inner, classifier, x, y

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    @property
    def _suspects(self) -> str:
        """The options that may be wrong; a threshold that refuses every answer looks like a wrong range."""
        first = "--reject-above, its direction, " if isinstance(self.classifier, RejectingClassifier) else ""
        return f"{first}--range, --mean/--std, --layout"

    def clean(self, accuracy: float, classes: int, samples: int) -> None:
        """Raises DataError when the clean accuracy is implausibly low: near chance, or another contract does better."""
        better = proposal(self.classifier, self.x, self.y) if accuracy < _BEYOND_DOUBT else None
        if better or accuracy <= chance_limit(classes, samples):
            raise DataError(
                f"the stated contract is implausible: {better}"
                if better
                else f"clean accuracy is implausibly low, {accuracy:.1%} on {samples} samples: "
                f"check {self._suspects} and the order of the labels"
            )
        self.inner.clean(accuracy, classes, samples)


def proposal(classifier: Classifier, x: Tensor, y: Tensor) -> str | None:
    """Another common range, normalisation or layout that fits the first samples x (N, ...) clearly better, if any."""
    forward = getattr(classifier, "own_units", None)
    stated = getattr(classifier, "preprocessing", None)
    if forward is None or stated is None:
        return None
    low, high = classifier.info.bounds
    pixels = (x[:_SAMPLES] - low) / (high - low)
    # Of many contracts tried on few samples, one does better by chance.
    margin = max(_MARGIN, len(pixels) ** -0.5)
    return advice(probe_contract(forward, pixels, y[:_SAMPLES], stated=stated), margin=margin)


def contract_observer(inner: Observer, classifier: Classifier, x: Tensor, y: Tensor) -> Observer:
    """An observer that ends the run with a DataError when the stated contract cannot be right."""
    observer: Observer = _ContractObserver(inner, classifier, x, y)
    return observer
