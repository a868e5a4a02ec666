"""The threat model of an evaluation beside its data, for the check that asks whether they fit."""

from ..diagnosis.claim import Claim
from .campaign import Campaign

_CHANNELS = (1, 3, 4)
_LEVELS = 255
_ROUNDED = 1e-3
"""Of a level: what float32 and a change of range leave of a whole number."""


def claim_of(campaign: Campaign) -> Claim:
    """Norm, radii and pixels, in [0, 1] units of the model's bounds."""
    job, z = campaign.job, campaign.ball.x
    shape = tuple(z.shape[1:])
    image = len(shape) == 3 and shape[0] in _CHANNELS and job.box is None
    levels = z.double() * _LEVELS
    return Claim(
        norm=job.norm,
        radii=None if job.eps is None or job.box is not None else (float(job.eps.min()), float(job.eps.max())),
        features=z[0].numel(),
        image=image,
        channels=shape[0] if image else 0,
        low=float(z.min()),
        high=float(z.max()),
        grid=bool(((levels - levels.round()).abs() <= _ROUNDED).all()),
        grid_only=job.pixel_grid == "8bit",
    )
