"""On a linear model the closed form says what can be broken: every gradient attack finds it, and nothing more."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from robcheck.harness.attacks import ATTACKS
from robcheck.harness.attacks.apgd import _checkpoints
from robcheck.harness.attacks.best import Best
from robcheck.harness.attacks.dead_gradient import usable
from robcheck.harness.attacks.diversified import diversified_start
from robcheck.harness.attacks.pgd import PGD, step_size
from robcheck.harness.attacks.target_classes import likely_targets
from robcheck.harness.geometry import Norm
from robcheck.harness.target import Problem

Make = Callable[..., Problem]

SETTINGS = [
    ("pgd", {"loss": "margin", "steps": 40}),
    ("pgd", {"loss": "ce", "steps": 60}),
    ("pgd", {"loss": "dlr", "steps": 40}),
    ("pgd", {"loss": "margin", "steps": 30, "targets": 2}),
    ("pgd", {"loss": "margin", "steps": 40, "momentum": 0.75, "start": "sample"}),
    ("pgd", {"loss": "margin", "steps": 40, "start": "diversified"}),
    ("apgd", {"loss": "ce", "steps": 60}),
    ("apgd", {"loss": "margin", "steps": 60}),
    ("apgd", {"loss": "dlr", "steps": 60}),
    ("apgd", {"loss": "dlr", "steps": 50, "targets": 2}),
    ("apgd", {"loss": "margin", "steps": 50, "start": "diversified"}),
]


def name_of(setting: object) -> str:
    return "-".join(map(str, [*setting.values()])) if isinstance(setting, dict) else str(setting)


def samples(model: nn.Module, n: int = 40, features: int = 12) -> tuple[Tensor, Tensor]:
    x = 0.4 + 0.2 * torch.rand(n, features, generator=torch.Generator().manual_seed(1))
    return x, model(x).argmax(dim=1)


def attack(problem: Problem, name: str, **parameters: object) -> Tensor:
    return ATTACKS[name].run(problem, ATTACKS[name].config(**parameters))


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
@pytest.mark.parametrize(("name", "parameters"), SETTINGS, ids=name_of)
def test_breaks_exactly_what_can_be_broken(
    name: str, parameters: dict[str, object], norm: Norm, linear: nn.Module, make_problem: Make
) -> None:
    x, y = samples(linear)
    distance = linear.closest(x, y, norm)
    for factor, expected in ((1.01, True), (0.99, False)):
        problem = make_problem(linear, x, y, distance * factor, norm, lower=-9.0, upper=9.0)
        points = attack(problem, name, **parameters)
        assert problem.ball.contains(points).all()
        broken = linear(points).argmax(dim=1) != y
        assert broken.float().mean() == float(expected), f"{int(broken.sum())} of {len(x)} at {factor}"


def test_fgsm_in_linf_needs_the_right_class_only(linear: nn.Module, make_problem: Make) -> None:
    """With two classes the margin's sign is the answer; with three the nearest class may not be the likeliest."""
    two = type(linear)(classes=2)
    for model, loss in ((two, "margin"), (two, "ce"), (two, "dlr")):
        x, y = samples(model)
        distance = model.closest(x, y, "linf")
        for factor, expected in ((1.01, True), (0.99, False)):
            problem = make_problem(model, x, y, distance * factor, "linf", lower=-9.0, upper=9.0)
            assert ((model(attack(problem, "fgsm", loss=loss)).argmax(dim=1) != y) == expected).all()


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
@pytest.mark.parametrize("name", ["pgd", "apgd", "transfer"])
def test_targeted_goals_reach_their_class_and_no_other(
    name: str, norm: Norm, linear: nn.Module, make_problem: Make
) -> None:
    """The distance to a class by bisection over a far larger radius than the untargeted one."""
    x, y = samples(linear)
    targets = (y + 1) % 3
    z = linear(x)
    dual = {"linf": 1, "l2": 2, "l1": float("inf")}[norm]
    # Beating both other classes along one direction: no closer than either single boundary.
    single = torch.stack(
        [
            (z.gather(1, k[:, None]) - z.gather(1, targets[:, None])).squeeze(1)
            / torch.linalg.vector_norm(linear.weight[targets] - linear.weight[k], ord=dual, dim=1).clamp(min=1e-9)
            for k in (y, (y + 2) % 3)
        ]
    ).amax(dim=0)
    low = make_problem(linear, x, y, single * 0.99, norm, targets=targets, lower=-9.0, upper=9.0)
    assert (linear(attack(low, name)).argmax(dim=1) != targets).all()
    high = make_problem(linear, x, y, single * 3, norm, targets=targets, lower=-9.0, upper=9.0)
    points = attack(high, name)
    assert (linear(points).argmax(dim=1) == targets).float().mean() > 0.9
    assert high.ball.contains(points).all()


