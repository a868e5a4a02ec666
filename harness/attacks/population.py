"""The population of GenAttack: selection, crossover, mutation, and the plateaus that tame mutation.

Source: Alzantot et al. 2019, "GenAttack", algorithm 1 and its adaptive parameter scaling.
"""

from dataclasses import dataclass, fields
from typing import Any, Protocol

import torch
from torch import Tensor

from ..geometry import per_sample
from ..target import Problem

_FULL_MUTATION = 10
_DECAY = 0.9
# A generation without progress counts towards a plateau of this many, by whether the goal is near.
_NEAR, _NEAR_PLATEAU, _FAR_PLATEAU = -0.4, 100, 300
# The halves of a uniform draw on 2^24 values serve two purposes.
_HALF = 2**12


class Parameters(Protocol):
    """What GenAttack's config says of a population."""

    @property
    def temperature(self) -> float:
        """Of the softmax that picks parents."""
        ...

    @property
    def adaptive(self) -> bool:
        """Whether rate and range fall on plateaus."""
        ...

    @property
    def mutation_rate(self) -> float:
        """Share of mutated features; the floor if adaptive."""
        ...

    @property
    def mutation_range(self) -> float:
        """Largest mutation as a share of eps; the floor if adaptive."""
        ...


@dataclass
class Population:
    """n searches at positions `index` of the whole problem; members (n, P, D), the elite first, scores (n, P)."""

    problem: Problem
    index: Tensor
    low: Tensor
    high: Tensor
    members: Tensor
    scores: Tensor
    best: Tensor
    flat: Tensor
    """Generations without progress, (n,)."""
    plateaus: Tensor

    @classmethod
    def begin(cls, problem: Problem, index: Tensor, score: Tensor) -> "Population":
        """The samples of the problem alone, with their scores (n,)."""
        x, ball, none = problem.x, problem.ball, torch.zeros(len(index), device=index.device)
        eps = per_sample(ball.eps, x)
        low, high = torch.maximum(x - eps, ball.lower).flatten(1), torch.minimum(x + eps, ball.upper).flatten(1)
        return cls(problem, index, low, high, x.flatten(1)[:, None], score[:, None], score, none, none)

    def keep(self, rows: Tensor) -> "Population":
        """The searches at `rows`."""
        kept: dict[str, Any] = {f.name: getattr(self, f.name)[rows] for f in fields(self) if f.name != "problem"}
        return Population(self.problem.select(rows), **kept)

    def children(self, config: Parameters, count: int, generation: int) -> Tensor:
        """`count` points per search, allowed ones, (n, count, D): random at first, then bred."""
        if generation == 0:
            x = self.problem.x.flatten(1)
            draws = self.problem.stream.child("first").uniform(0, (count, x.shape[1]), -1.0, 1.0)
            children = x[:, None] + self.problem.ball.eps[:, None, None] * draws
        else:
            rate, reach = self._mutation(config, generation)
            children = self._bred(self.scores / config.temperature, count, rate, reach, generation)
        return torch.minimum(torch.maximum(children, self.low[:, None]), self.high[:, None])

    def renew(self, children: Tensor, found: Tensor, broken: Tensor) -> None:
        """The elite and its children are the next generation; the best of them leads, a broken one before any other."""
        self.members = torch.cat([self.members[:, :1], children], dim=1)
        self.scores = torch.cat([self.scores[:, :1], found], dim=1)
        self.lead(torch.where(torch.nn.functional.pad(broken, (1, 0)), torch.inf, self.scores))

    def lead(self, rank: Tensor) -> None:
        """Put the member of the highest rank (n, P) first."""
        top, each = rank.argmax(dim=1), torch.arange(len(rank), device=rank.device)
        self.members[each, 0], self.members[each, top] = self.members[each, top], self.members[each, 0]
        self.scores[each, 0], self.scores[each, top] = self.scores[each, top], self.scores[each, 0]

    def count_plateaus(self) -> None:
        """Note whether the elite has grown."""
        grown = self.scores[:, 0] > self.best
        self.best = torch.maximum(self.best, self.scores[:, 0])
        self.flat = torch.where(grown, 0.0, self.flat + 1)
        full = self.flat >= torch.where(self.best > _NEAR, _NEAR_PLATEAU, _FAR_PLATEAU)
        self.plateaus, self.flat = self.plateaus + full, torch.where(full, 0.0, self.flat)

    def _mutation(self, config: Parameters, generation: int) -> tuple[Tensor, Tensor]:
        """The share of mutated features and their largest change in eps, (n,) each."""
        decay = _DECAY**self.plateaus if config.adaptive else torch.zeros_like(self.plateaus)
        rate = (0.5 * decay).clamp(min=config.mutation_rate)
        if config.adaptive and generation <= _FULL_MUTATION:
            rate = torch.ones_like(rate)
        return rate, (0.4 * decay).clamp(min=config.mutation_range)

    def _bred(self, log_odds: Tensor, count: int, rate: Tensor, reach: Tensor, generation: int) -> Tensor:
        """Crossovers of fit parents, mutated, (n, count, D), not yet cut to the ball."""
        members, stream = self.members, self.problem.stream
        chance = log_odds.nan_to_num(-1e6, 1e6, -1e6).softmax(dim=1)
        picks = stream.child("parents").uniform(generation, (2 * count,))
        parents = (chance.cumsum(dim=1)[:, None, :] < picks[:, :, None]).sum(dim=2).clamp(max=members.shape[1] - 1)
        odds = chance.gather(1, parents).clamp(min=1e-30)
        first, second = parents[:, :count], parents[:, count:]
        share = odds[:, :count] / (odds[:, :count] + odds[:, count:])
        each = torch.arange(len(members), device=members.device)[:, None]
        draws = stream.child("children").uniform(generation, (count, members.shape[2])).mul_(_HALF)
        upper = draws.floor()
        inherited = torch.where(upper < share[:, :, None] * _HALF, members[each, first], members[each, second])
        # A draw below the rate mutates, and where below it says how far.
        lower, rate = draws.sub_(upper), rate[:, None, None]
        change = (lower / rate).mul_(2).sub_(1) * (reach * self.problem.ball.eps)[:, None, None]
        return inherited.add_(change.masked_fill_(lower >= rate, 0.0))
