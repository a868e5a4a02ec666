"""Whether the sign of a slope depends on how long the step is: a shattered landscape has no slope worth following.

Source: Athalye, Carlini and Wagner 2018, section 3.1 (shattered gradients); Pintor et al. 2022, indicator 2.
"""

from dataclasses import dataclass
from itertools import combinations

import torch
from torch import Tensor

from ..randomness import Stream
from .asking import NUMBERS, Ask, ends

SIZES = (1e-4, 1e-3, 1e-2, 1e-1)
"""Steps in [0, 1] pixel units."""
STABLE = 0.8
"""Share of agreeing signs below which a landscape is shattered; chance alone gives one half."""
_ROUNDING = 4e-6
"""Of the largest answer: rises below it may be float32 rounding and have no sign."""
_GROUPS = 512


@dataclass(frozen=True)
class Stability:
    """Signs of central differences at several step sizes, over samples and places."""

    sizes: tuple[float, ...]
    pairs: dict[tuple[float, float], float]
    """For every two sizes the share of places where both signs are the same; NaN where nothing could be compared."""
    overall: float
    """The same over all pairs; NaN where no difference was clear of rounding."""
    measured: float
    """Share of the differences that were clear of rounding: a low one tells of flat ground, as between two levels."""
    queries: int
    """Answers that this took per sample."""

    @property
    def shattered(self) -> bool:
        """Whether signs are so unstable that gradients have to be smoothed."""
        return not self.overall >= STABLE


def sign_stability(ask: Ask, x: Tensor, stream: Stream, *, quantum: float = 0.0, places: int = 32) -> Stability:
    """Compare the signs of differences at x (N, ...) over step sizes; 2 * sizes * places answers per sample.

    A place is one feature; in inputs of more than a thousand, a few random ones that move together by random signs, so
    that the rise is not lost in rounding. `quantum` is the smallest change that surely shows: no step is shorter.
    """
    sizes, moves = step_sizes(quantum), _places(x, stream, places)
    found = torch.stack([_signs(ask, x, size * moves) for size in sizes])
    known = found != 0
    pairs, agreeing, comparable = {}, 0, 0
    for a, b in combinations(range(len(sizes)), 2):
        both = known[a] & known[b]
        same, count = int((both & (found[a] == found[b])).sum()), int(both.sum())
        pairs[sizes[a], sizes[b]] = same / count if count else float("nan")
        agreeing, comparable = agreeing + same, comparable + count
    overall = agreeing / comparable if comparable else float("nan")
    queries = 2 * len(sizes) * moves.shape[1]
    return Stability(sizes, pairs, overall, float(known.double().mean()) if known.numel() else 0.0, queries)


def step_sizes(quantum: float) -> tuple[float, ...]:
    """The sizes that show, the quantum first among them; at least two."""
    if quantum <= SIZES[0]:
        return SIZES
    sizes = (quantum, *(size for size in SIZES if size > quantum))
    return sizes if len(sizes) > 1 else (quantum, 1.5 * quantum)


def _places(x: Tensor, stream: Stream, count: int) -> Tensor:
    """Displacements of size 1 in a few features each, no feature in two of them, (N, M, ...)."""
    features = x[0].numel() if len(x) else 1
    together = max(1, features // _GROUPS)
    count = min(count, features // together)
    order = stream.child("places").uniform(0, (features,)).argsort(dim=1, stable=True)[:, : count * together]
    signs = stream.child("signs").signs(0, (count * together,))
    moves = torch.zeros(len(x), count, features, device=x.device)
    owner = torch.arange(count, device=x.device).repeat_interleave(together)
    rows = torch.arange(len(x), device=x.device)[:, None]
    moves[rows, owner[None], order] = signs
    return moves.reshape(len(x), count, *x.shape[1:])


def _signs(ask: Ask, x: Tensor, moves: Tensor) -> Tensor:
    """The sign of each rise (N, M); 0 where it may be rounding or is no number."""
    width = max(1, NUMBERS // max(1, 2 * x.numel()))
    ahead, behind = [], []
    for block in torch.split(moves, width, dim=1):
        values = ask(torch.cat(ends(x, block), dim=1)).detach()
        ahead.append(values[:, : block.shape[1]])
        behind.append(values[:, block.shape[1] :])
    high, low = torch.cat(ahead, dim=1), torch.cat(behind, dim=1)
    both = torch.cat([high, low], dim=1)
    largest = torch.where(both.isfinite(), both.abs(), 0.0).amax(dim=1, keepdim=True)
    rise = (high - low).nan_to_num(0.0)
    return torch.where(rise.abs() > _ROUNDING * largest.clamp(min=1.0), rise.sign(), 0.0)
