"""A target that writes down what an attack asked it, and only counts what it asked inside the ball."""

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from ..decision import Objective
from ..target import Answer
from ..threat import Ball
from .local import LocalTarget
from .trace import Trace


@dataclass(frozen=True, kw_only=True)
class Watched(LocalTarget):
    """A local target that keeps a second trace, in which points outside their balls have no loss and break nothing."""

    ball: Ball
    """Of the whole data set, on the device."""
    watch: Trace

    @classmethod
    def of(cls, target: LocalTarget, ball: Ball, watch: Trace) -> "Watched":
        """That target, watched."""
        return cls(**{each.name: getattr(target, each.name) for each in fields(LocalTarget)}, ball=ball, watch=watch)

    def gradient(self, x: Tensor, objective: Objective, step: int) -> Answer:
        """As any local target; a diversified direction has a loss of its own and is not written down."""
        answer = super().gradient(x, objective, step)
        if objective.weights is None and len(x):
            inside = self.ball.select(self.rows).contains(x)
            loss = torch.where(inside, answer.loss.detach(), torch.nan)
            self.watch.see(self.rows, replace(answer, loss=loss, broken=answer.broken & inside))
        return answer


def table(trace: Trace, rows: Tensor, what: str) -> Tensor:
    """One number of every question (Q, N) for the samples at `rows` (N,), float64 on the CPU; NaN: not asked."""
    place = {row: number for number, row in enumerate(rows.tolist())}
    found = torch.full((len(trace.seen), len(rows)), torch.nan, dtype=torch.float64)
    for question, each in enumerate(trace.seen):
        at = torch.tensor([place[row] for row in each.rows.tolist()], dtype=torch.int64)
        found[question, at] = getattr(each, what).double().cpu()
    return found
