"""Random targets: what is asked with which draws, who chooses the worst case, and what it costs."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
import torch
from scipy import stats
from torch import Tensor, nn

import robcheck
from robcheck.harness.decision import Goal
from robcheck.harness.execution import scoring
from robcheck.harness.execution.campaign import Campaign
from robcheck.harness.execution.job import Job
from robcheck.harness.execution.meter import Meter
from robcheck.harness.execution.observer import Silent
from robcheck.harness.execution.replay import Replay, Replayed
from robcheck.harness.model_info import ModelInfo, Twin
from robcheck.harness.pipeline import Detector, Pipeline
from robcheck.harness.randomness import Stream
from robcheck.harness.results import Result
from robcheck.harness.rule import Rule
from robcheck.harness.stage import Surrogate
from robcheck.suites import Suite

pytestmark = pytest.mark.slow

SAMPLES = 150


@dataclass
class Sure:
    """Answers class 0 where the first pixel is at least one half, class 1 elsewhere; remembers its largest batch."""

    info: ModelInfo = field(default_factory=lambda: ModelInfo(name="sure", format="torch", twin=Twin(available=True)))
    largest: int = 0
    rows: int = 0

    def logits(self, x: Tensor) -> Tensor:
        self.largest, self.rows = max(self.largest, len(x)), self.rows + len(x)
        return self._forward(x).detach()

    def differentiable(self, gradient: str = "exact") -> Callable[[Tensor], Tensor]:  # noqa: ARG002
        return self._forward

    def _forward(self, x: Tensor) -> Tensor:
        first = x.flatten(1)[:, 0]
        return torch.stack([first, 1 - first], dim=1)


@dataclass
class Coin:
    """Turns a sample white as often as its mean says, else black; remembers every key that it was given."""

    label: str = "coin"
    random: bool = True
    surrogate: Surrogate = field(default_factory=lambda: Surrogate("identity", "for a test"))
    keys: list[int] = field(default_factory=list)

    def forward(self, x: Tensor, stream: Stream) -> Tensor:
        self.keys += stream.keys.tolist()
        white = stream.uniform(0, (1,), 1e-6, 1.0)[:, 0] <= x.flatten(1).mean(dim=1)
        return torch.where(white[:, None], torch.ones_like(x), torch.zeros_like(x))

    def replacement(self, x: Tensor, stream: Stream) -> Tensor:  # noqa: ARG002
        return x


@dataclass
class Nay:
    """Rejects everything with this score."""

    value: float
    label: str = "nay"
    random: bool = False

    def score(self, x: Tensor, logits: Tensor, stream: Stream) -> Tensor:  # noqa: ARG002
        return torch.full((len(x),), self.value)


def rates(*values: float, n: int = SAMPLES) -> Tensor:
    """Samples of two pixels whose answers are right so often."""
    return torch.tensor(values).repeat(n)[:, None].expand(-1, 2).contiguous()


def replayed(x: Tensor, pipeline: Pipeline, *, draws: int = 100, batch: int = 64, **more: object) -> Replayed:
    meter = Meter(len(x))
    stream = Stream.create(0, "replay", torch.arange(len(x)))
    goal = Goal(torch.zeros(len(x), dtype=torch.int64), more.pop("targets", None))  # type: ignore[arg-type]
    call = Replay(pipeline, stream, meter, batch, "cpu")
    seen = call(
        x, torch.arange(len(x)), goal, phase="replay", draws=draws, key="k", clean=bool(more.pop("clean", False))
    )
    assert int(meter.forward["replay"].sum()) == pipeline.classifier.rows  # type: ignore[attr-defined]
    return seen


@pytest.mark.parametrize("rule", ["single", "majority:3", "majority:5", "mean:5"])
def test_one_draw_is_one_answer_of_the_product(rule: str) -> None:
    """Of k draws that are right with chance p each, a majority is right with a binomial chance, and so is the mean."""
    p, pipeline = 0.7, Pipeline(Sure(), (Coin(),), rule=Rule.parse(rule))
    seen = replayed(rates(p), pipeline, batch=999)
    k = pipeline.draws
    chance = float(stats.binom.sf(k // 2, k, p))
    assert abs(float(seen.rate.mean()) - chance) < 4 * (chance * (1 - chance) / (100 * SAMPLES)) ** 0.5
    assert float(seen.rate.std()) < 2 * (chance * (1 - chance) / 100) ** 0.5
    assert ((seen.rate * 100).round() / 100 == seen.rate).all()
    assert set(seen.label.tolist()) == {0}


@pytest.mark.parametrize(("rule", "batch", "most"), [("single", 16, 16), ("majority:7", 64, 63), ("mean:50", 8, 50)])
def test_no_more_rows_at_once_than_a_batch_holds(rule: str, batch: int, most: int) -> None:
    """Of one question all draws go together."""
    model = Sure()
    pipeline = Pipeline(model, (Coin(),), rule=Rule.parse(rule))
    seen = replayed(rates(0.3, 0.9, n=20), pipeline, draws=4, batch=batch)
    assert model.largest == most
    assert model.rows == 40 * 4 * pipeline.draws
    again = replayed(rates(0.3, 0.9, n=20), Pipeline(Sure(), (Coin(),), rule=Rule.parse(rule)), draws=4, batch=999)
    assert (seen.rate == again.rate).all()


@pytest.mark.parametrize("rule", ["single", "majority:3", "mean:3"])
@pytest.mark.parametrize(
    ("score", "clean_rate", "rate"), [(1.0, 0.0, 1.0), (-1.0, 0.5, 0.5), (float("nan"), 0.5, 0.5), (float("inf"), 0, 1)]
)
def test_rejection_reaches_the_judge(rule: str, score: float, clean_rate: float, rate: float) -> None:
    """Rejected answers are no breaks and no right answers; a score that is no number rejects nothing."""
    detector: Detector = Nay(score)
    for clean, expected in ((True, clean_rate), (False, rate)):
        pipeline = Pipeline(Sure(), (Coin(),), detector, Rule.parse(rule))
        seen = replayed(rates(0.5), pipeline, draws=20, batch=999, clean=clean)
        assert float(seen.rate.mean()) == pytest.approx(expected, abs=0.04)


def test_a_target_that_is_not_random_is_asked_once() -> None:
    model = Sure()
    seen = replayed(rates(0.4, 0.6, n=2), Pipeline(model, rule=Rule.parse("majority:9")))
    assert seen.rate.tolist() == [0.0, 1.0, 0.0, 1.0]
    assert model.rows == 4


def begun(x: Tensor, pipeline: Pipeline, **more: object) -> Campaign:
    y = torch.zeros(len(x), dtype=torch.int64)
    job = Job(pipeline=pipeline, x=x, y=y, norm="linf", eps=torch.full((len(x),), 0.9), requests=[], **more)  # type: ignore[arg-type]
    campaign = Campaign.begin(job, Silent())
    campaign.clean_pass()
    campaign.ledger.attacked[:] = True
    return campaign


def propose(campaign: Campaign, value: float, name: str) -> None:
    """An attack that moves every sample to one rate."""
    n = len(campaign.job.x)
    everyone, x = torch.arange(n), rates(value, n=n)
    seen = scoring.selected(campaign, campaign.ledger, x, everyone, name)
    distance = (x - campaign.job.x).abs().amax(dim=1).double()
    campaign.ledger.record(everyone, x, distance, seen.rate, seen.score, seen.label, name)


@pytest.mark.parametrize("order", ["ab", "ba"])
def test_luck_does_not_choose_the_worst_case(order: str) -> None:
    """Of two candidates the worse one is found, whichever came first, and its score knows nothing of the choice."""
    campaign = begun(rates(0.9), Pipeline(Sure(), (Coin(),)))
    for name in order:
        propose(campaign, {"a": 0.5, "b": 0.3}[name], name)
    assert campaign.ledger.by.count("b") > 0.96 * SAMPLES
    campaign.final_score()
    chosen = torch.tensor([by == "b" for by in campaign.ledger.by])
    assert float(campaign.ledger.rate[chosen].mean()) == pytest.approx(0.3, abs=0.015)


def test_scores_are_not_biased_by_many_candidates() -> None:
    """Ten attacks that change nothing: the least of so many estimates is no estimate, fresh draws are one."""
    campaign = begun(rates(0.35, 0.7), Pipeline(Sure(), (Coin(),)))
    for number in range(10):
        propose_nothing(campaign, f"attack {number}")
    low = float(campaign.ledger.rate.mean())
    campaign.final_score()
    assert campaign.scored
    assert low < 0.5
    assert float(campaign.ledger.rates.mean()) == pytest.approx(0.525, abs=0.01)
    assert float(campaign.ledger.clean_rate.mean()) == pytest.approx(0.525, abs=0.01)
    assert len(campaign.ledger.rates) == 2 * SAMPLES


def propose_nothing(campaign: Campaign, name: str) -> None:
    n = len(campaign.job.x)
    everyone, x = torch.arange(n), campaign.job.x + 1e-6
    seen = scoring.selected(campaign, campaign.ledger, x, everyone, name)
    campaign.ledger.record(
        everyone, x, torch.full((n,), 1e-6, dtype=torch.float64), seen.rate, seen.score, seen.label, name
    )


def test_a_candidate_that_is_the_clean_sample_changes_nothing() -> None:
    campaign = begun(rates(0.6), Pipeline(Sure(), (Coin(),)))
    for name in "abc":
        propose(campaign, 0.6, name)
    campaign.final_score()
    assert (campaign.ledger.rate == campaign.ledger.clean_rate).all()
    assert campaign.ledger.by == [None] * SAMPLES


def test_what_is_seldom_right_is_attacked_and_counted_too() -> None:
    campaign = begun(rates(0.2, 0.0), Pipeline(Sure(), (Coin(),)))
    assert campaign.ledger.standing.tolist() == [True, False] * SAMPLES
    propose(campaign, 0.0, "a")
    assert campaign.ledger.robust == 0.0
    campaign.final_score()
    assert campaign.ledger.proven == 0.0
    assert not campaign.ledger.unknown.any()


@pytest.mark.parametrize("kind", ["targeted", "rejecting"])
def test_nobody_is_safer_under_attack_than_right_without_one(kind: str) -> None:
    """No hit of the target class, or a rejection, is no break; the clean answer is wrong all the same."""
    detector = Nay(-1.0) if kind == "rejecting" else None
    targets = torch.ones(SAMPLES, dtype=torch.int64) if kind == "targeted" else None
    campaign = begun(rates(0.6), Pipeline(Sure(), (Coin(),), detector), targets=targets)
    assert not campaign.scored
    campaign.ledger.rate[:] = 1.0
    propose(campaign, 0.9, "a")
    campaign.final_score()
    assert (campaign.ledger.rate <= campaign.ledger.clean_rate).all()


class Watch(Silent):
    """Splits the keys that a stage was given by the phases of an evaluation."""

    def __init__(self, coin: Coin) -> None:
        self.coin, self.phases = coin, [("probe", 0)]

    def started(self, what: str, samples: int, passes: int) -> None:  # noqa: ARG002
        self.phases.append((what, len(self.coin.keys)))

    def split(self) -> list[tuple[str, list[int]]]:
        ends = [start for _, start in self.phases[1:]] + [len(self.coin.keys)]
        return [(what, self.coin.keys[start:end]) for (what, start), end in zip(self.phases, ends, strict=True)]


class Flat(nn.Module):
    """Right where the first pixel is bright."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([x[:, 0], 1 - x[:, 0]], dim=1)


