"""What is to be evaluated, from what a user says and a suite."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .adapters.load import resolve_device
from .arguments import (
    as_attack,
    as_baseline,
    as_box,
    as_budget,
    as_classes,
    as_gate,
    as_grid,
    as_held_out,
    as_level,
    as_norm,
    as_pipeline,
    as_radii,
    as_samples,
    as_share,
    at_least,
    check_bounds,
    onto_grid,
)
from .harness.errors import DataError, UsageError
from .harness.execution.job import Job
from .harness.geometry import Norm
from .harness.pipeline import Stage
from .harness.results import DataRecord, Result
from .harness.trust import ControlLevel
from .suites import Suite, load_suite


def as_job(
    model: Any,
    x: Any,
    y: Any,
    *,
    suite: str | Path | Suite = "adaptive",
    norm: Norm | None = None,
    epsilon: Any = None,
    box: tuple[Any, Any] | None = None,
    targets: Any = None,
    defenses: Sequence[Stage | str] = (),
    decision_rule: str | None = None,
    min_robust_accuracy: float | None = None,
    gate_on: str | None = None,
    confidence: float | None = None,
    seed: int = 0,
    device: str = "auto",
    batch_size: int | None = None,
    max_passes: int | None = None,
    expect_accuracy: float | None = None,
    held_out: Any = None,
    controls: ControlLevel | None = None,
    pixel_grid: str | None = None,
    trained_with: str | None = None,
    stop_when_decided: bool | None = None,
    baseline: str | Path | Result | None = None,
    max_regression: float | None = None,
    ids: Any = None,
    data: DataRecord | None = None,
    class_names: Sequence[str] = (),
) -> Job:
    """The question that `evaluate` and `plan` ask; the arguments are those of `evaluate`.

    Raises:
        UsageError: an argument or the suite makes no sense.
        ModelError: the model cannot be evaluated.
        DataError: samples and labels cannot be used.
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise UsageError(f"seed is {seed!r}; give a whole number of at least 0")
    if not isinstance(suite, str | Path | Suite):
        raise UsageError(f"suite is a {type(suite).__name__}; give a name, a path or a Suite")
    if isinstance(defenses, str):
        defenses = [defenses]
    chosen = load_suite(suite)
    place = resolve_device(device)
    samples, labels = as_samples(x, y)
    # A suite that says nothing of the rule leaves a Pipeline its own.
    said = chosen.decision_rule if "decision_rule" in chosen.model_fields_set else None
    rule = said if decision_rule is None else decision_rule
    pipeline = as_pipeline(model, place, [*chosen.defenses, *defenses], rule)
    classifier, stages = pipeline.classifier, pipeline.stages
    limits = None if box is None else as_box(box, samples, norm, stages)
    if limits is None:
        check_bounds(samples, classifier)
    resolved_norm: Norm = "linf" if limits is not None else as_norm(norm or chosen.threat.norm)
    radius = chosen.threat.epsilon if epsilon is None else epsilon
    grid = as_grid(chosen, pixel_grid, samples, limits)
    rounded = 0
    goals = None if targets is None else as_classes(targets, samples, "targets")
    if goals is not None and bool((goals == labels).any()):
        first = int((goals == labels).nonzero()[0])
        raise DataError(f"the target of sample {first} is its own class; give another class to reach")
    others = None if held_out is None else as_held_out(held_out, samples)
    if others is not None and limits is None:
        check_bounds(others, classifier)
    if grid == "8bit":
        samples, rounded = onto_grid(samples, classifier)
        others = None if others is None else onto_grid(others, classifier)[0]
    return Job(
        pipeline=pipeline,
        x=samples,
        y=labels,
        norm=resolved_norm,
        eps=None if limits is not None else as_radii(radius, samples, resolved_norm),
        requests=list(chosen.attacks),
        gate=as_gate(chosen, min_robust_accuracy, gate_on, confidence, max_regression),
        box=limits,
        targets=goals,
        ids=None if ids is None else as_classes(ids, samples, "ids"),
        seed=seed,
        device=place,
        batch=at_least(1, batch_size, "batch_size"),
        budget=as_budget(chosen, at_least(0, max_passes, "max_passes"), len(samples)),
        expected_accuracy=as_share(expect_accuracy, "expect_accuracy"),
        held_out=others,
        controls=as_level(chosen, controls),
        waivers=tuple(waiver.waiver() for waiver in chosen.waivers),
        pixel_grid=grid,
        rounded=rounded,
        trained_with=as_attack(chosen.trained_with if trained_with is None else trained_with),
        stop_when_decided=chosen.gate.stop_when_decided if stop_when_decided is None else bool(stop_when_decided),
        baseline=as_baseline(baseline),
        labels={
            "suite": chosen.name,
            "suite_source": chosen.model_dump(mode="json"),
            "data": data,
            "class_names": class_names,
        },
    )
