"""From a path to a checked classifier."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from onnx import ModelProto, TensorProto, ValueInfoProto

from ...harness.errors import ModelError
from ...harness.model_info import ModelInfo
from .build import Built, build_twin, squashed
from .classifier import OnnxClassifier
from .contract import candidate_shapes, detect_answer, settle_batch, settle_shape
from .entry import Entry, Layout, Range, make_entry
from .facts.decisions import decides, shares_scale
from .facts.dropouts import without_removed_dropouts
from .facts.formats import is_half, softmax_step
from .facts.obstacles import find_obstacles, upstream
from .facts.randomness import random_operators
from .facts.tap import ranked
from .file.ort_errors import blame
from .file.preflight import Checked, check_file
from .file.probing import probe
from .file.session import Deployed, FileInput, open_session
from .file.walk import all_nodes
from .outputs import Answer, OutputFacts
from .translator.graph import inlined, opsets
from .translator.operators.obstacle import DRAWS
from .translator.types import numpy_dtype, type_name

_NUMERIC = (
    TensorProto.FLOAT,
    TensorProto.DOUBLE,
    TensorProto.FLOAT16,
    TensorProto.UINT8,
    TensorProto.INT8,
    TensorProto.INT32,
    TensorProto.INT64,
)
"""Input types that pixels can be written in."""


def _file_input(checked: Checked) -> FileInput:
    """Name, type and dimensions of the one input.

    Raises: ModelError.
    """
    listed = {tensor.name for tensor in checked.model.graph.initializer}
    value: ValueInfoProto = next(value for value in checked.model.graph.input if value.name not in listed)
    declared = value.type.tensor_type
    if not value.type.HasField("tensor_type") or declared.elem_type not in _NUMERIC:
        kind = type_name(declared.elem_type)
        raise ModelError(f"{checked.path} takes {kind} and not numbers; export a classifier with a numeric input")
    if not declared.HasField("shape") or len(declared.shape.dim) < 2:
        raise ModelError(f"{checked.path} has an input without a batch dimension; export it with (N, ...) as input")
    dims = tuple(dim.dim_value if dim.dim_value > 0 else None for dim in declared.shape.dim)
    return FileInput(value.name, numpy_dtype(declared.elem_type), dims)


def _statistics(values: Sequence[float] | None) -> tuple[float, ...] | None:
    return None if values is None else tuple(float(value) for value in values)


def _operators(model: ModelProto) -> dict[str, int]:
    names = (f"{n.domain}::{n.op_type}" if n.domain not in ("", "ai.onnx") else n.op_type for n in all_nodes(model))
    return dict(sorted(Counter(names).items()))


def _type_notes(checked: Checked, source: FileInput) -> tuple[str, ...]:
    notes: tuple[str, ...] = ()
    if source.dtype.kind in "iu":
        notes += (f"the file takes {source.dtype.name}: pixels are rounded, and gradients pass the rounding",)
    if is_half(checked.model):
        notes += ("the file computes in sixteen bits; the twin computes in float32",)
    return notes


def _info(
    checked: Checked, model: ModelProto, deployed: Deployed, entry: Entry, answer: Answer, built: Built
) -> ModelInfo:
    """What the file itself told; the caller's own arguments come on top."""
    return ModelInfo(
        name=checked.path.stem,
        format="onnx",
        input_shape=None if None in entry.shape else tuple(size for size in entry.shape if size is not None),
        classes=answer.classes,
        output=answer.kind,
        batch=deployed.batch,
        device=deployed.device,
        provider=deployed.provider,
        sha256=checked.sha256,
        opset=opsets(checked.model).get(""),
        operators=_operators(checked.model),
        obstacles=find_obstacles(model, deployed.input.name, built.wanted),
        missing_operators=built.missing,
        twin=built.record,
    )


