"""Products with a stage in front of the network, which is trained and deployed behind it."""

from collections.abc import Callable

import torch
from torch import Tensor

from ...harness.defenses.adversarial_transformation import AdversarialTransformation
from ...harness.defenses.manifold import Manifold
from ...harness.pipeline import Pipeline
from ...harness.randomness import Stream
from ...harness.rule import Rule
from ...harness.stage import Stage
from ...harness.training.decoder import train_decoder
from .samples import spare, training
from .workshop import Workshop

_RADIUS = 0.2
"""Of the PGD points that the external network is trained on; the paper finds an adversarially trained one the best."""
_EXTERNAL = 100
"""Apart from the seeds of an ensemble's members."""
_CODE = 16
_DECODER_EPOCHS = 60


def behind(make: Callable[[Workshop], Stage], rule: str = "single") -> Callable[[Workshop], Pipeline]:
    """How to build a product with one stage."""

    def build(shop: Workshop) -> Pipeline:
        stage = make(shop)
        staged = stage.forward(_one(), Stream.create(0, "channels", torch.zeros(1, dtype=torch.int64)))
        classifier = shop.classifier(stages=(stage,), channels=staged.shape[1])
        return Pipeline(classifier, (stage,), rule=Rule.parse(rule))

    return build


def adversarial_transformation(shop: Workshop) -> Stage:
    """With an external network of the same architecture and another seed, trained on PGD points."""
    network = shop.network(member=_EXTERNAL)
    return AdversarialTransformation(network=shop.trained(network, member=_EXTERNAL, eps=_RADIUS, batch=64))


def manifold(shop: Workshop) -> Stage:
    """With the decoder of an autoencoder, and a search that is short but as close as a long one."""
    decoder = train_decoder(training()[0], _CODE, epochs=_DECODER_EPOCHS, seed=shop.seed, track=shop.track)
    return Manifold(decoder=decoder, size=_CODE, steps=30, starts=2, rate=30.0)


def _one() -> Tensor:
    return spare()[0][:1]
