"""ONNX files of digit classifiers in the forms in which classifiers arrive: exporters, types, quantisers, ends."""

import contextlib
import io
import logging
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import onnx
import onnxruntime
import torch
from digit_models import Front, samples, trained
from onnxruntime import quantization
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer
from onnxruntime.transformers.float16 import convert_float_to_float16
from torch import nn
from torch.nn import functional

Maker = Callable[[Path], None]


def export(
    path: Path,
    body: str = "cnn",
    *,
    opset: int = 17,
    dynamo: bool = False,
    front: nn.Module | None = None,
    back: nn.Module | None = None,
    example: torch.Tensor | None = None,
    batch: bool = True,
) -> None:
    """Write a trained network, between a front and a back; without `batch` the file insists on one sample."""
    network = nn.Sequential(*(part for part in (front, trained(body), back) if part is not None)).eval()
    example = torch.rand(2 if batch else 1, 1, 8, 8) if example is None else example
    free = {"dynamic_shapes": ({0: torch.export.Dim("n")},)} if dynamo else {"dynamic_axes": {"x": {0: "n"}}}
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (example,),
            str(path),
            input_names=["x"],
            output_names=["y"],
            opset_version=opset,
            dynamo=dynamo,
            **({"external_data": False, "verbose": False} if dynamo else {}),
            **(free if batch else {}),
        )


def half(path: Path, *, keep: bool, body: str = "cnn") -> None:
    """Sixteen-bit floats, at the ends as well unless `keep`."""
    export(path, body)
    onnx.save(convert_float_to_float16(onnx.load(path), keep_io_types=keep), path)


class _Calibration(CalibrationDataReader):
    def __init__(self) -> None:
        self.rows = iter(samples("train")[0][:200].split(20))

    def get_next(self):
        rows = next(self.rows, None)
        return None if rows is None else {"x": rows.numpy()}


def quantised(
    path: Path,
    *,
    layout: QuantFormat,
    activations: QuantType,
    weights: QuantType = QuantType.QInt8,
    per_channel: bool = True,
    body: str = "cnn",
) -> None:
    """Eight bits by onnxruntime's own tool, calibrated on training samples."""
    plain = path.with_suffix(".float")
    export(plain, body)
    quantization.quantize_static(
        plain,
        path,
        _Calibration(),
        quant_format=layout,
        per_channel=per_channel,
        activation_type=activations,
        weight_type=weights,
    )
    plain.unlink()


def dynamic(path: Path, *, weights: QuantType = QuantType.QUInt8, body: str = "cnn") -> None:
    """Eight-bit weights, and activations whose scale is computed for every batch."""
    plain = path.with_suffix(".float")
    export(plain, body)
    quantization.quantize_dynamic(plain, path, weight_type=weights)
    plain.unlink()


def four_bits(
    path: Path, *, layout: QuantFormat = QuantFormat.QOperator, level: int | None = None, body: str = "mlp"
) -> None:
    """Weights of four bits in blocks, as language models are shipped; level 4 computes in eight bits."""
    export(path, body)
    model = onnx.load(path)
    if layout == QuantFormat.QDQ:
        model = onnx.version_converter.convert_version(model, 21)
    quantiser = MatMulNBitsQuantizer(
        model, bits=4, block_size=32, is_symmetric=False, accuracy_level=level, quant_format=layout
    )
    quantiser.process()
    onnx.save(quantiser.model.model, path)


def optimised(path: Path, make: Maker) -> None:
    """What onnxruntime itself writes after its extended optimisation."""
    plain = path.with_suffix(".plain")
    make(plain)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(path)
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(plain), options, providers=["CPUExecutionProvider"])
    plain.unlink()


_pixels = Front(lambda x: x.float() / 255)
_channels_last = Front(lambda x: x.permute(0, 3, 1, 2))
_bytes = torch.zeros(2, 1, 8, 8, dtype=torch.uint8)
_black_and_white = Front(lambda x: (x > 0.5).float())
_best = Front(lambda scores: scores.argmax(1))
_top = Front(lambda scores: scores.topk(1, dim=1).indices)
_log = nn.LogSoftmax(dim=1)
_s8, _u8 = QuantType.QInt8, QuantType.QUInt8
_static_s8: Maker = partial(quantised, layout=QuantFormat.QDQ, activations=_s8)

VARIANTS: dict[str, Maker] = {
    **{f"legacy-{opset}": partial(export, opset=opset) for opset in (11, 13, 17, 20)},
    **{f"dynamo-{opset}": partial(export, opset=opset, dynamo=True) for opset in (18, 20, 23)},
    "half": partial(half, keep=False),
    "half-inside": partial(half, keep=True),
    "half-attention": partial(half, keep=False, body="attention"),
    "qdq-s8s8": _static_s8,
    "qdq-u8s8": partial(quantised, layout=QuantFormat.QDQ, activations=_u8),
    "qdq-u8u8-per-tensor": partial(quantised, layout=QuantFormat.QDQ, activations=_u8, weights=_u8, per_channel=False),
    "qdq-attention": partial(quantised, layout=QuantFormat.QDQ, activations=_u8, body="attention"),
    "qoperator-u8s8": partial(quantised, layout=QuantFormat.QOperator, activations=_u8),
    "qoperator-s8s8": partial(quantised, layout=QuantFormat.QOperator, activations=_s8),
    "qoperator-attention": partial(quantised, layout=QuantFormat.QOperator, activations=_u8, body="attention"),
    "dynamic-u8": dynamic,
    "dynamic-s8": partial(dynamic, weights=_s8),
    "dynamic-mlp": partial(dynamic, body="mlp"),
    "dynamic-attention": partial(dynamic, body="attention"),
    "dynamic-lstm": partial(dynamic, body="rows"),
    "int4-mlp": four_bits,
    "int4-level-4-mlp": partial(four_bits, level=4),
    "int4-qdq-mlp": partial(four_bits, layout=QuantFormat.QDQ),
    "int4-attention": partial(four_bits, body="attention"),
    "softmax": partial(export, back=nn.Softmax(dim=1)),
    "log-softmax": partial(export, back=_log),
    "argmax": partial(export, back=_best),
    "top-1": partial(export, back=_top),
    "uint8-input": partial(export, front=_pixels, example=_bytes),
    "nhwc-input": partial(export, front=_channels_last, example=torch.rand(2, 8, 8, 1)),
    "normalised": partial(export, body="normalised"),
    "fixed-batch": partial(export, batch=False),
    "ort-extended": partial(optimised, make=export),
    "ort-extended-qdq": partial(optimised, make=_static_s8),
    "ort-extended-attention": partial(optimised, make=partial(export, body="attention")),
    **{name: partial(export, body=name) for name in ("rounded", "thermometer", "sign")},
    "binarised": partial(export, front=_black_and_white),
    "binarised-trained": partial(export, body="binarised"),
    "noisy": partial(export, front=Front(lambda x: x + 0.05 * torch.randn_like(x))),
    "dropout": partial(export, front=Front(lambda x: functional.dropout(x, 0.02, training=True))),
    "lstm": partial(export, body="rows"),
    "gru": partial(export, body="gated"),
    "attention": partial(export, body="attention"),
    "attention-dynamo": partial(export, body="attention", opset=23, dynamo=True),
    "mlp": partial(export, body="mlp"),
}


def make(name: str, folder: Path) -> Path:
    """The file of one variant; nothing random but what the seeds say."""
    path = folder / f"{name}.onnx"
    level = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
            warnings.simplefilter("ignore")
            torch.manual_seed(0)
            VARIANTS[name](path)
    finally:
        logging.disable(level)
    return path
