"""Products whose defense lies inside the network."""

from torch import nn

from ...harness.defenses.dropout import InferenceDropout
from ...harness.defenses.kwta import KWinnersTakeAll
from ...harness.pipeline import Pipeline
from .workshop import Workshop

WINNERS = 0.2
"""Share of the activations that stay, as in the paper's Table 1."""
DROPPED = 0.3


def k_wta(shop: Workshop) -> Pipeline:
    """k-winners-take-all in the place of every ReLU."""
    return Pipeline(shop.classifier(activation=lambda: KWinnersTakeAll(WINNERS)))


def dropout(shop: Workshop) -> Pipeline:
    """Dropout behind every ReLU, on at inference too."""
    layers = shop.classifier(activation=lambda: nn.Sequential(nn.ReLU(), InferenceDropout(DROPPED)))
    return Pipeline(layers, noisy_classifier=True)
