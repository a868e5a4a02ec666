"""A classifier from an ONNX file with an output by which it refuses to answer."""

import torch
from torch import Tensor

from ...harness.classifier import GradientKind, RejectingForward
from ...harness.model_info import ModelInfo, Twin
from ..rejection import only_with_stand_ins
from .classifier import OnnxClassifier
from .entry import Entry
from .file.session import Deployed
from .outputs import Answer, pseudo_logits
from .parity import measure_rejection
from .score import Score
from .twin import TorchTwin


class RejectingOnnxClassifier(OnnxClassifier):
    """The same file with two answers: the class and whether it stands by it."""

    def __init__(
        self,
        info: ModelInfo,
        deployed: Deployed,
        entry: Entry,
        answer: Answer,
        twin: TorchTwin | None,
        score: Score,
    ) -> None:
        super().__init__(info, deployed, entry, answer, twin)
        self._score = score
        self._needs_stand_ins = False

    @torch.no_grad()
    def with_rejection(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Pseudo-logits (N, K) and the excess of the score over the threshold (N,), from one run of the file.

        Raises: ModelError.
        """
        raw, score = self._asked(x, [self._answer.name, self._score.name])
        return pseudo_logits(self._answer, raw).to(x.device), self._score.of_file(score).to(x.device)

    def differentiable_rejection(self, gradient: GradientKind = "exact") -> RejectingForward | None:
        """The twin of both from one forward, or None when there is none that agrees with the deployed one.

        There is no exact one of a score whose gradient only stand-ins carry: it would lead past no detector.
        """
        twin = self.usable
        if twin is None or (gradient == "exact" and self._needs_stand_ins):
            return None
        return lambda x: twin.with_rejection(x, bpda=gradient == "bpda")

    def check_parity(self, x: Tensor) -> Twin:
        """Compare both answers; a twin that is off in either is closed."""
        record, twin = super().check_parity(x), self.usable
        self._needs_stand_ins = twin is not None and only_with_stand_ins(
            lambda kind: lambda x: twin.with_rejection(x, bpda=kind == "bpda")[1], x
        )
        known = self._info.rejection
        if twin is None or known is None:
            return record
        found, reason = measure_rejection(
            known,
            lambda x: twin.with_rejection(x, bpda=False)[1],
            lambda x: self.with_rejection(x)[1],
            x,
            random=twin.random or bool(self._info.random_operators),
        )
        if reason:
            record = record.model_copy(update={"available": False, "reason": reason})
        self._info = self._info.model_copy(update={"twin": record, "rejection": found})
        return record
