"""The options of the command line, in groups, and how their texts become values."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from .harness.errors import UsageError


class Kind(StrEnum):
    """What `list` can list."""

    attacks = "attacks"
    defenses = "defenses"
    gradients = "gradients"
    suites = "suites"
    checks = "checks"
    references = "references"
    fixtures = "fixtures"


class Norms(StrEnum):
    """Norms of the command line."""

    linf = "linf"
    l2 = "l2"
    l1 = "l1"
    l0 = "l0"


class GateOn(StrEnum):
    """What is held against the threshold."""

    interval = "interval"
    point = "point"


class Controls(StrEnum):
    """Which control experiments run."""

    none = "none"
    standard = "standard"
    full = "full"


class Grid(StrEnum):
    """The grid that counted points lie on."""

    none = "none"
    eight_bit = "8bit"


class Layout(StrEnum):
    """Where the channels of an image are."""

    nchw = "nchw"
    nhwc = "nhwc"


def _option(text: str, panel: str | None, *names: str, **limits: Any) -> Any:
    return typer.Option(*names, help=text, rich_help_panel=panel, show_default=False, **limits)


Model = Annotated[
    str,
    typer.Argument(
        help="model.onnx, file.py:factory or module:factory (an nn.Module), torchvision:NAME, embedded:NAME, "
        "reference:NAME (a small model with a defense around it) or fixture:NAME (one that is broken in a known way).",
        show_default=False,
        metavar="MODEL",
    ),
]
Suite = Annotated[str, typer.Option(help="quick, standard, adaptive, or a YAML file.")]
Norm = Annotated[Norms | None, _option("Norm of the perturbation; the suite's unless given.", None)]
Epsilon = Annotated[str | None, _option("Radius in [0, 1] pixel units, such as 8/255 or 0.3.", None)]
Samples = Annotated[
    int, typer.Option(help="How many samples at most, drawn with the seed.", min=1, rich_help_panel="Data")
]
Seed = Annotated[int, typer.Option(help="Of everything random.", min=0)]


@dataclass(frozen=True)
class ModelOptions:
    """How MODEL wants its inputs, and what its outputs are."""

    weights: Annotated[str | None, _option("Safetensors or state dict for a factory.", "Model")] = None
    value_range: Annotated[
        str | None, _option("Pixel range that the model expects: 0-1, 0-255 or -1-1.", "Model", "--range")
    ] = None
    mean: Annotated[
        str | None, _option("Channel means that the model expects, in [0, 1] units: 0.485,0.456,0.406.", "Model")
    ] = None
    std: Annotated[str | None, _option("Channel standard deviations, likewise.", "Model")] = None
    layout: Annotated[Layout | None, _option("Channel order, where it cannot be detected.", "Model")] = None
    reject_output: Annotated[
        str | None,
        _option("The output that says when the model refuses to answer (a module's: key or place).", "Model"),
    ] = None
    reject_above: Annotated[float | None, _option("What that output has to exceed.", "Model")] = None
    trust_code: Annotated[
        bool,
        typer.Option(
            "--trust-code",
            help="Load formats that run code from the file (pickle, TorchScript, .pt2).",
            rich_help_panel="Model",
        ),
    ] = False
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto"

    def open(self, model: str) -> Any:
        """The Classifier or Pipeline that MODEL names."""
        from .adapters import load_product
        from .adapters.preprocessing import parse_channels, parse_range

        return load_product(
            model,
            weights=self.weights,
            mean=None if self.mean is None else parse_channels(self.mean, "mean"),
            std=None if self.std is None else parse_channels(self.std, "std"),
            input_range=None if self.value_range is None else parse_range(self.value_range),
            layout=None if self.layout is None else self.layout.value,
            device=self.device,
            trust_code=self.trust_code,
            reject_output=self.reject_output,
            reject_above=self.reject_above,
        )


@dataclass(frozen=True)
class DataOptions:
    """Where the samples come from."""

    data: Annotated[
        str | None,
        _option(
            "digits, file.npz (x, y), an image folder or a zip of one, torchvision:NAME@ROOT. Embedded and reference "
            "models bring their own.",
            "Data",
        ),
    ] = None
    samples: Samples = 1000
    data_range: Annotated[str | None, _option("Range of the pixels in DATA, where they are not in [0, 1].", "Data")] = (
        None
    )
    resize: Annotated[str | None, _option("HxW for images of differing sizes.", "Data")] = None
    expect_accuracy: Annotated[
        float | None,
        _option(
            "Clean accuracy that the model is said to have; falling short of it is a severe finding.",
            "Data",
            min=0,
            max=1,
        ),
    ] = None

    def source(self, model: str) -> str | None:
        """What the data are, if anything says so."""
        return self.data or ("digits" if model.startswith(("embedded:", "reference:", "fixture:")) else None)

    def arguments(self, info: Any, seed: int, layout: Layout | None) -> dict[str, Any]:
        """What `load_data` is to be told for a model."""
        return {
            "samples": self.samples,
            "seed": seed,
            "shape": info.input_shape,
            "layout": None if layout is None else layout.value,
            "value_range": self.data_range,
            "resize": _size(self.resize),
            "classes": info.classes,
        }


@dataclass(frozen=True)
class EvaluationData(DataOptions):
    """The same, and what is kept from the evaluation."""

    held_out: Annotated[
        int | None,
        _option(
            "Further samples for the thresholds of a detector, none of them evaluated; what remains, up to 1000, "
            "unless given.",
            "Data",
            min=0,
        ),
    ] = None

    def arguments(self, info: Any, seed: int, layout: Layout | None) -> dict[str, Any]:
        """What `load_data` and `load_held_out` are to be told for a model."""
        return super().arguments(info, seed, layout) | {"held_out": self.held_out}


@dataclass(frozen=True)
class InspectionData(DataOptions):
    """The same of fewer samples."""

    samples: Samples = 64


@dataclass(frozen=True)
class GateOptions:
    """What the verdict is held against."""

    min_robust_accuracy: Annotated[
        float | None, _option("The gate: least worst-case robust accuracy.", "Gate", min=0, max=1)
    ] = None
    gate_on: Annotated[GateOn | None, _option("Hold the interval or the point estimate against it.", "Gate")] = None
    confidence: Annotated[float | None, _option("Of the interval.", "Gate")] = None
    baseline: Annotated[
        Path | None, _option("result.json of an earlier run on the same samples, to compare with.", "Gate")
    ] = None
    max_regression: Annotated[
        float | None,
        _option("Largest loss of robust accuracy against --baseline; a gate of its own.", "Gate", min=0, max=1),
    ] = None
    stop_when_decided: Annotated[
        bool,
        typer.Option(
            "--stop-when-decided",
            help="Take the samples in portions and stop as soon as the gate is decided, at the promised confidence.",
            rich_help_panel="Gate",
        ),
    ] = False

    @property
    def settings(self) -> dict[str, Any]:
        """The same as arguments of the Python interface."""
        return {
            "min_robust_accuracy": self.min_robust_accuracy,
            "gate_on": None if self.gate_on is None else self.gate_on.value,
            "confidence": self.confidence,
            "baseline": self.baseline,
            "max_regression": self.max_regression,
            "stop_when_decided": self.stop_when_decided or None,
        }


@dataclass(frozen=True)
class TrustOptions:
    """How far the number is tested."""

    controls: Annotated[
        Controls | None,
        _option("Control experiments: standard, full, or none (which no gate can be passed with).", "Trust"),
    ] = None
    pixel_grid: Annotated[
        Grid | None, _option("8bit: only adversarial examples on the 8-bit pixel grid count.", "Trust")
    ] = None
    trained_with: Annotated[
        str | None, _option("The attack that the model was trained against, where you know it.", "Trust")
    ] = None

    @property
    def settings(self) -> dict[str, Any]:
        """The same as arguments of the Python interface."""
        return {
            "controls": None if self.controls is None else self.controls.value,
            "pixel_grid": None if self.pixel_grid is None else self.pixel_grid.value,
            "trained_with": self.trained_with,
        }


def number(option: str, text: str | None) -> float | None:
    """The number that an option's text means.

    Raises:
        UsageError: it means none.
    """
    from .suites import parse_number

    try:
        return None if text is None else parse_number(text)
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from None


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    height, cross, width = text.lower().partition("x")
    if not (cross and height.isdigit() and width.isdigit() and int(height) and int(width)):
        raise UsageError(f"--resize: {text!r} is not HEIGHTxWIDTH, such as 32x32")
    return int(height), int(width)
