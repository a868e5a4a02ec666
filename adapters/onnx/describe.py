"""What a file told about itself, as a record."""

from collections import Counter

from onnx import ModelProto

from ...harness.model_info import ModelInfo
from .build import Built
from .entry import Entry
from .facts.formats import is_half
from .facts.obstacles import find_obstacles
from .file.preflight import Checked
from .file.session import Deployed, FileInput
from .file.walk import all_nodes
from .outputs import Answer
from .score import Score
from .translator.graph import opsets


def _operators(model: ModelProto) -> dict[str, int]:
    names = (f"{n.domain}::{n.op_type}" if n.domain not in ("", "ai.onnx") else n.op_type for n in all_nodes(model))
    return dict(sorted(Counter(names).items()))


def type_notes(checked: Checked, source: FileInput) -> tuple[str, ...]:
    """What a number format means for gradients."""
    notes: tuple[str, ...] = ()
    if source.dtype.kind in "iu":
        notes += (f"the file takes {source.dtype.name}: pixels are rounded, and gradients pass the rounding",)
    if is_half(checked.model):
        notes += ("the file computes in sixteen bits; the twin computes in float32",)
    return notes


def describe(
    checked: Checked,
    model: ModelProto,
    deployed: Deployed,
    entry: Entry,
    answer: Answer,
    built: Built,
    score: Score | None,
) -> ModelInfo:
    """What the file itself told; the caller's own arguments come on top."""
    places = [built.wanted, *([] if score is None else [score.place])]
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
        obstacles={k: v for place in places for k, v in find_obstacles(model, deployed.input.name, place).items()},
        missing_operators=built.missing,
        twin=built.record,
        rejection=None if score is None else score.record,
    )