def evaluated(coin: Coin, observer: Silent | None = None, **more: object) -> Result:
    suite = Suite.model_validate(
        {
            "name": "tiny",
            "attacks": [{"attack": "pgd", "steps": 3, "eot": 4, "name": name} for name in ("one", "two")],
        }
    )
    x = rates(0.7, n=12)
    y = torch.zeros(len(x), dtype=torch.int64)
    arguments = {"suite": suite, "epsilon": 0.2, "defenses": [coin], "device": "cpu", "observer": observer, **more}
    return robcheck.evaluate(Flat(), x, y, **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("rule", ["single", "majority:3"])
def test_draws_that_score_are_seen_by_nobody_else(rule: str) -> None:
    """Every key of the score is new, the clean sample's too; and each sample has at least 100 of them."""
    coin = Coin()
    watch = Watch(coin)
    result = evaluated(coin, watch, decision_rule=rule)
    k = 1 if rule == "single" else 3
    phases = watch.split()
    names = [what for what, _ in phases]
    (clean,) = [keys for what, keys in phases if what == "clean"]
    (score,) = [keys for what, keys in phases if what == "score on fresh draws"]
    before = [key for what, keys in phases[: names.index("score on fresh draws")] for key in keys if what != "clean"]
    assert len(before) > 1000
    assert len(set(score)) == len(score) >= 8 * 100 * k
    assert len(score) % (100 * k) == 0
    assert len(set(clean)) == len(clean) == 12 * 180 * k
    assert not set(score) & (set(before) | set(clean))
    assert not set(clean) & set(before)
    assert result.stochastic_report is not None
    assert result.stochastic_report.rule == rule
    assert result.robust_accuracy < result.clean_accuracy - 0.05


def test_the_headline_is_the_expectation() -> None:
    result = evaluated(Coin(), min_robust_accuracy=0.1)
    report = result.stochastic_report
    assert report is not None
    assert (report.draws, report.samples, report.confidence) == (100, 12, 0.95)
    assert report.robust.expectation.value == pytest.approx(result.robust_accuracy)
    assert report.robust.expectation.interval == pytest.approx(result.interval)
    assert report.clean.expectation.value == pytest.approx(result.clean_accuracy)
    shares = [sample.correct_rate for sample in result.samples]
    assert sum(share or 0.0 for share in shares) / 12 == pytest.approx(result.robust_accuracy)
    assert report.robust.majority.value == sum((share or 0) > 0.5 for share in shares) / 12
    assert (
        robcheck.evaluate(
            Flat(), rates(0.7, n=4), torch.zeros(4, dtype=torch.int64), suite="quick", epsilon=0.01, device="cpu"
        ).stochastic_report
        is None
    )


def test_an_interrupted_score_is_no_report() -> None:
    class Stop(Watch):
        def started(self, what: str, samples: int, passes: int) -> None:
            super().started(what, samples, passes)
            if what.startswith("score"):
                raise KeyboardInterrupt

    coin = Coin()
    result = evaluated(coin, Stop(coin), min_robust_accuracy=0.0)
    assert not result.complete
    assert result.stochastic
    assert result.stochastic_report is None
    assert result.verdict == "INCONCLUSIVE"
    for sample in result.samples:
        assert (sample.broken_by is not None) == (sample.outcome == "broken")
