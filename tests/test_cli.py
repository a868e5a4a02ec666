"""The command line as its user sees it: verdicts, files, exit codes, one sentence for every bad input."""

import io
import json
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from robcheck import cli, load_data

EMBEDDED = Path(cli.__file__).parent / "adapters" / "embedded"
DIGITS = (1, 8, 8)


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Run the command line in this process; returns (exit code, standard output, standard error)."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["robcheck", *map(str, arguments)])
        code = cli._guarded()
        out, err = capsys.readouterr()
        return code, out, err

    return call


def arrays(path: Path, n: int = 12, **changes: object) -> Path:
    generator = np.random.default_rng(0)
    content = {"x": generator.random((n, *DIGITS), dtype=np.float32), "y": np.arange(n) % 10, **changes}
    np.savez(path, **content)
    return path


def complaint(outcome: tuple[int, str, str], code: int, *words: str) -> None:
    """One sentence on standard error with these words, no traceback, this exit code."""
    got, _, err = outcome
    assert got == code, err
    assert "Traceback" not in err
    assert len(err.strip().splitlines()) == 1, err
    for word in words:
        assert word in err


def test_verdicts_and_reports(run, tmp_path):
    common = ("--suite", "quick", "--epsilon", "0.15", "--samples", "200", "--min-robust-accuracy", "0.5")
    code, out, _ = run("evaluate", "embedded:digits-cnn", *common, "--out", "a")
    assert code == 1
    assert "FAIL" in out
    code, out, _ = run("evaluate", "embedded:digits-cnn-pgd", *common, "--out", "b")
    assert code == 0
    assert "PASS" in out
    for folder, verdict in (("a", "FAIL"), ("b", "PASS")):
        result = json.loads((tmp_path / folder / "result.json").read_text())
        assert result["verdict"] == verdict
        assert (tmp_path / folder / "report.html").stat().st_size > 10_000
        points = np.load(tmp_path / folder / "adversarial.npz")
        assert points["x"].shape == (200, *DIGITS)
        assert points["broken"].sum() == sum(sample["outcome"] == "broken" for sample in result["samples"])
        assert (tmp_path / folder / "junit.xml").read_text().startswith("<?xml")


def test_inconclusive_and_no_gate(run):
    code, out, _ = run(
        "evaluate", "embedded:digits-cnn-pgd", "--suite", "quick", "--epsilon", "0.15", "--samples", "20",
        "--min-robust-accuracy", "0.8",
    )  # fmt: skip
    assert code == 3
    assert "INCONCLUSIVE" in out
    code, out, _ = run(
        "evaluate", "embedded:digits-cnn-pgd", "--suite", "quick", "--epsilon", "0.15", "--samples", "20"
    )
    assert code == 0
    assert "NO_GATE" in out
    assert "stood against a PASS" in out


def test_starved_run_does_not_pass(run):
    code, out, _ = run(
        "evaluate", "embedded:digits-cnn-pgd", "--suite", "quick", "--epsilon", "0.01", "--max-passes", "10",
        "--min-robust-accuracy", "0.1",
    )  # fmt: skip
    assert code == 3
    assert "BUDGET_EXHAUSTED" in out


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ("empty",)),
        (b"this is no model\n", ("model.onnx",)),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", ("LFS",)),
        (pickle.dumps({"a": 1}), ("pickle",)),
        ((EMBEDDED / "digits-cnn.onnx").read_bytes()[:5000], ("model.onnx",)),
    ],
    ids=["empty", "text", "lfs", "pickle", "truncated"],
)
def test_bad_model_files(run, tmp_path, content, words):
    (tmp_path / "model.onnx").write_bytes(content)
    complaint(run("evaluate", "model.onnx", "--data", "digits"), 4, *words)


def test_unsafe_formats_are_refused_unread(run, tmp_path):
    class Payload:
        def __reduce__(self) -> object:
            return (os.system, (f"touch {tmp_path}/ran",))

    torch.save(Payload(), tmp_path / "model.pt")
    complaint(run("evaluate", "model.pt", "--data", "digits"), 4)
    assert not (tmp_path / "ran").exists()


