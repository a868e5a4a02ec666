"""The Python interface: `evaluate`, `plan` and `inspect`, the same things that the command line runs."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from . import __version__
from .adapters.contract import proposal
from .adapters.load import resolve_device
from .arguments import (
    as_norm,
    as_pipeline,
    as_radii,
    as_samples,
    as_share,
    at_least,
    check_bounds,
)
from .harness.attacks.pgd import PGD
from .harness.classifier import Classifier
from .harness.errors import UsageError
from .harness.evaluation import look_ahead, run
from .harness.execution.job import Job
from .harness.execution.observer import Observer
from .harness.geometry import Norm
from .harness.inspection import look
from .harness.pipeline import Stage
from .harness.randomness import Stream
from .harness.request import Request
from .harness.results import DataRecord, Inspection, PlanEntry, Result
from .harness.subject import check_gate
from .harness.summary import summarise
from .harness.trust import ControlLevel
from .jobs import as_job
from .suites import Suite


@torch.inference_mode(mode=False)
def evaluate(
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
    observer: Observer | None = None,
) -> Result:
    """How often is a classifier still right under attack?

    Args:
        model: a Classifier from `load_model`, an `nn.Module` that takes x as it is, or a Pipeline of a classifier and
            what stands around it.
        x: samples (N, ...) in units of the model's bounds ([0, 1] unless `load_model` was told otherwise).
        y: labels (N,).
        suite: name of a built-in suite, path of a YAML file, or a Suite.
        norm: linf, l2, l1 or l0; the suite's unless given.
        epsilon: radius in [0, 1] pixel units, one number or one per sample; the suite's unless given.
        box: lower and upper limits (N, ...) in units of x, per sample and feature; replaces norm, epsilon and bounds.
        targets: classes (N,) that the attacks have to reach; without them any wrong class is a break.
        defenses: stages in front of the model, as objects or as `jpeg:quality=75`.
        decision_rule: how a random product decides: `single`, `majority:K` or `mean:K` draws; the suite's unless given.
        min_robust_accuracy: the gate; without it the verdict is NO_GATE.
        gate_on: `interval` or `point`.
        seed: of everything random.
        device: auto, cpu, cuda or cuda:N.
        batch_size: rows per model call; chosen by size unless given.
        max_passes: budget of forward and backward passes for all attacks and samples together.
        expect_accuracy: the clean accuracy that the model is said to have; falling short of it stands against a PASS.
        held_out: other clean samples (M, ...) like x, none of them evaluated: they set the thresholds for 1 % and 5 %
            clean rejection where the target may refuse to answer.
        controls: which control experiments run after the attacks: `none`, with which no gate can be passed, `standard`
            or `full`; the suite's unless given.
        pixel_grid: `8bit` rounds the samples to the 8-bit pixel grid and lets only points on it count; `none`, or the
            suite's unless given.
        trained_with: name of the attack that the model was trained against, where that is known.
        stop_when_decided: take the samples in portions and stop as soon as the gate is decided.
        baseline: an earlier result of the same samples, or the path of its JSON.
        max_regression: largest loss of robust accuracy against the baseline; a gate of its own.
        ids: names of the samples (N,), the keys of their randomness; 0..N-1 unless given.

    An interrupt (Ctrl-C) ends the run early; the result then says `complete=False`.

    Raises:
        UsageError: an argument or the suite makes no sense.
        ModelError: the model cannot be evaluated.
        DataError: samples and labels cannot be used.
        UnfinishedError: the device was lost; its `result` attribute holds what was computed.
    """
    started = time.perf_counter()
    job = as_job(
        model,
        x,
        y,
        suite=suite,
        norm=norm,
        epsilon=epsilon,
        box=box,
        targets=targets,
        defenses=defenses,
        decision_rule=decision_rule,
        min_robust_accuracy=min_robust_accuracy,
        gate_on=gate_on,
        confidence=confidence,
        seed=seed,
        device=device,
        batch_size=batch_size,
        max_passes=max_passes,
        expect_accuracy=expect_accuracy,
        held_out=held_out,
        controls=controls,
        pixel_grid=pixel_grid,
        trained_with=trained_with,
        stop_when_decided=stop_when_decided,
        baseline=baseline,
        max_regression=max_regression,
        ids=ids,
        data=data,
        class_names=class_names,
    )
    check_gate(job)
    done = run(job, observer)
    result = summarise(done, seconds=time.perf_counter() - started, version=__version__)
    if not isinstance(x, Tensor):
        result._adversarial = result._adversarial.numpy()
    if done.error is not None:
        done.error.result = result
        raise done.error
    return result


@torch.inference_mode(mode=False)
def plan(
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
    seed: int = 0,
    device: str = "auto",
    batch_size: int | None = None,
    ids: Any = None,
    observer: Observer | None = None,
) -> list[PlanEntry]:
    """What `evaluate` would run with the same arguments, on what gradient and why; the model is probed, not attacked.

    Raises:
        UsageError: an argument or the suite makes no sense.
        ModelError: the model cannot be evaluated.
        DataError: samples and labels cannot be used.
    """
    job = as_job(
        model,
        x,
        y,
        suite=suite,
        norm=norm,
        epsilon=epsilon,
        box=box,
        targets=targets,
        defenses=defenses,
        decision_rule=decision_rule,
        seed=seed,
        device=device,
        batch_size=batch_size,
        ids=ids,
    )
    return [step.entry() for step in look_ahead(job, observer)]


@torch.inference_mode(mode=False)
def inspect(
    model: Any,
    x: Any = None,
    y: Any = None,
    *,
    samples: int = 64,
    norm: Norm = "linf",
    epsilon: Any = 8 / 255,
    expect_accuracy: float | None = None,
    seed: int = 0,
    device: str = "auto",
) -> Inspection:
    """Does a classifier keep the contract that an evaluation rests on?

    Args:
        model: a Classifier from `load_model`, an `nn.Module` that takes x as it is, or a Pipeline.
        x: samples (N, ...) in units of the model's bounds; without them, random ones.
        y: labels (N,); without them, the model's own answers.
        samples: how many random samples.
        norm: of the ball in which gradients have to lead uphill.
        epsilon: its radius in [0, 1] pixel units.
        expect_accuracy: the clean accuracy that the model is said to have.

    Raises:
        UsageError: an argument makes no sense, or there is no shape to draw random samples of.
        ModelError: the model cannot answer.
        DataError: samples and labels cannot be used.
    """
    place = resolve_device(device)
    pipeline = as_pipeline(model, place, (), None)
    classifier, expected = pipeline.classifier, as_share(expect_accuracy, "expect_accuracy")
    labelled = x is not None and y is not None
    if x is None:
        x = _noise(classifier, samples, seed)
    if y is None:
        asked = as_samples(x, torch.zeros(len(x)))[0].to(place)
        stream = Stream.create(seed, "inspect/labels", torch.arange(len(asked), device=asked.device))
        y = pipeline.decide(asked, stream).logits.nan_to_num().argmax(dim=1).cpu()
    points, labels = as_samples(x, y)
    check_bounds(points, classifier)
    found = look(
        Job(
            pipeline=pipeline,
            x=points,
            y=labels,
            norm=as_norm(norm),
            eps=as_radii(epsilon, points, as_norm(norm)),
            requests=[Request(name="inspect", config=PGD())],
            seed=seed,
            device=place,
            expected_accuracy=expected if labelled else None,
        ),
        labelled=labelled,
    )
    # Behind a defense the classifier wants other inputs than these.
    found.proposal = (proposal(classifier, points, labels) or "") if labelled and not pipeline.stages else ""
    return found


def _noise(classifier: Classifier, count: int, seed: int) -> Tensor:
    """Uniform samples inside the bounds."""
    shape, (low, high) = classifier.info.input_shape, classifier.info.bounds
    if shape is None:
        raise UsageError("the model does not say which shape its samples have; give samples")
    stream = Stream.create(seed, "inspect", torch.arange(at_least(1, count, "samples") or 1))
    return stream.uniform(0, shape, low, high).clamp(low, high)
