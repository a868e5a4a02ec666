"""`robcheck compare` and the gate against a baseline, as their user sees them."""

import json
import sys
from pathlib import Path

import pytest

from robcheck import cli

COMMON = ("--suite", "quick", "--controls", "none", "--epsilon", "0.15", "--samples", "60")


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


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """A robust model's result in a/, a plain one's in b/; as if controls had found nothing."""
    folder = tmp_path_factory.mktemp("runs")
    patch = pytest.MonkeyPatch()
    for name, model in (("a", "digits-cnn-pgd"), ("b", "digits-cnn")):
        patch.setattr(sys, "argv", ["robcheck", "evaluate", f"embedded:{model}", *COMMON, "-q", "--out", folder / name])
        assert cli._guarded() == 0
        path = folder / name / "result.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"against_pass": [], "findings": []}))
    patch.undo()
    return folder


def result(runs: Path, name: str) -> Path:
    return runs / name / "result.json"


def test_a_result_and_itself(run, runs):
    code, out, err = run("compare", result(runs, "a"), result(runs, "a"), "--max-regression", "0.2")
    assert (code, err) == (0, "")
    lines = [line.split() for line in out.splitlines()]
    robust = json.loads(result(runs, "a").read_text())["robust_accuracy"]
    assert ["robust", *[f"{robust:.1%}"] * 2, "+0.0", "points"] in [line[:5] for line in lines]
    assert "no longer robust: 0\n" in out
    assert "what else changed" not in out
    assert "PASS Robust accuracy changed by +0.0 points against digits-cnn-pgd" in " ".join(out.split())


def test_a_loss(run, runs):
    code, out, _ = run("compare", result(runs, "a"), result(runs, "b"), "--max-regression", "0.02")
    assert code == 1
    for words in ("digits-cnn-pgd", "< 0.001", "pgd-margin", "no longer robust", "model sha256", "FAIL"):
        assert words in out
    assert "sampling of test points alone" in out
    code, out, _ = run("compare", result(runs, "b"), result(runs, "a"))
    assert code == 0
    assert "NO_GATE  No limit was set" in out


def test_as_json(run, runs):
    code, out, _ = run("compare", result(runs, "a"), result(runs, "b"), "--json", "--max-regression", "0.02")
    found = json.loads(out)
    samples = [json.loads(result(runs, name).read_text())["samples"] for name in ("a", "b")]
    lost = [a["id"] for a, b in zip(*samples, strict=True) if a["outcome"] == "survived" != b["outcome"]]
    assert code == 1
    assert found["lost"] == lost
    assert found["robust"]["table"]["only_before"] == len(lost)
    assert found["verdict"] == "FAIL"
    assert {"what": "model", "before": "digits-cnn-pgd", "after": "digits-cnn"} in found["changes"]


def test_too_few_samples_are_inconclusive(run, runs):
    code, out, _ = run("compare", result(runs, "a"), result(runs, "a"), "--max-regression", "0.02")
    assert code == 3
    assert "INCONCLUSIVE" in out
    code, _, _ = run("compare", result(runs, "a"), result(runs, "a"), "--max-regression", "0.02", "--on", "point")
    assert code == 0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"threat": {"norm": "l2", "epsilon": 0.15}}, "another threat model (norm l2 against linf,"),
        ({"data": {"name": "x", "samples": 60, "sha256": "00"}}, "other samples"),
        ({"samples": []}, "no sample in common"),
        ({"complete": False}, "interrupted"),
    ],
)
def test_what_cannot_be_compared(run, runs, tmp_path, changes, words):
    other = tmp_path / "other.json"
    other.write_text(json.dumps(json.loads(result(runs, "a").read_text()) | changes))
    code, _, err = run("compare", other, result(runs, "a"))
    assert code == 2
    assert words in err
    assert len(err.strip().splitlines()) == 1


def test_what_is_no_result(run, runs, tmp_path):
    (tmp_path / "no.json").write_text("{}")
    assert run("compare", tmp_path / "no.json", result(runs, "a"))[0] == 4
    assert run("compare", tmp_path / "none.json", result(runs, "a"))[0] == 4
    code, _, err = run("compare", result(runs, "a"), result(runs, "a"), "--confidence", "0.3")
    assert code == 2
    assert "between 0.5 and 1" in err


def test_evaluate_against_a_baseline(run, runs):
    common = ("evaluate", "embedded:digits-cnn", *COMMON, "--baseline", result(runs, "a"))
    code, out, _ = run(*common, "--max-regression", "0.02", "--min-robust-accuracy", "0")
    assert code == 1
    assert "Robust accuracy changed by -" in out
    # Refused before anything is attacked: there is no plan.
    code, out, err = run("evaluate", "embedded:digits-cnn", *COMMON, "--seed", "1", "--baseline", result(runs, "a"))
    assert code == 2
    assert "other samples" in err
    assert "pgd-margin" not in out
    code, _, err = run("evaluate", "embedded:digits-cnn", *COMMON, "--max-regression", "0.02")
    assert code == 2
    assert "--baseline" in err


def test_stop_when_decided(run):
    code, out, _ = run(
        "evaluate", "embedded:digits-cnn", *COMMON[:-1], "400", "--stop-when-decided",
        "--min-robust-accuracy", "0.9",
    )  # fmt: skip
    assert code == 1
    assert "64 of 400 samples were taken, until the gate was decided" in " ".join(out.split())
    code, _, err = run("evaluate", "embedded:digits-cnn", *COMMON, "--stop-when-decided")
    assert code == 2
    assert "--min-robust-accuracy" in err