def test_bad_data(run, tmp_path):
    model = "embedded:digits-cnn"
    good = np.zeros((12, *DIGITS), np.float32)
    nan = good.copy()
    nan[3, 0, 0, 0] = np.nan
    cases: list[tuple[dict[str, object], tuple[str, ...]]] = [
        ({"x": np.zeros((12, 1, 9, 9), np.float32)}, ("(1, 9, 9)", "(1, 8, 8)")),
        ({"x": nan}, ("NaN", "3")),
        ({"y": np.full(12, 11)}, ("11", "10 classes")),
        ({"y": np.full(12, -1)}, ("-1",)),
        ({"x": np.zeros((0, *DIGITS), np.float32), "y": np.zeros(0, int)}, ("no samples",)),
        ({"y": np.arange(5)}, ("12", "5")),
        ({"x": good + 7}, ("--data-range",)),
    ]
    for changes, words in cases:
        path = arrays(tmp_path / "data.npz", **changes)
        complaint(run("evaluate", model, "--data", path), 4, *words)
    complaint(run("evaluate", model, "--data", "nothing.npz"), 4, "nothing.npz")
    (tmp_path / "empty").mkdir()
    complaint(run("evaluate", model, "--data", "empty"), 4, "empty")


def test_wrong_contract_is_named(run):
    complaint(run("evaluate", "embedded:digits-cnn", "--mean", "0.9", "--std", "0.1"), 4, "implausible", "--range 0-")


def test_bad_suites(run, tmp_path):
    def suite(text: str) -> str:
        (tmp_path / "s.yaml").write_text(text)
        return "s.yaml"

    cases = [
        ("name: a\nattacks: [{attack: pdg}]", ("s.yaml", "attacks[0]", "pdg", "'pgd'")),
        ("name: a\nattacks: [{attack: pgd, stepz: 3}]", ("attacks[0].stepz", "'steps'")),
        ("name: a\natacks: []", ("atacks", "'attacks'")),
        ("name: a\nthreat: {epsilon: 8/0}\nattacks: [{attack: pgd}]", ("threat.epsilon", "8/0")),
        ("name: a\nname: b\nattacks: [{attack: pgd}]", ("line 2", "twice")),
        ("name: [", ("s.yaml", "line")),
        ("name: a\nattacks: []", ("attacks",)),
    ]
    for text, words in cases:
        complaint(run("evaluate", "embedded:digits-cnn", "--suite", suite(text)), 2, *words)
    complaint(run("evaluate", "embedded:digits-cnn", "--suite", "adaptve"), 2, "'adaptive'")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--epsilon", "8/0"), ("8/0",)),
        (("--epsilon", "much"), ("much",)),
        (("--epsilon", "-1"), ("epsilon",)),
        (("--norm", "l7"), ("l7",)),
        (("--defense", "jpg"), ("'jpeg'",)),
        (("--defense", "jpeg:quality=500"), ("quality",)),
        (("--min-robust-accuracy", "3"), ("min-robust-accuracy",)),
        (("--range", "0-255", "--mean", "0.5", "--std", "0.5"), ()),
        (("--out", "/dev/null/here"), ("/dev/null/here",)),
        (("--nonsense",), ("nonsense",)),
    ],
)
def test_bad_usage(run, arguments, words):
    complaint(run("evaluate", "embedded:digits-cnn", *arguments), 2, *words)


def test_missing_data_and_model(run):
    complaint(run("evaluate", "nothing.onnx", "--data", "digits"), 4, "nothing.onnx")
    complaint(run("evaluate", "embedded:digit-cnn"), 2, "'digits-cnn'")
    complaint(run("describe", "apgdd"), 2, "'apgd'")
    code, _, err = run("evaluate")
    assert code == 2
    assert "Traceback" not in err


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_where_there_is_none(run):
    complaint(run("evaluate", "embedded:digits-cnn", "--device", "cuda"), 2, "cuda")


def test_data_is_asked_for(run):
    complaint(run("evaluate", EMBEDDED / "digits-cnn.onnx"), 2, "--data")


def test_full_disk_keeps_the_numbers(run, monkeypatch, tmp_path):
    import errno

    import robcheck.reports.atomic as atomic

    real = os.replace

    def full(source: str, target: str) -> None:
        if "robcheck-report" in str(target):
            raise OSError(errno.ENOSPC, "No space left on device")
        real(source, target)

    monkeypatch.setattr(atomic.os, "replace", full)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    code, _, err = run("evaluate", "embedded:digits-cnn", "--suite", "quick", "--samples", "20")
    assert code == 5
    assert "Traceback" not in err
    assert "is kept in" in err
    kept = Path(err.split("is kept in ")[1].strip())
    assert json.loads((kept / "result.json").read_text())["samples"]


