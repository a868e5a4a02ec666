"""What callers of the Python interface give, turned into what an evaluation takes, or into one sentence of refusal."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, cast, get_args

import torch
from torch import Tensor, nn

from .adapters import load_model
from .harness.attacks import ATTACKS
from .harness.classifier import Classifier
from .harness.defenses import parse_defense
from .harness.errors import DataError, UsageError
from .harness.geometry import NORMS, Norm
from .harness.grid import in_bounds
from .harness.pipeline import Pipeline, Stage
from .harness.results import Gate, Result
from .harness.rule import Rule
from .harness.trust import ControlLevel
from .reports.json_report import read_json
from .suites import Suite

_OFF_GRID = 1e-5
"""Share of the range that float32 may miss a level by."""
_ROUNDING = 1e-2
"""Share of a box's width by which rounding to float32 may move its sides."""


def as_classifier(model: Any, device: str) -> Classifier:
    """A Classifier of what was given as a model."""
    if isinstance(model, nn.Module):
        return load_model(model, device=device)
    if isinstance(model, Classifier):
        return model
    raise UsageError(f"model is a {type(model).__name__}; give a Classifier from robcheck.load_model or an nn.Module")


def as_pipeline(model: Any, device: str, defenses: Sequence[Stage | str], rule: str | None) -> Pipeline:
    """The model behind its defenses, deciding by a rule; a Pipeline keeps its own stages closest to the model.

    Without a rule a Pipeline decides by its own, anything else by single draws.

    Raises:
        UsageError: the model is none, a defense is not known, or two rules are declared.
    """
    stages, declared = tuple(as_stage(defense) for defense in defenses), None if rule is None else Rule.parse(rule)
    if not isinstance(model, Pipeline):
        return Pipeline(as_classifier(model, device), stages, rule=declared or Rule())
    if declared is not None and model.rule not in (Rule(), declared):
        raise UsageError(f"the decision rule is {declared}, but the model already decides by {model.rule}; give one")
    return replace(model, stages=stages + model.stages, rule=declared or model.rule)


def as_samples(x: Any, y: Any) -> tuple[Tensor, Tensor]:
    """Finite float32 samples (N, ...) on the CPU and their labels (N,)."""
    samples = _tensor(x, "x").to(torch.float32)
    if samples.dim() < 2 or len(samples) == 0:
        raise DataError(f"x has shape {tuple(samples.shape)}; give at least one sample as (N, ...)")
    bad = ~samples.flatten(1).isfinite().all(dim=1)
    if bool(bad.any()):
        raise DataError(f"x holds NaN or infinite values, first in sample {int(bad.nonzero()[0])}; clean the data")
    return samples, as_classes(y, samples, "y")


def as_held_out(values: Any, x: Tensor) -> Tensor:
    """Finite float32 samples (M, ...) in the units of x, none of them among x.

    Raises:
        DataError: they have another shape, hold no numbers, or hold samples that are evaluated.
    """
    found = _tensor(values, "held_out").to(torch.float32)
    if found.dim() != x.dim() or found.shape[1:] != x.shape[1:] or len(found) == 0:
        raise DataError(f"held_out has shape {tuple(found.shape)}, x {tuple(x.shape)}; give samples of the same shape")
    if not bool(found.isfinite().all()):
        raise DataError("held_out holds NaN or infinite values; clean the data")
    # Adding 0 makes one zero of two.
    evaluated = {(sample + 0.0).numpy().tobytes() for sample in x}
    shared = [number for number, sample in enumerate(found) if (sample + 0.0).numpy().tobytes() in evaluated]
    if shared:
        raise DataError(
            f"{len(shared)} of the held-out samples are evaluated too, the first is number {shared[0]}; leave them "
            "out, or the threshold has seen what it is judged on"
        )
    return found


