"""In float64 a gradient is the slope between two points, or the check says so."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robcheck.harness.diagnosis import Probe
from robcheck.harness.diagnosis.contract.gradient import gradient
from robcheck.harness.diagnosis.limits import COARSE_SLOPE, limit
from robcheck.harness.execution.coordinates import Coordinates
from robcheck.harness.execution.meter import Meter
from robcheck.harness.execution.slopes import with_slopes
from robcheck.harness.model_info import ModelInfo, Twin

SLOPE = limit("WRONG_GRADIENT").threshold


class Offers:
    """A classifier that has a float64 twin to show."""

    info = ModelInfo(name="m", format="torch", twin=Twin(available=True))

    single: Callable[[Tensor], Tensor] | None = None
    soft: Callable[[Tensor], Tensor] | None = None

    def __init__(self, twin: Callable[[Tensor], Tensor] | None) -> None:
        self.twin = twin

    def logits(self, x: Tensor) -> Tensor:
        raise AssertionError(x)

    def differentiable(self, gradient: str = "exact") -> Callable[[Tensor], Tensor] | None:
        return self.single if gradient == "exact" else self.soft

    def double(self) -> Callable[[Tensor], Tensor] | None:
        return self.twin


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 8), nn.ReLU(), nn.Linear(8, 3)
    ).double()


def pictures(n: int = 10) -> Tensor:
    """A bright square on black: every pooling window outside of it holds equal values."""
    x = torch.zeros(n, 1, 8, 8)
    x[:, :, 2:4, 2:4] = torch.rand(n, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    return x


def look(twin: Callable[[Tensor], Tensor] | None, z: Tensor, probe: Probe = Probe(), **bounds: Any) -> Probe:  # noqa: B008
    coordinates = Coordinates.of_bounds(bounds.get("bounds", (0.0, 1.0)), z.dim(), "cpu")
    return with_slopes(probe, Offers(twin), z, coordinates, Meter(len(z)))


@pytest.mark.parametrize("bounds", [(0.0, 1.0), (0.0, 255.0), (-1.0, 1.0)])
def test_honest_networks_pass_with_room(bounds: tuple[float, float]) -> None:
    low, high = bounds
    inner = net()
    found = look(lambda x: inner((x - low) / (high - low)), pictures(), bounds=bounds)
    assert len(found.slope_errors) == 10
    assert max(found.slope_errors) < 0.1 * SLOPE
    large = look(lambda x: x.flatten(1)[:, :3] * 1e4, torch.rand(9, 3, 40, 40))
    assert len(large.slope_errors) == 4


def test_a_gradient_that_is_wrong_on_a_few_samples_late_in_the_data() -> None:
    """Attacks fail on those alone, so that the number is too high by their share: 5 of 32, none of the first ones."""
    inner, x = net(), pictures(32)

    def masked(points: Tensor) -> Tensor:
        scores = inner(points)
        late = (torch.arange(len(points)) >= 27)[:, None]
        return torch.where(late, 2 * scores.detach() - scores, scores)

    found = look(masked, x)
    assert sum(error > SLOPE for error in found.slope_errors) == 5
    assert gradient(found, Offers.info).code == "WRONG_GRADIENT"
    assert gradient(found, Offers.info).severity == "severe"


def test_a_kink_near_by_is_no_wrong_gradient() -> None:
    """Random directions over many pixels meet a few ReLU kinks at every step that is not very small."""

    class Kinky:
        def __call__(self, x: Tensor) -> Tensor:
            if x.requires_grad:
                self.near = x.detach() + 5e-7
            bent = (x - self.near).abs().flatten(1).sum(dim=1)
            return torch.stack([bent, 2 * bent, 0 * bent], dim=1)

    found = look(Kinky(), torch.rand(8, 1, 4, 4))
    assert max(found.slope_errors) < 0.1 * SLOPE


class Off(torch.autograd.Function):
    """The identity; its backward pass is a tenth too large."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ARG004
        return x.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ARG004
        return 1.1 * gradient


