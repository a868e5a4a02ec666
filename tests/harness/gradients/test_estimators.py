"""What an estimator lets through: exact forwards, declared surrogates, averages over draws."""

from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor, nn

from robcheck.harness.decision import Goal, Objective
from robcheck.harness.defenses import Jpeg, ResizePad
from robcheck.harness.errors import NoGradientError
from robcheck.harness.gradients import ESTIMATORS, BpdaIdentity, eot, passing
from robcheck.harness.gradients.cleaned import cleaned
from robcheck.harness.pipeline import Surrogate
from robcheck.harness.randomness import Stream
from robcheck.harness.straight_through import straight_through


@dataclass
class Rounding:
    """A stage that rounds to tenths, with any surrogate; its replacement doubles."""

    surrogate: Surrogate
    label: str = "rounding"
    random: bool = False
    calls: list[str] = field(default_factory=list)

    def forward(self, x: Tensor, stream: Stream) -> Tensor:  # noqa: ARG002
        return (x * 10).round() / 10

    def replacement(self, x: Tensor, stream: Stream) -> Tensor:  # noqa: ARG002
        return 2 * x


def stage(kind: str) -> Rounding:
    return Rounding(Surrogate(kind, "a reason to read"))  # type: ignore[arg-type]


STREAM = Stream.create(0, "estimators", torch.arange(4))


def through(name: str, kind: str, x: Tensor) -> tuple[Tensor, Tensor]:
    x = x.clone().requires_grad_(True)
    y = passing(ESTIMATORS[name](), {})(stage(kind), x, STREAM)  # type: ignore[index]
    (gradient,) = torch.autograd.grad((y**2).sum(), [x])
    return y.detach(), gradient


def test_straight_through_is_bit_exact() -> None:
    generator = torch.Generator().manual_seed(0)
    exact = torch.randn(1000, generator=generator) * 10.0 ** torch.randint(-30, 30, (1000,), generator=generator)
    surrogate = (torch.randn(1000, generator=generator) * 1e6).requires_grad_(True)
    value = straight_through(exact, surrogate * 3)
    assert torch.equal(value, exact)
    (gradient,) = torch.autograd.grad(value.sum(), [surrogate])
    assert (gradient == 3).all()
    assert not straight_through(exact.clone().requires_grad_(True), torch.zeros(1000)).requires_grad


@pytest.mark.parametrize("name", ["bpda", "bpda-identity"])
def test_the_identity_gives_the_gradient_at_the_transformed_point(name: str) -> None:
    x = torch.rand(4, 6)
    y, gradient = through(name, "identity", x)
    rounded = (x * 10).round() / 10
    assert torch.equal(y, rounded)
    assert torch.equal(gradient, 2 * rounded)


def test_bpda_uses_what_the_stage_names() -> None:
    x = torch.rand(4, 6)
    rounded = (x * 10).round() / 10
    y, gradient = through("bpda", "named", x)
    assert torch.equal(y, rounded)
    assert torch.equal(gradient, 2 * rounded * 2)
    y, gradient = through("bpda-identity", "named", x)
    assert torch.equal(y, rounded)
    assert torch.equal(gradient, 2 * rounded)
    y, gradient = through("bpda-identity", "opaque", x)
    assert torch.equal(gradient, 2 * rounded)
    with pytest.raises(NoGradientError, match="a reason to read"):
        through("bpda", "opaque", x)


@pytest.mark.parametrize("kind", ["identity", "named", "opaque"])
def test_exact_refuses_what_is_not(kind: str) -> None:
    with pytest.raises(NoGradientError, match="a reason to read"):
        through("exact", kind, torch.rand(4, 6))


def test_exact_and_bpda_pass_an_exact_stage_as_it_is() -> None:
    x = torch.rand(4, 1, 6, 6, requires_grad=True)
    outcomes = [passing(ESTIMATORS[name](), {})(ResizePad(), x, STREAM) for name in ("exact", "bpda")]
    gradients = [torch.autograd.grad((y**2).sum(), [x])[0] for y in outcomes]
    assert torch.equal(*outcomes)
    assert torch.equal(*gradients)
    identity = passing(BpdaIdentity(), {})(ResizePad(), x, STREAM)
    assert torch.equal(identity, outcomes[0])
    # It moves pixels, and the identity follows them.
    assert torch.equal(torch.autograd.grad((identity**2).sum(), [x])[0], gradients[0])


