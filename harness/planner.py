"""Which attack on what gradient, and why: a pure function of the suite, the threat and what is known of the target."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan

from .attacks import ATTACKS
from .attacks.latent import Latent
from .attacks.transfer import Transfer
from .decision import DETECTOR_LOSSES
from .geometry import Norm
from .gradients import AnyEstimator, Bpda, Distilled, Exact, Queried
from .gradients.ascent import Ascent
from .gradients.choice import automatic, candidates
from .gradients.fitting import misfit
from .gradients.stability import Stability
from .pipeline import Pipeline
from .request import Request
from .results import PlanEntry
from .stage import Generative

DEFAULT_DRAWS = 20
"""EOT draws per gradient question where nothing was measured. Source: AutoAttack's `rand` version uses 20."""
QUERY_DRAWS = 5
"""Draws behind one answer of a random target to an attack that asks for answers alone, by measurement."""
UNKEYED_DRAWS = 16
"""The same for scores where the noise lies in the classifier: two points cannot be asked with the same draws there."""


@dataclass(frozen=True)
class Agreement:
    """How many draws it took until two independent halves of them told the same gradient."""

    draws: int
    cosine: float


@dataclass(frozen=True)
class Step:
    """One decided line of the plan."""

    request: Request
    runs: bool
    applies: bool
    """False: the attack has no meaning here (wrong norm), which is no weakness of the evaluation."""
    gradient: AnyEstimator | None
    draws: int
    reason: str

    @property
    def blackbox(self) -> bool:
        """Whether it asks for scores or decisions alone, or crafts on a surrogate."""
        config = self.request.config
        if isinstance(config, Transfer):
            return config.source != "twin"
        return ATTACKS[config.attack].needs != "gradients"

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
            reason=self.reason,
            runs=self.runs,
        )


def plan(
    requests: list[Request],
    pipeline: Pipeline,
    norm: Norm,
    *,
    targeted: bool,
    ascents: Sequence[Ascent] = (),
    agreements: Mapping[str, Agreement] | None = None,
    stability: Stability | None = None,
) -> list[Step]:
    """Decide every request, in order.

    Args:
        ascents: the gradients of `trials`, as measured.
        agreements: how many draws each estimator needs, by its label, as measured.
        stability: how stable the signs of slopes are that rest on answers, as measured.
    """
    known = Known(pipeline, tuple(ascents), agreements or {}, stability)
    return [_decide(request, known, norm, targeted=targeted) for request in requests]


@dataclass(frozen=True)
class Known:
    """What has been found out about the target."""

    pipeline: Pipeline
    ascents: tuple[Ascent, ...]
    agreements: Mapping[str, Agreement]
    stability: Stability | None


def trials(requests: list[Request], pipeline: Pipeline, norm: Norm, *, targeted: bool) -> tuple[AnyEstimator, ...]:
    """The gradients whose ascent decides the plan, or speaks for it."""
    found: list[AnyEstimator] = []
    for step in plan(requests, pipeline, norm, targeted=targeted):
        if step.runs and step.gradient and not step.blackbox and not isinstance(step.request.config, Transfer):
            found += candidates(pipeline) if step.request.gradient == "auto" else (step.gradient,)
    return tuple(dict.fromkeys(found))


def undecided(steps: Sequence[Step], pipeline: Pipeline) -> tuple[AnyEstimator, ...]:
    """The estimators whose number of draws has to be measured."""
    if not pipeline.random:
        return ()
    direct = [step for step in steps if step.runs and step.request.eot == "auto"]
    direct = [step for step in direct if not isinstance(step.request.config, Transfer)]
    # What asks for answers has noise of its own, which more draws do not lessen.
    return tuple(dict.fromkeys(s.gradient for s in direct if s.gradient and not isinstance(s.gradient, Queried)))


def _decide(request: Request, known: Known, norm: Norm, *, targeted: bool) -> Step:
    spec = ATTACKS[request.config.attack]
    if request.norms is not None and norm not in request.norms:
        return Step(request, False, False, None, 1, f"the suite runs it in {', '.join(request.norms)} only")
    if norm not in spec.norms:
        return Step(request, False, False, None, 1, f"{request.config.attack} has no {norm} form")
    if targeted and not spec.targeted:
        return Step(request, False, False, None, 1, f"{request.config.attack} has no targeted form")
    pointless = _pointless(request, known.pipeline)
    if pointless:
        return Step(request, False, False, None, 1, pointless)
    if isinstance(request.config, Transfer):
        return _transfer(request, request.config, known.pipeline)
    if spec.needs != "gradients":
        return _answers(request, spec.needs, known.pipeline)
    return _gradient(request, known)


