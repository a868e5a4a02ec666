"""What an attack maximises: functions of logits (N, K) that return (N,), larger = more adversarial.

`y` is the true class (N,), `toward` a class to reach (N,). Nothing here sums over the batch.
"""

import torch
from torch import Tensor
from torch.nn import functional

_TINY = 1e-12


def _pick(logits: Tensor, index: Tensor) -> Tensor:
    return logits.gather(1, index[:, None]).squeeze(1)


def _best_other(logits: Tensor, index: Tensor) -> Tensor:
    if logits.shape[1] == 2:
        return _pick(logits, 1 - index)
    others = logits.scatter(1, index[:, None], float("-inf"))
    return others.amax(dim=1)


def ce(logits: Tensor, y: Tensor) -> Tensor:
    """Cross-entropy -log p_y; its gradient dies when p_y rounds to 1."""
    return functional.cross_entropy(logits, y, reduction="none")


def ce_toward(logits: Tensor, toward: Tensor) -> Tensor:
    """log p_t of the class to reach."""
    return -functional.cross_entropy(logits, toward, reduction="none")


def margin(logits: Tensor, y: Tensor) -> Tensor:
    """max_{j != y} z_j - z_y; positive exactly when the prediction is wrong.

    Source: Carlini and Wagner 2017, section V-A (f6, untargeted).
    """
    return _best_other(logits, y) - _pick(logits, y)


def margin_toward(logits: Tensor, toward: Tensor) -> Tensor:
    """z_t - max_{j != t} z_j; positive exactly when class t is predicted."""
    return _pick(logits, toward) - _best_other(logits, toward)


def difference(logits: Tensor, y: Tensor, toward: Tensor) -> Tensor:
    """z_t - z_y, the direction of one wrong class.

    Source: Gowal et al. 2019, "An alternative surrogate loss", section 3.
    """
    return _pick(logits, toward) - _pick(logits, y)


def dlr(logits: Tensor, y: Tensor) -> Tensor:
    """Difference of logits ratio; with fewer than three classes it is constant, so the margin stands in for it.

    Source: Croce and Hein 2020 (AutoAttack), section 4.
    """
    if logits.shape[1] < 3:
        return margin(logits, y)
    top = logits.topk(3, dim=1).values
    return margin(logits, y) / (top[:, 0] - top[:, 2] + _TINY)


def dlr_toward(logits: Tensor, y: Tensor, toward: Tensor) -> Tensor:
    """Targeted DLR -(z_y - z_t) / (z_1 - (z_3 + z_4) / 2); the plain difference with fewer than four classes.

    With three there is no fourth, and z_1 - z_3 would be constant where y is the first and t the last of them.

    Source: Croce and Hein 2020 (AutoAttack), section 4, and its flag for three classes.
    """
    if logits.shape[1] < 4:
        return difference(logits, y, toward)
    top = logits.topk(4, dim=1).values
    scale = top[:, 0] - 0.5 * (top[:, 2] + top[:, 3])
    return difference(logits, y, toward) / (scale + _TINY)


def finite(values: Tensor) -> Tensor:
    """The same values with NaN as -inf: what cannot be measured is never the best."""
    return torch.where(values.isnan(), torch.full_like(values, float("-inf")), values)
