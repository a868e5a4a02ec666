"""What every attack promises, whatever it does inside; a new line in ATTACKS is picked up here by itself."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from robcheck.harness.attacks import ATTACKS
from robcheck.harness.geometry import Norm
from robcheck.harness.randomness import Stream
from robcheck.harness.stage import Surrogate
from robcheck.harness.target import Problem

Make = Callable[..., Problem]
RADIUS = {"linf": 0.08, "l2": 0.25, "l1": 0.6, "l0": 2.0}
QUICK: dict[str, dict[str, object]] = {
    "pgd": {"steps": 6, "restarts": 2},
    "apgd": {"steps": 12, "restarts": 2, "loss": "margin"},
    "latent": {"steps": 6, "restarts": 3},
    "transfer": {"steps": 8},
    "fab": {"steps": 5, "restarts": 2},
    "square": {"queries": 60},
    "hopskipjump": {"queries": 150},
    "genattack": {"queries": 60},
}
EXTRA: list[tuple[str, Norm, dict[str, object]]] = [
    ("pgd", "linf", {"steps": 5, "targets": 2, "start": "diversified", "momentum": 0.9, "loss": "dlr"}),
    ("pgd", "l2", {"steps": 5, "start": "sample", "restarts": 3, "step_size": 0.3}),
    ("apgd", "l2", {"steps": 8, "targets": 2, "loss": "dlr", "start": "diversified"}),
    ("apgd", "l1", {"steps": 8, "targets": 2, "loss": "ce"}),
    ("apgd", "l2", {"steps": 8, "momentum": 0.9, "targets": 2}),
    ("apgd", "l1", {"steps": 8, "momentum": 0.9}),
    ("fgsm", "linf", {"random_start": True, "loss": "ce"}),
]
EVERY = [(name, norm, QUICK.get(name, {})) for name, spec in ATTACKS.items() for norm in spec.norms] + EXTRA
GRADIENT = [case for case in EVERY if ATTACKS[case[0]].needs == "gradients"]
LINF = [(name, "linf", QUICK.get(name, {})) for name, spec in ATTACKS.items() if "linf" in spec.norms]
cases = pytest.mark.parametrize(
    ("name", "norm", "parameters"), EVERY, ids=lambda v: "-".join(map(str, v.values())) if isinstance(v, dict) else v
)
by_gradient = pytest.mark.parametrize(("name", "norm", "parameters"), GRADIENT)
in_linf = pytest.mark.parametrize(("name", "norm", "parameters"), LINF)


class Tiny(nn.Module):
    """Two layers whose bits do not depend on the batch; counts what goes through it, both ways."""

    def __init__(self, features: int = 6, classes: int = 3, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.first = torch.randn(8, features, generator=generator, dtype=torch.float64) * 2
        self.second = torch.randn(classes, 8, generator=generator, dtype=torch.float64) * 2
        self.forwards = self.backwards = 0

    def forward(self, x: Tensor) -> Tensor:
        self.forwards += len(x)
        hidden = ((x.flatten(1).double() - 0.5)[:, None, :] * self.first).sum(dim=2).tanh()
        logits = (hidden[:, None, :] * self.second).sum(dim=2).float()
        if logits.requires_grad:
            logits.register_hook(self._back)
        return logits

    def _back(self, gradient: Tensor) -> None:
        self.backwards += len(gradient)


def samples(model: nn.Module, n: int = 9, shape: tuple[int, ...] = (6,), seed: int = 2) -> tuple[Tensor, Tensor]:
    """Some values on the walls of the box."""
    x = (torch.rand(n, *shape, generator=torch.Generator().manual_seed(seed)) * 1.2 - 0.1).clamp(0, 1)
    return x, model(x).argmax(dim=1)


class Everything:
    """A stage that shows a latent search all images by their own pixels, and changes none."""

    label, random, surrogate = "everything", False, Surrogate("exact", "the identity")

    def __init__(self, shape: torch.Size) -> None:
        self.shape = shape

    def forward(self, x: Tensor, stream: Stream) -> Tensor:  # noqa: ARG002
        return x

    replacement = forward

    def latent(self, x: Tensor, stream: Stream) -> Tensor:  # noqa: ARG002
        return x.flatten(1)

    def generate(self, z: Tensor) -> Tensor:
        return z.reshape(-1, *self.shape)


def attack(problem: Problem, name: str, parameters: dict[str, object]) -> Tensor:
    if name == "latent":
        target = problem.target
        stages = (*target.pipeline.stages, Everything(problem.x.shape[1:]))
        problem = replace(problem, target=replace(target, pipeline=replace(target.pipeline, stages=stages)))
    return ATTACKS[name].run(problem, ATTACKS[name].config(**parameters))


def phase(name: str) -> str:
    return "gradient" if ATTACKS[name].needs == "gradients" else "blackbox"


@cases
def test_points_are_inside_and_nothing_else_is_touched(
    name: str, norm: Norm, parameters: dict[str, object], make_problem: Make
) -> None:
    model = Tiny()
    x, y = samples(model)
    eps = RADIUS[norm] * (torch.arange(9) % 3)  # zero, one and two times
    kept = x.clone(), y.clone(), eps.clone()
    torch.manual_seed(5)
    state = torch.get_rng_state()
    problem = make_problem(model, x, y, eps, norm, phase=phase(name))
    points = attack(problem, name, parameters)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(kept, (x, y, eps), strict=True))
    assert points.shape == x.shape
    assert points.dtype == torch.float32
    assert not points.requires_grad
    assert points.data_ptr() != x.data_ptr()
    assert problem.ball.contains(points).all()
    assert torch.equal(points[eps == 0], x[eps == 0])
    assert (points != x).any()


@cases
def test_every_pass_is_counted(name: str, norm: Norm, parameters: dict[str, object], make_problem: Make) -> None:
    model = Tiny()
    x, y = samples(model)
    problem = make_problem(model, x, y, RADIUS[norm], norm, phase=phase(name), batch=4)
    model.forwards = model.backwards = 0
    attack(problem, name, parameters)
    totals = problem.target.meter.totals()
    assert (totals.forward, totals.backward) == (model.forwards, model.backwards)
    assert totals.phases[phase(name)].forward == model.forwards > 0
    assert sum(problem.target.meter.sample(i).forward for i in range(9)) == model.forwards
    assert (model.backwards > 0) == (ATTACKS[name].needs == "gradients")
    # The length of the progress bar: diversified starts come on top, no more.
    most = ATTACKS[name].config(**parameters).most_passes
    costs = [problem.target.meter.sample(i) for i in range(9)]
    assert max(cost.forward + cost.backward for cost in costs) <= 1.5 * most


@cases
def test_neither_order_nor_batches_change_a_sample(
    name: str, norm: Norm, parameters: dict[str, object], make_problem: Make
) -> None:
    model = Tiny()
    x, y = samples(model)
    ids, eps = torch.tensor([3, 14, 15, 92, 65, 35, 89, 79, 32]), RADIUS[norm] * torch.linspace(0.5, 1.5, 9)

    def run(rows: Tensor, batch: int = 256) -> Tensor:
        problem = make_problem(model, x[rows], y[rows], eps[rows], norm, ids=ids[rows], batch=batch, phase=phase(name))
        return attack(problem, name, parameters)

    everyone = torch.arange(9)
    whole = run(everyone)
    assert torch.equal(run(everyone), whole)
    order = torch.tensor([8, 3, 1, 0, 7, 6, 2, 5, 4])
    assert torch.equal(run(order), whole[order])
    assert torch.equal(run(everyone, batch=2), whole)
    assert torch.equal(torch.cat([run(everyone[:2]), run(everyone[2:7]), run(everyone[7:])]), whole)
    assert torch.equal(torch.cat([run(everyone[i : i + 1]) for i in range(9)]), whole)


@pytest.mark.parametrize("name", [n for n in ATTACKS if n != "fgsm"])
def test_seeds_and_ids_are_heard(name: str, make_problem: Make) -> None:
    model = Tiny()
    x, y = samples(model, 1)
    x, y = x.repeat(6, 1), y.repeat(6)
    eps = 1e-3  # so that nothing falls and the search runs on

    def run(seed: int, ids: Tensor) -> Tensor:
        # Where it went, not where it ended: the best corner is the same for all.
        seen: list[Tensor] = []

        def watched(points: Tensor) -> Tensor:
            seen.append(points.detach().clone())
            return model(points)

        problem = make_problem(watched, x, y, eps, "linf", seed=seed, ids=ids, phase=phase(name))
        seen.clear()
        attack(problem, name, QUICK.get(name, {}))
        return torch.cat([points.reshape(6, -1) for points in seen], dim=1)

    first = run(0, torch.arange(6))
    assert torch.equal(first, run(0, torch.arange(6)))
    other = run(1, torch.arange(6))
    assert first.shape != other.shape or not torch.equal(first, other)
    assert len(run(0, torch.zeros(6, dtype=torch.int64)).unique(dim=0)) == 1
    assert len(first.unique(dim=0)) == 6


@by_gradient
def test_no_point_is_worse_than_the_sample(
    name: str, norm: Norm, parameters: dict[str, object], make_problem: Make
) -> None:
    """Not a promise of one step: with enough of them the best iterate has climbed past where it began."""
    if name == "transfer":
        pytest.skip("climbs on another model")
    parameters = parameters | ({} if name == "fgsm" else {"steps": 25})
    model = Tiny(seed=4)
    x, y = samples(model, 30)
    problem = make_problem(model, x, y, RADIUS[norm], norm)
    score = problem.goal.score(problem.target.decide(attack(problem, name, parameters), 0))
    assert (score >= problem.goal.score(problem.target.decide(x, 0))).all()


@cases
def test_a_sample_that_is_wrong_already_stays_wrong(
    name: str, norm: Norm, parameters: dict[str, object], make_problem: Make
) -> None:
    model = Tiny()
    x, y = samples(model)
    y = torch.where(torch.arange(9) % 2 == 0, (y + 1) % 3, y)
    problem = make_problem(model, x, y, 0.02 if norm != "l0" else 1.0, norm, phase=phase(name))
    points = attack(problem, name, parameters)
    assert problem.ball.contains(points).all()
    assert (model(points).argmax(dim=1) != y)[::2].all()


@in_linf
@pytest.mark.parametrize(("classes", "shape"), [(2, (6,)), (2, (1,)), (3, (1,)), (3, (1, 2, 3)), (4, (3, 4, 5))])
def test_few_classes_and_odd_shapes(
    name: str,
    norm: Norm,
    parameters: dict[str, object],
    classes: int,
    shape: tuple[int, ...],
    make_problem: Make,
) -> None:
    model = Tiny(int(torch.tensor(shape).prod()), classes)
    x, y = samples(model, 5, shape)
    problem = make_problem(model, x, y, 0.2, norm, phase=phase(name))
    points = attack(problem, name, parameters)
    assert problem.ball.contains(points).all()
    aimed = make_problem(model, x, y, 0.2, norm, targets=(y + 1) % classes, phase=phase(name))
    assert aimed.ball.contains(attack(aimed, name, parameters)).all()


@pytest.mark.parametrize("parameters", [{"targets": 1}, {"targets": 9}, {"loss": "dlr"}, {"targets": 3, "loss": "dlr"}])
@pytest.mark.parametrize("name", ["pgd", "apgd"])
def test_two_classes_have_one_to_aim_at(name: str, parameters: dict[str, object], make_problem: Make) -> None:
    model = Tiny(classes=2)
    x, y = samples(model, 20)
    reference = attack(make_problem(model, x, y, 0.3, "linf"), name, {"steps": 20, "loss": "margin"})
    points = attack(make_problem(model, x, y, 0.3, "linf"), name, {"steps": 20, **parameters})
    fell = model(points).argmax(dim=1) != y
    assert fell.sum() >= (model(reference).argmax(dim=1) != y).sum() - 1
    assert fell.any()


@cases
@pytest.mark.parametrize("kind", ["always nan", "nan beyond", "constant", "infinite"])
def test_models_that_give_nothing_to_climb(
    name: str, norm: Norm, parameters: dict[str, object], kind: str, make_problem: Make
) -> None:
    tiny = Tiny()
    x, y = samples(tiny)

    def model(points: Tensor) -> Tensor:
        logits = tiny(points)
        if kind == "always nan":
            return logits * float("nan")
        if kind == "nan beyond":
            far = (points - x[: len(points)]).flatten(1).abs().amax(dim=1) > 0.01 if len(points) == len(x) else None
            wild = points.flatten(1)[:, 0] > x[:, 0].median() if far is None else far
            return torch.where(wild[:, None], logits * float("nan"), logits)
        if kind == "infinite":
            return logits.clamp(max=0) / (logits < 0)
        return logits * 0 + torch.tensor([1.0, 0.0, 0.0])

    label = torch.zeros_like(y) if kind == "constant" else y
    problem = make_problem(model, x, label, RADIUS[norm], norm, phase=phase(name))
    points = attack(problem, name, parameters)
    assert points.isfinite().all()
    assert problem.ball.contains(points).all()


@pytest.mark.parametrize("name", ["pgd", "apgd"])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_nan_does_not_end_the_search(name: str, norm: Norm, make_problem: Make) -> None:
    """A thin wall of NaN before the boundary: either NaN counts and is handed in, or the search goes on past it."""
    tiny = Tiny(seed=1)
    x, y = samples(tiny, 20)

    def walled(points: Tensor) -> Tensor:
        logits = tiny(points)
        label = y if len(points) == 20 else None
        top = logits.topk(2, dim=1).values
        near = (top[:, 0] - top[:, 1]) < 0.4
        own = logits.argmax(dim=1) == label if label is not None else torch.ones_like(near)
        return torch.where((near & own)[:, None], logits * float("nan"), logits)

    # So wide that every restart of the plain model breaks everything.
    radius, parameters = 0.9 if norm == "linf" else 3.0, {"steps": 4, "restarts": 8, "loss": "margin"}
    plain = make_problem(tiny, x, y, radius, norm)
    assert plain.goal.broken(plain.target.decide(attack(plain, name, {**parameters, "restarts": 2}), 0)).all()
    problem = make_problem(walled, x, y, radius, norm)
    points = attack(problem, name, parameters)
    assert problem.goal.broken(problem.target.decide(points, 0)).all()


@in_linf
def test_nothing_to_attack_is_no_error(
    name: str, norm: Norm, parameters: dict[str, object], make_problem: Make
) -> None:
    """An evaluation whose samples have all fallen hands the next attack an empty problem."""
    model = Tiny()
    x, y = samples(model)
    problem = make_problem(model, x, y, 0.1, norm, phase=phase(name)).select(torch.arange(0))
    assert attack(problem, name, parameters).shape == (0, 6)


@by_gradient
def test_noise_is_averaged_and_the_draws_travel_with_the_sample(
    name: str, norm: Norm, parameters: dict[str, object], make_problem: Make
) -> None:
    from robcheck.harness.defenses import ResizePad

    model = Tiny(features=32)
    x, y = samples(model, 6, (2, 4, 4))
    ids = torch.tensor([5, 1, 8, 2, 9, 0])

    def run(rows: Tensor, batch: int) -> Tensor:
        problem = make_problem(
            model, x[rows], y[rows], RADIUS[norm], norm, ids=ids[rows], batch=batch, draws=3, stages=(ResizePad(),)
        )
        points = attack(problem, name, parameters)
        assert problem.ball.contains(points).all()
        return points

    whole = run(torch.arange(6), 256)
    order = torch.tensor([4, 0, 5, 2, 1, 3])
    assert torch.equal(run(order, 256), whole[order])
    assert torch.equal(run(torch.arange(6), 4), whole)


def test_every_line_of_the_list_is_complete() -> None:
    for name, spec in ATTACKS.items():
        assert spec.config.model_fields["attack"].default == name
        assert spec.config.model_config["frozen"] is True
        assert spec.norms
        assert spec.source
        assert spec.needs in ("gradients", "scores", "decisions")
        assert all(field.description for key, field in spec.config.model_fields.items() if key != "attack")
        assert (spec.run.__doc__ or "").strip()
        with pytest.raises(ValueError, match="not permitted"):
            spec.config(no_such_key=1)
