"""The reference products by name, and the undefended sibling of each."""

import difflib
from collections.abc import Callable
from dataclasses import dataclass

from ...harness.defenses.bit_depth import BitDepth
from ...harness.defenses.gaussian_noise import GaussianNoise
from ...harness.defenses.jpeg import Jpeg
from ...harness.defenses.median import Median
from ...harness.defenses.random_crop import RandomCrop
from ...harness.defenses.resize_pad import ResizePad
from ...harness.defenses.thermometer import Thermometer
from ...harness.defenses.total_variation import TotalVariation
from ...harness.errors import UsageError
from ...harness.pipeline import Pipeline
from ..device import resolve_device
from .behind import detector, ensemble
from .front import adversarial_transformation, behind, manifold
from .inside import dropout, k_wta
from .workshop import Workshop, one_thread


@dataclass(frozen=True)
class Reference:
    """How one product is made, and for how many epochs its networks are trained."""

    build: Callable[[Workshop], Pipeline]
    epochs: int = 40


REFERENCES: dict[str, Reference] = {
    "bit-depth": Reference(behind(lambda _: BitDepth())),
    "jpeg": Reference(behind(lambda _: Jpeg())),
    "median": Reference(behind(lambda _: Median())),
    "total-variation": Reference(behind(lambda _: TotalVariation(keep=0.7))),
    "resize-pad": Reference(behind(lambda _: ResizePad())),
    "random-crop": Reference(behind(lambda _: RandomCrop(), rule="mean:30")),
    "gaussian-noise": Reference(behind(lambda _: GaussianNoise())),
    "thermometer": Reference(behind(lambda _: Thermometer())),
    "adversarial-transformation": Reference(behind(adversarial_transformation), epochs=25),
    "manifold": Reference(behind(manifold), epochs=30),
    "dropout": Reference(dropout),
    "k-wta": Reference(k_wta),
    "detector": Reference(detector),
    "ensemble": Reference(ensemble),
}


def reference(
    name: str, seed: int = 0, *, device: str = "cpu", progress: Callable[[int], None] = lambda _: None
) -> Pipeline:
    """The product with that defense, trained now, in seconds, on the train split of the digits.

    Every sixth image of that split is kept from training: the detector's threshold is set on those.

    Args:
        seed: of all weights, orders and draws; torch's global generators are left as they were.
        device: where it is to lie; it is trained on one thread of the CPU, so that its weights are always the same.
        progress: called with 1 after every epoch of any network.

    Raises:
        UsageError: there is none of that name.
    """
    recipe = _found(name)
    with one_thread():
        return recipe.build(Workshop(name, recipe.epochs, seed, device, progress))


def sibling(
    name: str, seed: int = 0, *, device: str = "cpu", progress: Callable[[int], None] = lambda _: None
) -> Pipeline:
    """The product without its defense: same architecture, seed, data and recipe, trained and deployed bare.

    Raises:
        UsageError: there is none of that name.
    """
    recipe = _found(name)
    with one_thread():
        return Pipeline(Workshop(f"{name}/undefended", recipe.epochs, seed, device, progress).classifier())


def load_reference(name: str, device: str = "cpu") -> Pipeline:
    """`reference:NAME` as a user asks for it; `NAME/undefended` is its sibling.

    Raises:
        UsageError: there is none of that name.
        DeviceError: the device is not there.
    """
    bare = name.removesuffix("/undefended")
    _found(bare)
    return (reference if bare == name else sibling)(bare, device=resolve_device(device))


def _found(name: str) -> Reference:
    if name not in REFERENCES:
        close = difflib.get_close_matches(name, REFERENCES, n=1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        raise UsageError(f"there is no reference product {name!r}{hint}; there are: {', '.join(REFERENCES)}")
    return REFERENCES[name]
