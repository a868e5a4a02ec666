"""Naming a model: files, factories, torchvision; and that no file's code runs unasked."""

import os
import pickle
import sys
import types
import warnings
import zipfile
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import nn

from robcheck.adapters import load as loading
from robcheck.adapters import load_model, wrap_module
from robcheck.adapters.pytorch import weights
from robcheck.harness.errors import DeviceError, ModelError, UnsafeModelError, UsageError

CODE = """
from pathlib import Path
from torch import nn
import sibling

def make():
    return nn.Sequential(nn.Flatten(), nn.Linear(4, 3))

def make_nothing():
    return 3

def fail():
    raise ValueError("first\\nsecond")

ready = make()
"""
X = torch.rand(2, 1, 2, 2, generator=torch.Generator().manual_seed(0))


def linear() -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return nn.Sequential(nn.Flatten(), nn.Linear(4, 3))


class Payload:
    """Writes a marker file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.marker),)


@pytest.fixture
def factory(tmp_path: Path) -> str:
    (tmp_path / "sibling.py").write_text("NUMBER = 1\n")
    path = tmp_path / "mine.py"
    path.write_text(CODE)
    return f"{path}:make"


def refusal(model: Any, kind: type[Exception] = ModelError, **options: Any) -> str:
    """The one sentence with which a model is refused."""
    with pytest.raises(kind) as caught:
        load_model(model, **options)
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_factory_with_weights(factory: str, tmp_path: Path) -> None:
    state = linear().state_dict()
    files = {name: tmp_path / name for name in ("plain.pt", "old.pt", "wrapped.pth", "parallel.ckpt", "w.safetensors")}
    torch.save(state, files["plain.pt"])
    torch.save(state, files["old.pt"], _use_new_zipfile_serialization=False)
    torch.save({"epoch": 3, "state_dict": state}, files["wrapped.pth"])
    torch.save({"model": {f"module.{k}": v for k, v in state.items()}}, files["parallel.ckpt"])
    safetensors.torch.save_file(state, files["w.safetensors"])
    expected = linear()(X).detach()
    for name, path in files.items():
        classifier = load_model(factory, weights=path)
        assert torch.equal(classifier.logits(X), expected), name
        assert classifier.info.sha256 == weights.file_sha256(path)
        assert classifier.info.trust == "executes model code"
    notes = load_model(factory, weights=str(files["parallel.ckpt"])).info.notes
    assert "'model'" in notes[0]
    assert "'module.'" in notes[1]


def test_a_factory_leaves_no_trace(factory: str, tmp_path: Path) -> None:
    before, path = torch.get_rng_state(), list(sys.path)
    first, second = load_model(factory), load_model(factory)
    assert torch.equal(first.logits(X), second.logits(X)), "a factory's own random weights are the same every time"
    assert "no weights file" in first.info.notes[0]
    assert torch.equal(before, torch.get_rng_state())
    assert sys.path == path
    assert not (tmp_path / "__pycache__").exists()
    sys.modules.pop("sibling", None)


@pytest.mark.usefixtures("factory")
def test_modules_on_the_path_and_ready_objects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_model("mine:make").logits(X).shape == (2, 3)
    assert load_model(f"{tmp_path / 'mine.py'}:ready").info.name.endswith("mine.py:ready")
    for name in ("mine", "sibling"):
        sys.modules.pop(name, None)


def test_factories_that_fail(factory: str, tmp_path: Path) -> None:
    home = factory.rpartition(":")[0]
    assert "did you mean 'make'" in refusal(f"{home}:maek")
    assert "an int, not a torch.nn.Module" in refusal(f"{home}:make_nothing")
    assert "ValueError: first)" in refusal(f"{home}:fail")
    assert "mine.py:factory" in refusal(home)
    assert "does not exist" in refusal(f"{tmp_path}/none.py:make")
    assert "No module named" in refusal("surely_not_installed.models:make")
    (tmp_path / "leaves.py").write_text("raise SystemExit(3)\n")
    (tmp_path / "broken.py").write_text("def make(:\n")
    assert "SystemExit" in refusal(f"{tmp_path}/leaves.py:make")
    assert "SyntaxError" in refusal(f"{tmp_path}/broken.py:make")
    sys.modules.pop("sibling", None)


def test_weights_that_do_not_fit(factory: str, tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    torch.save({f"other.{i}": torch.ones(1) for i in range(5)}, path)
    text = refusal(factory, weights=path)
    assert "2 missing (1.weight, 1.bias)" in text
    assert "5 unexpected (other.0, other.1, other.2, ...)" in text
    torch.save({"1.weight": torch.ones(3, 5), "1.bias": torch.ones(3)}, path)
    assert "size mismatch" in refusal(factory, weights=path)
    torch.save({"epoch": 3}, path)
    assert "entry 'epoch' is a int" in refusal(factory, weights=path)
    torch.save([1, 2], path)
    assert "a list" in refusal(factory, weights=path)
    torch.save({}, path)
    assert "nothing" in refusal(factory, weights=path)


def poisoned(marker: Path) -> dict[str, bytes]:
    """Files that would make the marker folder if they were unpickled."""
    folder = marker.parent
    found = {}
    for name, new in (("zip", True), ("legacy", False)):
        torch.save({"w": torch.ones(1), "p": Payload(marker)}, folder / "p.bin", _use_new_zipfile_serialization=new)
        found[name] = (folder / "p.bin").read_bytes()
    for protocol in (2, 4, 5):
        found[f"pickle {protocol}"] = pickle.dumps(Payload(marker), protocol=protocol)
    return found


def test_no_payload_runs(factory: str, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    for name, data in poisoned(marker).items():
        for ending in (".pt", ".pkl", ".bin", ".safetensors"):
            path = tmp_path / f"model{ending}"
            path.write_bytes(data)
            assert "ONNX" in refusal(path, UnsafeModelError), name
            assert "ONNX" in refusal(factory, UnsafeModelError, weights=path), name
        (tmp_path / "model.onnx").write_bytes(data)
        assert "no ONNX file" in refusal(tmp_path / "model.onnx")
        assert not marker.exists(), name
    sys.modules.pop("sibling", None)


def test_trusting_runs_it(tmp_path: Path) -> None:
    """The marker works: the refusals above are not empty."""
    marker = tmp_path / "marker"
    (tmp_path / "model.pt").write_bytes(poisoned(marker)["zip"])
    assert "weights alone" in refusal(tmp_path / "model.pt", trust_code=True)
    assert marker.exists()


def test_whole_modules_need_trust(tmp_path: Path) -> None:
    path = tmp_path / "whole.pt"
    torch.save(linear(), path)
    assert "--trust-code" in refusal(path, UnsafeModelError)
    classifier = load_model(path, trust_code=True)
    assert torch.equal(classifier.logits(X), linear()(X).detach())
    assert classifier.info.trust == "executes model code"
    assert classifier.info.sha256 == weights.file_sha256(path)


def test_programs_need_trust(factory: str, tmp_path: Path) -> None:
    script, program = tmp_path / "script.pt", tmp_path / "program.onnx.bin"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(linear(), X), script)
        torch.export.save(torch.export.export(linear().eval(), (X,)), tmp_path / "program.pt2")
    (tmp_path / "program.pt2").rename(program)  # what counts is the content
    for path in (script, program):
        refusal(path, UnsafeModelError)
        refusal(factory, UnsafeModelError, weights=path)
        assert torch.allclose(load_model(path, trust_code=True).logits(X), linear()(X).detach())


def test_files_that_are_no_model(tmp_path: Path, factory: str) -> None:
    contents = {
        "empty.pt": (b"", "empty"),
        "pointer.pt": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n", "git lfs pull"),
        "notes.pt": (b"hello\n", "text file"),
        "model.h5": (b"\x89HDF\r\n\x1a\n\0\0\0", "no known kind"),
        "cut.pt": (b"PK\x03\x04rest", "damaged zip"),
        "broken.pt": (b"\x80\x02junkjunk", "save it again"),
    }
    for name, (data, words) in contents.items():
        path = tmp_path / name
        path.write_bytes(data)
        assert words in refusal(path)
        refusal(factory, weights=path)
        path.with_suffix(".onnx").write_bytes(data)
    for name, words in (("empty", "empty"), ("pointer", "git lfs pull"), ("notes", "no ONNX file")):
        assert words in refusal(tmp_path / f"{name}.onnx")
    assert "does not exist" in refusal(tmp_path / "none.onnx")
    assert "does not exist" in refusal("x" * 5000)
    assert "folder" in refusal(tmp_path)
    assert "an int is no model" in refusal(3, UsageError)


def test_weights_alone_are_no_model(tmp_path: Path) -> None:
    torch.save(linear().state_dict(), tmp_path / "w.pt")
    safetensors.torch.save_file(linear().state_dict(), tmp_path / "w.safetensors")
    for name in ("w.pt", "w.safetensors"):
        assert "file.py:factory" in refusal(tmp_path / name)


def test_damaged_safetensors(factory: str, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    safetensors.torch.save_file(linear().state_dict(), path)
    whole = path.read_bytes()
    for data in (whole[:-4], whole[:30], (2**40).to_bytes(8, "little") + whole[8:], b"\0" * 40):
        path.write_bytes(data)
        assert "damaged safetensors" in refusal(factory, weights=path)
    sys.modules.pop("sibling", None)


def test_a_zip_bomb_is_not_unpacked(factory: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bomb.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb/data.pkl", bytes(2_000_000))
    monkeypatch.setattr(weights, "BOMB_BYTES", 1_000_000)
    assert "zip bomb" in refusal(path)
    assert "zip bomb" in refusal(factory, weights=path)
    assert "zip bomb" in refusal(path, trust_code=True)


def test_torchvision_is_optional_and_needs_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "w.pt"
    torch.save(linear().state_dict(), path)
    assert "random" in refusal("torchvision:resnet18")
    monkeypatch.setitem(sys.modules, "torchvision.models", None)
    assert "pip install torchvision" in refusal("torchvision:resnet18", weights=path)
    models = types.ModuleType("torchvision.models")
    models.list_models = lambda **_: ["resnet18"]  # type: ignore[attr-defined]
    models.get_model = lambda *_, **__: linear()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torchvision.models", models)
    assert "did you mean 'resnet18'" in refusal("torchvision:resnet8", weights=path)
    classifier = load_model("torchvision:resnet18", weights=path, classes=3)
    assert (classifier.info.trust, classifier.info.name) == ("data-only", "torchvision:resnet18")
    assert torch.equal(classifier.logits(X), linear()(X).detach())


def test_onnx_files_go_to_the_onnx_adapter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}
    onnx = types.ModuleType("robcheck.adapters.onnx")

    def load_onnx(path: Path, **options: Any) -> Any:
        seen.update(options, path=path)
        return wrap_module(linear(), classes=3)

    onnx.load_onnx = load_onnx  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "robcheck.adapters.onnx", onnx)
    monkeypatch.setattr(loading, "_EMBEDDED", tmp_path)
    (tmp_path / "tiny.onnx").write_bytes(b"\x08\x09")
    load_model("embedded:tiny", bounds=(0, 2), input_range=(0, 255), layout="nhwc")
    assert seen["path"] == tmp_path / "tiny.onnx"
    assert (seen["bounds"], seen["input_range"], seen["layout"], seen["device"]) == ((0, 2), (0, 255), "nhwc", "cpu")
    load_model(str(tmp_path / "tiny.onnx"))
    assert "did you mean 'tiny'" in refusal("embedded:tinny", UsageError)
    assert "own weights" in refusal("embedded:tiny", UsageError, weights="w.pt")
    assert "3 classes where 10" in refusal("embedded:tiny", classes=10)


def test_objects_pass() -> None:
    classifier = load_model(linear(), input_range=(0, 255))
    assert torch.allclose(classifier.logits(X), linear()(X * 255).detach())
    assert load_model(classifier) is classifier


def test_a_module_with_weights_is_not_changed(tmp_path: Path) -> None:
    torch.save(linear().state_dict(), tmp_path / "w.pt")
    module = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    before = module[1].weight.clone()  # type: ignore[operator]
    assert torch.equal(load_model(module, weights=tmp_path / "w.pt").logits(X), linear()(X).detach())
    assert torch.equal(module[1].weight, before)  # type: ignore[arg-type]
    assert module.training


def test_options_are_checked_first(tmp_path: Path) -> None:
    refusal(tmp_path / "none.onnx", UsageError, mean=(0.5,), std=(0.5,), input_range=(0, 1))
    refusal(tmp_path / "none.onnx", UsageError, layout="chw")
    refusal(tmp_path / "none.onnx", DeviceError, device="tpu")
