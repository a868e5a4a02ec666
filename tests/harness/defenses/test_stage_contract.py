"""What every stage in front of a classifier promises, whichever it is."""

import inspect
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from robcheck.harness.defenses import DEFENSES, WITH_NETWORK, parse_defense
from robcheck.harness.defenses.adversarial_transformation import AdversarialTransformation
from robcheck.harness.defenses.gaussian_noise import GaussianNoise
from robcheck.harness.defenses.manifold import Manifold
from robcheck.harness.defenses.median import Median
from robcheck.harness.defenses.spec import FrontStage
from robcheck.harness.defenses.total_variation import TotalVariation
from robcheck.harness.errors import NoGradientError, UsageError
from robcheck.harness.gradients import bpda, bpda_identity
from robcheck.harness.randomness import Stream
from robcheck.harness.stage import Generative, Resampling, Unrollable, quantum

SHAPE = (3, 8, 7)


class Pooled(nn.Module):
    """A smooth classifier of images of any size."""

    def __init__(self) -> None:
        super().__init__()
        self.mixed = nn.Conv2d(3, 6, 1)
        self.out = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(torch.tanh(3 * self.mixed(x)).mean(dim=(2, 3)))


class Decoder(nn.Module):
    """Codes of 4 numbers to images."""

    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(4, 3 * 8 * 7)

    def forward(self, z: Tensor) -> Tensor:
        return torch.sigmoid(self.out(z)).reshape(-1, *SHAPE)


