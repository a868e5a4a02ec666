"""External data: nothing outside the model's folder is ever opened."""

import os

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper


def external(location, **more):
    def change(model):
        tensor = model.graph.initializer[0]
        size = len(tensor.raw_data)
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in {"location": location, "offset": "0", "length": str(size), **more}.items():
            tensor.external_data.add(key=key, value=value)

    return change


@pytest.mark.parametrize("location", ["../secret", "a/../../secret", "/etc/passwd", "/proc/self/environ", "C:\\x", ""])
def test_external_data_outside(cnn, tmp_path, location, refused, rewrite):
    (tmp_path.parent / "secret").write_bytes(b"\x00" * 432)
    refused(rewrite(cnn(), external(location)), "outside")


def test_external_data_that_is_no_plain_file(cnn, tmp_path, refused, rewrite):
    real = tmp_path / "real"
    real.write_bytes(b"\x00" * 432)
    (tmp_path / "link").symlink_to(real)
    (tmp_path / "folder").mkdir()
    (tmp_path / "there").symlink_to(tmp_path / "folder", target_is_directory=True)
    (tmp_path / "folder" / "w").write_bytes(b"\x00" * 432)
    os.link(real, tmp_path / "hard")
    os.mkfifo(tmp_path / "fifo")
    cases = {
        "link": "cp -L",
        "there/w": "cp -L",
        "hard": "hard link",
        "folder": "not a regular",
        "fifo": "not a regular",
        "none": "does not exist",
    }
    for location, match in cases.items():
        refused(rewrite(cnn(), external(location)), match)


@pytest.mark.parametrize(
    "more", [{"offset": "1"}, {"offset": "-8"}, {"length": "400"}, {"length": "9" * 30}, {"length": "99999"}]
)
def test_external_data_of_another_size(cnn, tmp_path, more, refused, rewrite):
    (tmp_path / "w").write_bytes(b"\x00" * 432)
    refused(rewrite(cnn(), external("w", **more)), "bytes|impossible")


def test_external_data_in_a_constant_and_a_sparse_tensor(cnn, refused, rewrite):
    def constant(model):
        tensor = TensorProto(name="k", data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
        tensor.external_data.add(key="location", value="../secret")
        model.graph.node.insert(0, helper.make_node("Constant", [], ["k"], value=tensor))

    def sparse(model):
        tensor = TensorProto(name="k", data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
        tensor.external_data.add(key="location", value="../secret")
        index = numpy_helper.from_array(np.array([0]))
        model.graph.sparse_initializer.append(helper.make_sparse_tensor(tensor, index, [4]))

    refused(rewrite(cnn(), constant), "outside")
    refused(rewrite(cnn(), sparse), "outside")
