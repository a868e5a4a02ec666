"""Which attack on what gradient, and why: a pure function of the suite, the threat and what is known of the target."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from .attacks import ATTACKS, AnyAttack
from .attacks.transfer import Transfer
from .geometry import Norm
from .gradients.ascent import Ascent, GradientName
from .gradients.choice import automatic, candidates
from .pipeline import Pipeline
from .results import PlanEntry

DEFAULT_DRAWS = 20
"""EOT draws per gradient question. Source: AutoAttack's `rand` version uses 20."""


class Request(BaseModel):
    """One attack as a suite asks for it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    config: AnyAttack
    gradient: Literal["auto", "exact", "bpda", "bpda-identity"] = "auto"
    eot: Literal["auto"] | Annotated[int, Field(ge=1, strict=True)] = "auto"
    samples: int | None = Field(None, ge=1, strict=True)
    """Run on this many standing samples (closest first), and on all as soon as one falls to a black-box attack."""
    closest: float = Field(1.0, gt=0, le=1, strict=True)
    """The share of standing samples, closest to the boundary first, that is attacked."""
    at_least: int = Field(1, ge=1, strict=True)
    """... but never fewer than this many."""
    norms: tuple[Norm, ...] | None = None
    """The norms in which this entry is worth its passes; all that the attack has, unless given."""

    @property
    def parameters(self) -> dict[str, Any]:
        """The attack's parameters, and of the request's own those that say something."""
        own: dict[str, Any] = {"samples": self.samples, "norms": self.norms}
        if self.closest < 1:
            own |= {"closest": self.closest, "at_least": self.at_least}
        every = self.config.model_dump(exclude={"attack"}) | own
        return {key: value for key, value in every.items() if value is not None}


@dataclass(frozen=True)
class Step:
    """One decided line of the plan."""

    request: Request
    runs: bool
    applies: bool
    """False: the attack has no meaning here (wrong norm), which is no weakness of the evaluation."""
    gradient: GradientName | None
    draws: int
    reason: str

    @property
    def blackbox(self) -> bool:
        """Whether it asks for scores or decisions alone, or crafts on a surrogate."""
        config = self.request.config
        if isinstance(config, Transfer):
            return config.source == "surrogate"
        return ATTACKS[config.attack].needs != "gradients"

    def entry(self) -> PlanEntry:
        """The same as a record."""
        config = self.request.config
        return PlanEntry(
            name=self.request.name,
            attack=config.attack,
            parameters=self.request.parameters,
            gradient=None if self.blackbox else self.gradient,
            eot=self.draws,
            reason=self.reason,
            runs=self.runs,
        )


def plan(
    requests: list[Request], pipeline: Pipeline, norm: Norm, *, targeted: bool, ascents: Sequence[Ascent] = ()
) -> list[Step]:
    """Decide every request, in order; `ascents` are the gradients of `trials`, as measured."""
    return [_decide(request, pipeline, norm, ascents, targeted=targeted) for request in requests]


def trials(requests: list[Request], pipeline: Pipeline, norm: Norm, *, targeted: bool) -> tuple[GradientName, ...]:
    """The gradients whose ascent decides the plan, or speaks for it."""
    names: list[GradientName] = []
    for step in plan(requests, pipeline, norm, targeted=targeted):
        if step.runs and step.gradient and not step.blackbox and not isinstance(step.request.config, Transfer):
            names += candidates(pipeline) if step.request.gradient == "auto" else (step.gradient,)
    return tuple(dict.fromkeys(names))


def _decide(request: Request, pipeline: Pipeline, norm: Norm, ascents: Sequence[Ascent], *, targeted: bool) -> Step:
    spec = ATTACKS[request.config.attack]
    if request.norms is not None and norm not in request.norms:
        return Step(request, False, False, None, 1, f"the suite runs it in {', '.join(request.norms)} only")
    if norm not in spec.norms:
        return Step(request, False, False, None, 1, f"{request.config.attack} has no {norm} form")
    if targeted and not spec.targeted:
        return Step(request, False, False, None, 1, f"{request.config.attack} has no targeted form")
    if isinstance(request.config, Transfer):
        return _transfer(request, request.config, pipeline)
    if spec.needs != "gradients":
        reason = f"asks for {spec.needs} of the deployed model, so nothing can mask it"
        if pipeline.random:
            reason += "; single draws decide its steps, so it is weak on a random target"
        return Step(request, True, True, None, 1, reason)
    return _gradient(request, pipeline, ascents)


def _transfer(request: Request, config: Transfer, pipeline: Pipeline) -> Step:
    if config.source == "surrogate":
        return Step(request, True, True, "exact", 1, "points from a surrogate trained on the same samples")
    if not pipeline.stages:
        return Step(request, False, False, None, 1, "no defense: the bare model is the target itself")
    if pipeline.no_gradient:
        return Step(request, False, True, None, 1, f"no gradient: {pipeline.no_gradient}")
    name: GradientName = "bpda" if pipeline.classifier.info.obstacles else "exact"
    return Step(request, True, True, name, 1, "points from the bare model, around its defenses")


def _gradient(request: Request, pipeline: Pipeline, ascents: Sequence[Ascent]) -> Step:
    if pipeline.no_gradient:
        return Step(request, False, True, None, 1, f"no gradient: {pipeline.no_gradient}")
    opaque = [s for s in pipeline.stages if s.surrogate.kind == "opaque"]
    inexact = [s for s in pipeline.stages if s.surrogate.kind != "exact"]
    if request.gradient == "auto":
        name, reason = automatic(pipeline, ascents)
    else:
        name, reason = request.gradient, "fixed by the suite"
        if name == "exact" and inexact:
            return Step(request, False, True, None, 1, f"{inexact[0].label} has no exact gradient")
        if name == "bpda" and opaque:
            return Step(request, False, True, None, 1, f"{opaque[0].label} declares no surrogate")
    draws = request.eot if request.eot != "auto" else (DEFAULT_DRAWS if pipeline.random else 1)
    if draws > 1 and not pipeline.random:
        return Step(request, True, True, name, 1, f"{reason}; nothing is random, so one draw is enough")
    if draws > 1:
        reason += f"; random, so gradients are averaged over {draws} draws"
    return Step(request, True, True, name, draws, reason)
