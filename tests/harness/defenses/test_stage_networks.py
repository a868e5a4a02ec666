"""Stages that hold a network, against loops written out here."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.functional import hessian, jacobian
from torch.nn import functional

from robcheck.harness.defenses.adversarial_transformation import AdversarialTransformation
from robcheck.harness.defenses.held import Held
from robcheck.harness.defenses.manifold import Manifold
from robcheck.harness.errors import UsageError
from robcheck.harness.randomness import Stream

N, SHAPE = 3, (1, 2, 3)


def stream(n: int = N, seed: int = 0) -> Stream:
    return Stream.create(seed, "networks", torch.arange(n))


def images() -> Tensor:
    return torch.rand(N, *SHAPE, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


class Smooth(nn.Module):
    def __init__(self, scale: float = 2.0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.first = nn.Parameter(scale * torch.randn(6, 5, generator=generator, dtype=torch.float64))
        self.second = nn.Parameter(torch.randn(5, 4, generator=generator, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x.flatten(1) @ self.first) @ self.second


class Generator(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        weight = torch.randn(2, 6, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
        self.weight = nn.Parameter(weight)

    def forward(self, z: Tensor) -> Tensor:
        return torch.sigmoid(z @ self.weight).reshape(-1, *SHAPE)


def soft_jacobian(
    network: nn.Module, x: Tensor, path: list[Tensor], wanted: Tensor, *, alpha: float, distance: float, first: int
) -> Tensor:
    """d(last point) / dx of one sample (D, D), by the chain rule with full Hessians."""
    size = x.numel()
    eye = torch.eye(size, dtype=x.dtype)
    total = eye.clone()
    for z in path[first:-1]:

        def loss(flat: Tensor) -> Tensor:
            return functional.cross_entropy(network(flat.reshape(1, *SHAPE)), wanted)

        flat = z.flatten()
        g = jacobian(loss, flat)
        scale = g.abs().mean()
        step = eye - alpha * torch.diag(scale / (g.abs() + scale) ** 2) @ hessian(loss, flat)
        soft = flat - alpha * g / (g.abs() + scale)
        inside = ((soft - x.flatten()).abs() <= distance).to(x.dtype)
        total = torch.diag(inside) @ step @ total + torch.diag(1 - inside)
    return total


@pytest.mark.parametrize("last", [None, 1, 2, 3])
def test_the_transformation_against_a_loop(last: int | None) -> None:
    network, x, distance, steps = Smooth().eval(), images(), 0.3, 5
    stage = AdversarialTransformation(network=network, distance=distance, steps=steps)
    y = stage.forward(x, stream())
    points = x.clone().requires_grad_()
    unrolled = stage.unrolled(points, stream(), last)
    assert torch.equal(unrolled.detach(), y)
    start = x + stream().uniform(0, SHAPE, -distance, distance).double()
    clipped = 0
    for i in range(N):
        wanted = network(x[i : i + 1]).argmin(dim=1)
        path = [start[i]]
        for _ in range(steps):
            z = path[-1].clone().requires_grad_()
            functional.cross_entropy(network(z[None]), wanted).backward()
            moved = z.detach() - distance / 6 * z.grad.sign()
            path.append(torch.clamp(moved, x[i] - distance, x[i] + distance))
            clipped += int((path[-1] != moved).sum())
        assert torch.allclose(y[i], path[-1], atol=1e-12)
        weights = torch.randn(SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(i))
        (gradient,) = torch.autograd.grad((unrolled[i] * weights).sum(), [points], retain_graph=True)
        first = 0 if last is None else steps - last
        expected = (
            soft_jacobian(network, x[i], path, wanted, alpha=distance / 6, distance=distance, first=first).T
            @ weights.flatten()
        )
        assert torch.allclose(gradient[i].flatten(), expected, atol=1e-9)
    assert clipped > 3


def test_the_transformation_pushes_towards_the_least_likely_class() -> None:
    network, x = Smooth().eval(), images()
    y = AdversarialTransformation(network=network, steps=13).forward(x, stream())
    assert ((y - x).abs() <= 0.2 + 1e-9).all()
    wanted = network(x).argmin(dim=1, keepdim=True)
    before, after = (functional.log_softmax(network(z), dim=1).gather(1, wanted) for z in (x, y))
    assert (after > before + 0.2).all()
    clipped = AdversarialTransformation(network=network, steps=13, clip=True).forward(x, stream())
    assert clipped.min() >= 0
    assert clipped.max() <= 1
    start = AdversarialTransformation(network=network, steps=1, alpha=1e-9).forward(x, stream())
    assert torch.allclose(start, x + stream().uniform(0, SHAPE, -0.2, 0.2).double(), atol=1e-8)


@pytest.mark.parametrize("starts", [1, 4])
def test_the_manifold_against_a_loop(starts: int) -> None:
    decoder, x, steps, rate = Generator().eval(), images(), 7, 2.0
    stage = Manifold(decoder=decoder, size=2, steps=steps, starts=starts, rate=rate)
    y = stage.forward(x, stream())
    codes = stream().fold(starts).normal(0, (2,)).double().reshape(N, starts, 2)
    for i in range(N):
        misses = []
        for code in codes[i]:
            z, speed = code.clone(), torch.zeros(2, dtype=torch.float64)
            for _ in range(steps):
                leaf = z.clone().requires_grad_()
                functional.mse_loss(decoder(leaf[None])[0], x[i]).backward()
                speed = 0.7 * speed - rate * leaf.grad
                z = z + speed
            misses.append((float(functional.mse_loss(decoder(z[None])[0], x[i]).detach()), z))
        best = min(misses, key=lambda miss: miss[0])[1]
        assert torch.allclose(stage.latent(x, stream())[i], best, atol=1e-10)
        assert torch.allclose(y[i], decoder(best[None])[0].detach(), atol=1e-10)


@pytest.mark.parametrize("last", [1, 3])
def test_the_last_steps_of_the_manifold_against_a_loop(last: int) -> None:
    """The code and the speed that they begin with are constants."""
    decoder, x, steps = Generator().eval(), images(), 6
    stage = Manifold(decoder=decoder, size=2, steps=steps, starts=1, rate=2.0)
    points = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(stage.unrolled(points, stream(), last).square().sum(), [points])
    for i in range(N):
        z, speed = stream().fold(1).normal(0, (2,)).double()[i], torch.zeros(2, dtype=torch.float64)
        sample = x[i].clone().requires_grad_()
        for step in range(steps):
            if step <= steps - last:
                z, speed = z.detach().requires_grad_(), speed.detach()
            miss = functional.mse_loss(decoder(z[None])[0], sample)
            speed = 0.7 * speed - 2.0 * torch.autograd.grad(miss, [z], create_graph=True)[0]
            z = z + speed
        (expected,) = torch.autograd.grad(decoder(z[None]).square().sum(), [sample])
        assert torch.allclose(gradient[i], expected, atol=1e-12)
        assert expected.abs().sum() > 0


def test_the_manifold_finds_what_the_decoder_made() -> None:
    decoder = Generator().eval()
    z = torch.randn(N, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    x = decoder(z).detach()
    stage = Manifold(decoder=decoder, size=2, steps=300, starts=5, rate=2.0)
    assert not stage.latent(x, stream()).requires_grad
    assert torch.allclose(stage.forward(x, stream()), x, atol=1e-3)
    away = torch.full_like(x, 0.5)
    away[:, :, 0] = 1
    assert (stage.forward(away, stream()) - away).abs().max() > 0.01
    code = z.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(stage.generate(code).sum(), [code])
    assert gradient.abs().sum() > 0


def test_a_start_that_diverges_does_not_win() -> None:
    def fragile(z: Tensor) -> Tensor:
        return torch.where(z[:, :1] > 0, z.new_full((), torch.nan), z.sigmoid().repeat(1, 6)).reshape(-1, *SHAPE)

    x = images().float()
    y = Manifold(decoder=fragile, size=1, steps=3, starts=20, rate=0.1).forward(x, stream())
    assert y.isfinite().all()


def test_no_network_is_changed() -> None:
    network = Smooth().eval()
    x = images().requires_grad_()
    stage = AdversarialTransformation(network=network, steps=2)
    before = stage.forward(x, stream())
    stage.unrolled(x, stream(), None).sum().backward()
    Manifold(decoder=Generator().eval(), size=2, steps=2).unrolled(x, stream(), None).sum().backward()
    assert all(p.grad is None and p.requires_grad for p in network.parameters())
    assert not network.training
    # What the user does to the network afterwards is no longer this defense.
    with torch.no_grad():
        network.first.mul_(-1)
    network.train()
    assert torch.equal(stage.forward(x, stream()), before)
    assert stage.label != AdversarialTransformation(network=network.eval(), steps=2).label
    assert "network" not in stage.model_dump()


def test_a_function_will_do_too() -> None:
    network = Smooth().eval()

    def function(x: Tensor) -> Tensor:
        return network(x)

    stage = AdversarialTransformation(network=function, steps=3)
    assert torch.equal(
        stage.forward(images(), stream()),
        AdversarialTransformation(network=network, steps=3).forward(images(), stream()),
    )
    assert stage.label == "adversarial-transformation:network=function,distance=0.2,steps=3,clip=False"


def test_precision_follows_the_network() -> None:
    network = Smooth().float().eval()
    y = AdversarialTransformation(network=network, steps=3).forward(images(), stream())
    assert y.dtype == torch.float64
    assert Held(network)(images()).dtype == torch.float64


def constant(x: Tensor) -> Tensor:
    return torch.zeros(len(x), 3)


class Stubborn(nn.Module):
    def __deepcopy__(self, memo: object) -> "Stubborn":
        raise TypeError("no")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: AdversarialTransformation(network=nn.Flatten()), "evaluation mode"),
        (lambda: AdversarialTransformation(network=nn.Sequential().eval().append(nn.Dropout())), "evaluation mode"),
        (lambda: AdversarialTransformation(network=Stubborn().eval()), "deepcopy"),
        (lambda: AdversarialTransformation(network=constant).forward(images(), stream()), "gives no gradient"),
        (lambda: Manifold(decoder=lambda z: z.reshape(-1, 1, 1, 1), size=1).forward(images(), stream()), "samples are"),
        (
            lambda: Manifold(decoder=lambda z: torch.zeros(len(z), *SHAPE), size=1).forward(images(), stream()),
            "gives no gradient",
        ),
    ],
)
def test_what_cannot_be_held(make: Callable[[], object], words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        make()
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("given", [None, 3, "vgg"])
def test_what_is_no_network(given: object) -> None:
    with pytest.raises(ValueError, match="network"):
        AdversarialTransformation(network=given)
