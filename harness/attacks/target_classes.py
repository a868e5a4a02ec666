"""Which wrong classes to aim at."""

import torch
from torch import Tensor

from ..losses import finite
from ..target import Problem


def likely_targets(problem: Problem, count: int) -> Tensor:
    """The likeliest wrong classes of each clean sample, likeliest first, (N, min(count, K - 1)); one forward."""
    logits = finite(problem.target.decide(problem.x, 0).logits.flatten()).reshape(len(problem.x), -1)
    others = logits.scatter(1, problem.goal.y[:, None], float("-inf"))
    order = others.argsort(dim=1, descending=True, stable=True)
    # The true class may tie with NaN logits at -inf: it is moved last before the list is cut.
    is_true = order == problem.goal.y[:, None]
    order = order.gather(1, is_true.to(torch.int64).argsort(dim=1, stable=True))
    return order[:, : min(count, logits.shape[1] - 1)]
