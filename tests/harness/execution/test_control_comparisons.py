"""Control experiments that set attacks against each other, on models whose answers are known in closed form."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robcheck.harness import evaluation
from robcheck.harness.attacks import ATTACKS
from robcheck.harness.diagnosis.adaptive_weaker import Generic
from robcheck.harness.diagnosis.attack_broken import Sibling
from robcheck.harness.diagnosis.eot_broken import Frozenness
from robcheck.harness.diagnosis.more import Variant, Variants
from robcheck.harness.diagnosis.not_converged import Doublings
from robcheck.harness.diagnosis.one_step_beats_iter import OneStep
from robcheck.harness.diagnosis.targeted_stronger import Targeted
from robcheck.harness.execution.controls import CONTROLS, run_controls
from robcheck.harness.execution.frozen import Frozen
from robcheck.harness.execution.job import Job
from robcheck.harness.model_info import ModelInfo, Twin
from robcheck.harness.pipeline import Pipeline
from robcheck.harness.randomness import Stream
from robcheck.harness.request import Request
from robcheck.harness.results import ControlRecord
from robcheck.harness.stage import Surrogate

EPS = 0.06


class Linear(nn.Module):
    """Three classes of 12 features, one of them never near: one boundary, and the box is never in the way."""

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.weight = torch.randn(12, generator=generator)
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        half = (x.flatten(1) - 0.5) @ self.weight
        return self.scale * torch.stack([half, -half, half * 0 - 5], dim=1)

    def height(self, x: Tensor, eps: float) -> Tensor:
        """The largest margin inside a ball of that radius, 0 at most."""
        return 2 * ((eps - self.closest(x)) * self.weight.abs().sum()).clamp(max=0)

    def closest(self, x: Tensor) -> Tensor:
        """The Linf distance to the boundary."""
        return ((x.flatten(1) - 0.5) @ self.weight).abs() / self.weight.abs().sum()


@dataclass
class Model:
    """A function and what stands in for it on the way back."""

    deployed: Callable[[Tensor], Tensor]
    twin: Callable[[Tensor], Tensor] | None = None
    info: ModelInfo = ModelInfo(name="toy", format="torch", twin=Twin(available=True))  # noqa: RUF009

    def logits(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            return self.deployed(x)

    def differentiable(self, gradient: str = "exact") -> Callable[[Tensor], Tensor]:  # noqa: ARG002
        return self.twin or self.deployed


def samples(count: int = 64) -> Tensor:
    """Multiples of a 64th around the middle."""
    x = torch.rand(count, 12, generator=torch.Generator().manual_seed(5)) * 0.6 + 0.2
    return (x * 64).round() / 64


def radii(x: Tensor, eps: float | Tensor | None) -> Tensor | None:
    """One per sample; None for a box."""
    return torch.full((len(x),), eps) if isinstance(eps, float) else eps


def control(name: str, model: Any, *attacks: dict[str, Any], **more: Any) -> tuple[Any, ControlRecord, Any]:
    """Outcome, record and campaign of one experiment after a plan of these attacks."""
    done = finished(model, *attacks, **more)
    chosen = [each for each in CONTROLS if each.name == name]
    outcomes, records = run_controls(chosen, done.campaign, done.steps)
    assert records[0].status != "failed", records[0].reason
    return outcomes.get(name), records[0], done.campaign


def finished(model: Any, *attacks: dict[str, Any], **more: Any) -> evaluation.Evaluated:
    """A plan of these attacks, carried out."""
    x = more.pop("x", samples())
    stages = more.pop("stages", ())
    plan = attacks or ({"attack": "pgd", "steps": 10},)
    requests = [
        Request(
            name=f"{number}",
            config=ATTACKS[entry["attack"]].config(**entry),
            **{"gradient": "exact", "eot": 4} | more.pop("how", {}),
        )
        for number, entry in enumerate(plan)
    ]
    job = Job(
        pipeline=Pipeline(model, stages),
        x=x,
        y=model.logits(x).argmax(1),
        requests=requests,
        controls="none",
        **{"norm": "linf", "eps": radii(x, more.pop("eps", EPS))} | more,
    )
    done = evaluation.run(job)
    assert done.complete
    return done


def reversed_gradient(
    function: Callable[[Tensor], Tensor], where: Callable[[Tensor], Tensor]
) -> Callable[[Tensor], Tensor]:
    """The same values with the opposite gradient at points for which `where` holds."""

    def answer(x: Tensor) -> Tensor:
        z = function(x)
        wrong = where(x)[:, None]
        return torch.where(wrong, 2 * z.detach() - z, z)

    return answer


def off_grid(x: Tensor) -> Tensor:
    return ((x * 64).round() != x * 64).flatten(1).any(1)


def everywhere(x: Tensor) -> Tensor:
    return torch.ones(len(x), dtype=torch.bool)


def test_one_step_of_the_full_radius_solves_a_linear_model() -> None:
    outcome, record, _ = control("one_step", Model(Linear()))
    assert isinstance(outcome, OneStep)
    assert (outcome.only_one_step, outcome.only_iterated) == (0, 0)
    assert 0 < outcome.one_step < outcome.samples == 32
    assert record.forward + record.backward < 100 * record.samples


def test_one_step_beats_many_where_the_gradient_is_right_at_the_sample_alone() -> None:
    linear = Linear()
    outcome, record, campaign = control("one_step", Model(linear, reversed_gradient(linear, off_grid)))
    assert outcome.only_one_step >= 10
    assert outcome.only_iterated == 0
    assert outcome.one_step >= record.fell >= outcome.only_one_step
    truth = linear.closest(campaign.job.x) < EPS
    assert int((campaign.ledger.rate < 0.5).sum()) >= record.fell
    assert bool(((campaign.ledger.rate < 0.5) <= truth).all())


def test_nothing_more_is_to_be_had_of_a_linear_model() -> None:
    linear = Linear()
    outcome, record, campaign = control("steps", Model(linear))
    assert isinstance(outcome, Doublings)
    assert outcome.settled
    assert (outcome.again, record.fell, len(outcome.runs)) == (0, 0, 1)
    assert outcome.climb < 1e-3
    assert outcome.standing == int((linear.closest(campaign.job.x) > EPS).sum())


def test_short_steps_never_settle_and_what_they_find_counts_everywhere() -> None:
    linear = Linear()
    weak = {"attack": "pgd", "steps": 5, "step_size": 0.01, "start": "sample"}
    outcome, record, campaign = control("steps", Model(linear), weak, x=samples(128))
    assert not outcome.settled
    assert [run.steps for run in outcome.runs] == [10, 20, 40]
    # Five steps of a hundredth go 0.05 of the way; forty go 0.4.
    x = campaign.job.x
    stood = linear.closest(x) > 0.05 * EPS
    ways = [linear.height(x, share * EPS)[stood].sum() for share in (0, 0.05, 0.4)]
    assert outcome.climb == pytest.approx(float((ways[2] - ways[1]) / (ways[1] - ways[0])), rel=0.15)
    reached = linear.closest(campaign.job.x) < 0.4 * EPS * 0.98
    assert outcome.everyone
    assert bool((campaign.ledger.rate[reached] < 0.5).all())
    assert record.fell == int(((campaign.ledger.rate < 0.5) & (linear.closest(campaign.job.x) > 0.05 * EPS)).sum())


def test_plain_pgd_beats_a_plan_of_short_steps_by_the_closed_form() -> None:
    linear = Linear()
    weak = {"attack": "pgd", "steps": 5, "step_size": 0.01, "start": "sample"}
    outcome, record, campaign = control("generic", Model(linear), weak)
    assert isinstance(outcome, Generic)
    assert outcome.again == 0
    assert outcome.only_generic == record.fell >= 10
    truth = linear.closest(campaign.job.x) < EPS
    assert bool(((campaign.ledger.rate < 0.5) <= truth).all())
    assert outcome.attack == "PGD of 20 steps on one draw"


def test_plain_pgd_brings_nothing_to_a_sound_plan() -> None:
    outcome, record, _ = control("generic", Model(Linear()))
    assert (outcome.fell, outcome.again, record.fell) == (0, 0, 0)


class Blocking:
    """A stage that changes nothing and lets the wrong gradient through, or none."""

    label, random = "blocking", False

    def __init__(self, kind: str = "exact", noise: float = 0.0) -> None:
        self.surrogate = Surrogate(kind, "a test")  # type: ignore[arg-type]
        self.noise, self.random = noise, noise > 0

    def forward(self, x: Tensor, stream: Stream) -> Tensor:
        noisy = x + self.noise * stream.normal(0, tuple(x.shape[1:])) if self.noise else x
        wrong = 2 * noisy.detach() - noisy
        return wrong if self.surrogate.kind == "exact" else noisy

    def replacement(self, x: Tensor, stream: Stream) -> Tensor:  # noqa: ARG002
        return 2 * x.detach() - x


class Noise(Blocking):
    """The same noise with its own gradient."""

    def forward(self, x: Tensor, stream: Stream) -> Tensor:
        return x + self.noise * stream.normal(0, tuple(x.shape[1:]))


def test_where_a_stage_has_no_gradient_of_its_own_plain_pgd_goes_around_it() -> None:
    how = {"gradient": "bpda"}
    outcome, record, _ = control("generic", Model(Linear()), stages=(Blocking("named"),), how=how)
    assert outcome.attack == "PGD on the bare model"
    assert outcome.fell == record.fell >= 10


def test_a_stage_that_turns_the_gradient_round_is_told_by_its_sibling() -> None:
    linear = Linear()
    outcome, record, campaign = control("sibling", Model(linear), stages=(Blocking(),))
    assert isinstance(outcome, Sibling)
    rows = campaign.spread(torch.arange(64), 32)
    assert outcome.bare == int((linear.closest(campaign.job.x[rows]) < EPS).sum())
    assert outcome.defended < outcome.bare / 2
    assert outcome.unbounded == outcome.samples
    assert record.fell == 0


def test_a_sibling_without_a_gradient_of_use_falls_to_nothing() -> None:
    def far(x: Tensor) -> Tensor:
        rise = x.mean(1) - 0.5 - 0.4
        return torch.stack([torch.zeros_like(rise), rise], dim=1)

    outcome, _, _ = control("sibling", Model(far, reversed_gradient(far, everywhere)), stages=(Noise("exact"),))
    assert (outcome.bare, outcome.unbounded) == (0, 0)
    outcome, _, _ = control("sibling", Model(far), stages=(Noise("exact"),))
    assert (outcome.bare, outcome.unbounded) == (0, outcome.samples)


def test_no_sibling_without_a_defense() -> None:
    outcome, record, _ = control("sibling", Model(Linear()))
    assert outcome is None
    assert (record.status, record.reason) == ("skipped", "there is no defense to take away")


def test_noise_that_stands_still_is_no_defense() -> None:
    outcome, _, _ = control("frozen", Model(Linear()), stages=(Noise("exact", 0.02),), x=samples(16))
    assert isinstance(outcome, Frozenness)
    assert outcome.bare is not None
    assert outcome.frozen >= 0.9 * outcome.bare > 0
    assert outcome.only_random <= 1


def test_a_wrong_gradient_shows_when_the_noise_stands_still() -> None:
    outcome, _, _ = control("frozen", Model(Linear()), stages=(Blocking("exact", 0.001),), x=samples(16))
    assert outcome.bare is not None
    assert outcome.bare >= 5
    assert outcome.share < 0.3


def test_what_stands_still_is_one_draw_for_all_questions() -> None:
    pipeline = Pipeline(Model(Linear()), (Noise("exact", 0.1),))
    still, x = Frozen.of(pipeline), samples(8)
    one, other = (still.once(x, Stream.create(seed, "t", torch.arange(8))).logits for seed in (0, 1))
    assert torch.equal(one, other)
    assert not still.random
    shift = still.staged(x, Stream.create(0, "t", torch.arange(8))) - x
    assert torch.allclose(shift, shift[:1].expand_as(shift), atol=1e-6)
    moved = (pipeline.once(x, Stream.create(seed, "t", torch.arange(8))).logits for seed in (0, 1))
    assert not torch.equal(*moved)


@pytest.mark.parametrize("name", ["frozen"])
def test_nothing_random_nothing_frozen(name: str) -> None:
    assert control(name, Model(Linear()))[1].status == "skipped"


class Decoy(nn.Module):
    """Class 1 rises first and stops short of class 0; class 2 wins, but only after a valley behind class 1."""

    def forward(self, x: Tensor) -> Tensor:
        near = (x[:, :2].mean(1) - 0.5) / EPS
        far = (x[:, 2:].mean(1) - 0.5) / EPS
        return torch.stack([torch.zeros_like(near), -0.1 - 0.2 * (1 - near).abs(), 1.5 * far - 1.2], dim=1)


def test_aiming_at_classes_finds_what_the_nearest_class_hides() -> None:
    x = torch.full((32, 12), 0.5)
    outcome, record, _ = control("targets", Model(Decoy()), x=x)
    assert isinstance(outcome, Targeted)
    assert (outcome.classes, outcome.targeted, outcome.untargeted) == (2, 32, 0)
    assert outcome.comparison.against == record.fell == 32


def test_two_classes_leave_nothing_to_aim_at() -> None:
    linear = Linear()
    outcome, record, _ = control("targets", Model(lambda x: linear(x)[:, :2]))
    assert outcome is None
    assert record.status == "skipped"


def test_cross_entropy_dies_on_large_logits_and_the_margin_does_not() -> None:
    linear = Linear(1e4)
    outcome, record, campaign = control("losses", Model(linear), {"attack": "pgd", "loss": "ce", "steps": 10})
    assert isinstance(outcome, Variants)
    assert [variant.label for variant in outcome.variants] == ["margin", "dlr"]
    best = outcome.best
    assert best is not None
    assert best.lead >= 10
    truth = linear.closest(campaign.job.x) < EPS
    assert torch.equal(campaign.ledger.rate < 0.5, truth)
    assert record.fell > 0


def test_no_loss_is_better_than_another_on_a_linear_model() -> None:
    outcome, record, _ = control("losses", Model(Linear()))
    assert {variant.label for variant in outcome.variants} == {"ce", "dlr"}
    assert record.fell == 0
    assert all(variant.lead <= 0 and variant.climb < 0.01 for variant in outcome.variants)


@pytest.mark.parametrize(("classes", "expected"), [(2, {"ce"}), (3, {"ce", "dlr"}), (4, {"ce", "dlr", "targeted dlr"})])
def test_losses_that_so_few_classes_have(classes: int, expected: set[str]) -> None:
    weight = torch.randn(classes, 12, generator=torch.Generator().manual_seed(1))
    outcome, _, _ = control("losses", Model(lambda x: (x - 0.5) @ weight.T), eps=0.01)
    assert {variant.label for variant in outcome.variants} == expected


def test_losses_of_the_plan_are_not_asked_again() -> None:
    plan = [{"attack": "pgd", "loss": loss, "steps": 5} for loss in ("ce", "margin", "dlr")]
    outcome, record, _ = control("losses", Model(Linear()), *plan)
    assert outcome is None
    assert record.status == "skipped"


def test_longer_steps_find_what_short_ones_left_by_the_closed_form() -> None:
    linear = Linear()
    weak = {"attack": "pgd", "steps": 5, "step_size": 0.01, "start": "sample"}
    outcome, record, campaign = control("settings", Model(linear), weak)
    by_label: dict[str, Variant] = {variant.label: variant for variant in outcome.variants}
    assert set(by_label) == {"step 0.1 eps", "step 0.25 eps", "step 1 eps", "step 2 eps", "with momentum"}
    assert outcome.again == 0
    # Five steps of a quarter reach the edge of the ball; five of a tenth come half as far, ten times the plan's way.
    truth = linear.closest(campaign.job.x) < EPS
    assert torch.equal(campaign.ledger.rate < 0.5, truth)
    rows = campaign.spread((linear.closest(campaign.job.x) > 0.05 * EPS).nonzero()[:, 0], 32)
    ways = [linear.height(campaign.job.x[rows], share * EPS).sum() for share in (0, 0.05, 0.5, 1)]
    for label, way in (("step 0.1 eps", 2), ("step 0.25 eps", 3)):
        assert by_label[label].climb == pytest.approx(float((ways[way] - ways[1]) / (ways[1] - ways[0])), rel=0.05)
    assert record.fell >= 10


def test_no_setting_is_better_than_another_on_a_linear_model() -> None:
    outcome, record, _ = control("settings", Model(Linear()))
    assert {variant.label for variant in outcome.variants} >= {"step 0.01 eps", "step 2 eps", "with momentum"}
    assert record.fell == 0
    assert all(variant.climb < 1e-3 for variant in outcome.variants)


def test_what_one_experiment_broke_still_tells_the_next_one_about_the_plan() -> None:
    weak = Request(name="weak", config=ATTACKS["pgd"].config(steps=5, step_size=0.01, start="sample"))
    model = Model(Linear())
    x = samples()
    job = Job(
        pipeline=Pipeline(model),
        x=x,
        y=model.logits(x).argmax(1),
        norm="linf",
        eps=torch.full((64,), EPS),
        requests=[weak],
        controls="none",
    )
    done = evaluation.run(job)
    chosen = [each for each in CONTROLS if each.name in ("settings", "generic")]
    outcomes, records = run_controls(chosen, done.campaign, done.steps)
    generic = outcomes["generic"]
    assert isinstance(generic, Generic)
    assert generic.only_generic >= 10
    settings = outcomes["settings"]
    assert isinstance(settings, Variants)
    assert settings.best is not None
    assert settings.best.lead >= 10
    assert settings.standing == generic.standing
    booked = done.campaign.records[-1]
    assert booked.attack == "controls"
    assert booked.broken == sum(record.fell for record in records) <= booked.attempted


@pytest.mark.slow
def test_samples_in_another_order_say_the_same() -> None:
    order = torch.randperm(64, generator=torch.Generator().manual_seed(2))
    weak = {"attack": "pgd", "steps": 5, "step_size": 0.03}
    for name in ("steps", "settings", "generic", "targets"):
        one, _, _ = control(name, Model(Linear()), weak, ids=torch.arange(64))
        other, _, _ = control(name, Model(Linear()), weak, ids=order, x=samples()[order])
        assert [m.label for m in one.measures] == [m.label for m in other.measures]
        assert [m.value for m in one.measures] == pytest.approx([m.value for m in other.measures], rel=1e-4)


MINE = ("one_step", "steps", "generic", "frozen", "sibling", "targets", "losses", "settings")
MODES: dict[str, dict[str, Any]] = {
    "l2": {"norm": "l2", "eps": 0.1},
    "l1": {"norm": "l1", "eps": 0.3},
    "targeted": {"targets": torch.full((16,), 2)},
    "box": {"box": (samples(16) - 0.1, samples(16) + 0.1)},
    "no radius for some": {"eps": torch.tensor([0.0, EPS] * 8)},
    "no radius at all": {"eps": 1e-9},
    "stages": {"stages": (Noise("exact"), Blocking("named")), "how": {"gradient": "bpda"}},
    "one sample": {"x": samples(1), "eps": 1e-3},
}


@pytest.mark.parametrize("mode", MODES)
def test_no_experiment_fails_under_any_threat(mode: str) -> None:
    given = {"x": samples(16), **MODES[mode]}
    if "box" in given:
        given["eps"] = None
    done = finished(Model(Linear()), {"attack": "pgd", "steps": 3}, **given)
    _, records = run_controls([each for each in CONTROLS if each.name in MINE], done.campaign, done.steps)
    assert {record.name: record.reason for record in records if record.status == "failed"} == {}
    assert len(records) == len(MINE)


def test_a_plan_without_a_climber_is_compared_with_pgd() -> None:
    outcome, record, campaign = control("steps", Model(Linear()), {"attack": "square", "queries": 20})
    assert outcome is None
    assert (record.status, record.reason) == ("skipped", "no attack of the plan climbs a gradient of the target")
    outcome, _, campaign = control("steps", Model(Linear()), {"attack": "fab", "steps": 2})
    assert outcome.steps == 20
    truth = Linear().closest(campaign.job.x) < EPS
    assert torch.equal(campaign.ledger.rate < 0.5, truth)
