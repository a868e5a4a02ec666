"""GenAttack: a genetic algorithm in the Linf ball, from scores alone.

Source: Alzantot et al. 2019, "GenAttack", algorithm 1 and its adaptive parameter scaling; constants of the authors'
repository. Deviations: untargeted goals climb max_{j != y} log p_j - log p_y; the repository's margin, which says when
to call a plateau, is the best fitness; crossover and mutation share one random number per feature; a random target is
searched in blocks of questions on the same draws (`standing`), and a break is one that fresh draws confirm.
"""

import math
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from ..decision import Decision, Goal
from ..losses import finite
from ..target import Problem
from .population import Population
from .spec import AttackConfig
from .standing import KEPT, Standing, balance, block, rounds

# Numbers in one population (64 MB of float32); more samples than that take turns.
_CHUNK = 2**24


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
    """Proposals (N, ...): the first broken point, or the fittest; of a random target, the fittest on fresh draws.

    Raises:
        ValueError: the ball's norm is not Linf.
    """
    if problem.ball.norm != "linf":
        raise ValueError(f"genattack searches in linf, not in {problem.ball.norm}")
    result = problem.x.clone()
    held = config.population + (KEPT if problem.target.random else 0)
    size = max(1, _CHUNK // (held * max(1, math.prod(problem.x.shape[1:]))))
    search = _evolve_on_draws if problem.target.random else _evolve
    for start in range(0, len(result), size):
        part = torch.arange(start, min(start + size, len(result)), device=result.device)
        result[part] = search(problem.select(part), config)
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
    decision = problem.target.decide(problem.x, 0)
    open_ = (~problem.goal.broken(decision)).nonzero()[:, 0]
    swarm = Population.begin(problem.select(open_), open_, fitness(problem.goal, decision)[open_])
    spent, generation = 1, 0
    while len(swarm.index) and spent < config.queries:
        count = min(config.population if generation == 0 else config.population - 1, config.queries - spent)
        children = swarm.children(config, count, generation)
        spent += count
        generation += 1
        index = torch.arange(len(children), device=children.device).repeat_interleave(count)
        decision = swarm.problem.target.select(index).decide(children.reshape(-1, *problem.x.shape[1:]), generation)
        goal = swarm.problem.goal.select(index)
        broken = goal.broken(decision).view(-1, count)
        # The elite is carried over with the score that it has; it is never asked about again.
        swarm.renew(children, fitness(goal, decision).view(-1, count), broken)
        result[swarm.index] = swarm.members[:, 0].view(-1, *result.shape[1:])
        swarm.count_plateaus()
        stands = ~broken.any(dim=1)
        if not bool(stands.all()):
            swarm = swarm.keep(stands.nonzero()[:, 0])
    return result


def _evolve_on_draws(problem: Problem, config: GenAttack) -> Tensor:
    """The same for a random target: from block to block every member is asked about again."""
    result = problem.x.clone()
    everyone = torch.arange(len(result), device=result.device)
    swarm = Population.begin(problem, everyone, _ask(problem, problem.x.flatten(1)[:, None], 0)[:, 0])
    standing = Standing.begin(problem.x, balance(swarm.scores[:, 0]))
    last = rounds(config.queries)
    left = config.queries - 1 - KEPT * last
    spent, opening, number, generation = 0, 1, 1, 0
    while left > spent and len(swarm.index):
        if spent >= opening and left - spent >= swarm.members.shape[1]:
            number += 1
            swarm.scores = _ask(swarm.problem, swarm.members, number)
            spent += swarm.members.shape[1]
            opening = spent + block(number)
            swarm.lead(swarm.scores)
            swarm.best = swarm.scores[:, 0].clone()
            over = standing.recheck(swarm.members[:, 0].view(-1, *result.shape[1:]), balance(swarm.best))
            result[swarm.index[over]] = swarm.members[over, 0].view(-1, *result.shape[1:])
            if bool(over.any()):
                rows = (~over).nonzero()[:, 0]
                swarm, standing = swarm.keep(rows), standing.select(rows)
            continue
        count = min(config.population if generation == 0 else config.population - 1, left - spent)
        children = swarm.children(config, count, generation)
        spent += count
        generation += 1
        found = _ask(swarm.problem, children, number)
        swarm.renew(children, found, torch.zeros_like(found, dtype=torch.bool))
        swarm.count_plateaus()
    if len(swarm.index):
        result[swarm.index] = standing.choose(swarm.problem, number + 1, last)
    return result


def _ask(problem: Problem, points: Tensor, step: int) -> Tensor:
    """The fitness (n, P) of points (n, P, D), all of a sample's on the same draws."""
    found = []
    for place in range(points.shape[1]):
        decision = problem.target.decide(points[:, place].reshape(problem.x.shape), step)
        found.append(fitness(problem.goal, decision))
    return torch.stack(found, dim=1)
