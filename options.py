"""The options of the command line, and how their texts become values."""

import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from .harness.errors import UnfinishedError, UsageError


class Kind(StrEnum):
    """What `list` can list."""

    attacks = "attacks"
    defenses = "defenses"
    suites = "suites"


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


class Layout(StrEnum):
    """Where the channels of an image are."""

    nchw = "nchw"
    nhwc = "nhwc"


Model = Annotated[
    str,
    typer.Argument(
        help="model.onnx, file.py:factory or module:factory (an nn.Module), torchvision:NAME, or embedded:NAME.",
        show_default=False,
    ),
]
Weights = Annotated[str | None, typer.Option(help="Safetensors or state dict for a factory.", rich_help_panel="Model")]
Range = Annotated[
    str | None,
    typer.Option("--range", help="Pixel range that the model expects: 0-1, 0-255 or -1-1.", rich_help_panel="Model"),
]
Mean = Annotated[
    str | None,
    typer.Option(
        help="Channel means that the model expects, in [0, 1] units: 0.485,0.456,0.406.", rich_help_panel="Model"
    ),
]
Std = Annotated[str | None, typer.Option(help="Channel standard deviations, likewise.", rich_help_panel="Model")]
LayoutOption = Annotated[
    Layout | None, typer.Option(help="Channel order, where it cannot be detected.", rich_help_panel="Model")
]
Trust = Annotated[
    bool,
    typer.Option(
        "--trust-code",
        help="Load formats that run code from the file (pickle, TorchScript, .pt2).",
        rich_help_panel="Model",
    ),
]
Data = Annotated[
    str | None,
    typer.Option(
        help="digits, file.npz (x, y), an image folder or a zip of one, torchvision:NAME@ROOT. "
        "Embedded models bring their own.",
        show_default=False,
        rich_help_panel="Data",
    ),
]
ExpectAccuracy = Annotated[
    float | None,
    typer.Option(
        help="Clean accuracy that the model is said to have; falling short of it is a severe finding.",
        min=0,
        max=1,
        show_default=False,
        rich_help_panel="Data",
    ),
]
DataRange = Annotated[
    str | None,
    typer.Option(help="Range of the pixels in DATA, where they are not in [0, 1].", rich_help_panel="Data"),
]
Resize = Annotated[str | None, typer.Option(help="HxW for images of differing sizes.", rich_help_panel="Data")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]


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


def open_model(
    model: str,
    weights: str | None,
    value_range: str | None,
    mean: str | None,
    std: str | None,
    layout: Layout | None,
    trust_code: bool,
    device: str,
) -> Any:
    from .adapters import load_model
    from .adapters.preprocessing import parse_channels, parse_range

    return load_model(
        model,
        weights=weights,
        mean=None if mean is None else parse_channels(mean, "mean"),
        std=None if std is None else parse_channels(std, "std"),
        input_range=None if value_range is None else parse_range(value_range),
        layout=None if layout is None else layout.value,
        device=device,
        trust_code=trust_code,
    )


def open_data(
    model: str,
    data: str | None,
    classifier: Any,
    samples: int,
    seed: int,
    data_range: str | None,
    layout: Layout | None,
    resize: str | None,
) -> Any:
    from .adapters import load_data

    if data is None:
        if not model.startswith("embedded:"):
            raise UsageError("--data is missing: give labelled samples (file.npz, an image folder or a zip, digits)")
        data = "digits"
    info = classifier.info
    return load_data(
        data,
        samples=samples,
        seed=seed,
        shape=info.input_shape,
        layout=None if layout is None else layout.value,
        value_range=data_range,
        resize=_size(resize),
        classes=info.classes,
    )


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    height, cross, width = text.lower().partition("x")
    if not (cross and height.isdigit() and width.isdigit() and int(height) and int(width)):
        raise UsageError(f"--resize: {text!r} is not HEIGHTxWIDTH, such as 32x32")
    return int(height), int(width)


def data_record(loaded: Any) -> Any:
    from .harness.results import DataRecord

    return DataRecord(name=loaded.name, samples=len(loaded.y), sha256=loaded.sha256, shape=tuple(loaded.x.shape[1:]))


def check_writable(out: Path) -> None:
    """Find out now, not after the run, that nothing can be written."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            return
    except OSError as error:
        raise UsageError(f"--out {out}: cannot write there ({error.strerror}); give another folder") from error


@contextmanager
def undisturbed() -> Iterator[None]:
    """Reports are written to the end: a second Ctrl-C has to wait for them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def write_all(reports: Any, result: Any, out: Path) -> list[Path]:
    """The reports; when they cannot be written there, the numbers at least are kept in a temporary folder."""
    try:
        return [*reports.write_reports(result, out), reports.write_adversarial(result, out)]
    except UnfinishedError as error:
        try:
            rescue = Path(tempfile.mkdtemp(prefix="robcheck-"))
            reports.write_reports(result, rescue, formats=("json",))
        except (UnfinishedError, OSError):
            print(result.model_dump_json(exclude={"gallery"}))
            raise UnfinishedError(f"{error}; the result was printed instead") from error
        raise UnfinishedError(f"{error}; the result is kept in {rescue}") from error
