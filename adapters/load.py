"""From what a user names as the model to a Classifier."""

import copy
import difflib
import importlib
import importlib.util
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..harness.classifier import Classifier
from ..harness.errors import ModelError, RobcheckError, UnsafeModelError, UsageError
from .device import resolve_device
from .preprocessing import Layout, Preprocessing
from .pytorch.module import Trust, wrap_module
from .pytorch.weights import (
    WAY_OUT,
    apply_state_dict,
    file_kind,
    file_sha256,
    first_line,
    read_pickled,
    read_state_dict,
)

__all__ = ["load_model", "resolve_device"]

_EMBEDDED = Path(__file__).parent / "embedded"
_FORMS = "an .onnx file, embedded:NAME, file.py:factory, module:factory or torchvision:NAME"


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

    Raises:
        UsageError: the options contradict each other.
        DeviceError: the device is not there.
        ModelError: the model cannot be opened.
        UnsafeModelError: opening it would run code from the file, and `trust_code` is not set.
    """
    if isinstance(model, Classifier) and not isinstance(model, nn.Module):
        return model
    if not isinstance(model, str | Path | nn.Module):
        raise UsageError(f"{_a(type(model).__name__)} is no model: give {_FORMS}, or a torch.nn.Module")
    Preprocessing(bounds=bounds, input_range=input_range, mean=mean, std=std, layout=layout)
    device = resolve_device(device)
    contract: dict[str, Any] = {
        "mean": mean,
        "std": std,
        "bounds": bounds,
        "input_range": input_range,
        "layout": layout,
        "device": device,
    }
    onnx = None if isinstance(model, nn.Module) else _onnx_path(model)
    if onnx is None:
        module, facts = _module(model, None if weights is None else Path(weights), trust_code, classes)
        return wrap_module(module, classes=classes, **facts, **contract)
    if weights is not None:
        raise UsageError(f"{onnx.name} holds its own weights: leave --weights away")
    return _load_onnx(onnx, contract, classes)


def _onnx_path(model: str | Path) -> Path | None:
    text = str(model)
    if text.startswith("embedded:"):
        names = sorted(path.stem for path in _EMBEDDED.glob("*.onnx"))
        name = text.removeprefix("embedded:")
        if name not in names:
            raise UsageError(f"there is no embedded model {name!r}{_nearest(name, names)}; there are: {_list(names)}")
        return _EMBEDDED / f"{name}.onnx"
    return Path(text) if Path(text).suffix.lower() == ".onnx" else None


def _load_onnx(path: Path, contract: dict[str, Any], classes: int | None) -> Classifier:
    kind = file_kind(path)
    if kind != "other":
        words = "pickle (a PyTorch file)" if kind == "torch" else kind
        raise ModelError(f"{path} is no ONNX file but {_a(words)}: name it by what it is, or export it again")
    from .onnx import load_onnx

    loaded: Classifier = load_onnx(path, **contract)
    if classes is not None and loaded.info.classes not in (None, classes):
        raise ModelError(f"{path} has {loaded.info.classes} classes where {classes} were expected: check --classes")
    return loaded


def _module(
    model: str | Path | nn.Module, weights: Path | None, trust_code: bool, classes: int | None
) -> tuple[nn.Module, dict[str, Any]]:
    """A module and what wrap_module is to be told about it."""
    facts: dict[str, Any] = {"copy": False}
    trust: Trust = "executes model code"
    if isinstance(model, nn.Module):
        module = model if weights is None else _guarded(lambda: copy.deepcopy(model), "copying the module")
        facts["copy"] = weights is None
    elif str(model).startswith("torchvision:"):
        module = _from_torchvision(str(model).removeprefix("torchvision:"), weights, classes)
        trust = "executes model code" if trust_code else "data-only"
        facts["name"] = str(model)
    elif (spec := _factory_spec(str(model))) is not None:
        module = _from_factory(*spec)
        facts["name"] = str(model)
        if weights is None:
            facts["notes"] = ("no weights file was given: the weights are those that the factory sets",)
    else:
        path = Path(model)
        module = _from_file(path, trust_code)
        if weights is not None:
            raise UsageError(f"{path.name} holds its own weights: leave --weights away")
        facts |= {"name": path.name, "sha256": file_sha256(path)}
    if weights is not None:
        state, notes = read_state_dict(weights, trust_code=trust_code)
        facts["notes"] = (*notes, *apply_state_dict(module, state, str(weights)))
        facts["sha256"] = file_sha256(weights)
    return module, {**facts, "trust": trust}


def _factory_spec(text: str) -> tuple[str, str] | None:
    """("file.py" or "package.module", "factory") if the text has that form."""
    home, _, factory = text.rpartition(":")
    if not factory.isidentifier() or os.path.exists(text):
        return None
    if home.endswith(".py") or (home and all(part.isidentifier() for part in home.split("."))):
        return home, factory
    return None


def _from_factory(home: str, name: str) -> nn.Module:
    where = f"{home}:{name}"
    folder = Path(home).resolve().parent if home.endswith(".py") else Path.cwd()
    with _importable(folder), torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        namespace = _guarded(lambda: _imported(home), f"importing {home}")
        names = [word for word, value in vars(namespace).items() if callable(value) and not word.startswith("_")]
        if not hasattr(namespace, name):
            raise ModelError(f"{home} has no {name!r}{_nearest(name, names)}: name a function that returns the model")
        factory = getattr(namespace, name)
        made = factory if isinstance(factory, nn.Module) else _guarded(factory, f"calling {where}()")
    if not isinstance(made, nn.Module):
        raise ModelError(f"{where} gives {_a(type(made).__name__)}, not a torch.nn.Module: return the model from it")
    return made


def _guarded(call: Callable[[], Any], doing: str) -> Any:
    """Run somebody else's code; whatever it raises, sys.exit included, becomes one sentence."""
    try:
        return call()
    except RobcheckError:
        raise
    except (Exception, SystemExit) as error:
        raise ModelError(f"{doing} failed ({type(error).__name__}: {first_line(error)}): run it by itself") from error


