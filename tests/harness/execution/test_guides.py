"""Samples to imitate, against choosing them one by one."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import robcheck
from robcheck.harness.attacks.pgd import PGD
from robcheck.harness.errors import NotApplicableError
from robcheck.harness.execution.campaign import Campaign
from robcheck.harness.execution.guides import guides
from robcheck.harness.execution.job import Job
from robcheck.harness.execution.observer import Silent
from robcheck.harness.model_info import ModelInfo, Twin
from robcheck.harness.pipeline import Pipeline
from robcheck.harness.randomness import Stream
from robcheck.harness.request import Request
from robcheck.suites import Suite

CLASSES = 4


class Net(nn.Module):
    """Two linear layers with a bend between them."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.first = torch.randn(6, 5, generator=generator)
        self.second = torch.randn(5, CLASSES, generator=generator)

    def hidden(self, x: Tensor) -> Tensor:
        return torch.tanh(x @ self.first)

    def forward(self, x: Tensor) -> Tensor:
        return self.hidden(x) @ self.second


class Featured:
    """A classifier that shows its features."""

    info = ModelInfo(name="featured", format="torch", twin=Twin(available=True))
    net = Net()

    def logits(self, x: Tensor) -> Tensor:
        return self.net(x)  # type: ignore[no-any-return]

    def differentiable(self, gradient: str = "exact") -> Any:  # noqa: ARG002
        return self.net

    def features(self, gradient: str = "exact") -> Any:  # noqa: ARG002
        return self.net.hidden


class Bright:
    """Rejects what is bright."""

    label, random = "bright", False

    def score(self, x: Tensor, logits: Tensor, stream: Stream) -> Tensor:  # noqa: ARG002
        return x.mean(dim=1) - 0.55


X = torch.rand(40, 6, generator=torch.Generator().manual_seed(2))
Y = Featured.net(X).argmax(dim=1)
Y[3] = (Y[3] + 1) % CLASSES


def campaign_of(x: Tensor, y: Tensor, ids: Tensor | None = None, targets: Tensor | None = None) -> Campaign:
    job = Job(
        pipeline=Pipeline(Featured(), detector=Bright()),
        x=x,
        y=y,
        norm="linf",
        eps=torch.full((len(x),), 0.1),
        requests=[Request(name="pgd", config=PGD())],
        ids=ids,
        targets=targets,
    )
    campaign = Campaign.begin(job, Silent())
    campaign.clean_pass()
    return campaign


def one_by_one(i: int, count: int, loss: str, targets: Tensor | None) -> list[Tensor]:
    """The nearest of every class, class after class by distance, then the second nearest, and so on."""
    answers = (Featured.net(X) if loss == "match" else Featured.net.hidden(X)).double()
    clean = [
        j for j in range(len(X)) if int(Featured.net(X[j : j + 1]).argmax()) == int(Y[j]) and float(X[j].mean()) <= 0.55
    ]
    fit = [j for j in clean if (Y[j] != Y[i] if targets is None else Y[j] == targets[i])]
    distance = {j: float((answers[i] - answers[j]).norm()) for j in fit}
    ranked = []
    for label in {int(Y[j]) for j in fit}:
        mine = sorted((j for j in fit if Y[j] == label), key=distance.__getitem__)
        ranked += [(place, distance[j], j) for place, j in enumerate(mine)]
    return [answers[j].float() for _, _, j in sorted(ranked)[:count]]


@pytest.mark.parametrize("loss", ["match", "match-features"])
@pytest.mark.parametrize("targeted", [False, True])
def test_the_nearest_of_every_class_come_first(loss: str, targeted: bool) -> None:
    targets = (Y + 1) % CLASSES if targeted else None
    campaign = campaign_of(X, Y, targets=targets)
    rows = torch.arange(0, 40, 3)
    found = guides(campaign, loss, rows, 9)
    for place, i in enumerate(rows.tolist()):
        expected = one_by_one(i, 9, loss, targets)
        if expected:
            assert torch.allclose(found[place, : len(expected)], torch.stack(expected), atol=1e-6)
        assert found[place, len(expected) :].isnan().all()
    assert not found.isnan().all()
    before = campaign.meter.totals().forward
    guides(campaign, loss, rows, 2)
    assert campaign.meter.totals().forward == before


