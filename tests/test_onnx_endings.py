"""ONNX files that end in something else than logits, or insist on a batch, through a whole evaluation."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import robcheck
from robcheck.harness.errors import ModelError
from robcheck.harness.results import Result

EMBEDDED = Path(robcheck.__file__).parent / "adapters" / "embedded" / "digits-cnn-pgd.onnx"


def ending(
    path: Path, *nodes: onnx.NodeProto, kind: int = TensorProto.FLOAT, shape: tuple[object, ...] = ("N", 10)
) -> Path:
    """The embedded network with more nodes behind its logits; the last one writes `out`."""
    model = onnx.load(EMBEDDED)
    model.graph.node.extend(nodes)
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info("out", kind, shape))
    onnx.save(model, path)
    return path


def evaluate(path: Path) -> Result:
    data = robcheck.load_data("digits", samples=120)
    return robcheck.evaluate(
        robcheck.load_model(path), data.x, data.y, suite="quick", epsilon=0.1, min_robust_accuracy=0.5
    )


@pytest.fixture(scope="module")
def reference() -> Result:
    return evaluate(EMBEDDED)


@pytest.mark.parametrize("end", ["softmax", "sharp softmax", "argmax", "softmax and argmax"])
def test_no_ending_hides_the_gradient_or_the_verdict(end: str, reference: Result, tmp_path: Path) -> None:
    last = "logits"
    nodes = []
    if end.startswith("sharp"):
        nodes.append(helper.make_node("Mul", [last, last], ["unused"]))
        nodes.append(helper.make_node("Sum", [last] * 40, ["sharp"]))
        last = "sharp"
    if "softmax" in end:
        nodes.append(helper.make_node("Softmax", [last], ["out" if end.endswith("softmax") else "p"], axis=1))
        last = "p"
    kind, shape = TensorProto.FLOAT, ("N", 10)
    if end.endswith("argmax"):
        nodes.append(helper.make_node("ArgMax", [last], ["out"], axis=1, keepdims=0))
        kind, shape = TensorProto.INT64, ("N",)
    result = evaluate(ending(tmp_path / "m.onnx", *nodes, kind=kind, shape=shape))
    assert {f.code for f in result.findings} == set()
    assert result.verdict == reference.verdict == "PASS"
    assert abs(result.robust_accuracy - reference.robust_accuracy) <= 0.01


def test_labels_behind_a_table_are_refused(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("ArgMax", ["logits"], ["label"], axis=1, keepdims=0),
        helper.make_node("Constant", [], ["one"], value=numpy_helper.from_array(np.array(1, np.int64))),
        helper.make_node("Add", ["label", "one"], ["out"]),
    ]
    path = ending(tmp_path / "m.onnx", *nodes, kind=TensorProto.INT64, shape=("N",))
    with pytest.raises(ModelError, match="labels only"):
        robcheck.load_model(path)


@pytest.mark.parametrize("batch", [1, pytest.param(2, marks=pytest.mark.slow), 4, 7])
def test_a_fixed_batch_changes_nothing(batch: int, reference: Result, tmp_path: Path) -> None:
    model = onnx.load(EMBEDDED)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = batch
    for node in model.graph.node:
        if node.op_type == "Flatten":
            node.op_type = "Reshape"
            del node.attribute[:]
            node.input.append("flat")
    model.graph.initializer.append(numpy_helper.from_array(np.array([batch, -1], np.int64), "flat"))
    model.graph.output[0].type.tensor_type.shape.dim[0].dim_value = batch
    onnx.save(model, tmp_path / "m.onnx")
    result = evaluate(tmp_path / "m.onnx")
    assert {f.code for f in result.findings} == set()
    assert abs(result.robust_accuracy - reference.robust_accuracy) <= 0.01
