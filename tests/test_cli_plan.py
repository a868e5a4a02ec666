"""`robcheck plan`: what would run and why, without an attack."""

import io
import json

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from rich.console import Console
from typer.testing import CliRunner

import robcheck
from robcheck.adapters.data.digits import digits
from robcheck.cli import app, main
from robcheck.console import plan_table
from robcheck.harness.results import PlanEntry

SUITE = """
name: mine
attacks:
  - {attack: apgd, loss: auto, momentum: auto, steps: 4}
  - {attack: pgd, gradient: exact, eot: 3, step_size: 0.25, steps: 3}
  - {attack: pgd, loss: joint}
  - {attack: square, queries: 50}
"""


@pytest.fixture
def suite(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(SUITE)
    return str(path)


def planned(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["plan", *arguments])
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


def test_json_says_what_would_run(suite) -> None:
    entries = json.loads(planned("embedded:digits-cnn", "--suite", suite, "--samples", "16", "--json"))
    shown = [
        {key: entry[key] for key in ("name", "gradient", "eot", "loss", "step_size", "momentum", "runs", "cost")}
        for entry in entries
    ]
    exact = {"gradient": "exact", "eot": 1, "momentum": 0.0, "runs": True, "cost": ""}
    assert shown == [
        {**exact, "name": "apgd", "loss": "ce", "step_size": "halving from 2 eps"},
        {**exact, "name": "pgd", "loss": "margin", "step_size": "0.25 eps"},
        {**exact, "name": "pgd-joint", "gradient": None, "loss": "joint", "step_size": "cosine from eps",
         "runs": False},
        {**exact, "name": "square", "gradient": None, "loss": "", "step_size": "", "momentum": None},
    ]  # fmt: skip
    assert entries[2]["reason"] == "the target never rejects"
    assert all(PlanEntry.model_validate(entry).revises == "" for entry in entries)


def test_a_defense_changes_the_plan(suite) -> None:
    text = planned("embedded:digits-cnn", "--suite", suite, "--samples", "16", "--defense", "gaussian-noise")
    words = " ".join(text.split())
    assert "no momentum" in words
    assert "mean of 5" in words
    assert "3 of 4 entries run; nothing was attacked yet" in words


def test_a_model_without_a_gradient_says_what_that_costs(tmp_path, suite) -> None:
    # One tree with two leaves for two scores: above one half in the first pixel it is class 1.
    tree = helper.make_node(
        "TreeEnsembleRegressor", ["flat"], ["y"], domain="ai.onnx.ml", n_targets=2,
        nodes_treeids=[0, 0, 0], nodes_nodeids=[0, 1, 2], nodes_featureids=[0, 0, 0], nodes_values=[0.5, 0.0, 0.0],
        nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF"], nodes_truenodeids=[1, 0, 0], nodes_falsenodeids=[2, 0, 0],
        target_treeids=[0, 0, 0, 0], target_nodeids=[1, 1, 2, 2], target_ids=[0, 1, 0, 1],
        target_weights=[1.0, -1.0, -1.0, 1.0],
    )  # fmt: skip
    graph = helper.make_graph(
        [helper.make_node("Flatten", ["x"], ["flat"]), tree], "tree",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 1, 2, 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])],
    )  # fmt: skip
    path, data = tmp_path / "tree.onnx", tmp_path / "data.npz"
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    onnx.save(model, path)
    x = np.random.default_rng(0).random((8, 1, 2, 2), dtype=np.float32)
    np.savez(data, x=x, y=(x[:, 0, 0, 0] > 0.5).astype(np.int64))
    entries = json.loads(planned(str(path), "--suite", suite, "--data", str(data), "--json"))
    assert [entry["runs"] for entry in entries] == [False, False, False, True]
    assert "no gradient" in entries[0]["reason"]
    assert "stands against a PASS" in entries[0]["cost"]


def test_the_same_from_python() -> None:
    x, y = map(torch.from_numpy, digits("test"))
    model = robcheck.load_model("embedded:digits-cnn")
    entries = robcheck.plan(model, x[:16], y[:16], suite="quick", epsilon=0.1)
    assert [(entry.name, entry.gradient) for entry in entries] == [("pgd-margin", "exact"), ("apgd-ce", "exact")]
    with pytest.raises(robcheck.RobcheckError, match="norm"):
        robcheck.plan(model, x[:16], y[:16], suite="quick", norm="l7")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["plan", "embedded:digits-cnn", "--suite", "adaptiv"], "did you mean 'adaptive'?"),
        (["plan", "no-such.onnx"], "no-such.onnx"),
        (["plan", "embedded:digits-cnn", "--epsilon", "much"], "--epsilon"),
        (["plan", "embedded:digits-cnn", "--defense", "jpg"], "jpeg"),
    ],
)
def test_refusals_are_one_sentence(arguments, said, capsys, monkeypatch) -> None:
    monkeypatch.setattr("sys.argv", ["robcheck", *arguments])
    with pytest.raises(SystemExit) as left:
        main()
    error = capsys.readouterr().err
    assert left.value.code in (2, 4)
    assert error.startswith("robcheck: ")
    assert said in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("width", [84, 120])
def test_the_table_fits_and_tells_what_leaving_out_costs(width: int) -> None:
    entries = [
        PlanEntry(name="apgd", attack="apgd", gradient="bpda-identity", eot=20, loss="dlr", momentum=0.9,
                  step_size="halving from 2 eps", reason="because " * 12),
        PlanEntry(name="square", attack="square", answers="mean of 16 draws", reason="asks"),
        PlanEntry(name="fab", attack="fab", runs=False, reason="not recommended", cost="a little"),
        PlanEntry(name="latent", attack="latent", runs=False, reason="no generator"),
        PlanEntry(name="joint", attack="pgd", runs=False, reason="no generator"),
    ]  # fmt: skip
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(plan_table(entries))
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= width
    words = " ".join(text.split())
    for said in ("bpda-identity", "momentum 0.9", "mean of 16 draws", "costs trust: a little", "latent, joint"):
        assert said in words
    assert words.count("costs trust") == 1
