"""From a path to a checked classifier."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from onnx import ModelProto, TensorProto, ValueInfoProto

from ...harness.errors import ModelError
from ..rejection import Declared, declared
from .build import build_twin, squashed
from .classifier import OnnxClassifier
from .contract import all_outputs, candidate_shapes, detect_answer, settle_batch, settle_shape
from .describe import describe, type_notes
from .entry import Entry, Layout, Range, make_entry
from .facts.decisions import decides, shares_scale
from .facts.dropouts import without_removed_dropouts
from .facts.formats import softmax_step
from .facts.obstacles import upstream
from .facts.randomness import random_operators
from .facts.tap import ranked
from .file.ort_errors import blame
from .file.preflight import Checked, check_file
from .file.probing import probe
from .file.session import Deployed, FileInput, open_session
from .outputs import OutputFacts
from .rejecting import RejectingOnnxClassifier
from .score import SMALLEST_SCORE, find_score, undeclared
from .translator.graph import inlined
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


def _alone_because(model: ModelProto, input_name: str, outputs: Sequence[str], random: tuple[str, ...]) -> str:
    """Why no two samples may be run together, as far as the graph itself tells."""
    if any(decides(model, input_name, name) for name in outputs):
        return "a sample may decide for its whole batch what the file runs"
    if any(shares_scale(model, name) for name in outputs):
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
    checked: Checked,
    deployed: Deployed,
    entry: Entry,
    bounds: Range,
    notes: tuple[str, ...],
    wanted: Declared | None,
) -> OnnxClassifier:
    """Run the file on random samples, learn its contract, build the twin and compare the two."""
    model = without_removed_dropouts(inlined(checked.model))
    x, shape_notes = settle_shape(deployed, entry, bounds)
    values, score, batch = all_outputs(deployed, entry, x), None, deployed.batch or 1
    if wanted is not None:
        score, values = find_score(checked.path, model, wanted, values, batch)
    answer, answer_notes = detect_answer(deployed, entry, x, values, {name: _facts(model, name) for name in values})
    if score is None:
        answer_notes += undeclared(model, values, answer.name, batch)
    answer = squashed(model, answer)
    outputs = {answer.name: 1.0} | ({} if score is None else {score.name: SMALLEST_SCORE})
    random = tuple(sorted({name for output in outputs for name in random_operators(model, output)}))
    why = _alone_because(model, deployed.input.name, list(outputs), random)
    batch_notes = settle_batch(deployed, entry, outputs, x, alone_because=why, draws=bool(random))
    built = build_twin(model, checked.path.parent, deployed, entry, answer, x, score)
    if answer.kind == "labels":
        if built.classes is None:
            raise ModelError(
                f"{checked.path} answers with labels only and their number is unknown; export it with scores"
            )
        answer = replace(answer, classes=built.classes)
    notes += shape_notes + answer_notes + batch_notes + type_notes(checked, deployed.input)
    info = describe(checked, model, deployed, entry, answer, built, score)
    obstacles = info.obstacles | dict.fromkeys(random, DRAWS)
    info = info.model_copy(update={"notes": notes, "random_operators": random, "obstacles": obstacles})
    if score is None:
        classifier = OnnxClassifier(info, deployed, entry, answer, built.twin)
    else:
        classifier = RejectingOnnxClassifier(info, deployed, entry, answer, built.twin, score)
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
    reject_output: str | int | None = None,
    reject_above: float | None = None,
) -> OnnxClassifier:
    """Open an ONNX file safely, detect its contract, build the torch twin and compare the two.

    `bounds` are the caller's pixel bounds; `input_range` (the same by default) or `mean` and `std` in [0, 1] units
    say what the file expects; `layout` is what the file wants while callers give NCHW. With `reject_output` and
    `reject_above` it is a `RejectingClassifier`: what that output scores above is refused.

    Raises: ModelError, UnsafeModelError, DeviceError, UsageError.
    """
    path, wanted = Path(path), declared(reject_output, reject_above)
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
    classifier = _examined(checked, deployed, entry, bounds, notes, wanted)
    return classifier.described(name=name or path.stem, bounds=bounds, input_range=target, mean=means, std=stds)
