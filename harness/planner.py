"""Which attack on what gradient, and why: a pure function of the suite, the threat and what is known of the target."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import isnan
from typing import Any

from .attacks import ATTACKS
from .attacks.transfer import Transfer
from .decision import DETECTOR_LOSSES
from .geometry import Norm
from .gradients import AnyEstimator, Bpda, Distilled, Exact, Queried
from .gradients.ascent import Ascent
from .gradients.choice import automatic, candidates
from .gradients.fitting import misfit
from .gradients.stability import Stability
from .pipeline import Pipeline
from .policy import HUGE_LOGITS, Family, Field, Row, Trait, first, fitting
from .request import Request
from .stage import Generative
from .step import Step, family
from .traits import traits


@dataclass(frozen=True)
class Agreement:
    """How many draws it took until two independent halves of them told the same gradient."""

    draws: int
    cosine: float


def plan(
    requests: list[Request],
    pipeline: Pipeline,
    norm: Norm,
    *,
    targeted: bool,
    ascents: Sequence[Ascent] = (),
    agreements: Mapping[str, Agreement] | None = None,
    stability: Stability | None = None,
    scale: float = 1.0,
) -> list[Step]:
    """Decide every request, in order.

    Args:
        ascents: the gradients of `trials`, as measured.
        agreements: how many draws each estimator needs, by its label, as measured.
        stability: how stable the signs of slopes are that rest on answers, as measured.
        scale: the largest absolute logit that was seen.
    """
    known = Known(pipeline, tuple(ascents), agreements or {}, stability, scale)
    steps = [_decide(request, known, norm, targeted=targeted) for request in requests]
    climbing = any(step.runs and family(step.request) == "climbing" for step in steps)
    return [_replaced(step, known) if climbing else step for step in steps]


@dataclass(frozen=True)
class Known:
    """What has been found out about the target."""

    pipeline: Pipeline
    ascents: tuple[Ascent, ...]
    agreements: Mapping[str, Agreement]
    stability: Stability | None
    scale: float = 1.0

    @property
    def traits(self) -> frozenset[Trait]:
        """In the words of the policy's table."""
        huge: frozenset[Trait] = frozenset({"huge logits"} if self.scale > HUGE_LOGITS else ())
        return traits(self.pipeline) | huge


def trials(requests: list[Request], pipeline: Pipeline, norm: Norm, *, targeted: bool) -> tuple[AnyEstimator, ...]:
    """The gradients whose ascent decides the plan, or speaks for it."""
    found: list[AnyEstimator] = []
    for step in plan(requests, pipeline, norm, targeted=targeted):
        if step.runs and step.gradient and step.direct:
            found += candidates(pipeline) if step.request.gradient == "auto" else (step.gradient,)
    return tuple(dict.fromkeys(found))


def undecided(steps: Sequence[Step], pipeline: Pipeline) -> tuple[AnyEstimator, ...]:
    """The estimators whose number of draws has to be measured."""
    if not pipeline.random:
        return ()
    direct = [step for step in steps if step.runs and step.request.eot == "auto" and step.direct]
    # What asks for answers has noise of its own, which more draws do not lessen.
    return tuple(dict.fromkeys(s.gradient for s in direct if s.gradient and not isinstance(s.gradient, Queried)))


def _decide(request: Request, known: Known, norm: Norm, *, targeted: bool) -> Step:
    pipeline, kind = known.pipeline, family(request)
    here = known.traits | _about(request, pipeline, norm, targeted=targeted)
    if request.gradient != "auto":
        here -= {"no gradient"}  # whether the one that is fixed makes sense is asked by itself
    facts: dict[str, Any] = {
        "attack": request.config.attack,
        "norm": norm,
        "norms": ", ".join(request.norms or ()),
        "gradient": "" if request.gradient == "auto" else request.gradient.label,
        "why": pipeline.no_gradient if request.gradient == "auto" else misfit(request.gradient, pipeline),
    }
    row = first("leave out", kind, here)
    if row is not None:
        # What the policy has to say against it in trust stands against a PASS; what means nothing here does not.
        return _left_out(request, row, facts, applies=row.trait in ("misfit", "no gradient"))
    if kind == "transfer":
        return _transfer(request, here)
    if kind in ("scores", "decisions"):
        return _answers(request, kind, here, pipeline)
    return _resolved(_gradient(request, known, kind, here), known, here)


def _about(request: Request, pipeline: Pipeline, norm: Norm, *, targeted: bool) -> frozenset[Trait]:
    """What holds of an entry of the suite, before this target and threat."""
    config, spec = request.config, ATTACKS[request.config.attack]
    loss = getattr(config, "loss", "")
    twin = isinstance(config, Transfer) and config.source == "twin"
    direct = spec.needs == "gradients" and not isinstance(config, Transfer)
    fixed = None if request.gradient == "auto" or not direct else request.gradient
    holds: dict[Trait, bool] = {
        "norm not asked": request.norms is not None and norm not in request.norms,
        "no such norm": norm not in spec.norms,
        "no targeted form": targeted and not spec.targeted,
        "detector loss": request.rejecting or loss in DETECTOR_LOSSES,
        "no features": loss == "match-features" and not pipeline.offers_features,
        "features from answers": loss == "match-features" and isinstance(fixed, Queried | Distilled),
        "no generator": not any(isinstance(stage, Generative) for stage in pipeline.stages),
        "misfit": fixed is not None and bool(misfit(fixed, pipeline)),
        "source surrogate": isinstance(config, Transfer) and config.source == "surrogate",
        "source student": isinstance(config, Transfer) and config.source == "student",
        "source twin": twin,
        "nothing around": twin and not pipeline.stages and pipeline.detector is None,
        "reshaped": twin and pipeline.reshaped,
    }
    return frozenset(trait for trait, there in holds.items() if there)