def made(network: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return network().eval()


STAGES: dict[str, FrontStage] = {name: defense() for name, defense in DEFENSES.items()} | {
    "median-2": Median(size=2),
    "total-variation-more": TotalVariation(keep=0.8, weight=0.5, steps=7),
    "adversarial-transformation": AdversarialTransformation(network=made(Pooled), steps=5),
    "adversarial-transformation-clip": AdversarialTransformation(network=made(Pooled), steps=4, clip=True),
    "manifold": Manifold(decoder=made(Decoder), size=4, steps=12, starts=3),
}
UNROLLABLE = [name for name, stage in STAGES.items() if isinstance(stage, Unrollable)]
LEAVES_THE_BOX = {"gaussian-noise", "adversarial-transformation"}
every_stage = pytest.mark.parametrize("name", list(STAGES))


def images(n: int = 6, shape: tuple[int, ...] = SHAPE, dtype: torch.dtype = torch.float32) -> Tensor:
    x = torch.rand(n, *shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(dtype)
    x[0] = 0
    return x


def stream(n: int = 6, seed: int = 0) -> Stream:
    return Stream.create(seed, "contract", torch.arange(n) + 10)


def close(one: Tensor, other: Tensor, *, exactly: bool) -> bool:
    return torch.equal(one, other) if exactly else torch.allclose(one, other, atol=1e-5)


def by_network(stage: FrontStage) -> bool:
    return stage.name() in WITH_NETWORK


def concrete(base: type[FrontStage]) -> list[type[FrontStage]]:
    below = base.__subclasses__()
    return [c for c in below if not inspect.isabstract(c)] + [c for b in below for c in concrete(b)]


def test_none_is_forgotten() -> None:
    listed = [*DEFENSES.values(), *WITH_NETWORK.values()]
    assert set(listed) == set(concrete(FrontStage))
    assert {type(stage) for stage in STAGES.values()} == set(listed)
    for key, defense in (DEFENSES | WITH_NETWORK).items():
        assert defense.name() == key
        assert (defense.__doc__ or "").strip() != (FrontStage.__doc__ or "").strip()
        assert defense.surrogate.reason


@every_stage
def test_shape_and_range(name: str) -> None:
    stage, x = STAGES[name], images()
    for dtype in (torch.float32, torch.float64):
        y = stage.forward(x.to(dtype), stream())
        assert y.dtype == dtype
        assert y.shape == ((6, 30, 8, 7) if name == "thermometer" else x.shape)
        assert y.isfinite().all()
        assert not y.is_inference()
        if name not in LEAVES_THE_BOX:
            assert y.min() >= 0
            assert y.max() <= 1 + 1e-6
    assert not torch.equal(y[1:], x[1:].double())


@every_stage
def test_draws_are_keyed(name: str) -> None:
    stage, x = STAGES[name], images()
    y = stage.forward(x, stream())
    assert torch.equal(y, stage.forward(x, stream()))
    same = [torch.equal(y, stage.forward(x, other)) for other in (stream(seed=1), stream().child("next"))]
    assert same == [not stage.random] * 2


@every_stage
def test_nothing_couples_samples(name: str) -> None:
    stage, x = STAGES[name], images()
    y = stage.forward(x, stream())
    order = torch.tensor([4, 2, 0, 5, 1, 3])
    exactly = not by_network(stage)
    assert close(stage.forward(x[order], stream().select(order)), y[order], exactly=exactly)
    for part in torch.arange(6).split([1, 3, 2]):
        assert close(stage.forward(x[part], stream().select(part)), y[part], exactly=exactly)
    other = x.clone()
    other[3] = 1 - other[3]
    assert close(stage.forward(other, stream())[:3], y[:3], exactly=exactly)


@every_stage
def test_it_leaves_everything_else_alone(name: str) -> None:
    stage, x = STAGES[name], images().requires_grad_()
    before, keys = x.detach().clone(), stream()
    state, python, arrays = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()
    for call in (stage.forward, stage.replacement, *([stage.unrolled] if isinstance(stage, Unrollable) else [])):
        call(x, keys, *([None] if call.__name__ == "unrolled" else []))
    assert torch.equal(torch.get_rng_state(), state)
    assert random.getstate() == python
    assert np.array_equal(np.random.get_state()[1], arrays)
    assert torch.equal(x.detach(), before)
    assert x.grad is None
    assert torch.equal(keys.keys, stream().keys)
    assert torch.is_grad_enabled()


@every_stage
def test_a_caller_without_gradients_gets_the_same(name: str) -> None:
    stage, x = STAGES[name], images()
    y = stage.forward(x, stream())
    for context in (torch.no_grad, torch.inference_mode):
        with context():
            assert torch.equal(stage.forward(images(), stream()), y)
            if isinstance(stage, Unrollable):
                assert torch.equal(stage.unrolled(images().clone(), stream(), 2), y)


@every_stage
def test_the_declared_surrogate_is_true(name: str) -> None:
    stage, x = STAGES[name], images(dtype=torch.float64).requires_grad_()
    y = stage.forward(x, stream())
    kind = stage.surrogate.kind
    assert y.requires_grad == (kind == "exact")
    if kind == "identity":
        assert stage.replacement(x, stream()) is x
        assert y.shape == x.shape
        if not by_network(stage):
            assert (y - x).abs().mean() < (x - 0.5).abs().mean() / 0.7
    if kind != "exact":
        return
    assert torch.equal(stage.replacement(x, stream()), y)
    # Sample 0 is flat: what a median does there has no derivative, only one-sided ones.
    weights = torch.randn(y.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    weights[0] = 0
    slope_along(lambda points: (stage.forward(points, stream()) * weights).sum(), x, step=1e-7, within=1e-5)


def slope_along(function: Callable[[Tensor], Tensor], x: Tensor, *, step: float, within: float) -> None:
    """The gradient of `function` at x against central differences, in several directions."""
    (gradient,) = torch.autograd.grad(function(x), [x])
    assert gradient.abs().sum() > 0
    for seed in range(3):
        direction = torch.randn(x.shape, dtype=x.dtype, generator=torch.Generator().manual_seed(10 + seed))
        with torch.no_grad():
            slope = (function(x + step * direction) - function(x - step * direction)) / (2 * step)
        assert float((gradient * direction).sum()) == pytest.approx(float(slope), rel=within, abs=within)


@pytest.mark.parametrize("last", [None, 1, 2, 3, 10_000])
@pytest.mark.parametrize("name", UNROLLABLE)
def test_unrolled_is_forward(name: str, last: int | None) -> None:
    stage: Any = STAGES[name]
    y = stage.forward(images(), stream())
    x = images().requires_grad_()
    unrolled = stage.unrolled(x, stream(), last)
    assert torch.equal(unrolled.detach(), y)
    (gradient,) = torch.autograd.grad(unrolled.square().sum(), [x])
    assert gradient.isfinite().all()
    assert (gradient.flatten(1).abs().sum(dim=1) > 0).all()
    # No sample's output depends on another's input.
    (alone,) = torch.autograd.grad(stage.unrolled(x, stream(), last)[2].square().sum(), [x])
    assert alone[2].abs().sum() > 0
    assert alone[[0, 1, 3, 4, 5]].abs().sum() == 0
    if last == 10_000:
        (whole,) = torch.autograd.grad(stage.unrolled(x, stream(), None).square().sum(), [x])
        assert torch.equal(whole, gradient)


@pytest.mark.parametrize("name", ["total-variation", "total-variation-more", "manifold"])
def test_smooth_steps_have_their_own_gradient(name: str) -> None:
    """Through all steps it is the derivative of the deployed stage: nothing in it needs a stand-in."""
    stage: Any = STAGES[name]
    if name == "manifold":
        # Differences need a decoder in double precision.
        stage = Manifold(decoder=made(Decoder).double(), size=4, steps=12, starts=3)
    x = images(dtype=torch.float64).requires_grad_()
    weights = torch.randn(x.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    slope_along(lambda p: (stage.unrolled(p, stream(), None) * weights).sum(), x, step=1e-5, within=1e-5)


@every_stage
def test_backward_passes_work_or_refuse(name: str) -> None:
    stage, x = STAGES[name], images().requires_grad_()
    y = stage.forward(images(), stream())
    weights = torch.randn(y.shape, generator=torch.Generator().manual_seed(2))
    passed = bpda.through(stage, x, stream())
    assert torch.equal(passed.detach(), y)
    (gradient,) = torch.autograd.grad((passed * weights).sum(), [x])
    assert gradient.abs().sum() > 0
    if stage.surrogate.kind == "identity":
        assert torch.equal(gradient, weights)
    if name == "thermometer":
        with pytest.raises(NoGradientError, match="identity cannot stand for"):
            bpda_identity.through(stage, x, stream())
        return
    passed = bpda_identity.through(stage, x, stream())
    assert torch.equal(passed.detach(), y)
    (gradient,) = torch.autograd.grad((passed * weights).sum(), [x])
    if isinstance(stage, Resampling):
        # The adjoint: <A x, w> = <x, A' w> for the linear A of these draws.
        assert torch.allclose((y * weights).sum(), (images() * gradient).sum(), atol=1e-4)
    else:
        assert torch.equal(gradient, weights)


def test_which_stages_can_more() -> None:
    assert {n for n, s in STAGES.items() if isinstance(s, Resampling)} == {"resize-pad", "random-crop"}
    assert {n for n, s in STAGES.items() if isinstance(s, Generative)} == {"manifold"}
    assert {STAGES[n].name() for n in UNROLLABLE} == {"total-variation", "adversarial-transformation", "manifold"}
    assert {n: round(quantum(s), 6) for n, s in STAGES.items() if quantum(s)} == {
        "jpeg": 0.003922,
        "bit-depth": 0.142857,
        "thermometer": 0.1,
    }


@every_stage
def test_a_nan_stays_visible(name: str) -> None:
    stage, x = STAGES[name], images()
    y = stage.forward(x, stream())
    x[2, 1, 4, 3] = torch.nan
    broken = stage.forward(x, stream())
    assert broken[2].isnan().any()
    rest = [0, 1, 3, 4, 5]
    assert close(broken[rest], y[rest], exactly=not by_network(stage))


@every_stage
@pytest.mark.parametrize("size", [(1, 1), (1, 5), (6, 1), (2, 9)])
def test_any_image_will_do(name: str, size: tuple[int, int]) -> None:
    stage, x = STAGES[name], images(3, (3, *size))
    if name == "manifold":
        with pytest.raises(UsageError, match="the decoder makes"):
            stage.forward(x, stream(3))
        return
    y = stage.forward(x, stream(3))
    assert y.isfinite().all()
    assert y.shape[2:] == size
    if isinstance(stage, Unrollable):
        assert torch.equal(stage.unrolled(x.requires_grad_(), stream(3), 2).detach(), y)


@every_stage
@pytest.mark.parametrize("shape", [(2, 64), (2, 8, 8), (2, 1, 2, 8, 8), (2, 1, 0, 8)])
def test_it_wants_images(name: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match=f"{STAGES[name].name()} needs images") as caught:
        STAGES[name].forward(torch.zeros(shape), stream(2))
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("name", list(DEFENSES))
def test_the_label_is_the_defense(name: str) -> None:
    stage = DEFENSES[name]()
    assert parse_defense(stage.label) == stage
    assert parse_defense(name) == stage


def test_labels_lose_no_digits() -> None:
    stage = GaussianNoise(sigma=1 / 3)
    assert stage.label == "gaussian-noise:sigma=0.3333333333333333"
    assert parse_defense(stage.label) == stage
    assert GaussianNoise(sigma=2).label == "gaussian-noise:sigma=2"


@pytest.mark.parametrize("name", list(WITH_NETWORK))
@pytest.mark.parametrize("rest", ["", ":", ":network=1", ":steps=3,x"])
def test_a_network_cannot_be_written(name: str, rest: str) -> None:
    with pytest.raises(UsageError, match="in Python") as caught:
        parse_defense(name + rest)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert WITH_NETWORK[name].__name__ in message


@pytest.mark.parametrize("name", list(STAGES))
def test_parameters_are_fixed_and_known(name: str) -> None:
    stage = STAGES[name]
    with pytest.raises(ValueError, match="frozen"):
        stage.defense = "jpeg"  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="Extra inputs"):
        type(stage).model_validate({"strength": 1})


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@every_stage
def test_on_a_gpu(name: str) -> None:
    stage, x = STAGES[name], images()
    y = stage.forward(x, stream())
    there = stage.forward(x.cuda(), Stream(stream().keys.cuda()))
    assert there.device.type == "cuda"
    share = (there.cpu() - y).abs() < 1e-4
    assert share.float().mean() > 0.99
    assert close(stage.forward(x, stream()), y, exactly=True)
