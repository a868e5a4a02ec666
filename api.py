"""The Python interface: `evaluate`, the same thing that the command line runs."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from . import __version__
from .adapters import load_model
from .adapters.load import resolve_device
from .harness.classifier import Classifier
from .harness.defenses import parse_defense
from .harness.errors import DataError, UsageError
from .harness.evaluation import run
from .harness.execution.job import Job
from .harness.execution.observer import Observer
from .harness.geometry import NORMS, Norm
from .harness.pipeline import Pipeline, Stage
from .harness.results import DataRecord, Gate, Result
from .harness.summary import summarise
from .suites import Suite, load_suite

_ROUNDING = 1e-2
"""Share of a box's width by which rounding to float32 may move its sides."""


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
    min_robust_accuracy: float | None = None,
    gate_on: str | None = None,
    confidence: float | None = None,
    seed: int = 0,
    device: str = "auto",
    batch_size: int | None = None,
    max_passes: int | None = None,
    ids: Any = None,
    data: DataRecord | None = None,
    class_names: Sequence[str] = (),
    observer: Observer | None = None,
) -> Result:
    """How often is a classifier still right under attack?

    Args:
        model: a Classifier from `load_model`, or an `nn.Module` that takes x as it is.
        x: samples (N, ...) in units of the model's bounds ([0, 1] unless `load_model` was told otherwise).
        y: labels (N,).
        suite: name of a built-in suite, path of a YAML file, or a Suite.
        norm: linf, l2, l1 or l0; the suite's unless given.
        epsilon: radius in [0, 1] pixel units, one number or one per sample; the suite's unless given.
        box: lower and upper limits (N, ...) in units of x, per sample and feature; replaces norm, epsilon and bounds.
        targets: classes (N,) that the attacks have to reach; without them any wrong class is a break.
        defenses: stages in front of the model, as objects or as `jpeg:quality=75`.
        min_robust_accuracy: the gate; without it the verdict is NO_GATE.
        gate_on: `interval` or `point`.
        seed: of everything random.
        device: auto, cpu, cuda or cuda:N.
        batch_size: rows per model call; chosen by size unless given.
        max_passes: budget of forward and backward passes for all attacks and samples together.
        ids: names of the samples (N,), the keys of their randomness; 0..N-1 unless given.

    An interrupt (Ctrl-C) ends the run early; the result then says `complete=False`.

    Raises:
        UsageError: an argument or the suite makes no sense.
        ModelError: the model cannot be evaluated.
        DataError: samples and labels cannot be used.
        UnfinishedError: the device was lost; its `result` attribute holds what was computed.
    """
    started = time.perf_counter()
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise UsageError(f"seed is {seed!r}; give a whole number of at least 0")
    if not isinstance(suite, str | Path | Suite):
        raise UsageError(f"suite is a {type(suite).__name__}; give a name, a path or a Suite")
    if isinstance(defenses, str):
        defenses = [defenses]
    chosen = load_suite(suite)
    place = resolve_device(device)
    classifier = _classifier(model, place)
    samples, labels = _samples(x, y)
    stages = tuple(_stage(d) for d in [*chosen.defenses, *defenses])
    limits = None if box is None else _box(box, samples, norm, stages)
    if limits is None:
        _inside_bounds(samples, classifier)
    resolved_norm: Norm = "linf" if limits is not None else _norm(norm or chosen.threat.norm)
    radius = chosen.threat.epsilon if epsilon is None else epsilon
    goals = None if targets is None else _classes(targets, samples, "targets")
    if goals is not None and bool((goals == labels).any()):
        first = int((goals == labels).nonzero()[0])
        raise DataError(f"the target of sample {first} is its own class; give another class to reach")
    job = Job(
        pipeline=Pipeline(classifier, stages),
        x=samples,
        y=labels,
        norm=resolved_norm,
        eps=None if limits is not None else _radii(radius, samples, resolved_norm),
        requests=list(chosen.attacks),
        gate=_gate(chosen, min_robust_accuracy, gate_on, confidence),
        box=limits,
        targets=goals,
        ids=None if ids is None else _classes(ids, samples, "ids"),
        seed=seed,
        device=place,
        batch=_at_least(1, batch_size, "batch_size"),
        budget=_budget(chosen, _at_least(0, max_passes, "max_passes"), len(samples)),
        labels={
            "suite": chosen.name,
            "suite_source": chosen.model_dump(mode="json"),
            "data": data,
            "class_names": class_names,
        },
    )
    done = run(job, observer)
    result = summarise(done, seconds=time.perf_counter() - started, version=__version__)
    if not isinstance(x, Tensor):
        result._adversarial = result._adversarial.numpy()
    if done.error is not None:
        done.error.result = result
        raise done.error
    return result


def _classifier(model: Any, device: str) -> Classifier:
    if isinstance(model, nn.Module):
        return load_model(model, device=device)
    if isinstance(model, Classifier):
        return model
    raise UsageError(f"model is a {type(model).__name__}; give a Classifier from robcheck.load_model or an nn.Module")


def _samples(x: Any, y: Any) -> tuple[Tensor, Tensor]:
    samples = _tensor(x, "x").to(torch.float32)
    if samples.dim() < 2 or len(samples) == 0:
        raise DataError(f"x has shape {tuple(samples.shape)}; give at least one sample as (N, ...)")
    bad = ~samples.flatten(1).isfinite().all(dim=1)
    if bool(bad.any()):
        raise DataError(f"x holds NaN or infinite values, first in sample {int(bad.nonzero()[0])}; clean the data")
    return samples, _classes(y, samples, "y")


