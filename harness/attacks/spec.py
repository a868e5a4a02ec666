"""What is known about an attack besides its code."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict
from torch import Tensor

from ..decision import TWO_TERMS
from ..geometry import Norm
from ..target import Problem

Needs = Literal["gradients", "scores", "decisions"]


class AttackConfig(BaseModel):
    """Base of every attack's parameters: frozen, strict, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    @property
    def most_passes(self) -> int:
        """Forward and backward passes per sample that no run exceeds by more than a few; for time left and budgets."""
        steps, queries = getattr(self, "steps", 1), getattr(self, "queries", None)
        starts = max(1, getattr(self, "targets", 0)) * getattr(self, "restarts", 1)
        each = 4 if getattr(self, "loss", "") in TWO_TERMS else 2
        return queries if queries is not None else starts * (each * steps + 1) + 1


@dataclass(frozen=True)
class AttackSpec:
    """One line of the attack list."""

    config: type[AttackConfig]
    run: Callable[[Problem, Any], Tensor]
    """Problem of N samples and its config -> proposals (N, ...)."""
    needs: Needs
    norms: tuple[Norm, ...]
    targeted: bool
    source: str
