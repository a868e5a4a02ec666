"""The nearest point of a hyperplane inside a box, in Linf, L2 and L1, batched and without sorting every feature.

Feature i moves by q_i >= 0 in the one direction that leads to the hyperplane, at most to its wall r_i, and gains
|w_i| q_i; the smallest move whose gains add up to the gap is sought. In Linf it is q_i = min(t, r_i), in L2
min(t |w_i|, r_i), for one number t: the root of a concave piecewise linear function, which Newton's method reaches
exactly after few rounds. In L1 the features with the largest |w_i| move first, and few of them are needed.

Source: Croce and Hein 2020 (FAB), section 2.2 and appendix A, where all features are sorted.
"""

import torch
from torch import Tensor

from ..geometry import Norm, per_sample

_FIRST_LARGEST = 64
"""How many of the largest weights the L1 projection looks at first; four times as many in every further look."""


def project_hyperplane(x: Tensor, w: Tensor, b: Tensor, lower: Tensor, upper: Tensor, norm: Norm) -> Tensor:
    """The smallest delta (N, ...) with w.(x + delta) + b = 0 and lower <= x + delta <= upper.

    Where the hyperplane misses the box, delta leads to the corner closest to the hyperplane; features of weight 0 stay.

    Args:
        x: points in the box (N, ...).
        w: normals of the hyperplanes (N, ...).
        b: their offsets (N,).
        lower: lower corner of the box, broadcasts to x.
        upper: upper corner of the box, broadcasts to x.
        norm: "linf", "l2" or "l1": what is smallest.

    Raises:
        ValueError: another norm.
    """
    wide = w.flatten(1).to(torch.float64)
    gap = (wide * x.flatten(1)).sum(dim=1) + b
    return close_gap(x, w, gap, lower, upper, norm)


def close_gap(x: Tensor, w: Tensor, gap: Tensor, lower: Tensor, upper: Tensor, norm: Norm) -> Tensor:
    """The same for hyperplanes given by what they read at the points, gap = w.x + b, (N,).

    Raises:
        ValueError: the norm is neither Linf, L2 nor L1.
    """
    up = w * per_sample(gap, w) < 0
    room = torch.where(up, upper - x, x - lower).flatten(1).to(torch.float64)
    weight = w.flatten(1).abs().to(torch.float64)
    need = gap.abs().to(torch.float64)[:, None]
    if norm == "linf":
        size = _root(weight, room, weight * room, need) * (weight > 0)
    elif norm == "l2":
        size = _root(weight.square(), room / weight, weight * room, need) * weight
    elif norm == "l1":
        size = _largest_first(weight, room, need)
    else:
        raise ValueError(f"hyperplanes are projected on in linf, l2 and l1, not in {norm}")
    size = torch.minimum(size, room).reshape(x.shape)
    return torch.where(up, size, -size).to(x.dtype)


def _root(slope: Tensor, limit: Tensor, full: Tensor, need: Tensor) -> Tensor:
    """The t (N, 1) at which the features gain what is needed, sum_i min(t slope_i, full_i) = need.

    Feature i is full from t = limit_i on. The sum is concave, so Newton's steps from below stay below and only fill
    more features: where none fills any more, the root is exact. Where all are full, t has passed every limit.
    """
    t = torch.zeros_like(need)
    total = full.sum(dim=1, keepdim=True)
    for _ in range(full.shape[1] + 1):
        free = (limit > t).to(full.dtype)
        rate = (free * slope).sum(dim=1, keepdim=True)
        rest = need - (total - (free * full).sum(dim=1, keepdim=True))
        further = torch.maximum(t, torch.where(rate > 0, rest / rate, t))
        if bool((further == t).all()):
            break
        t = further
    return t


def _largest_first(weight: Tensor, room: Tensor, need: Tensor) -> Tensor:
    """The moves (N, D) that gain what is needed when the features of the largest weights move first."""
    size = torch.zeros_like(room)
    useful = torch.where(room > 0, weight, 0.0)
    left = torch.arange(len(room), device=room.device)
    count = min(_FIRST_LARGEST, room.shape[1])
    while len(left):
        rate, place = useful[left].topk(count, dim=1)
        most = room[left].gather(1, place)
        gains = (rate * most).cumsum(dim=1)
        rest = (need[left] - gains + rate * most).clamp(min=0)
        moved = torch.where(rate > 0, torch.minimum(rest / rate, most), 0.0)
        size[left] = torch.zeros_like(room[left]).scatter_(1, place, moved)
        if count == room.shape[1]:
            break
        left = left[gains[:, -1] < need[left, 0]]
        count = min(4 * count, room.shape[1])
    return size
