"""GenAttack: a genetic algorithm in the Linf ball, from scores alone.

Source: Alzantot et al. 2019, "GenAttack", algorithm 1 and its adaptive parameter scaling; constants of the authors'
repository. Deviations: untargeted goals climb max_{j != y} log p_j - log p_y; the repository's margin, which says when
to call a plateau, is the best fitness; crossover and mutation share one random number per feature.
"""

import math
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from ..decision import Decision, Goal
from ..geometry import per_sample
from ..losses import finite
from ..target import Problem
from .spec import AttackConfig

# Numbers in one population (64 MB of float32); more samples than that take turns.
_CHUNK = 2**24
_FULL_MUTATION = 10
_DECAY = 0.9
# A generation without progress counts towards a plateau of this many, by whether the goal is near.
_NEAR, _NEAR_PLATEAU, _FAR_PLATEAU = -0.4, 100, 300
# The halves of a uniform draw on 2^24 values serve two purposes.
_HALF = 2**12


class GenAttack(AttackConfig):
    """Selection, crossover and mutation of points in the ball; the fittest always survives."""

    attack: Literal["genattack"] = "genattack"
    queries: int = Field(5000, ge=1, description="per sample, the clean point included")
    population: int = Field(4, ge=2, description="points per sample and generation")
    temperature: float = Field(0.1, gt=0, description="of the softmax that picks parents")
    adaptive: bool = Field(False, description="as published: rate and range fall from .5 and .4 on plateaus")
    mutation_rate: float = Field(0.02, gt=0, le=1, description="share of mutated features; the floor if adaptive")
    mutation_range: float = Field(
        1.0, gt=0, le=1, description="largest mutation as a share of eps; the floor if adaptive"
    )


