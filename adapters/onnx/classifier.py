"""A classifier from an ONNX file."""

from dataclasses import replace
from typing import Self

import torch
from torch import Tensor

from ...harness.classifier import Forward, GradientKind
from ...harness.errors import ModelError
from ...harness.model_info import ModelInfo, Twin
from ..preprocessing import Preprocessing
from .entry import Entry
from .file.session import Deployed
from .outputs import Answer, pseudo_logits
from .parity import measure
from .twin import TorchTwin


class OnnxClassifier:
    """The deployed forward in onnxruntime and its torch twin behind the harness's contract."""

    def __init__(
        self,
        info: ModelInfo,
        deployed: Deployed,
        entry: Entry,
        answer: Answer,
        twin: TorchTwin | None,
    ) -> None:
        self._info = info
        self._deployed = deployed
        self._entry = entry
        self._answer = answer
        self._twin = twin
        self.preprocessing = Preprocessing(layout="nhwc" if entry.permute else None)
        """What the entry does, in the words of the shared description."""

    @property
    def info(self) -> ModelInfo:
        """What loading and the last parity check found out."""
        return self._info

    @property
    def translation(self) -> TorchTwin | None:
        """The twin as built, whether or not it passed the parity check."""
        return self._twin

    @property
    def usable(self) -> TorchTwin | None:
        """The twin, if it agrees with the deployed forward."""
        return self._twin if self._info.twin.available else None

    def described(
        self,
        *,
        name: str,
        bounds: tuple[float, float],
        input_range: tuple[float, float] | None,
        mean: tuple[float, ...] | None,
        std: tuple[float, ...] | None,
    ) -> Self:
        """The same classifier with what only the caller knows."""
        self.preprocessing = replace(self.preprocessing, bounds=bounds, input_range=input_range, mean=mean, std=std)
        low, high = input_range or bounds
        whole = self._deployed.input.dtype.kind in "iu"
        quantum = 1 / max(1.0, high - low) if whole else 0.0
        words = {"name": name, "bounds": bounds, "mean": mean, "std": std, "quantum": quantum}
        self._info = ModelInfo.model_validate(self._info.model_dump() | words)
        return self

    @torch.no_grad()
    def logits(self, x: Tensor) -> Tensor:
        """Pseudo-logits (N, K) of the deployed forward for (N, *input_shape) in units of `info.bounds`.

        Raises: ModelError.
        """
        (raw,) = self._asked(x, [self._answer.name])
        return pseudo_logits(self._answer, raw).to(x.device)

    def _asked(self, x: Tensor, names: list[str]) -> list[Tensor]:
        """The named outputs from one run, one row per sample each."""
        if not x.dim() or not len(x):
            raise ModelError(f"{self._entry.path} was given no samples; give at least one")
        answers = self._deployed.run(self._entry(x.detach()), names)
        for raw in answers:
            if not raw.dim() or len(raw) != len(x):
                rows = len(raw) if raw.dim() else 1
                raise ModelError(f"{self._entry.path} answers {len(x)} samples with {rows} rows; export it per sample")
        return answers

    def own_units(self, x: Tensor) -> Tensor:
        """Pseudo-logits (N, K) for x as the file itself wants it, past range, normalisation and layout."""
        return pseudo_logits(self._answer, self._deployed.run(x, [self._answer.name])[0]).to(x.device)

    def differentiable(self, gradient: GradientKind = "exact") -> Forward | None:
        """The torch twin, or None when there is none that agrees with the deployed forward.

        `bpda` has the same values, with the gradients of the surrogates that its operators declare.
        """
        twin = self.usable
        return None if twin is None else twin.bpda if gradient == "bpda" else twin

    def features(self, gradient: GradientKind = "exact") -> Forward | None:
        """What the last product with a stored matrix takes, (N, F), with a gradient; None where there is none."""
        twin = self.usable
        if twin is None or not twin.has_features:
            return None
        return lambda x: twin.features(x, bpda=gradient == "bpda")

    def double(self) -> Forward | None:
        """The exact twin in float64, for float64 samples in the caller's units."""
        return None if self.usable is None else self.usable.doubled()

    def check_parity(self, x: Tensor) -> Twin:
        """Compare both forwards on real samples and keep the answer in `info`; a twin that failed once stays closed."""
        if self.usable is not None:
            measured = measure(self._info, self.usable, self.logits, x)
            self._info = self._info.model_copy(update={"twin": measured})
        return self._info.twin