def _alone_because(model: ModelProto, input_name: str, wanted: str, random: tuple[str, ...]) -> str:
    """Why no two samples may be run together, as far as the graph itself tells."""
    if decides(model, input_name, wanted):
        return "a sample may decide for its whole batch what the file runs"
    if shares_scale(model, wanted):
        return "the file rounds all samples of a batch to one scale"
    if {"RandomNormal", "RandomUniform"}.intersection(random):
        return "the file may draw one random number for a whole batch"
    return "onnxruntime's Dropout treats the first sample of a batch apart" if "Dropout" in random else ""


def _range(path: Path, ends: Sequence[float]) -> Range:
    low, high = (float(end) for end in ends)
    if not low < high:
        raise ModelError(f"{path} was given the range [{low}, {high}]; give the lower end first")
    return low, high


def _facts(model: ModelProto, output: str) -> OutputFacts:
    sources = frozenset(name for node in upstream(model, output) for name in node.output) - {output}
    return OutputFacts(ranked(model, output), softmax_step(model, output), sources)


def _examined(
    checked: Checked, deployed: Deployed, entry: Entry, bounds: Range, notes: tuple[str, ...]
) -> OnnxClassifier:
    """Run the file on random samples, learn its contract, build the twin and compare the two."""
    model = without_removed_dropouts(inlined(checked.model))
    x, shape_notes = settle_shape(deployed, entry, bounds)
    answer, answer_notes = detect_answer(deployed, entry, x, {name: _facts(model, name) for name in deployed.outputs})
    answer = squashed(model, answer)
    random = random_operators(model, answer.name)
    why = _alone_because(model, deployed.input.name, answer.name, random)
    batch_notes = settle_batch(deployed, entry, answer, x, alone_because=why, draws=bool(random))
    built = build_twin(model, checked.path.parent, deployed, entry, answer, x)
    if answer.kind == "labels":
        if built.classes is None:
            raise ModelError(
                f"{checked.path} answers with labels only and their number is unknown; export it with scores"
            )
        answer = replace(answer, classes=built.classes)
    notes += shape_notes + answer_notes + batch_notes + _type_notes(checked, deployed.input)
    info = _info(checked, model, deployed, entry, answer, built)
    obstacles = info.obstacles | dict.fromkeys(random, DRAWS)
    info = info.model_copy(update={"notes": notes, "random_operators": random, "obstacles": obstacles})
    classifier = OnnxClassifier(info, deployed, entry, answer, built.twin)
    classifier.check_parity(x)
    return classifier


def load_onnx(
    path: str | Path,
    *,
    name: str | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    bounds: Range = (0.0, 1.0),
    input_range: Range | None = None,
    layout: Layout | None = None,
    device: str = "cpu",
) -> OnnxClassifier:
    """Open an ONNX file safely, detect its contract, build the torch twin and compare the two.

    `bounds` are the caller's pixel bounds; `input_range` (the same by default) or `mean` and `std` in [0, 1] units
    say what the file expects; `layout` is what the file wants while callers give NCHW.

    Raises: ModelError, UnsafeModelError, DeviceError.
    """
    path = Path(path)
    bounds = _range(path, bounds)
    target = None if input_range is None else _range(path, input_range)
    means, stds = _statistics(mean), _statistics(std)
    normalised = means is not None or stds is not None
    if target is not None and normalised:
        raise ModelError(f"{path} was given input_range and mean or std; give one of them")
    checked = check_file(path)
    source = _file_input(checked)
    if source.dtype == np.uint8 and target is None and not normalised:
        target = (0.0, 255.0)
    if source.dtype.kind in "iu" and target is None and not normalised and bounds == (0.0, 1.0):
        raise ModelError(
            f"{path} takes {source.dtype.name}; say which whole numbers its pixels are, as in --range 0-255"
        )
    entry, notes = make_entry(path, source.dims[1:], bounds, target, means, stds, layout)
    if checked.probe:
        probe(checked, candidate_shapes(source.dims), source.dtype.name)
    deployed = Deployed(blame(checked), open_session(checked, device), source, device)
    classifier = _examined(checked, deployed, entry, bounds, notes)
    return classifier.described(name=name or path.stem, bounds=bounds, input_range=target, mean=means, std=stds)