def genattack(problem: Problem, config: GenAttack) -> Tensor:
    """Proposals (N, ...): the first broken point, or the fittest.

    Raises:
        ValueError: the ball's norm is not Linf.
    """
    if problem.ball.norm != "linf":
        raise ValueError(f"genattack searches in linf, not in {problem.ball.norm}")
    result = problem.x.clone()
    size = max(1, _CHUNK // (config.population * max(1, math.prod(problem.x.shape[1:]))))
    for start in range(0, len(result), size):
        part = torch.arange(start, min(start + size, len(result)), device=result.device)
        result[part] = _evolve(problem.select(part), config)
    return result


def fitness(goal: Goal, decision: Decision) -> Tensor:
    """log p_t - log sum_{j != t} p_j, or untargeted max_{j != y} log p_j - log p_y, (N,).

    A rejection counts against it. Log probabilities differ as logits do, so a probability of 0 does no harm.
    """
    if goal.targets is None:
        return goal.score(decision)
    toward = goal.targets[:, None]
    others = decision.logits.scatter(1, toward, -math.inf)
    values = finite(decision.logits.gather(1, toward)[:, 0] - others.logsumexp(dim=1))
    return values if decision.rejection is None else torch.minimum(values, -decision.rejection)


def _evolve(problem: Problem, config: GenAttack) -> Tensor:
    result = problem.x.clone()
    x = problem.x.flatten(1)
    decision = problem.target.decide(problem.x, 0)
    open_ = (~problem.goal.broken(decision)).nonzero()[:, 0]
    best = fitness(problem.goal, decision)[open_]
    problem, x = problem.select(open_), x[open_]
    low, high = _limits(problem)
    members = x[:, None]
    scores = best[:, None]
    flat_count = torch.zeros(len(x), device=x.device)
    plateaus = torch.zeros(len(x), device=x.device)
    spent, generation = 1, 0
    while len(open_) and spent < config.queries:
        count = min(config.population if generation == 0 else config.population - 1, config.queries - spent)
        if generation == 0:
            draws = problem.stream.child("first").uniform(0, (count, x.shape[1]), -1.0, 1.0)
            children = x[:, None] + problem.ball.eps[:, None, None] * draws
        else:
            rate, reach = _mutation(config, generation, plateaus)
            children = _children(problem, members, scores / config.temperature, count, rate, reach, generation)
        children = torch.minimum(torch.maximum(children, low[:, None]), high[:, None])
        spent += count
        generation += 1
        index = torch.arange(len(x), device=x.device).repeat_interleave(count)
        decision = problem.target.select(index).decide(children.reshape(-1, *problem.x.shape[1:]), generation)
        goal = problem.goal.select(index)
        found = fitness(goal, decision).view(-1, count)
        broken = goal.broken(decision).view(-1, count)
        # The elite is carried over with the score that it has; it is never asked about again.
        members, scores = torch.cat([members[:, :1], children], dim=1), torch.cat([scores[:, :1], found], dim=1)
        top = torch.where(torch.nn.functional.pad(broken, (1, 0)), math.inf, scores).argmax(dim=1)
        each = torch.arange(len(x), device=x.device)
        members[each, 0], members[each, top] = members[each, top], members[each, 0]
        scores[each, 0], scores[each, top] = scores[each, top], scores[each, 0]
        result[open_] = members[:, 0].view(-1, *result.shape[1:])
        grown = scores[:, 0] > best
        best = torch.maximum(best, scores[:, 0])
        flat_count = torch.where(grown, 0.0, flat_count + 1)
        full = flat_count >= torch.where(best > _NEAR, _NEAR_PLATEAU, _FAR_PLATEAU)
        plateaus, flat_count = plateaus + full, torch.where(full, 0.0, flat_count)
        stands = ~broken.any(dim=1)
        if not bool(stands.all()):
            keep = stands.nonzero()[:, 0]
            problem, open_, x, low, high = problem.select(keep), open_[keep], x[keep], low[keep], high[keep]
            members, scores, best = members[keep], scores[keep], best[keep]
            flat_count, plateaus = flat_count[keep], plateaus[keep]
    return result


def _limits(problem: Problem) -> tuple[Tensor, Tensor]:
    """The lowest and highest allowed value of every feature, (n, D) each."""
    ball, x = problem.ball, problem.x
    eps = per_sample(ball.eps, x)
    return torch.maximum(x - eps, ball.lower).flatten(1), torch.minimum(x + eps, ball.upper).flatten(1)


def _mutation(config: GenAttack, generation: int, plateaus: Tensor) -> tuple[Tensor, Tensor]:
    """The share of mutated features and their largest change in eps, (n,) each."""
    decay = _DECAY**plateaus if config.adaptive else torch.zeros_like(plateaus)
    rate = (0.5 * decay).clamp(min=config.mutation_rate)
    if config.adaptive and generation <= _FULL_MUTATION:
        rate = torch.ones_like(rate)
    return rate, (0.4 * decay).clamp(min=config.mutation_range)


def _children(
    problem: Problem, members: Tensor, log_odds: Tensor, count: int, rate: Tensor, reach: Tensor, generation: int
) -> Tensor:
    """Crossovers of fit parents, mutated, (n, count, D), not yet cut to the ball."""
    chance = log_odds.nan_to_num(-1e6, 1e6, -1e6).softmax(dim=1)
    picks = problem.stream.child("parents").uniform(generation, (2 * count,))
    parents = (chance.cumsum(dim=1)[:, None, :] < picks[:, :, None]).sum(dim=2).clamp(max=members.shape[1] - 1)
    odds = chance.gather(1, parents).clamp(min=1e-30)
    first, second = parents[:, :count], parents[:, count:]
    share = odds[:, :count] / (odds[:, :count] + odds[:, count:])
    each = torch.arange(len(members), device=members.device)[:, None]
    draws = problem.stream.child("children").uniform(generation, (count, members.shape[2])).mul_(_HALF)
    upper = draws.floor()
    inherited = torch.where(upper < share[:, :, None] * _HALF, members[each, first], members[each, second])
    # A draw below the rate mutates, and where below it says how far.
    lower, rate = draws.sub_(upper), rate[:, None, None]
    change = (lower / rate).mul_(2).sub_(1) * (reach * problem.ball.eps)[:, None, None]
    return inherited.add_(change.masked_fill_(lower >= rate, 0.0))
