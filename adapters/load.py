"""From what a user names as the model to a Classifier."""

from pathlib import Path
from typing import Any

from torch import nn

from ..harness.classifier import Classifier
from ..harness.errors import ModelError, UsageError
from ..harness.pipeline import Pipeline
from .device import resolve_device
from .preprocessing import Layout, Preprocessing
from .pytorch.module import wrap_module
from .pytorch.sources import FORMS, open_module
from .pytorch.weights import file_kind
from .rejection import declared
from .words import a, listed, nearest

__all__ = ["load_model", "load_product", "resolve_device"]

_EMBEDDED = Path(__file__).parent / "embedded"
_REFERENCE, _FIXTURE = "reference:", "fixture:"
_SPOKEN = {"input_range": "range"}
"""Options of the command line that have another name here."""


def load_model(
    model: str | Path | nn.Module | Classifier,
    *,
    weights: str | Path | None = None,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
    bounds: tuple[float, float] = (0.0, 1.0),
    input_range: tuple[float, float] | None = None,
    layout: Layout | None = None,
    device: str = "cpu",
    trust_code: bool = False,
    classes: int | None = None,
    reject_output: str | int | None = None,
    reject_above: float | None = None,
) -> Classifier:
    """Open a model file, a factory or a module behind the Classifier contract, without running code from a file.

    Args:
        model: an .onnx file, embedded:NAME, file.py:factory, module:factory, torchvision:NAME, or an nn.Module.
        weights: safetensors or a state dict, for a factory, torchvision or a module.
        mean: per channel, in [0, 1] pixel units, with `std`.
        bounds: the range of the caller's pixels.
        input_range: the range that the model expects; None is `bounds`.
        layout: "nhwc" if the model wants (N, H, W, C); callers always give (N, C, H, W).
        trust_code: also open files that run code when they are loaded.
        reject_output: the output (a module's: key, field or place) that says when the model refuses to answer.
        reject_above: what that output has to exceed; given both, the model is a `RejectingClassifier`.

    Raises:
        UsageError: the options contradict each other.
        DeviceError: the device is not there.
        ModelError: the model cannot be opened.
        UnsafeModelError: opening it would run code from the file, and `trust_code` is not set.
    """
    wanted = declared(reject_output, reject_above)
    if isinstance(model, Classifier) and not isinstance(model, nn.Module):
        if wanted is not None:
            raise UsageError("the model is loaded already: say --reject-output and --reject-above where it is loaded")
        return model
    if not isinstance(model, str | Path | nn.Module):
        raise UsageError(f"{a(type(model).__name__)} is no model: give {FORMS}, or a torch.nn.Module")
    if str(model).startswith((_REFERENCE, _FIXTURE)):
        raise UsageError(f"{model} is a model with defenses around it: open it with robcheck.adapters.load_product")
    Preprocessing(bounds=bounds, input_range=input_range, mean=mean, std=std, layout=layout)
    device = resolve_device(device)
    contract: dict[str, Any] = {
        "mean": mean,
        "std": std,
        "bounds": bounds,
        "input_range": input_range,
        "layout": layout,
        "device": device,
        "reject_output": reject_output,
        "reject_above": reject_above,
    }
    onnx = None if isinstance(model, nn.Module) else _onnx_path(model)
    if onnx is None:
        module, facts = open_module(model, None if weights is None else Path(weights), trust_code, classes)
        return wrap_module(module, classes=classes, **facts, **contract)
    if weights is not None:
        raise UsageError(f"{onnx.name} holds its own weights: leave --weights away")
    return _load_onnx(onnx, contract, classes)


def load_product(model: str | Path | nn.Module | Classifier, **options: Any) -> Classifier | Pipeline:
    """A model as `load_model` opens it, or `reference:NAME` or `fixture:NAME`: one of our own making.

    References have a known defense around them, fixtures are broken in a known way.

    Raises:
        UsageError: there is none of that name, or it was given options besides the device.
        RobcheckError: as `load_model`.
    """
    if not isinstance(model, str) or not model.startswith((_REFERENCE, _FIXTURE)):
        return load_model(model, **options)
    given = [key for key, value in options.items() if key != "device" and value not in (None, False)]
    if given:
        words = ", ".join(f"--{_SPOKEN.get(key, key).replace('_', '-')}" for key in given)
        raise UsageError(f"{model} brings its weights and its contract: leave {words} away")
    device = resolve_device(options.get("device") or "cpu")
    if model.startswith(_FIXTURE):
        from .fixtures import load_fixture

        return load_fixture(model.removeprefix(_FIXTURE), device)
    from .reference import load_reference

    return load_reference(model.removeprefix(_REFERENCE), device)


def _onnx_path(model: str | Path) -> Path | None:
    text = str(model)
    if text.startswith("embedded:"):
        names = sorted(path.stem for path in _EMBEDDED.glob("*.onnx"))
        name = text.removeprefix("embedded:")
        if name not in names:
            raise UsageError(f"there is no embedded model {name!r}{nearest(name, names)}; there are: {listed(names)}")
        return _EMBEDDED / f"{name}.onnx"
    return Path(text) if Path(text).suffix.lower() == ".onnx" else None


def _load_onnx(path: Path, contract: dict[str, Any], classes: int | None) -> Classifier:
    kind = file_kind(path)
    if kind != "other":
        words = "pickle (a PyTorch file)" if kind == "torch" else kind
        raise ModelError(f"{path} is no ONNX file but {a(words)}: name it by what it is, or export it again")
    from .onnx import load_onnx

    loaded: Classifier = load_onnx(path, **contract)
    if classes is not None and loaded.info.classes not in (None, classes):
        raise ModelError(f"{path} has {loaded.info.classes} classes where {classes} were expected: check --classes")
    return loaded
