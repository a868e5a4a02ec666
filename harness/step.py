"""One decided line of the plan."""

from dataclasses import dataclass
from typing import Any

from .attacks import ATTACKS
from .attacks.fab import FAB
from .attacks.latent import Latent
from .attacks.transfer import Transfer
from .gradients import AnyEstimator
from .policy import STEPS, Family, Row
from .request import Request
from .results import PlanEntry


@dataclass(frozen=True)
class Step:
    """Attack, gradient, draws, and why."""

    request: Request
    runs: bool
    applies: bool
    """False: the attack has no meaning here (wrong norm), which is no weakness of the evaluation."""
    gradient: AnyEstimator | None
    draws: int
    reason: str
    answers: str = ""
    """What one answer is to an attack that asks for answers alone."""
    cost: str = ""
    """What leaving it out costs in trust."""
    revises: str = ""
    """The entry after which it was added while the run went on."""
    rows: tuple[Row, ...] = ()
    """The lines of the policy's table that decided it."""

    @property
    def blackbox(self) -> bool:
        """Whether it asks for scores or decisions alone, or crafts on a surrogate."""
        config = self.request.config
        if isinstance(config, Transfer):
            return config.source != "twin"
        return ATTACKS[config.attack].needs != "gradients"

    @property
    def direct(self) -> bool:
        """Whether it climbs gradients of the target itself."""
        return ATTACKS[self.request.config.attack].needs == "gradients" and not isinstance(
            self.request.config, Transfer
        )

    def passes(self, features: int) -> int:
        """Passes per sample that the attack makes at most, nearly."""
        most = self.request.config.most_passes
        if isinstance(self.request.config, Transfer) and self.request.config.source != "twin":
            return 1
        asked = 0 if self.gradient is None else self.gradient.queries(features)
        each = 1 if self.gradient is None else self.gradient.neighbours
        return self.draws * (most * each + most // 2 * asked)

    def entry(self) -> PlanEntry:
        """The same as a record."""
        config = self.request.config
        return PlanEntry(
            name=self.request.name,
            attack=config.attack,
            parameters=self.request.parameters,
            gradient=None if self.blackbox or self.gradient is None else self.gradient.label,
            eot=self.draws,
            loss=str(getattr(config, "loss", "")),
            step_size=_step_rule(config),
            momentum=getattr(config, "momentum", None),
            answers=self.answers,
            reason=self.reason,
            runs=self.runs,
            cost=self.cost,
            revises=self.revises,
        )


def _step_rule(config: Any) -> str:
    """How the attack chooses the length of its steps; empty for one that takes none."""
    size = getattr(config, "step_size", None)
    return STEPS.get(config.attack, "") if size is None else f"{size:g} eps"


def family(request: Request) -> Family:
    """The attacks that share lines of the policy's table."""
    config = request.config
    if isinstance(config, Transfer):
        return "transfer"
    if isinstance(config, Latent):
        return "latent"
    needs = ATTACKS[config.attack].needs
    if needs == "gradients":
        return "minimum-norm" if isinstance(config, FAB) else "climbing"
    return needs
