"""Products whose defense lies behind the network: a detector, a vote."""

from ...harness.defenses.detector import BinaryDetector
from ...harness.defenses.ensemble import VotingEnsemble
from ...harness.pipeline import Pipeline
from ...harness.training.detection import train_detector
from .samples import spare, training
from .workshop import Workshop

MEMBERS = 5
REJECTED = 0.05
"""Of clean images that nothing was trained on."""
_RADIUS = 0.3
"""Largest change of a pixel that the detector was trained on."""
_EPOCHS = 20


def detector(shop: Workshop) -> Pipeline:
    """The bare network, and behind it one of the same architecture that looks for adversarial pixels."""
    network = shop.trained(shop.network())
    x, y = training()
    alarm = train_detector(
        shop.network(classes=2),
        network,
        x,
        y,
        eps=_RADIUS,
        pgd_steps=5,
        epochs=_EPOCHS,
        seed=shop.seed,
        track=shop.track,
    )
    behind = BinaryDetector.calibrated(alarm, spare()[0], REJECTED)
    alarm.to(shop.device)
    return Pipeline(shop.wrapped(network), detector=behind)


def ensemble(shop: Workshop) -> Pipeline:
    """Five networks that differ in their seeds and vote."""
    members = tuple(shop.classifier(member=number) for number in range(MEMBERS))
    return Pipeline(VotingEnsemble(members, name=f"reference:{shop.name}"))