def _imported(home: str) -> Any:
    if not home.endswith(".py"):
        return importlib.import_module(home)
    path = Path(home)
    file_kind(path)
    name = f"robcheck_model_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    if spec is None or spec.loader is None:
        raise ModelError(f"{path} cannot be imported: name a Python file")
    namespace = importlib.util.module_from_spec(spec)
    sys.modules[name] = namespace  # dataclasses and pickle look a class's module up here
    try:
        spec.loader.exec_module(namespace)
    except BaseException:
        del sys.modules[name]
        raise
    return namespace


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Let imports see a folder, and leave no bytecode in it."""
    quiet = sys.dont_write_bytecode
    sys.path.insert(0, str(folder))
    sys.dont_write_bytecode = True
    try:
        yield
    finally:
        sys.dont_write_bytecode = quiet
        if str(folder) in sys.path:
            sys.path.remove(str(folder))


def _from_torchvision(name: str, weights: Path | None, classes: int | None) -> nn.Module:
    if weights is None:
        raise ModelError(f"torchvision:{name} without weights would be random, which is no model: give --weights")
    try:
        models = importlib.import_module("torchvision.models")
    except ImportError as error:
        raise ModelError(
            f"torchvision:{name} needs torchvision, which is not installed: pip install torchvision"
        ) from error
    names = models.list_models(module=models)
    if name not in names:
        raise ModelError(f"torchvision has no classifier {name!r}{_nearest(name, names)}: check its name")
    options: dict[str, Any] = {"weights": None} | ({} if classes is None else {"num_classes": classes})
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module: nn.Module = models.get_model(name, **options)
    return module


def _from_file(path: Path, trust_code: bool) -> nn.Module:
    if path.suffix == ".py" and path.is_file():
        raise ModelError(f"{path} does not say which function makes the model: write {path.name}:factory")
    kind = file_kind(path)
    if kind in ("TorchScript archive", "exported program"):
        if not trust_code:
            raise UnsafeModelError(
                f"{path} is {_a(kind)}, which runs code from the file: {WAY_OUT} (--trust-code loads it anyway)"
            )
        return _from_program(path, kind)
    if kind == "torch":
        loaded = read_pickled(path, trust_code=trust_code)
        if isinstance(loaded, nn.Module):
            return loaded
    if kind in ("torch", "safetensors"):
        raise ModelError(f"{path} holds weights alone: name the model as file.py:factory and this file as --weights")
    what = (
        "is a text file" if kind == "text" else f"is of no known kind (its name ends in {path.suffix or 'nothing'!r})"
    )
    raise ModelError(f"{path} {what}: give {_FORMS}")


def _from_program(path: Path, kind: str) -> nn.Module:
    def load() -> Any:
        if kind == "TorchScript archive":
            return torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]
        return torch.export.load(path).module()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module: nn.Module = _guarded(load, f"loading {path}")
    return module


def _nearest(word: str, words: Sequence[str]) -> str:
    close = difflib.get_close_matches(word, words, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _list(words: Sequence[str]) -> str:
    return ", ".join(words) if words else "none in this installation"


def _a(noun: str) -> str:
    return f"{'an' if noun[0].lower() in 'aeiou' else 'a'} {noun}"
