"""A trained network in the place of a classifier, for attacks that craft their points elsewhere."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..classifier import Forward, GradientKind
from ..model_info import ModelInfo, Twin


@dataclass(frozen=True)
class SurrogateClassifier:
    """Satisfies `Classifier`; its passes are not passes through the model under evaluation."""

    network: nn.Module
    bounds: tuple[float, float]

    @property
    def info(self) -> ModelInfo:
        """A surrogate is a torch module in the model's units."""
        return ModelInfo(name="surrogate", format="torch", bounds=self.bounds, twin=Twin(available=True))

    def logits(self, x: Tensor) -> Tensor:
        """The network without a gradient, (N, K)."""
        with torch.no_grad():
            answer: Tensor = self.network(x)
            return answer

    def differentiable(self, gradient: GradientKind = "exact") -> Forward | None:  # noqa: ARG002
        """The network itself."""
        return self.network
