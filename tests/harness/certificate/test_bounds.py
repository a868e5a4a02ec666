"""Bounds hold for every point of the box, are exact where they can be, and claim nothing that they do not know."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from robcheck.harness.certificate import bounded, margins
from robcheck.harness.errors import NotApplicableError
from robcheck.harness.training.certified import perceptron, train_certified, worst_logits
from robcheck.harness.training.seeding import seeded

# What float32 rounds in networks of this size, whose logits are below ten.
ROUNDING = 1e-5


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.norm, self.last = nn.BatchNorm2d(4), nn.Linear(4 * 9, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = (x - 0.4) / 0.3
        y = functional.relu_(self.first(x))
        y = functional.leaky_relu(self.norm(self.second(y)) * 0.5 - y, 0.1)
        y = functional.max_pool2d(y, 2) - functional.avg_pool2d(y, 2)
        return self.last(y.view(y.size(0), -1))


def chain(kind: str) -> tuple[nn.Module, tuple[int, ...]]:
    """A small network with random weights, and what it takes."""
    if kind == "residual":
        return Residual(), (2, 6, 6)
    if kind == "perceptron":
        body = [nn.Flatten(), nn.Linear(6, 12), nn.Tanh(), nn.Dropout(), nn.Linear(12, 8), nn.Sigmoid()]
        return nn.Sequential(*body, nn.Linear(8, 4)), (6,)
    if kind == "pooled":
        body = [nn.Conv2d(1, 3, 2, stride=2, bias=False), nn.ELU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        return nn.Sequential(*body, nn.Linear(3, 4), nn.LogSoftmax(1)), (1, 6, 6)
    body = [nn.ConvTranspose2d(1, 2, 2), nn.Hardtanh(), nn.MaxPool2d(2), nn.BatchNorm2d(2, affine=False), nn.Flatten()]
    return nn.Sequential(*body, nn.Linear(2 * 4, 3), nn.Softplus()), (1, 4, 4)


@pytest.mark.parametrize("kind", ["residual", "perceptron", "pooled", "transposed"])
@settings(max_examples=8, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**31), eps=st.sampled_from([0.0, 0.01, 0.1, 1.0]))
def test_no_point_of_the_box_leaves_its_bounds(kind: str, seed: int, eps: float) -> None:
    with seeded(seed):
        network, shape = chain(kind)
        for part in network.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.running_mean.normal_()
                part.running_var.uniform_(0.1, 2.0)
        network.eval()
        x = torch.rand(3, *shape)
        low, high = (x - eps * torch.rand_like(x)).clamp(0, 1), (x + eps * torch.rand_like(x)).clamp(0, 1)
        share = torch.rand(200, 3, *shape)
        share[:100] = share[:100].round()
        points = (low + (high - low) * share).flatten(0, 1)
    found = bounded(network, low, high)
    with torch.no_grad():
        logits = network(points).reshape(200, 3, -1).double()
    assert bool((logits >= found.low - ROUNDING).all())
    assert bool((logits <= found.high + ROUNDING).all())
    y = torch.tensor([0, 1, 2])
    lead = margins(found, y)
    seen = logits[:, torch.arange(3), y][..., None] - logits
    seen[:, torch.arange(3), y] = torch.inf
    assert bool((seen >= lead - 2 * ROUNDING).all())
    assert bool((lead >= found.low[torch.arange(3), y][:, None] - found.high - 1e-9).all())
    if eps == 0.0:
        assert float((found.high - found.low).max()) < 1e-5


def test_bounds_of_one_layer_are_exact() -> None:
    """For a linear model the worst corner of the box is known."""
    with seeded(0):
        network, x = nn.Sequential(nn.Flatten(), nn.Linear(12, 5)), torch.rand(4, 3, 4)
    weight, bias = network[1].weight.double(), network[1].bias.double()
    low, high, y = x - 0.1, x + 0.2, torch.tensor([0, 1, 2, 3])
    found = bounded(network, low, high)
    corners = torch.where(weight[None] > 0, low.flatten(1)[:, None], high.flatten(1)[:, None]).double()
    assert torch.allclose(found.low, (corners * weight).sum(2) + bias, atol=1e-7)
    apart = weight[y][:, None] - weight[None]
    worst = torch.where(apart > 0, low.flatten(1)[:, None], high.flatten(1)[:, None]).double()
    exact = (apart * worst).sum(2) + bias[y][:, None] - bias[None]
    exact[torch.arange(4), y] = torch.inf
    lead = margins(found, y)
    assert torch.allclose(lead, exact, atol=1e-7)
    assert bool((lead <= exact + 1e-9).all())


def test_the_worst_logits_of_training_are_the_bounds_of_the_certificate() -> None:
    """Two codes of the same mathematics: one in float32 with a gradient, one on whatever a module runs."""
    with seeded(1):
        layers = [nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(64, 6), nn.ReLU(), nn.Linear(6, 4)]
        network, x = nn.Sequential(*layers), torch.rand(5, 1, 4, 4)
    y = torch.arange(5) % 4
    worst = -worst_logits(network, x, y, 0.05).double()
    worst[torch.arange(5), y] = torch.inf
    found = margins(bounded(network, (x - 0.05).clamp(0, 1), (x + 0.05).clamp(0, 1)), y)
    assert torch.allclose(found, worst, atol=1e-5)


def test_training_for_bounds_raises_what_they_prove() -> None:
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(200) % 2
    x = (0.3 + 0.4 * y[:, None] + 0.1 * torch.randn(200, 6, generator=generator)).clamp(0, 1)
    with seeded(0):
        network = perceptron(6, 2, width=16)
    state = torch.random.get_rng_state()

    def proven() -> float:
        found = margins(bounded(network, x - 0.1, x + 0.1), y)
        return float((found > 0).all(dim=1).double().mean())

    before = proven()
    train_certified(network, x, y, eps=0.1, epochs=40, batch=100, rate=1e-2, seed=0)
    assert before < 0.5
    assert proven() > 0.9
    assert torch.equal(state, torch.random.get_rng_state())
    assert not any(weight.requires_grad for weight in network.parameters())


@pytest.mark.parametrize(
    ("forward", "reason"),
    [
        (lambda x: x.round(), "round"),
        (lambda x: functional.gelu(x), "gelu"),
        (lambda x: x.softmax(1), "softmax"),
        (lambda x: x / x, "div"),
        (lambda x: x @ x.t(), "mm"),
        (lambda x: x * float(x.sum()), "_local_scalar_dense"),
        (lambda x: x if bool((x > 0).all()) else -x, "gt"),
        (lambda x: functional.leaky_relu(x, -0.5), "leaky_relu"),
        (lambda x: x.half().float(), "float16"),
        (lambda x: torch.zeros(len(x), 3), "does not depend"),
        (lambda x: torch.zeros_like(x), "does not depend"),
        (lambda x: x.view(-1, 3).relu_() + x, "in place"),
        (lambda x: x[:, :2].fill_(0.0), "in place"),
        (lambda x: torch.from_numpy(x.numpy()), "intervals"),
        (lambda x: functional.batch_norm(x, None, None, training=True), "batch_norm"),
        (lambda x: x[0], "does not depend"),
    ],
)
def test_what_has_no_bounds_is_refused(forward: object, reason: str) -> None:
    with pytest.raises(NotApplicableError, match=reason):
        bounded(forward, torch.zeros(2, 3), torch.ones(2, 3))  # type: ignore[arg-type]


def test_what_is_no_number_proves_nothing() -> None:
    found = margins(
        bounded(lambda x: x * torch.tensor([1.0, torch.inf]), torch.zeros(1, 2), torch.ones(1, 2)),
        torch.zeros(1, dtype=torch.long),
    )
    assert not bool((found[:, 1] > 0).any())


def test_constants_may_be_added_behind_the_last_product() -> None:
    """As ONNX graphs do it; the difference of two scores keeps its tighter bound."""
    with seeded(2):
        weight, bias, x = torch.randn(3, 4), torch.randn(4), torch.rand(2, 3)
    y = torch.tensor([1, 2])
    layer = margins(bounded(lambda v: functional.linear(v, weight.t(), bias), x - 0.1, x + 0.1), y)
    for shape in ((4,), (1, 4)):
        added = margins(bounded(lambda v, s=shape: v @ weight + bias.reshape(s), x - 0.1, x + 0.1), y)
        assert torch.allclose(added, layer, atol=1e-9)
    steps = [bounded(lambda v: v @ weight + bias, x - e, x + e) for e in (0.0, 0.1, 0.2)]
    assert all(bool((b.low <= a.low).all()) for a, b in pairwise(steps))