def fewest(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """How many features of a box [0, 1] have to change to leave class y, by sorting what each can contribute."""
    best = torch.full((len(x),), 99)
    for j in range(len(model.weight)):
        slope = model.weight[j] - model.weight[y]
        gain = torch.maximum(slope * (1 - x), -slope * x).sort(dim=1, descending=True).values.cumsum(dim=1)
        margin = (model(x).gather(1, y[:, None]) - model(x)[:, j : j + 1]).squeeze(1)
        count = (gain <= margin[:, None]).sum(dim=1) + 1
        best = torch.where(y == j, best, torch.minimum(best, count))
    return best


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("pgd", {"steps": 60, "targets": 2, "restarts": 3}),
        ("apgd", {"loss": "margin", "steps": 60, "targets": 2, "restarts": 3}),
    ],
    ids=["pgd", "apgd"],
)
def test_l0_needs_as_many_features_as_the_box_says(
    name: str, parameters: dict[str, object], linear: nn.Module, make_problem: Make
) -> None:
    model = type(linear)(features=20, seed=3)
    x, y = samples(model, features=20)
    count = fewest(model, x, y)
    assert count.unique().numel() > 1
    under = make_problem(model, x, y, (count - 1).float(), "l0")
    assert (model(attack(under, name, **parameters)).argmax(dim=1) == y).all()
    enough = make_problem(model, x, y, count.float(), "l0")
    points = attack(enough, name, **parameters)
    assert enough.ball.contains(points).all()
    assert (model(points).argmax(dim=1) != y).all()


def test_fgsm_in_l0_uses_its_whole_radius(linear: nn.Module, make_problem: Make) -> None:
    """`One step of the full radius`: with two classes and k features allowed, the best k go to the walls."""
    model = type(linear)(features=20, classes=2, seed=4)
    x, y = samples(model, features=20)
    count = fewest(model, x, y)
    problem = make_problem(model, x, y, torch.full((40,), 20.0), "l0")
    points = attack(problem, "fgsm", loss="margin")
    assert ((points != x).sum(dim=1) >= count).all()
    assert (model(points).argmax(dim=1) != y).all()


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
@pytest.mark.parametrize("name", ["pgd", "apgd"])
def test_a_saturated_model_falls_as_far_as_a_tame_one(
    name: str, norm: Norm, linear: nn.Module, make_problem: Make
) -> None:
    """Logits times 100 leave cross-entropy gradients of 1e-20 and smaller; a direction has no size."""
    x, y = samples(linear)
    distance = linear.closest(x, y, norm)

    class Steep(nn.Module):
        def forward(self, points: Tensor) -> Tensor:
            return 12 * linear(points)

    problem = make_problem(Steep(), x, y, distance * 1.3, norm, lower=-9.0, upper=9.0)
    usable_rows = 12 * linear(x).topk(2, dim=1).values.diff(dim=1).squeeze(1).abs() < 80
    assert usable_rows.sum() > 10
    points = attack(problem, name, loss="ce", steps=60)
    assert (linear(points).argmax(dim=1) != y)[usable_rows].all()


