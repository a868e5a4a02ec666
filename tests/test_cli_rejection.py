"""The command line on models that may refuse to answer: what is declared, what is refused, what is held out."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import robcheck.api
from robcheck import cli, load_data

EMBEDDED = Path(cli.__file__).parent / "adapters" / "embedded"
DETECTOR = ("--reject-output", "score", "--reject-above", "-0.5")


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Run the command line in this process; returns (exit code, standard output, standard error)."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["robcheck", *map(str, arguments)])
        code = cli._guarded()
        out, err = capsys.readouterr()
        return code, out, err

    return call


@pytest.fixture
def model(tmp_path):
    """The digits model, and as a second output how unsure it is: minus the largest probability."""
    proto = onnx.load(EMBEDDED / "digits-cnn.onnx")
    logits = proto.graph.output[0].name
    axes = onnx.numpy_helper.from_array(np.array([1]), "score_axes")
    proto.graph.initializer.append(axes)
    proto.graph.node.extend(
        [
            helper.make_node("Softmax", [logits], ["p"], axis=1),
            helper.make_node("ReduceMax", ["p", "score_axes"] if opset(proto) >= 18 else ["p"], ["most"], **old(proto)),
            helper.make_node("Neg", ["most"], ["score"]),
        ]
    )
    proto.graph.output.append(helper.make_tensor_value_info("score", TensorProto.FLOAT, None))
    onnx.save(proto, tmp_path / "m.onnx")
    return "m.onnx"


def opset(proto: Any) -> int:
    return next(entry.version for entry in proto.opset_import if entry.domain == "")


def old(proto: Any) -> dict[str, Any]:
    return {"keepdims": 1} | ({} if opset(proto) >= 18 else {"axes": [1]})


def complaint(outcome: tuple[int, str, str], code: int, *words: str) -> None:
    """One sentence on standard error with these words, no traceback, this exit code."""
    got, _, err = outcome
    assert got == code, err
    assert "Traceback" not in err
    assert len(err.strip().splitlines()) == 1, err
    for word in words:
        assert word in err


def test_inspect_shows_the_rejection(run, model):
    code, out, err = run("inspect", model, "--data", "digits", *DETECTOR)
    assert code == 0, (out, err)
    assert "output 'score' above -0.5 (the twin differs by" in out
    code, out, _ = run("inspect", model, "--data", "digits")
    assert code == 0
    assert "output 'score' above" not in out
    assert "may be a rejection score: --reject-output score" in " ".join(out.split())


def test_an_evaluation_counts_what_is_refused(run, model, tmp_path):
    common = ("--data", "digits", "--suite", "quick", "--epsilon", "0.15", "--samples", "60")
    assert run("evaluate", model, *common, *DETECTOR, "--out", "a")[0] == 0
    assert run("evaluate", model, *common, "--reject-output", "score", "--reject-above", "-0.999", "--out", "b")[0] in (
        0,
        4,
    )
    assert run("evaluate", model, *common, "--out", "c")[0] == 0
    found = {name: json.loads((tmp_path / name / "result.json").read_text()) for name in "ac"}
    assert found["a"]["model"]["rejection"]["output"] == "score"
    assert found["a"]["model"]["rejection"]["above"] == -0.5
    assert found["c"]["model"]["rejection"] is None
    assert found["a"]["clean_accuracy"] <= found["c"]["clean_accuracy"]


@pytest.mark.parametrize("command", ["evaluate", "inspect"])
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--reject-output", "scor", "--reject-above", "0.5"), ("did you mean 'score'", "m.onnx")),
        (("--reject-output", "nothing", "--reject-above", "0.5"), ("'score' (1, 1)",)),
        (("--reject-output", "score"), ("--reject-above",)),
        (("--reject-above", "0.5"), ("--reject-output",)),
        (("--reject-output", "score", "--reject-above", "nan"), ("finite",)),
        (("--reject-output", "score", "--reject-above", "-inf"), ("finite",)),
        (("--reject-output", "score", "--reject-above", "much"), ("reject-above",)),
    ],
)
def test_declarations_that_make_no_sense(run, model, command, arguments, words):
    complaint(run(command, model, "--data", "digits", *arguments), 2, *words)


def test_the_class_output_is_no_rejection(run, model):
    name = onnx.load(EMBEDDED / "digits-cnn.onnx").graph.output[0].name
    outcome = run("evaluate", model, "--data", "digits", "--reject-output", name, "--reject-above", "1")
    complaint(outcome, 2, f"{name!r} (1, 10)", "'score' (1, 1)", "one number per sample")


def test_modules_declare_it_by_place(run, tmp_path):
    (tmp_path / "net.py").write_text(
        "import torch\nfrom torch import nn\n\n\nclass Net(nn.Module):\n    def __init__(self):\n"
        "        super().__init__()\n        self.layer = nn.Linear(64, 10)\n\n    def forward(self, x):\n"
        "        z = self.layer(x.flatten(1))\n        return z, -z.softmax(1).amax(1)\n"
    )
    code, out, _ = run(
        "inspect", "net.py:Net", "--data", "digits", "--reject-output", "1", "--reject-above", "-0.05",
        "--epsilon", "0.2",
    )  # fmt: skip
    assert code in (0, 3)
    assert "output '1' above -0.05 (the twin differs by 0.0e+00" in out
    complaint(
        run("inspect", "net.py:Net", "--data", "digits", "--reject-output", "2", "--reject-above", "0"), 2, "no output"
    )


@pytest.fixture
def asked(monkeypatch):
    """What the command line would ask of an evaluation."""
    found: dict[str, Any] = {}

    class AskedError(Exception):
        pass

    def note(product: Any, x: Any, y: Any, **settings: Any) -> None:
        found.clear()
        found.update({"held_out": None} | settings, product=product, x=x, y=y)
        raise AskedError

    monkeypatch.setattr(robcheck.api, "evaluate", note)
    return found


def test_what_is_held_out_is_never_evaluated(run, model, asked):
    run("evaluate", model, "--data", "digits", *DETECTOR, "--samples", "100", "--held-out", "200")
    ours, further = ({row.numpy().tobytes() for row in asked[name]} for name in ("x", "held_out"))
    assert (len(asked["x"]), len(asked["held_out"])) == (100, 200)
    everything = {row.numpy().tobytes() for row in load_data("digits").x}
    assert ours.isdisjoint(further)
    assert ours | further <= everything
    run("evaluate", model, "--data", "digits", *DETECTOR, "--samples", "100")
    assert len(asked["held_out"]) == 440, "what remains"
    run("evaluate", model, "--data", "digits", *DETECTOR, "--held-out", "140")
    assert (len(asked["x"]), len(asked["held_out"])) == (400, 140)
    for options in ((), ("--samples", "100", "--held-out", "0")):
        run("evaluate", model, "--data", "digits", *DETECTOR, *options)
        assert asked["held_out"] is None
    run("evaluate", model, "--data", "digits", "--samples", "100")
    assert asked["held_out"] is None, "a model that answers everything has no threshold"


def test_held_out_refusals(run, model):
    common = ("evaluate", model, "--data", "digits", *DETECTOR)
    complaint(run(*common, "--held-out", "540"), 4, "540 samples", "--held-out 540 leaves none")
    complaint(run(*common, "--held-out", "-1"), 2, "held-out")


def test_the_decision_rule_is_handed_on(run, asked):
    run("evaluate", "embedded:digits-cnn", "--decision-rule", "majority:5")
    assert asked["decision_rule"] == "majority:5"
    run("evaluate", "embedded:digits-cnn")
    assert asked["decision_rule"] is None


@pytest.mark.parametrize("rule", ["majority", "mean:1", "median:3", "mean:many"])
def test_bad_decision_rules(run, rule):
    complaint(run("evaluate", "embedded:digits-cnn", "--decision-rule", rule), 2, "majority:K", rule)


def test_references_are_products_of_their_own(run, asked, monkeypatch):
    from robcheck.adapters import reference
    from robcheck.harness.pipeline import Pipeline
    from robcheck.harness.rule import Rule

    made = {}

    def small(name: str, device: str) -> Pipeline:
        made.update(name=name, device=device)
        return Pipeline(robcheck.load_model("embedded:digits-cnn"), rule=Rule("mean", 3))

    monkeypatch.setattr(reference, "load_reference", small)
    run("evaluate", "reference:jpeg", "--samples", "30", "--device", "cpu")
    assert made == {"name": "jpeg", "device": "cpu"}
    assert isinstance(asked["product"], Pipeline)
    assert len(asked["x"]) == 30, "on the digits unless told otherwise"
    complaint(run("evaluate", "reference:jpeg", "--range", "0-255", "--weights", "w"), 2, "--weights, --range", "leave")
    complaint(run("inspect", "reference:jpeg", *DETECTOR), 2, "--reject-output, --reject-above")


def test_unknown_references(run):
    complaint(run("evaluate", "reference:jpg"), 2, "jpeg")
    with pytest.raises(robcheck.RobcheckError, match="load_product"):
        robcheck.load_model("reference:jpeg")
