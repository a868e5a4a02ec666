"""Trains the embedded classifiers and writes them as ONNX: `python -m robcheck.adapters.embedded.train [FOLDER]`."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from ...harness.training.recipes import small_cnn, train
from ..data.digits import digits

SEED = 0
RECIPES: dict[str, dict[str, Any]] = {
    "digits-cnn": {"epochs": 80, "batch": 32},
    "digits-cnn-pgd": {"epochs": 90, "eps": 0.2},
}
OPSET = 17


def main(folder: Path) -> None:
    """Train every recipe and write NAME.onnx with a card NAME.json."""
    torch.set_num_threads(1)  # so that the weights do not depend on the number of cores
    x, y = map(torch.from_numpy, digits("train"))
    for name, recipe in RECIPES.items():
        network = make(x, y, recipe)
        onnx.save(to_onnx(network, x[:1], name), str(folder / f"{name}.onnx"))
        test_x, test_y = map(torch.from_numpy, digits("test"))
        accuracy = float((network(test_x).argmax(dim=1) == test_y).double().mean())
        card = {"name": name, "data": "digits", "recipe": recipe, "seed": SEED, "clean_accuracy": round(accuracy, 4)}
        (folder / f"{name}.json").write_text(json.dumps(card, indent=2) + "\n")
        print(f"{name}: clean accuracy {accuracy:.1%} on {len(test_y)} test samples")


def make(x: Tensor, y: Tensor, recipe: dict[str, Any]) -> nn.Module:
    """A network trained by a recipe; torch's global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(SEED)
        network = small_cnn(x.shape[1], x.shape[2], int(y.max()) + 1)
    return train(network, x, y, seed=SEED, **recipe)


def to_onnx(network: nn.Module, example: Tensor, name: str) -> onnx.ModelProto:
    """The sequential network as an ONNX graph with a free batch size; no exporter, so no exporter's dependencies."""
    nodes: list[onnx.NodeProto] = []
    weights: list[onnx.TensorProto] = []
    value = "image"
    assert isinstance(network, nn.Sequential)
    for number, layer in enumerate(network):
        output = "logits" if number == len(network) - 1 else f"v{number}"
        inputs = [value]
        for key, tensor in layer.named_parameters():
            inputs.append(f"{number}.{key}")
            weights.append(numpy_helper.from_array(tensor.detach().numpy().astype(np.float32), inputs[-1]))
        kind, attributes = _operator(layer)
        nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        value = output
    classes = network(example).shape[1]
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", *example.shape[1:]])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", classes])],
        weights,
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8, producer_name="robcheck"
    )
    onnx.checker.check_model(model)
    return model


def _operator(layer: nn.Module) -> tuple[str, dict[str, Any]]:
    if isinstance(layer, nn.Conv2d):
        return "Conv", {"pads": [1, 1, 1, 1], "kernel_shape": [3, 3], "strides": list(layer.stride)}
    if isinstance(layer, nn.Linear):
        return "Gemm", {"transB": 1}
    return {nn.ReLU: "Relu", nn.Flatten: "Flatten"}[type(layer)], {}


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