def test_per_sample_radii_hold_sample_by_sample(linear: nn.Module, make_problem: Make) -> None:
    x, y = samples(linear)
    distance = linear.closest(x, y, "l2")
    factor = torch.where(torch.arange(40) % 2 == 0, 1.01, 0.99)
    points = attack(make_problem(linear, x, y, distance * factor, "l2", lower=-9.0, upper=9.0), "pgd")
    assert ((linear(points).argmax(dim=1) != y) == (factor > 1)).all()


def test_likely_targets(linear: nn.Module, make_problem: Make) -> None:
    model = type(linear)(classes=6)
    x, y = samples(model, 12)
    problem = make_problem(model, x, y, 0.1)
    order = likely_targets(problem, 99)
    assert order.shape == (12, 5)
    assert not (order == y[:, None]).any()
    values = model(x).gather(1, order)
    assert (values[:, :-1] >= values[:, 1:]).all()
    assert torch.equal(likely_targets(problem, 2), order[:, :2])
    assert problem.target.meter.totals().forward == 24

    def partly(points: Tensor) -> Tensor:
        return model(points).index_fill(1, torch.tensor([1, 4]), float("nan"))

    order = likely_targets(make_problem(partly, x, y, 0.1), 5)
    assert all(sorted([*row, int(label)]) == list(range(6)) for row, label in zip(order.tolist(), y, strict=True))


def test_best_keeps_the_highest_score_and_every_break(linear: nn.Module, make_problem: Make) -> None:
    x, y = samples(linear, 4)
    best = Best(make_problem(linear, x, y, 0.1))
    best.see(torch.tensor([2, 0]), x[[2, 0]] + 1, torch.tensor([-1.0, float("-inf")]), torch.tensor([False, False]))
    assert torch.equal(best.x[2], x[2] + 1)
    assert torch.equal(best.x[0], x[0])
    best.see(torch.tensor([2]), x[[2]] + 2, torch.tensor([-2.0]), torch.tensor([False]))
    assert torch.equal(best.x[2], x[2] + 1)
    best.see(torch.tensor([1]), x[[1]] + 3, torch.tensor([0.5]), torch.tensor([True]))
    assert best.broken.tolist() == [False, True, False, False]


def test_dead_gradients_become_random_signs(linear: nn.Module, make_problem: Make) -> None:
    x, y = samples(linear, 5)
    problem = make_problem(linear, x, y, 0.1)
    gradient = torch.randn(5, 12)
    gradient[1], gradient[3, 4], gradient[4, 0] = 0, float("nan"), float("inf")
    got = usable(gradient, problem, 0)
    assert torch.equal(got[[0, 2]], gradient[[0, 2]])
    assert (got[[1, 3, 4]].abs() == 1).all()
    assert not torch.equal(got[1], got[3])
    assert not torch.equal(usable(gradient, problem, 1)[1], got[1])
    assert torch.equal(usable(gradient[1:2], problem.select(torch.tensor([1])), 0)[0], got[1])


def test_diversified_starts_push_towards_different_classes(linear: nn.Module, make_problem: Make) -> None:
    model = type(linear)(classes=5, features=30)
    x, y = samples(model, 60, 30)
    problem = make_problem(model, x, y, 0.3)
    start = diversified_start(problem, 0)
    assert problem.ball.contains(start).all()
    assert model(start).argmax(dim=1).unique().numel() >= 3
    spread = (model(start) - model(x)).norm(dim=1).mean()
    plain = (model(problem.ball.random_start(problem.stream, 0)) - model(x)).norm(dim=1).mean()
    assert spread > 2 * plain


def test_step_sizes_and_checkpoints() -> None:
    config = PGD(steps=10)
    sizes = [step_size(config, k) for k in range(10)]
    assert sizes[0] == pytest.approx(1.0)
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] > 0.02
    assert step_size(PGD(step_size=0.25), 7) == 0.25
    assert sorted(_checkpoints(100))[:4] == [22, 41, 57, 70]
    assert max(_checkpoints(100)) >= 99
    assert _checkpoints(1) == {1}