class Clipped(torch.autograd.Function):
    """Clips at 1; its backward pass knows nothing of it, as in a surrogate."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ARG004
        return x.clamp(max=0.1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ARG004
        return gradient


@pytest.mark.parametrize("wrong", [Off.apply, Clipped.apply, lambda x: x + x.detach()])
def test_a_backward_pass_of_its_own_is_caught(wrong: Callable[[Tensor], Tensor]) -> None:
    inner = net()
    found = look(lambda x: inner(wrong(x)), torch.rand(8, 1, 8, 8))
    assert min(found.slope_errors) > SLOPE


def test_what_cannot_be_checked_says_why() -> None:
    inner = net()
    z = pictures()
    assert "no twin in float64" in look(None, z).slopes_unchecked
    drawing = look(lambda x: inner(x + torch.randn_like(x)), z, Probe(random=True))
    assert "random" in drawing.slopes_unchecked
    assert "no gradient" in look(inner, z, Probe(cut_gradient="it is cut")).slopes_unchecked
    assert "float32" in look(lambda x: inner(x).float(), z).slopes_unchecked
    assert "flat" in look(lambda x: inner((x * 0).round()) + 0 * inner(x), z).slopes_unchecked
    assert "finite" in look(lambda x: inner(x) * float("nan"), z).slopes_unchecked
    assert "without a gradient" in look(lambda x: inner(x.detach()), z).slopes_unchecked
    assert "RuntimeError" in look(net().float(), z).slopes_unchecked
    for case in (look(None, z), drawing, look(lambda x: inner(x).float(), z)):
        assert case.slope_errors == ()


def single(model: Callable[[Tensor], Tensor], soft: Callable[[Tensor], Tensor] | None = None, **info: Any) -> Probe:
    """A model that answers in float32 alone, and what its stand-ins make of it."""
    offers = Offers(lambda x: model(x.float()))
    offers.single, offers.soft = model, soft or model
    offers.info = Offers.info.model_copy(update=info)
    z = torch.rand(8, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    return with_slopes(Probe(), offers, z, Coordinates.of_bounds((0.0, 1.0), 4, "cpu"), Meter(8))


def test_float32_has_to_do_where_float64_does_not() -> None:
    inner = net().float()
    honest = single(inner)
    assert honest.slope_limit == COARSE_SLOPE
    assert len(honest.slope_errors) >= 4
    assert max(honest.slope_errors) < 0.5 * COARSE_SLOPE
    wrong = single(lambda x: inner(Halved.apply(x)))
    assert min(wrong.slope_errors) > COARSE_SLOPE
    assert wrong.unexplained == len(wrong.slope_errors)
    rough = single(lambda x: inner(x).bfloat16().float())
    assert rough.slope_errors == ()
    assert "too coarse" in rough.slopes_unchecked


class Halved(torch.autograd.Function):
    """The identity; its backward pass forgets every second row."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ARG004
        return x.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ARG004
        gradient = gradient.clone()
        gradient[..., ::2, :] = 0
        return gradient


def test_an_obstacle_explains_only_what_its_stand_in_changes() -> None:
    inner, named = net().float(), {"obstacles": {"gt": "compares"}}
    hidden = single(lambda x: inner(Halved.apply(x)), **named)
    assert hidden.unexplained == len(hidden.slope_errors) > 4
    explained = single(lambda x: inner(0.5 * x + 0.5 * x.detach()), inner, **named)
    assert min(explained.slope_errors) > COARSE_SLOPE
    assert explained.unexplained == 0
    steps = single(lambda x: inner(Stairs.apply(x)), **named)
    assert steps.unexplained == 0


class Stairs(torch.autograd.Function):
    """Rounds, with the identity on the way back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ARG004
        return (x * 4).round() / 4

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ARG004
        return gradient


class Drawing:
    """Every twin begins with the same draws, or goes on with them."""

    def __init__(self, change: Callable[[Tensor], Tensor], *, again: bool) -> None:
        self.inner, self.change, self.again = net(), change, again
        self.info, self.generator = Offers.info, torch.Generator().manual_seed(0)

    def double(self) -> Callable[[Tensor], Tensor]:
        generator = torch.Generator().manual_seed(0) if self.again else self.generator
        return lambda x: self.inner(
            self.change(x) + 0.3 * torch.randn(x.shape, generator=generator, dtype=torch.float64)
        )

    def logits(self, x: Tensor) -> Tensor:
        raise AssertionError(x)

    def differentiable(self, gradient: str = "exact") -> None:
        raise AssertionError(gradient)


@pytest.mark.parametrize(("change", "right"), [(lambda x: x, True), (Off.apply, False), (Halved.apply, False)])
def test_random_models_are_asked_with_equal_draws(change: Callable[[Tensor], Tensor], right: bool) -> None:
    z, coordinates = torch.rand(8, 1, 8, 8), Coordinates.of_bounds((0.0, 1.0), 4, "cpu")
    found = with_slopes(Probe(random=True), Drawing(change, again=True), z, coordinates, Meter(8))
    assert len(found.slope_errors) == 8
    assert (max(found.slope_errors) < SLOPE) if right else (min(found.slope_errors) > SLOPE)
    other = with_slopes(Probe(random=True), Drawing(change, again=False), z, coordinates, Meter(8))
    assert other.slope_errors == ()
    assert "draws cannot be repeated" in other.slopes_unchecked


def test_passes_are_counted() -> None:
    meter, inner = Meter(5), net()
    with_slopes(Probe(), Offers(inner), pictures(5), Coordinates.of_bounds((0.0, 1.0), 4, "cpu"), meter)
    assert meter.totals().backward == 5
    assert meter.totals().forward in (15, 25, 35, 45, 55, 65)