class Conv(nn.Module):
    """A smooth model of images (N, 1, 6, 6) whose bits do not depend on the batch."""

    def forward(self, x: Tensor) -> Tensor:
        weight = torch.randn(3, 36, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        return (x.flatten(1).double()[:, None, :] * weight).sum(dim=2).tanh().float()


def problem(make_problem, x: Tensor, y: Tensor, **options):
    return make_problem(Conv(), x, y, 0.1, **options)


def test_eot_is_the_mean_of_separate_draws(make_problem) -> None:
    x = torch.rand(5, 1, 6, 6, generator=torch.Generator().manual_seed(1))
    y = Conv()(x).argmax(dim=1)
    objective = Objective("margin", Goal(y))
    stages = (ResizePad(),)
    target = problem(make_problem, x, y, stages=stages, draws=7).target
    answer = target.gradient(x, objective, 3)
    streams = target.stream.child("gradient/gradient/3").fold(7)
    losses, gradients, broken = [], [], []
    for draw in range(7):
        own = streams.select(torch.arange(5) * 7 + draw).child(f"0/{stages[0].label}")
        point = x.clone().requires_grad_(True)
        logits = Conv()(stages[0].forward(point, own))
        loss = objective.fold(1)(type("D", (), {"logits": logits, "rejection": None})())
        losses.append(loss.detach())
        gradients.append(torch.autograd.grad(loss.sum(), [point])[0])
        broken.append(loss.detach() > 0)
    assert torch.allclose(answer.loss, torch.stack(losses).mean(dim=0), atol=1e-6)
    assert torch.allclose(answer.gradient, torch.stack(gradients).mean(dim=0), atol=1e-6)
    assert torch.allclose(answer.score, torch.stack(losses).mean(dim=0), atol=1e-6)
    assert torch.equal(answer.broken, torch.stack(broken).all(dim=0))
    assert torch.stack(losses).std(dim=0).min() > 0
    assert (target.meter.forward["gradient"] == 7).all()
    assert (target.meter.backward["gradient"] == 7).all()


@pytest.mark.parametrize("draws", [1, 3])
def test_chunks_do_not_change_an_answer(draws: int, make_problem) -> None:
    x = torch.rand(9, 1, 6, 6, generator=torch.Generator().manual_seed(2))
    y = Conv()(x).argmax(dim=1)
    objective = Objective("dlr", Goal(y), (y + 1) % 3)
    answers = []
    decisions = []
    for batch in (256, 6, 4, 1):
        target = problem(make_problem, x, y, stages=(ResizePad(),), draws=draws, batch=batch).target
        answers.append(target.gradient(x, objective, 0))
        decisions.append(target.decide(x, 0).logits)
    for answer, logits in zip(answers[1:], decisions[1:], strict=True):
        assert torch.equal(logits, decisions[0])
        for name in ("loss", "gradient", "score", "broken"):
            assert torch.equal(getattr(answer, name), getattr(answers[0], name)), name


def test_steps_and_phases_have_draws_of_their_own(make_problem) -> None:
    x = torch.rand(3, 1, 6, 6, generator=torch.Generator().manual_seed(2))
    y = Conv()(x).argmax(dim=1)
    stages = (ResizePad(smallest=0.1),)
    one = problem(make_problem, x, y, stages=stages).target
    other = problem(make_problem, x, y, stages=stages, phase="controls").target
    seen = [one.decide(x, 0).logits, one.decide(x, 1).logits, other.decide(x, 0).logits]
    assert all((a != b).any(dim=1).sum() >= 2 for i, a in enumerate(seen) for b in seen[i + 1 :])
    assert torch.equal(one.decide(x, 1).logits, seen[1])
    # A sample that is asked about twice in one call gets two draws, the same whatever else is asked.
    twice = one.select(torch.tensor([0, 0, 1, 2, 2])).decide(x[[0, 0, 1, 2, 2]], 0).logits
    assert (twice[[0, 3]] != twice[[1, 4]]).any()
    assert torch.equal(twice[[0, 2, 3]], seen[0])


def test_folding() -> None:
    x = torch.arange(6.0).reshape(3, 2)
    assert eot.fold(x, 2).tolist() == [[0, 1], [0, 1], [2, 3], [2, 3], [4, 5], [4, 5]]
    assert torch.equal(eot.mean(eot.fold(x, 4), 4), x)
    assert eot.every(torch.tensor([True, True, True, False]), 2).tolist() == [True, False]
    assert eot.fold(x, 1) is x


def test_no_gradient_was_planned(make_problem) -> None:
    x = torch.rand(3, 1, 6, 6)
    target = problem(make_problem, x, torch.zeros(3, dtype=torch.int64), gradient=None).target
    with pytest.raises(NoGradientError):
        target.gradient(x, Objective("ce", Goal(torch.zeros(3, dtype=torch.int64))), 0)
    jpeg = problem(make_problem, x, torch.zeros(3, dtype=torch.int64), stages=(Jpeg(),)).target
    with pytest.raises(NoGradientError, match="jpeg"):
        jpeg.gradient(x, Objective("ce", Goal(torch.zeros(3, dtype=torch.int64))), 0)
    assert jpeg.decide(x, 0).logits.shape == (3, 3)


def test_a_gradient_with_holes_can_still_be_stepped_along() -> None:
    inf, nan = float("inf"), float("nan")
    found = cleaned(torch.tensor([[nan, 2.0, -inf], [inf, nan, 0.0], [1.0, -3.0, 0.5]]))
    assert found.tolist() == [[0.0, 2.0, -2.0], [1.0, 0.0, 0.0], [1.0, -3.0, 0.5]]
