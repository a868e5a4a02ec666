"""From what a user names to an nn.Module: an object, a factory in Python code, a torchvision model, a file."""

import copy
import importlib
import importlib.util
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ...harness.errors import ModelError, RobcheckError, UnsafeModelError, UsageError
from ..words import a, nearest
from .module import Trust
from .weights import (
    WAY_OUT,
    apply_state_dict,
    file_kind,
    file_sha256,
    first_line,
    read_pickled,
    read_state_dict,
)

FORMS = "an .onnx file, embedded:NAME, reference:NAME, file.py:factory, module:factory or torchvision:NAME"


def open_module(
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
            raise ModelError(f"{home} has no {name!r}{nearest(name, names)}: name a function that returns the model")
        factory = getattr(namespace, name)
        made = factory if isinstance(factory, nn.Module) else _guarded(factory, f"calling {where}()")
    if not isinstance(made, nn.Module):
        raise ModelError(f"{where} gives {a(type(made).__name__)}, not a torch.nn.Module: return the model from it")
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
        raise ModelError(f"torchvision has no classifier {name!r}{nearest(name, names)}: check its name")
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
                f"{path} is {a(kind)}, which runs code from the file: {WAY_OUT} (--trust-code loads it anyway)"
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
    raise ModelError(f"{path} {what}: give {FORMS}")


def _from_program(path: Path, kind: str) -> nn.Module:
    def load() -> Any:
        if kind == "TorchScript archive":
            return torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]
        return torch.export.load(path).module()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module: nn.Module = _guarded(load, f"loading {path}")
    return module
