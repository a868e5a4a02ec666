"""A binary detector network behind the classifier.

Source: Metzen et al. 2017, "On detecting adversarial perturbations", section 3. Theirs branches off inside the
classifier; this one looks at the pixels, so that it stands behind any third-party model.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from ..randomness import Stream


@dataclass(frozen=True)
class BinaryDetector:
    """Rejects what a network takes for adversarial: score = d(x) - threshold, differentiable as it is.

    d(x) is the second minus the first output of `network`, pixels (N, ...) -> (N, 2): clean, adversarial.
    """

    network: nn.Module
    threshold: float = 0.0
    share: float | None = None
    """Of held-out clean samples, the share that the threshold was set to reject."""

    random: ClassVar[bool] = False

    @classmethod
    def calibrated(cls, network: nn.Module, x: Tensor, share: float) -> "BinaryDetector":
        """With the threshold that rejects `share` of the clean pixels x (N, ...), which it was not trained on.

        Exactly floor(share * N) of them score above it, fewer only where scores are equal.
        """
        scores = suspicion(network, x).sort(descending=True).values
        return cls(network, float(scores[_rejected(share, len(scores))]), share)

    @property
    def label(self) -> str:
        """As a user reads it."""
        return "detector" if self.share is None else f"detector:share={self.share:g}"

    def score(self, x: Tensor, logits: Tensor, stream: Stream) -> Tensor:  # noqa: ARG002 - pixels alone decide
        """The rejection score (N,) of pixels x (N, ...), rejected above 0."""
        return _difference(self.network(x)) - self.threshold


def suspicion(network: nn.Module, x: Tensor) -> Tensor:
    """How adversarial a detector network finds pixels x (N, ...), (N,) in logits, no gradient."""
    with torch.no_grad():
        return _difference(network(x))


def _difference(outputs: Tensor) -> Tensor:
    return outputs[:, 1] - outputs[:, 0]


def _rejected(share: float, samples: int) -> int:
    if not 0 <= share < 1 or samples == 0:
        raise ValueError(f"no threshold rejects {share} of {samples} samples: give a share from 0 to below 1")
    return min(samples - 1, math.floor(share * samples + 1e-9))
