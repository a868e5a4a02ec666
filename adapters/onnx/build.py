"""The twin of a file: where it starts, what it runs, how it takes batches."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from onnx import ModelProto
from torch import Tensor

from ...harness.errors import ModelError
from ...harness.model_info import Twin
from .entry import Entry
from .facts.decisions import decides
from .facts.formats import number_format
from .facts.scores import features_of
from .facts.tap import Tap, tap
from .file.session import Deployed
from .outputs import Answer
from .score import Score
from .strategy import choose_strategy
from .translator.translate import translate
from .twin import TorchTwin


@dataclass(frozen=True)
class Built:
    """The twin, or why there is none; `wanted` is the tensor that gradients start from."""

    twin: TorchTwin | None
    record: Twin
    wanted: str
    classes: int | None = None
    missing: tuple[str, ...] = ()


def _without(reason: str, wanted: str, missing: tuple[str, ...] = ()) -> Built:
    return Built(None, Twin(available=False, reason=reason), wanted, missing=missing)


def squashed(model: ModelProto, answer: Answer) -> Answer:
    """The answer as what its graph says it is: a Sigmoid for each class looks like logits from outside."""
    tapped = tap(model, answer.name, labels=False)
    single = tapped.operator == "Sigmoid" and tapped.complement is None
    return replace(answer, kind="sigmoids") if single and answer.kind in ("logits", "probabilities") else answer


def build_twin(
    model: ModelProto,
    folder: Path,
    deployed: Deployed,
    entry: Entry,
    answer: Answer,
    x: Tensor,
    score: Score | None = None,
) -> Built:
    """Translate the graph up to the tensors that hold its scores and try it on samples x, in the caller's units."""
    tapped = tap(model, answer.name, answer.kind == "labels")
    wanted, behind = tapped.place, tapped.operator
    if answer.kind == "labels" and behind not in ("ArgMax", "TopK"):
        # Something stands between the scores and the label: what the twin would answer are no scores.
        return _without("the labels do not come straight from an ArgMax or a TopK", wanted)
    if behind and answer.kind == "logits":
        tapped, wanted, behind = Tap(answer.name), answer.name, ""
    features = features_of(model, deployed.input.name, wanted)
    places = [wanted, *([] if score is None else [score.place])]
    translation = translate(model, folder, deployed.input.name, [*places, *([] if features is None else [features])])
    if translation.module is None:
        return _without(translation.reason, wanted, translation.missing)
    source = deployed.input.dtype
    twin = TorchTwin(
        entry,
        translation.module,
        deployed.batch,
        dtype=torch.float64 if source == np.float64 else torch.float32,
        whole=torch.from_numpy(np.empty(0, source)).dtype if source.kind in "iu" else None,
        logarithm=answer.kind == "probabilities" and not behind,
        complement=tapped.complement,
        one_by_one=any(decides(model, deployed.input.name, place) for place in places),
        score=score,
        features=features is not None,
    )
    if deployed.device == "cpu" or torch.cuda.is_available():
        twin.place(torch.device(deployed.device))
    try:
        classes = choose_strategy(twin, x)
    except ModelError as error:
        return _without(str(error), wanted)
    kind = number_format(model, answer.name if answer.kind in ("probabilities", "sigmoids") else wanted)
    reason = f"taken in front of the final {behind}" if behind else ""
    record = Twin(
        available=True, reason=reason, tap=behind, floor=tapped.floor, tolerance=kind.tolerance, step=kind.step
    )
    return Built(twin, record, wanted, classes if tapped.complement is None else 2)
