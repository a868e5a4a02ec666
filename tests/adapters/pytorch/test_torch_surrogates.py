"""Defences that hide a gradient, written as modules: what is seen of them, and attacks that get around them."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robcheck.adapters.data.digits import digits
from robcheck.adapters.pytorch.classifier import TorchClassifier
from robcheck.adapters.pytorch.module import wrap_module

Function = Callable[[Tensor], Tensor]
LEVELS = torch.linspace(0, 1, 5)
X, Y = (torch.as_tensor(part[:100]) for part in digits("test"))


class Calling(nn.Module):
    def __init__(self, function: Function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def trained(middle: nn.Module) -> nn.Sequential:
    """A small network on the digits, in about a second."""
    x, y = (torch.as_tensor(part) for part in digits("train"))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Flatten(), nn.Linear(64, 128), middle, nn.Linear(128, 10))
        optimizer = torch.optim.Adam(model.parameters(), 5e-3)
        for _ in range(300):
            rows = torch.randint(0, len(x), (128,))
            optimizer.zero_grad()
            F.cross_entropy(model(x[rows]), y[rows]).backward()
            optimizer.step()
    return model.eval()


@pytest.fixture(scope="module")
def network() -> nn.Sequential:
    return trained(nn.ReLU())


def attacked(classifier: TorchClassifier, kind: str) -> float:
    """Accuracy after PGD-40 in the Linf ball of 0.15; a dead gradient leaves the random start."""
    forward = classifier.differentiable(kind)  # type: ignore[arg-type]
    noise = torch.rand(X.shape, generator=torch.Generator().manual_seed(0))
    z = (X + 0.15 * (2 * noise - 1)).clamp(0, 1)
    for _ in range(40 if forward is not None else 0):
        z = z.detach().requires_grad_()
        output = forward(z)
        if not output.requires_grad:
            break
        try:
            (gradient,) = torch.autograd.grad(F.cross_entropy(output, Y, reduction="sum"), z)
        except RuntimeError:  # "derivative for aten::floor_divide is not implemented"
            break
        z = (X + (z.detach() + 0.02 * gradient.sign() - X).clamp(-0.15, 0.15)).clamp(0, 1)
    return float((classifier.logits(z).argmax(dim=1) == Y).float().mean())


def same_bits(classifier: TorchClassifier) -> bool:
    """Whether the deployed forward and the one with surrogates agree, from one random state."""
    classifier.logits(X)
    forward = classifier.differentiable("bpda")
    assert forward is not None
    before = classifier._random.state
    deployed = classifier.logits(X)
    classifier._random.state = before
    return torch.equal(forward(X.clone().requires_grad_()).detach(), deployed)


def quietly(x: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.round(x * 7) / 7


@torch.inference_mode()
def without_versions(x: Tensor) -> Tensor:
    return x * 1.0


def overwritten(x: Tensor) -> Tensor:
    x = x.clone()
    x[x < 0.5] = 0.0
    x[x >= 0.5] = 1.0
    return x


def in_place(x: Tensor) -> Tensor:
    x = x * 7
    x.round_()
    x /= 7
    return x


def nearest(x: Tensor) -> Tensor:
    place = (x.unsqueeze(-1) - LEVELS).abs().argmin(dim=-1)
    return F.one_hot(place, len(LEVELS)).float() @ LEVELS


def through_numpy(x: Tensor) -> Tensor:
    pictures = x.detach().cpu().numpy().transpose(0, 2, 3, 1)
    filtered = np.ascontiguousarray((np.round(pictures * 7) / 7).transpose(0, 3, 1, 2))
    return torch.from_numpy(filtered)


DEFENCES: dict[str, tuple[Function, str]] = {
    "rounded": (lambda x: torch.round(x * 7) / 7, "round"),
    "rounded in place": (in_place, "round"),
    "binarised": (lambda x: (x > 0.5).float(), "gt"),
    "binarised by where": (lambda x: torch.where(x > 0.5, 1.0, 0.0), "gt"),
    "binarised by writing": (overwritten, "lt"),
    "binarised by masks": (lambda x: x.masked_fill(x < 0.5, 0.0).masked_fill(x >= 0.5, 1.0), "ge"),
    "band": (lambda x: ((x > 0.5) & ~(x > 2) | (x >= 0.9)).to(x.dtype), "gt"),
    "thermometer": (lambda x: (x > torch.arange(8).view(1, -1, 1, 1) / 8).float().mean(dim=1, keepdim=True), "gt"),
    "bucketized": (lambda x: torch.bucketize(x, torch.arange(8) / 8.0).float() / 8, "bucketize"),
    "bytes": (lambda x: (x * 255).to(torch.uint8).float() / 255, "to(uint8)"),
    "high bits": (lambda x: ((x * 255).byte() >> 5).float() / 7, "rshift"),
    "whole division": (lambda x: x // 0.125 * 0.125, "floor_divide"),
    "remainder": (lambda x: x - x % 0.125, "remainder"),
    "lookup": (lambda x: torch.round(torch.linspace(0, 7, 256))[(x * 255).long()] / 7, "to(int64)"),
    "one-hot": (nearest, "argmin"),
    "detached": (lambda x: x.detach(), "detach"),
    "data": (lambda x: torch.stack([row.data for row in x]), "detach"),
    "no_grad": (quietly, "no_grad"),
    "inference mode": (without_versions, "no_grad"),
    "numpy": (through_numpy, "detach"),
}


@pytest.mark.parametrize("name", DEFENCES)
def test_surrogates_break_what_the_exact_gradient_does_not(name: str, network: nn.Module) -> None:
    function, obstacle = DEFENCES[name]
    classifier = wrap_module(nn.Sequential(Calling(function), network).eval())
    assert same_bits(classifier)
    assert obstacle in classifier.info.obstacles
    assert not any("surrogate" in note or "bpda" in note for note in classifier.info.notes)
    exact, bpda = attacked(classifier, "exact"), attacked(classifier, "bpda")
    assert exact > 0.85
    assert bpda < exact - 0.2


def test_sign_activations() -> None:
    model = trained(nn.Hardtanh())
    model[2] = Calling(torch.sign)
    classifier = wrap_module(model)
    assert same_bits(classifier)
    assert set(classifier.info.obstacles) == {"sign"}
    assert attacked(classifier, "bpda") < 0.3 < 0.6 < attacked(classifier, "exact")


@pytest.mark.parametrize(
    ("middle", "obstacle"),
    [
        (lambda h: F.dropout(h, 0.2, training=True), "bernoulli"),
        (lambda h: torch.fake_quantize_per_tensor_affine(h, 0.1, 0, 0, 255), "fake_quantize_per_tensor_affine"),
        (lambda h: h.detach(), "detach"),
        (lambda h: h * torch.zeros_like(h).scatter_(1, h.topk(40, dim=1).indices, 1.0), "topk"),
    ],
)
def test_in_the_middle_of_a_network(middle: Function, obstacle: str, network: nn.Sequential) -> None:
    model = nn.Sequential(network[:3], Calling(middle), network[3]).eval()
    classifier = wrap_module(model)
    assert same_bits(classifier)
    assert obstacle in classifier.info.obstacles
    assert attacked(classifier, "bpda") < 0.4
    assert classifier.info.random_operators == (("bernoulli",) if obstacle == "bernoulli" else ())


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.block = nn.Sequential(
            nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.Dropout()
        )
        self.head = nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.stem(x)))
        x = F.max_pool2d(F.relu(x + self.block(x), inplace=True), 2)
        return self.head(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1))


class Transformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patches, self.place = nn.Conv2d(1, 16, 2, 2), nn.Parameter(torch.rand(1, 17, 16))
        self.first = nn.Parameter(torch.zeros(1, 1, 16))
        layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        self.encoder, self.head = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False), nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        rows = self.patches(x).flatten(2).transpose(1, 2)
        rows = torch.cat([self.first.expand(len(x), -1, -1), rows], dim=1) + self.place
        return self.head(self.encoder(rows)[:, 0])


@pytest.mark.parametrize("kind", [Residual, Transformer])
def test_plain_networks_have_no_obstacle_and_one_gradient(kind: type[nn.Module]) -> None:
    torch.manual_seed(0)
    module = kind().eval()
    classifier = wrap_module(module)
    first = classifier.logits(X)
    assert classifier.info.obstacles == {}
    assert torch.equal(first, classifier.logits(X)), "the watched forward is the deployed one"
    answers = []
    for gradient in ("exact", "bpda"):
        x = X.clone().requires_grad_()
        forward = classifier.differentiable(gradient)  # type: ignore[arg-type]
        assert forward is not None
        output = forward(x)
        answers.append((output, *torch.autograd.grad(output.square().sum(), x)))
    assert all(torch.equal(one, other) for one, other in zip(*answers, strict=True))
    assert classifier.info.notes == ()