def _left_out(request: Request, row: Row, facts: Mapping[str, Any], *, applies: bool) -> Step:
    return Step(request, False, applies, None, 1, row.reason.format(**facts), cost=row.cost, rows=(row,))


def _replaced(step: Step, known: Known) -> Step:
    """The same step, or none where other attacks of the plan do better what it does."""
    others: frozenset[Trait] = frozenset({"others climb"})
    here = known.traits | others
    row = first("leave out", family(step.request), here) if step.runs else None
    if row is None or row.also != "others climb":
        return step
    return _left_out(step.request, row, {}, applies=False)


def _answers(request: Request, kind: Family, here: frozenset[Trait], pipeline: Pipeline) -> Step:
    gradient, wanted = _row("gradient", kind, here), _row("draws", kind, here)
    # What the product joins already need not be joined again.
    draws = int(wanted.value) if isinstance(wanted.value, int) else 1
    if pipeline.random:
        draws = request.eot if request.eot != "auto" else max(1, -(-draws // pipeline.draws))
    joined = fitting("answers", kind, here)
    answers = "; ".join(_drawn(str(row.value), draws) for row in joined)
    said = [gradient.reason, *([wanted.reason] if pipeline.random else ())]
    reasons = "; ".join(said) + "".join(f", {_drawn(row.reason, draws)}" for row in joined)
    return Step(request, True, True, None, draws, reasons, answers=answers, rows=(gradient, wanted, *joined))


def _drawn(words: str, draws: int) -> str:
    """The words of a row with that many draws in them."""
    return (words.replace("draws", "draw") if draws == 1 else words).replace("{draw}", "{draws}").format(draws=draws)


def _transfer(request: Request, here: frozenset[Trait]) -> Step:
    row = _row("gradient", "transfer", here)
    momentum, request = _automatic(request, "momentum", "transfer", here)
    kinds: dict[tuple[str, ...], AnyEstimator] = {("distilled",): Distilled(), ("bpda",): Bpda()}
    found = kinds.get(row.value, Exact()) if isinstance(row.value, tuple) else Exact()
    return Step(request, True, True, found, 1, row.reason, rows=(row, *momentum))


def _row(field: Field, kind: Family, here: frozenset[Trait]) -> Row:
    """The row that decides; every field that is asked for has one for any target."""
    row = first(field, kind, here)
    assert row is not None
    return row


def _resolved(step: Step, known: Known, here: frozenset[Trait]) -> Step:
    """The step with what its entry leaves to the plan."""
    if not step.runs:
        return step
    kind, request = family(step.request), step.request
    averaged = step.gradient is not None and (step.gradient.neighbours > 1 or isinstance(step.gradient, Queried))
    here = here | frozenset({"averaged gradient"} if averaged else ())
    rows, fields = step.rows, ("loss", "step_size", "momentum")
    for field in fields:
        found, request = _automatic(request, field, kind, here)
        rows = (*rows, *found)
    said = [row.reason.format(scale=known.scale) for row in rows if row.field in fields and row.reason]
    return replace(step, request=request, reason="; ".join([step.reason, *said]), rows=rows)


def _automatic(request: Request, field: Any, kind: Family, here: frozenset[Trait]) -> tuple[tuple[Row, ...], Request]:
    """A field that the suite leaves to the plan, as the table says; the attack's own value where it says nothing."""
    if field not in request.auto:
        return (), request
    row = _row(field, kind, here)
    own = type(request.config).model_fields[field].default
    value = own if row.value is None else row.value
    config = request.config.model_copy(update={field: value})
    return (row,), request.model_copy(update={"config": config})


def _gradient(request: Request, known: Known, kind: Family, here: frozenset[Trait]) -> Step:
    pipeline = known.pipeline
    rows: tuple[Row, ...] = (_row("gradient", kind, here),)
    if request.gradient != "auto":
        estimator, reason, rows = request.gradient, "fixed by the suite", ()
    else:
        estimator, reason = automatic(pipeline, known.ascents)
    if isinstance(estimator, Queried) and known.stability is not None:
        share = known.stability.overall
        agreeing = "no slope shows at any step size" if isnan(share) else f"signs agree over step sizes in {share:.0%}"
        reason += f"; {agreeing}" + ("" if isnan(share) else " of the places")
    drawn = _row("draws", kind, here)
    rows = (*rows, drawn)
    if not pipeline.random:
        if request.eot not in ("auto", 1):
            reason += f"; {drawn.reason}"
        return Step(request, True, True, estimator, 1, reason, rows=rows)
    if request.eot != "auto":
        return Step(
            request, True, True, estimator, request.eot, f"{reason}; random: {request.eot} draws, as fixed", rows=rows
        )
    found = known.agreements.get(estimator.label)
    if found is None:
        draws = int(drawn.value) if isinstance(drawn.value, int) else 1
        return Step(request, True, True, estimator, draws, f"{reason}; {_drawn(drawn.reason, draws)}", rows=rows)
    reason += f"; random: two halves of {found.draws} draws agree with a cosine of {found.cosine:.2f}"
    return Step(request, True, True, estimator, found.draws, reason, rows=rows)


__all__ = ["Agreement", "Known", "Step", "plan", "trials", "undecided"]
