"""Climbing to answers that are accepted and wrong: losses and gradients for targets that may refuse to answer.

Two terms count, the class term (above 0: wrong) and the acceptance term, the negative rejection score (at least 0:
accepted). They have units of their own, so whatever joins them must not care how either is scaled.
"""

import torch
from torch import Tensor

from .geometry import per_sample
from .losses import difference, margin, margin_toward

_TINY = 1e-30
_SMALLEST = 1e-12
"""What counts as 0 where only the order of magnitude of a term is used."""
_PHASE = 100.0
"""Between the two phases; more than the logarithm of any float32 in units of `_SMALLEST`."""
_BARELY = 0.3
FARTHEST = 1e4
"""Logits beyond this are matched as this: impossible classes have -inf."""


def acceptance(rejection: Tensor) -> Tensor:
    """How far a score (N,) is below the threshold, (N,): a score that is no number is accepted for certain."""
    return torch.where(rejection.isnan(), torch.inf, -rejection)


def penalty(rejection: Tensor) -> Tensor:
    """How far a score (N,) is above the threshold, 0 where it is accepted, (N,)."""
    return torch.where(rejection.isnan(), 0.0, rejection.clamp(min=0))


def reject_class(logits: Tensor, rejection: Tensor, y: Tensor) -> Tensor:
    """max_{j != y} z_j - max(z_y, z_reject), the class to reject being one that must not win; above 0 is a break.

    z_reject = (1 + score) max_j z_j overtakes every class exactly where the score is above 0; for that to hold the
    logits are first shifted so that the smallest is 0.

    Source: Carlini and Wagner 2017, "Adversarial examples are not easily detected", section 3.1 (without the shift).
    """
    return margin(logits, y).minimum(_over_reject(logits, rejection, margin(logits, y)))


def reject_class_toward(logits: Tensor, rejection: Tensor, y: Tensor, toward: Tensor, *, exactly: bool) -> Tensor:
    """The same for one class: z_t - max(z_y, z_reject), or with `exactly` z_t - max(every other class, z_reject)."""
    ahead = margin_toward(logits, toward) if exactly else difference(logits, y, toward)
    top = logits.amax(dim=1)
    behind = logits.gather(1, toward[:, None]).squeeze(1) - top
    return ahead.minimum(behind - _excess(logits, rejection))


def _over_reject(logits: Tensor, rejection: Tensor, lead: Tensor) -> Tensor:
    """The best wrong class less the reject class, where `lead` is the margin (N,)."""
    # The best class is the true one where the margin is below 0: then the best wrong class lies behind by it.
    return lead.clamp(max=0) - _excess(logits, rejection)


def _excess(logits: Tensor, rejection: Tensor) -> Tensor:
    """z_reject - max_j z_j, (N,)."""
    lowest = torch.where(logits.isfinite(), logits, torch.inf).amin(dim=1)
    missing = rejection.isnan()
    score = torch.where(missing, 0.0, rejection)
    return torch.where(missing, -torch.inf, score * (logits.amax(dim=1) - lowest))


def unlikeness(answers: Tensor, guide: Tensor) -> Tensor:
    """Squared distance (N,) of logits or features (N, F) from those of another sample."""
    return (answers.clamp(-FARTHEST, FARTHEST) - guide.clamp(-FARTHEST, FARTHEST)).square().sum(dim=1)


def phased(values: tuple[Tensor, Tensor], gradients: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """First the class, then the score: loss (N,) and gradient (N, ...) of the term whose turn it is.

    The loss rises with its term, and every point that is wrong has a larger one than any that is not.

    Source: Tramer et al. 2020, "On adaptive attacks", and Bryniarski et al. 2022 ("selective" steps).
    """
    wrong, accepted = values
    second = wrong > 0
    loss = torch.where(second, _magnitude(accepted), _magnitude(wrong) - _PHASE)
    return loss, torch.where(per_sample(second, gradients[0]), gradients[1], gradients[0])


def _magnitude(term: Tensor) -> Tensor:
    """A term with its sign, in orders of magnitude: the float32 range fits, whatever the unit."""
    return term.sign() * (1 + term.abs() / _SMALLEST).clamp(max=1e38).log()


def joint(values: tuple[Tensor, Tensor], gradients: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Both at once, scale free: loss (N,) the smaller of the terms' distances, gradient (N, ...) of unit vectors.

    Each term divided by the size of its gradient is the distance, by its slope, from where it is met. The gradient is
    the sum of the unit gradients of the terms that are not met, and of a term that is met by less than `_BARELY` of
    what the other lacks. Of eight ways to join them, on eight kinds of detectors, this one was best or within two
    points of it throughout; the slope of the lesser term alone turns back and forth (77 % robust against 37 % on a
    detector network), both always and projected steps stand still where the terms oppose each other.

    Deviation from the rule max_t min(class, acceptance) with scaled terms: the minimum has one of the two gradients.
    """
    distances, units = _measured(values, gradients)
    lacking = [distance <= 0 if i == 0 else distance < 0 for i, distance in enumerate(distances)]
    total = torch.zeros_like(gradients[0])
    for here, other in ((0, 1), (1, 0)):
        barely = distances[here] < _BARELY * (-distances[other]).clamp(min=0)
        met = ~(lacking[0] | lacking[1])
        counts = lacking[here] | barely | met
        total = total + per_sample(counts.to(total.dtype), total) * units[here]
    return distances[0].minimum(distances[1]), total


def _measured(
    values: tuple[Tensor, Tensor], gradients: tuple[Tensor, Tensor]
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Distances (N,) by the slope, and unit gradients (N, ...); where there is no slope, 0 or an infinite distance."""
    distances, units = [], []
    for value, gradient in zip(values, gradients, strict=True):
        # By the largest first: squares of small and of large numbers leave the range of float32.
        peak = gradient.flatten(1).abs().amax(dim=1).clamp(min=_TINY)
        scaled = gradient / per_sample(peak, gradient)
        size = scaled.flatten(1).norm(dim=1).clamp(min=_TINY)
        distances.append(value / peak / size)
        units.append(scaled / per_sample(size, gradient))
    return (distances[0], distances[1]), (units[0], units[1])
