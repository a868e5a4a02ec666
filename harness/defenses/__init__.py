"""Reference defenses: one file each, listed here; `name:key=value,key=value` makes one."""

import difflib
from typing import Any

from pydantic import ValidationError

from ..errors import UsageError
from ..stage import Stage
from .adversarial_transformation import AdversarialTransformation
from .bit_depth import BitDepth
from .gaussian_noise import GaussianNoise
from .jpeg import Jpeg
from .manifold import Manifold
from .median import Median
from .random_crop import RandomCrop
from .resize_pad import ResizePad
from .spec import FrontStage
from .thermometer import Thermometer
from .total_variation import TotalVariation

DEFENSES: dict[str, type[FrontStage]] = {
    "jpeg": Jpeg,
    "bit-depth": BitDepth,
    "median": Median,
    "total-variation": TotalVariation,
    "resize-pad": ResizePad,
    "random-crop": RandomCrop,
    "gaussian-noise": GaussianNoise,
    "thermometer": Thermometer,
}

WITH_NETWORK: dict[str, type[FrontStage]] = {
    "adversarial-transformation": AdversarialTransformation,
    "manifold": Manifold,
}
"""Stages that hold a network of the user's: made in Python, not from a text."""


def parse_defense(text: str) -> Stage:
    """The defense that `name:key=value,key=value` describes.

    Raises:
        UsageError: unknown name or key, a value out of range, or a defense that needs a network.
    """
    name, _, rest = text.partition(":")
    if name in WITH_NETWORK:
        made = WITH_NETWORK[name].__name__
        raise UsageError(
            f"defense {name!r} holds a network of yours, which no text can name; in Python, give "
            f"robcheck.evaluate(..., defenses=[{made}(...)]), from robcheck.harness.defenses import {made}"
        )
    if name not in DEFENSES:
        close = difflib.get_close_matches(name, DEFENSES, n=1)
        hint = f", did you mean {close[0]!r}?" if close else ""
        raise UsageError(f"defense {name!r} is not known{hint}; known are {', '.join(DEFENSES)}")
    values: dict[str, Any] = {}
    for part in filter(None, rest.split(",")):
        key, equals, value = part.partition("=")
        if not equals:
            raise UsageError(f"defense {text!r}: {part!r} is no key=value pair")
        if key.strip() in values:
            raise UsageError(f"defense {text!r}: {key.strip()!r} occurs twice")
        values[key.strip()] = _number(value.strip(), text)
    try:
        return DEFENSES[name].model_validate(values)
    except ValidationError as error:
        problem = error.errors()[0]
        valid = ", ".join(k for k in DEFENSES[name].model_fields if k != "defense")
        message = problem["msg"][0].lower() + problem["msg"][1:]
        raise UsageError(
            f"defense {text!r}: {'.'.join(map(str, problem['loc']))}: {message}; keys are {valid}"
        ) from None


def _number(value: str, text: str) -> int | float:
    try:
        return int(value)
    except ValueError:
        pass
    try:
        over, slash, under = value.partition("/")
        return float(over) / (float(under) if slash else 1.0)
    except (ValueError, ZeroDivisionError):
        raise UsageError(f"defense {text!r}: {value!r} is not a number") from None