def test_internal_error_alone_has_a_traceback(run, monkeypatch):
    import robcheck.api

    def explode(*_: object, **__: object) -> None:
        raise AssertionError("a defect")

    monkeypatch.setattr(robcheck.api, "evaluate", explode)
    code, _, err = run("evaluate", "embedded:digits-cnn", "--suite", "quick")
    assert code == 70
    assert "Traceback" in err


def test_list_describe_inspect(run):
    for kind, word in (("attacks", "hopskipjump"), ("defenses", "jpeg"), ("suites", "adaptive")):
        code, out, _ = run("list", kind)
        assert code == 0
        assert word in out
    for name in ("apgd", "jpeg", "adaptive"):
        assert run("describe", name)[0] == 0
    _, out, _ = run("describe", "manifold")
    assert "in Python" in out
    assert "(required)" in out
    code, out, _ = run("inspect", "embedded:digits-cnn")
    assert code == 0
    assert "Conv x 2" in out


def test_inspect_shows_the_contract(run, tmp_path):
    code, out, _ = run("inspect", "embedded:digits-cnn", "--expect-accuracy", "0.97", "--samples", "100")
    assert code == 0
    for word in ("FINITE_OUTPUT", "ACCURACY", "PARITY", "GRADIENT", "ASCENT", "measured / threshold", "exact gradient"):
        assert word in out
    assert "severe" not in out
    code, out, _ = run("inspect", EMBEDDED / "digits-cnn.onnx")
    assert code == 0
    assert "64 random samples" in out
    assert "Not checked" in out
    path = arrays(tmp_path / "wrong.npz", n=40, y=np.zeros(40, int))
    code, out, err = run("inspect", EMBEDDED / "digits-cnn.onnx", "--data", path, "--expect-accuracy", "0.97")
    assert code == 3
    assert "ACCURACY_TOO_LOW" in out
    assert err == ""


def test_inspect_proposes_a_contract(run):
    code, out, _ = run("inspect", "embedded:digits-cnn", "--mean", "0.9", "--std", "0.1", "--expect-accuracy", "0.97")
    assert code == 3
    assert "proposal: " in out
    assert "--range 0-" in out


def test_inspect_refuses_what_makes_no_sense(run):
    complaint(run("inspect", EMBEDDED / "digits-cnn.onnx", "--expect-accuracy", "0.9"), 2, "--data")
    complaint(run("inspect", "embedded:digits-cnn", "--expect-accuracy", "97"), 2, "expect-accuracy")
    complaint(run("inspect", "embedded:digits-cnn", "--epsilon", "8/0"), 2, "8/0")
    complaint(run("inspect", "nothing.onnx"), 4, "nothing.onnx")


def test_expected_accuracy_stands_against_a_pass(run, tmp_path):
    common = ("--suite", "quick", "--epsilon", "0.05", "--samples", "200", "--min-robust-accuracy", "0.5")
    code, out, _ = run("evaluate", "embedded:digits-cnn-pgd", *common, "--expect-accuracy", "0.9")
    assert code == 0
    data = load_data("digits", samples=200)
    wrong = np.where(np.arange(200) < 30, (data.y.numpy() + 1) % 10, data.y.numpy())
    np.savez(tmp_path / "d.npz", x=data.x.numpy(), y=wrong)
    code, out, _ = run("evaluate", "embedded:digits-cnn-pgd", *common, "--data", "d.npz", "--expect-accuracy", "0.97")
    assert code == 3
    assert "ACCURACY_TOO_LOW" in out


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_keeps_what_was_computed(tmp_path, number, code):
    command = [sys.executable, "-m", "robcheck", "evaluate", "embedded:digits-cnn-pgd", "--epsilon", "0.15"]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:
        assert process.stdout is not None
        seen = b""
        deadline = time.monotonic() + 60
        while b"apgd                 broke" not in seen and time.monotonic() < deadline:
            seen += process.stdout.readline()
        process.send_signal(number)
        out, err = process.communicate(timeout=120)
    assert process.returncode == code, (out, err)
    assert b"Traceback" not in err
    result = json.loads((tmp_path / "robcheck-report" / "result.json").read_text())
    assert result["complete"] is False
    assert result["attacks"][0]["broken"] > 0
    assert result["attacks"][-1]["status"] == "interrupted"


def test_an_embedded_model_is_plain_onnx():
    for name in ("digits-cnn", "digits-cnn-pgd"):
        onnx.checker.check_model(onnx.load(io.BytesIO((EMBEDDED / f"{name}.onnx").read_bytes())))
        card = json.loads((EMBEDDED / f"{name}.json").read_text())
        assert card["clean_accuracy"] >= 0.97