def _pointless(request: Request, pipeline: Pipeline) -> str:
    """Why the entry says nothing about a target like this one; empty where it does."""
    loss = getattr(request.config, "loss", "")
    if not pipeline.rejects and (request.rejecting or loss in DETECTOR_LOSSES):
        return "the target never rejects"
    if loss == "match-features" and not pipeline.offers_features:
        return "the model offers no features"
    if isinstance(request.config, Latent) and not any(isinstance(stage, Generative) for stage in pipeline.stages):
        return "no stage puts its input on the range of a generator"
    return ""


def _answers(request: Request, needs: str, pipeline: Pipeline) -> Step:
    reason = f"asks for {needs} of the deployed model, so nothing can mask it"
    if not pipeline.random:
        return Step(request, True, True, None, 1, reason)
    wanted = UNKEYED_DRAWS if needs == "scores" and pipeline.noisy_classifier else QUERY_DRAWS
    # What the product joins already need not be joined again.
    draws = request.eot if request.eot != "auto" else max(1, -(-wanted // pipeline.draws))
    joined = "the mean" if needs == "scores" else "the majority"
    return Step(request, True, True, None, draws, f"{reason}; random, so an answer is {joined} of {draws} draws")


def _transfer(request: Request, config: Transfer, pipeline: Pipeline) -> Step:
    if config.source == "surrogate":
        return Step(request, True, True, Exact(), 1, "points from a surrogate trained on the same samples")
    if config.source == "student":
        return Step(request, True, True, Distilled(), 1, "points from a student trained on the target's answers")
    if not pipeline.stages and pipeline.detector is None:
        return Step(request, False, False, None, 1, "no defense: the bare model is the target itself")
    if pipeline.reshaped:
        return Step(request, False, False, None, 1, "the bare model takes no samples as they are")
    if pipeline.no_gradient:
        return Step(request, False, True, None, 1, f"no gradient: {pipeline.no_gradient}")
    name = Bpda() if pipeline.classifier.info.obstacles else Exact()
    return Step(request, True, True, name, 1, "points from the bare model, around its defenses")


def _gradient(request: Request, known: Known) -> Step:
    pipeline = known.pipeline
    if request.gradient != "auto":
        estimator, reason = request.gradient, "fixed by the suite"
        refusal = misfit(estimator, pipeline)
        if refusal:
            return Step(request, False, True, None, 1, f"{estimator.label} makes no sense here: {refusal}")
    elif pipeline.no_gradient:
        return Step(request, False, True, None, 1, f"no gradient: {pipeline.no_gradient}")
    else:
        estimator, reason = automatic(pipeline, known.ascents)
    if getattr(request.config, "loss", "") == "match-features" and isinstance(estimator, Queried | Distilled):
        return Step(request, False, False, None, 1, f"{estimator.label} asks for answers, which hold no features")
    if isinstance(estimator, Queried) and known.stability is not None:
        share = known.stability.overall
        agreeing = "no slope shows at any step size" if isnan(share) else f"signs agree over step sizes in {share:.0%}"
        reason += f"; {agreeing}" + ("" if isnan(share) else " of the places")
    if not pipeline.random:
        if request.eot not in ("auto", 1):
            reason += "; nothing is random, so one draw is enough"
        return Step(request, True, True, estimator, 1, reason)
    if request.eot != "auto":
        return Step(request, True, True, estimator, request.eot, f"{reason}; random: {request.eot} draws, as fixed")
    found = known.agreements.get(estimator.label)
    if found is None:
        return Step(request, True, True, estimator, DEFAULT_DRAWS, f"{reason}; random, so {DEFAULT_DRAWS} draws")
    reason += f"; random: two halves of {found.draws} draws agree with a cosine of {found.cosine:.2f}"
    return Step(request, True, True, estimator, found.draws, reason)
