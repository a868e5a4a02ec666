"""Combinations that are refused, each with its reason."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from robcheck.adapters import load_model
from robcheck.harness.gradients import AnyEstimator, Bpda, Distilled, Exact, Nes, Reparameterised, Smoothed, Unrolled
from robcheck.harness.gradients.fitting import misfit
from robcheck.harness.pipeline import Pipeline
from robcheck.harness.randomness import Stream
from robcheck.harness.stage import Surrogate, SurrogateKind


@dataclass(frozen=True)
class Named:
    """A stage with nothing but a name and a surrogate."""

    label: str
    kind: SurrogateKind = "identity"
    random: bool = False

    @property
    def surrogate(self) -> Surrogate:
        return Surrogate(self.kind, "for a test")

    def forward(self, x: Tensor, stream: Stream) -> Tensor:  # noqa: ARG002
        return x

    replacement = forward


@dataclass(frozen=True)
class Optimising(Named):
    """... and steps."""

    steps: int = 3

    def unrolled(self, x: Tensor, stream: Stream, last: int | None) -> Tensor:  # noqa: ARG002
        return x


@pytest.mark.parametrize(
    ("estimator", "stages", "reason"),
    [
        (Exact(), (Named("a"),), "a has no exact gradient"),
        (Bpda(), (Named("a", "opaque"),), "a declares no surrogate"),
        (Unrolled(), (Named("a"),), "no stage optimises"),
        (Unrolled(), (Optimising("a"), Named("b", "opaque")), "b has no steps"),
        (Smoothed(around="unrolled"), (Optimising("a"), Named("b", "opaque")), "b has no steps"),
        (Unrolled(), (Optimising("a", "opaque"), Named("b")), ""),
        (Reparameterised(), (Named("a", "exact"),), "no stage is there"),
        (Reparameterised(), (Named("a"), Named("b", "exact"), Named("a")), "two stages are called a"),
        (Reparameterised(), (Named("a"), Named("b"), Named("b", "exact")), ""),
        (Nes(), (Named("a", "opaque"), Named("a", "opaque")), ""),
    ],
)
def test_what_makes_no_sense(estimator: AnyEstimator, stages: tuple[Named, ...], reason: str) -> None:
    linear = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    found = misfit(estimator, Pipeline(load_model(linear, device="cpu"), stages))
    assert found.startswith(reason)
    assert bool(found) == bool(reason)
    assert torch.is_grad_enabled()


def test_a_student_of_classes_is_no_student_of_a_detector() -> None:
    @dataclass(frozen=True)
    class Never:
        label: str = "never"
        random: bool = False

        def score(self, x: Tensor, logits: Tensor, stream: Stream) -> Tensor:  # noqa: ARG002
            return -torch.ones(len(x))

    model = load_model(nn.Sequential(nn.Flatten(), nn.Linear(16, 3)))
    assert "also rejects" in misfit(Distilled(), Pipeline(model, detector=Never()))
    assert misfit(Distilled(), Pipeline(model)) == ""