def test_order_and_blocks_say_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    order = torch.randperm(len(X), generator=torch.Generator().manual_seed(1))
    ids = torch.arange(len(X))
    plain = guides(campaign_of(X, Y, ids), "match", ids, 5)
    mixed = guides(campaign_of(X[order], Y[order], ids[order]), "match", ids, 5)
    assert torch.allclose(plain[order], mixed, equal_nan=True)
    monkeypatch.setattr("robcheck.harness.execution.guides._NUMBERS", 60)
    assert torch.equal(guides(campaign_of(X, Y, ids), "match", ids, 5).nan_to_num(), plain.nan_to_num())


def test_nobody_to_imitate() -> None:
    lonely = campaign_of(X[Y == 1], Y[Y == 1])
    with pytest.raises(NotApplicableError, match="imitated"):
        guides(lonely, "match", torch.tensor([0]), 3)
    nowhere = campaign_of(X, Y, targets=torch.full_like(Y, CLASSES - 1))
    assert not (Y == CLASSES - 1).any()
    with pytest.raises(NotApplicableError, match="imitated"):
        guides(nowhere, "match", torch.tensor([0]), 3)
    suite = Suite.model_validate({"name": "tiny", "attacks": [{"attack": "pgd", "loss": "match", "steps": 3}]})
    one = int(Y.mode().values) == Y
    result = robcheck.evaluate(
        Pipeline(Featured(), detector=Bright()), X[one], Y[one], suite=suite, epsilon=0.1, device="cpu", controls="none"
    )
    assert [a.status for a in result.attacks] == ["not_applicable"]


def test_features_are_matched_where_there_are_some() -> None:
    """Both ways of matching run, break something, and do so whatever the order of the samples is."""
    attacks = [{"attack": "pgd", "loss": name, "steps": 20, "restarts": 3} for name in ("match", "match-features")]
    for attack in attacks:
        suite = Suite.model_validate({"name": "tiny", "attacks": [attack]})
        order = torch.randperm(len(X), generator=torch.Generator().manual_seed(4))
        ids = torch.arange(len(X))
        target = Pipeline(Featured(), detector=Bright())
        results = [
            robcheck.evaluate(target, X[o], Y[o], ids=ids[o], suite=suite, epsilon=0.2, device="cpu")
            for o in (ids, order)
        ]
        fates = [{s.id: (s.outcome, s.prediction) for s in result.samples} for result in results]
        assert fates[0] == fates[1]
        assert "broken" in {fate for fate, _ in fates[0].values()}


def test_features_do_not_come_from_nothing() -> None:
    class Plain(Featured):
        features = None  # type: ignore[assignment]

    suite = Suite.model_validate({"name": "tiny", "attacks": [{"attack": "pgd", "loss": "match-features", "steps": 3}]})
    for target in (Pipeline(Plain(), detector=Bright()), replace(Pipeline(Featured()), classifier=NoFeatures())):
        result = robcheck.evaluate(target, X, Y, suite=suite, epsilon=0.1, device="cpu", controls="none")
        assert [(a.status, a.reason) for a in result.attacks] == [("not_applicable", "the model offers no features")]


class NoFeatures(Featured):
    def features(self, gradient: str = "exact") -> Any:  # noqa: ARG002
        return None


def test_features_are_passes_too() -> None:
    """Whatever runs a layer counts: the twin for its scores, and once more for its features."""

    class Counted(Featured):
        asked = 0

        def __init__(self) -> None:
            self.net = Net()
            self.net.hidden = self._hidden  # type: ignore[method-assign]

        def _hidden(self, x: Tensor) -> Tensor:
            self.asked += len(x)
            return Net.hidden(self.net, x)

    model = Counted()
    attack = {"attack": "pgd", "loss": "match-features", "steps": 3}
    suite = Suite.model_validate({"name": "tiny", "attacks": [attack]})
    result = robcheck.evaluate(
        Pipeline(model, detector=Bright()), X, Y, suite=suite, epsilon=0.1, device="cpu", held_out=1 - X
    )
    assert result.passes.forward == model.asked