def _tensor(values: Any, name: str) -> Tensor:
    try:
        tensor = values.detach().cpu() if isinstance(values, Tensor) else torch.as_tensor(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(f"{name} is no array of numbers ({str(error).splitlines()[0]})") from error
    return tensor.clone()


def _classes(values: Any, samples: Tensor, name: str) -> Tensor:
    tensor = _tensor(values, name)
    if tensor.shape != (len(samples),):
        raise DataError(
            f"{name} has shape {tuple(tensor.shape)} for {len(samples)} samples; give one number per sample"
        )
    if tensor.is_floating_point() and not bool((tensor == tensor.round()).all()):
        raise DataError(f"{name} holds {float(tensor[tensor != tensor.round()][0]):g}, which is no whole number")
    return tensor.to(torch.int64)


def _inside_bounds(samples: Tensor, classifier: Classifier) -> None:
    low, high = classifier.info.bounds
    outside = ((samples < low) | (samples > high)).flatten(1).any(dim=1)
    if bool(outside.any()):
        first = int(outside.nonzero()[0])
        value = samples[first].flatten()
        worst = float(value.min()) if float(value.min()) < low else float(value.max())
        raise DataError(
            f"sample {first} holds {worst:g}, outside the model's bounds [{low:g}, {high:g}]; "
            "load the model with the bounds of your data, or give a box"
        )


def _norm(norm: str) -> Norm:
    for known in NORMS:
        if norm == known:
            return known
    raise UsageError(f"norm {norm!r} is not known; give one of {', '.join(NORMS)}")


def _radii(epsilon: Any, samples: Tensor, norm: Norm) -> Tensor:
    radii = _tensor(epsilon, "epsilon").to(torch.float32)
    if radii.dim() == 0:
        radii = radii.expand(len(samples)).clone()
    if radii.shape != (len(samples),):
        raise UsageError(
            f"epsilon has shape {tuple(radii.shape)} for {len(samples)} samples; give one number or one per sample"
        )
    if not bool((radii.isfinite() & (radii >= 0)).all()):
        raise UsageError("epsilon has to be a finite number that is not negative")
    if norm == "l0" and bool(((radii < 1) | (radii != radii.round())).any()):
        raise UsageError("in l0 epsilon counts features; give a whole number of at least 1")
    return radii


def _box(box: tuple[Any, Any], samples: Tensor, norm: str | None, stages: tuple[Stage, ...]) -> tuple[Tensor, Tensor]:
    if norm not in (None, "linf"):
        raise UsageError(f"a box already says where each feature may go; leave out norm {norm!r}")
    if stages:
        raise UsageError("a box is in units of the model's input, defenses work on pixels; use one or the other")
    try:
        lower, upper = (_tensor(side, "box").to(torch.float32).broadcast_to(samples.shape).clone() for side in box)
    except (RuntimeError, ValueError) as error:
        raise DataError(
            f"box does not fit x of shape {tuple(samples.shape)}; give lower and upper of that shape"
        ) from error
    _survives_float32(box, samples, lower, upper)
    bad = ~((lower <= upper) & lower.isfinite() & upper.isfinite()).flatten(1).all(dim=1)
    if bool(bad.any()):
        raise DataError(f"box of sample {int(bad.nonzero()[0])} is empty or not finite; lower must be at most upper")
    outside = ((samples < lower - 1e-5) | (samples > upper + 1e-5)).flatten(1).any(dim=1)
    if bool(outside.any()):
        raise DataError(f"sample {int(outside.nonzero()[0])} lies outside its box")
    return lower, upper


def _survives_float32(box: tuple[Any, Any], samples: Tensor, lower: Tensor, upper: Tensor) -> None:
    """Models are asked in float32: a box that rounding to it closes or moves would be another question."""
    exact_lower, exact_upper = (_tensor(side, "box").double().broadcast_to(samples.shape) for side in box)
    width = exact_upper - exact_lower
    moved = torch.maximum((lower.double() - exact_lower).abs(), (upper.double() - exact_upper).abs())
    lost = ((width > 0) & (moved > _ROUNDING * width)).flatten(1).any(dim=1)
    if bool(lost.any()):
        raise DataError(
            f"the box of sample {int(lost.nonzero()[0])} is too narrow for float32 at values of this size; "
            "scale the features, with the scaling inside the model"
        )


def _stage(defense: Stage | str) -> Stage:
    return parse_defense(defense) if isinstance(defense, str) else defense


def _gate(suite: Suite, threshold: float | None, on: str | None, confidence: float | None) -> Gate:
    gate = suite.gate.gate()
    update: dict[str, Any] = {}
    if threshold is not None:
        if not 0 <= threshold <= 1:
            raise UsageError(f"min_robust_accuracy is {threshold:g}; give a share between 0 and 1")
        update["min_robust_accuracy"] = threshold
    if on is not None:
        if on not in ("interval", "point"):
            raise UsageError(f"gate_on is {on!r}; give interval or point")
        update["on"] = on
    if confidence is not None:
        if not 0.5 < confidence < 1:
            raise UsageError(f"confidence is {confidence:g}; give a number between 0.5 and 1")
        update["confidence"] = confidence
    return gate.model_copy(update=update)


def _at_least(least: int, value: int | None, name: str) -> int | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
        raise UsageError(f"{name} is {value}; give a whole number of at least {least}")
    return value


def _budget(suite: Suite, max_passes: int | None, n: int) -> int | None:
    per_sample = suite.budget.passes_per_sample
    limits = [v for v in (max_passes, None if per_sample is None else per_sample * n) if v is not None]
    return min(limits) if limits else None
