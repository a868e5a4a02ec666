"""Defenses behind the network: the threshold of a detector, the votes of an ensemble."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from robcheck.harness.classifier import Classifier
from robcheck.harness.decision import Goal
from robcheck.harness.defenses.detector import BinaryDetector
from robcheck.harness.defenses.ensemble import VotingEnsemble
from robcheck.harness.model_info import ModelInfo, Twin
from robcheck.harness.pipeline import Pipeline
from robcheck.harness.randomness import Stream


@dataclass
class Fixed:
    """A member whose logits are the input plus an offset; `twin` False: it has no gradient."""

    offset: Tensor
    twin: bool = True
    sha256: str | None = "a"

    @property
    def info(self) -> ModelInfo:
        twin = Twin(available=self.twin)
        return ModelInfo(
            name="fixed", format="torch", classes=3, sha256=self.sha256, obstacles={"round": "rounds"}, twin=twin
        )

    def logits(self, x: Tensor) -> Tensor:
        return (x + self.offset).detach()

    def differentiable(self, gradient: str = "exact") -> Callable[[Tensor], Tensor] | None:  # noqa: ARG002
        return (lambda x: x + self.offset) if self.twin else None


def members(*logits: tuple[float, ...]) -> tuple[Fixed, ...]:
    return tuple(Fixed(torch.tensor([row])) for row in logits)


def stream(n: int) -> Stream:
    return Stream.create(0, "t", torch.arange(n))


class Ramp(nn.Module):
    """Suspicion of pixels (N, D) is their sum."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([torch.ones(len(x)), 1 + x.sum(dim=1)], dim=1)


@pytest.mark.parametrize(("share", "rejected"), [(0.0, 0), (0.05, 10), (0.29, 58), (0.999, 199)])
def test_a_threshold_rejects_the_share_that_it_states(share: float, rejected: int) -> None:
    x = torch.rand(200, 4, generator=torch.Generator().manual_seed(0))
    detector = BinaryDetector.calibrated(Ramp(), x, share)
    scores = detector.score(x, torch.zeros(200, 3), stream(200))
    assert int((scores > 0).sum()) == rejected
    # Those with the largest sums, and nobody else.
    order = x.sum(dim=1).argsort(descending=True)
    assert (scores[order[:rejected]] > 0).all()
    fresh = torch.rand(20_000, 4, generator=torch.Generator().manual_seed(1))
    share_of_fresh = float((detector.score(fresh, torch.zeros(1, 3), stream(1)) > 0).float().mean())
    assert abs(share_of_fresh - share) < 0.06


def test_equal_scores_are_not_rejected_and_impossible_shares_refused() -> None:
    x = torch.full((50, 4), 0.5)
    detector = BinaryDetector.calibrated(Ramp(), x, 0.2)
    assert not (detector.score(x, x, stream(50)) > 0).any()
    for share, samples in ((1.0, 5), (-0.1, 5), (0.1, 0)):
        with pytest.raises(ValueError, match="share"):
            BinaryDetector.calibrated(Ramp(), x[:samples], share)


def test_a_detector_in_a_pipeline() -> None:
    detector = BinaryDetector(Ramp(), threshold=1.0, share=0.05)
    pipeline = Pipeline(Fixed(torch.zeros(1, 3)), detector=detector)
    x = torch.tensor([[0.2, 0.1, 0.1], [0.9, 0.4, 0.3]], requires_grad=True)
    decision = pipeline.decide(x.detach(), stream(2))
    assert pipeline.rejects
    assert not pipeline.random
    assert pipeline.defenses == ["detector:share=0.05"]
    assert decision.accepted.tolist() == [True, False]
    assert decision.rejection is not None
    assert decision.rejection.tolist() == pytest.approx([-0.6, 0.6])
    assert Goal(torch.tensor([1, 1])).broken(decision).tolist() == [True, False]
    score = detector.score(x, torch.zeros(2, 3), stream(2))
    (gradient,) = torch.autograd.grad(score.sum(), [x])
    assert torch.equal(gradient, torch.ones(2, 3))


def test_votes_are_counted() -> None:
    # Two sure members against one: the mean probability says 0, the vote says 1.
    ensemble = VotingEnsemble(members((9.0, 0.0, 0.0), (0.0, 0.1, 0.0), (0.0, 0.1, 0.0)))
    assert isinstance(ensemble, Classifier)
    logits = ensemble.logits(torch.zeros(4, 3))
    assert logits.argmax(dim=1).tolist() == [1] * 4
    assert torch.softmax(logits, dim=1)[0].tolist() == pytest.approx([1 / 3, 2 / 3, 0], abs=2e-3)
    mean = torch.stack([torch.softmax(m.offset[0], dim=0) for m in ensemble.members]).mean(dim=0)
    assert mean.argmax() == 0


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_mean_probability_breaks_ties(order: tuple[int, int]) -> None:
    both = members((3.0, 0.0, 0.0), (0.0, 0.0, 2.0))
    ensemble = VotingEnsemble((both[order[0]], both[order[1]]))
    assert ensemble.logits(torch.zeros(1, 3)).argmax() == 0
    three = VotingEnsemble(members((0.0, 0.0, 2.0), (1.0, 0.0, 0.0), (0.0, 3.0, 0.0)))
    assert three.logits(torch.zeros(1, 3)).argmax() == 1


def test_a_member_without_a_number_votes_for_nobody() -> None:
    nan = float("nan")
    ensemble = VotingEnsemble(members((nan, 0.0, 0.0), (0.0, 0.0, 1.0)))
    assert ensemble.logits(torch.zeros(1, 3)).argmax() == 2
    nobody = VotingEnsemble(members((nan, 0.0, 0.0), (0.0, nan, 0.0)))
    assert nobody.logits(torch.zeros(1, 3)).isnan().all()


def test_a_vote_has_a_stand_in_and_no_gradient() -> None:
    ensemble = VotingEnsemble(members((1.0, 0.0, 0.0), (0.0, 0.5, 0.0), (0.0, 0.5, 0.2)))
    assert ensemble.differentiable("exact") is None
    twin = ensemble.differentiable("bpda")
    assert twin is not None
    x = torch.randn(6, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    answer = twin(x)
    assert torch.equal(answer.detach(), ensemble.logits(x.detach()))
    weights = torch.randn(6, 3, generator=torch.Generator().manual_seed(1))
    (gradient,) = torch.autograd.grad((weights * answer).sum(), [x])
    chances = sum(torch.softmax(x + m.offset, dim=1) for m in ensemble.members) / 3
    (expected,) = torch.autograd.grad((weights * chances.log()).sum(), [x])
    assert torch.allclose(gradient, expected, atol=1e-6)
    assert Pipeline(ensemble).no_gradient == ""


def test_what_an_ensemble_says_of_itself() -> None:
    info = VotingEnsemble(members((1.0, 0.0, 0.0), (0.0, 1.0, 0.0)), name="two").info
    assert info.name == "two"
    assert info.classes == 3
    assert set(info.obstacles) == {"vote", "round"}
    assert info.twin.available
    assert info.sha256 not in (None, "a")
    deaf = VotingEnsemble((Fixed(torch.zeros(1, 3)), Fixed(torch.zeros(1, 3), twin=False, sha256=None)))
    assert deaf.differentiable("bpda") is None
    assert not deaf.info.twin.available
    assert deaf.info.sha256 is None
    assert Pipeline(deaf).no_gradient == "a member has no differentiable twin"
    with pytest.raises(ValueError, match="without members"):
        VotingEnsemble(())