def _tensor(values: Any, name: str) -> Tensor:
    try:
        tensor = values.detach().cpu() if isinstance(values, Tensor) else torch.as_tensor(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(f"{name} is no array of numbers ({str(error).splitlines()[0]})") from error
    return tensor.clone()


def as_classes(values: Any, samples: Tensor, name: str) -> Tensor:
    """One whole number per sample, (N,)."""
    tensor = _tensor(values, name)
    if tensor.shape != (len(samples),):
        raise DataError(
            f"{name} has shape {tuple(tensor.shape)} for {len(samples)} samples; give one number per sample"
        )
    if tensor.is_floating_point() and not bool((tensor == tensor.round()).all()):
        raise DataError(f"{name} holds {float(tensor[tensor != tensor.round()][0]):g}, which is no whole number")
    return tensor.to(torch.int64)


def check_bounds(samples: Tensor, classifier: Classifier) -> None:
    """Every sample lies inside the model's bounds."""
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


def as_norm(norm: str) -> Norm:
    """One of the known norms."""
    for known in NORMS:
        if norm == known:
            return known
    raise UsageError(f"norm {norm!r} is not known; give one of {', '.join(NORMS)}")


def as_radii(epsilon: Any, samples: Tensor, norm: Norm) -> Tensor:
    """One radius per sample, (N,), that means something in this norm."""
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


def as_box(box: tuple[Any, Any], samples: Tensor, norm: str | None, stages: tuple[Stage, ...]) -> tuple[Tensor, Tensor]:
    """Lower and upper limits of every feature, in float32."""
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


def as_stage(defense: Stage | str) -> Stage:
    """A stage, or what a text like `jpeg:quality=75` names."""
    return parse_defense(defense) if isinstance(defense, str) else defense


def as_level(suite: Suite, level: str | None) -> ControlLevel:
    """Which control experiments run."""
    if level is None:
        return suite.controls
    if level not in get_args(ControlLevel):
        raise UsageError(f"controls is {level!r}; give {', '.join(get_args(ControlLevel))}")
    return cast(ControlLevel, level)


def as_grid(
    suite: Suite, grid: str | None, samples: Tensor, box: tuple[Tensor, Tensor] | None
) -> Literal["none", "8bit"]:
    """The grid that counted points lie on.

    Raises:
        UsageError: there is no such grid, or none for these samples.
    """
    chosen = suite.threat.pixel_grid if grid is None else grid
    if chosen not in ("none", "8bit"):
        raise UsageError(f"pixel_grid is {chosen!r}; give none or 8bit")
    if chosen == "8bit" and box is not None:
        raise UsageError("a box has a range for every feature, and the 8-bit pixel grid one for all; use one of them")
    if chosen == "8bit" and samples.dim() != 4:
        raise UsageError(f"samples of shape {tuple(samples.shape[1:])} are no images; leave out pixel_grid")
    return cast(Literal["none", "8bit"], chosen)


def onto_grid(samples: Tensor, classifier: Classifier) -> tuple[Tensor, int]:
    """Samples (N, C, H, W) with every pixel at one of the 256 levels of the bounds, and how many of them that moved."""
    low, high = (torch.tensor(side) for side in classifier.info.bounds)
    rounded = in_bounds((samples - low) / (high - low), low, high)
    moved = (rounded - samples).abs() > _OFF_GRID * (high - low)
    return rounded, int(moved.flatten(1).any(dim=1).sum())


def as_attack(name: str) -> str:
    """The name of an attack, or nothing."""
    if name and name not in ATTACKS:
        raise UsageError(f"no attack is called {name!r}; known are {', '.join(ATTACKS)}")
    return name


def as_baseline(given: str | Path | Result | None) -> Result | None:
    """An earlier result, read where a path was given.

    Raises:
        DataError: the file cannot be read.
    """
    return given if given is None or isinstance(given, Result) else read_json(Path(given))


def as_gate(
    suite: Suite, threshold: float | None, on: str | None, confidence: float | None, regression: float | None
) -> Gate:
    """The suite's gate with what the caller says otherwise."""
    gate = suite.gate.gate()
    update: dict[str, Any] = {}
    if threshold is not None:
        update["min_robust_accuracy"] = as_share(threshold, "min_robust_accuracy")
    if on is not None:
        if on not in ("interval", "point"):
            raise UsageError(f"gate_on is {on!r}; give interval or point")
        update["on"] = on
    if confidence is not None:
        update["confidence"] = as_confidence(confidence)
    if regression is not None:
        update["max_regression"] = as_share(regression, "max_regression")
    return gate.model_copy(update=update)


def as_confidence(value: float) -> float:
    """A confidence that means something."""
    if not 0.5 < (as_share(value, "confidence") or 0.0) < 1:
        raise UsageError(f"confidence is {value:g}; give a number between 0.5 and 1")
    return value


def as_share(value: float | None, name: str) -> float | None:
    """A number between 0 and 1, if any."""
    if value is None:
        return None
    try:
        share = float(value)
    except (TypeError, ValueError):
        share = -1.0
    if isinstance(value, bool | str) or not 0 <= share <= 1:
        raise UsageError(f"{name} is {value!r}; give a share between 0 and 1")
    return share


def at_least(least: int, value: int | None, name: str) -> int | None:
    """A whole number that is large enough, if any."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
        raise UsageError(f"{name} is {value}; give a whole number of at least {least}")
    return value


def as_budget(suite: Suite, max_passes: int | None, n: int) -> int | None:
    """Passes for all samples together, if limited."""
    per_sample = suite.budget.passes_per_sample
    limits = [v for v in (max_passes, None if per_sample is None else per_sample * n) if v is not None]
    return min(limits) if limits else None
