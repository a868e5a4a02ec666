"""The small networks that are trained here, for images (N, C, H, W) and for anything flat."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

_SIDE = 16
"""A classifier pools larger images to about this side."""


class Standardise(nn.Module):
    """Zero mean, unit variance, over the training samples."""

    mean: Tensor
    scale: Tensor

    def __init__(self, x: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", x.mean())
        self.register_buffer("scale", x.std(unbiased=False).clamp(min=1e-6))

    def forward(self, x: Tensor) -> Tensor:
        """Standardised x (N, ...)."""
        return (x - self.mean) / self.scale


def smooth_classifier(x: Tensor, classes: int) -> nn.Module:
    """A small convolutional net for samples x (N, C, H, W), a perceptron for any other shape; (N, classes) logits.

    Smooth (ELU) and of another architecture than usual targets, so that its gradients are of use to attacks.
    """
    if x.dim() != 4:
        width = 128
        body = [nn.Flatten(), nn.Linear(x[0].numel(), width), nn.ELU(), nn.Linear(width, width), nn.ELU()]
        return nn.Sequential(Standardise(x), *body, nn.Linear(width, classes))
    channels, side = x.shape[1], min(x.shape[2:])
    pool: list[nn.Module] = [nn.AvgPool2d(side // _SIDE)] if side >= 2 * _SIDE else []
    body = [
        *pool,
        nn.Conv2d(channels, 24, 5, padding=2, stride=2),
        nn.ELU(),
        nn.Conv2d(24, 48, 3, padding=1),
        nn.ELU(),
        nn.AdaptiveAvgPool2d(4),
        nn.Flatten(),
    ]
    return nn.Sequential(Standardise(x), *body, nn.Linear(48 * 16, classes))


class StandIn(nn.Module):
    """A network in the place of a stage: fully convolutional on images, a perceptron on anything else.

    Of an image, one part looks at each pixel alone, the other far around it; their answers add up. Where the stage
    keeps the shape, both add to the identity, with which they begin. Where the stage changes the size of the image,
    so does the network, first.

    Args:
        before: shape of one sample in front of the stage.
        after: shape of one sample behind it.
        width: channels of the hidden layers.
    """

    def __init__(self, before: tuple[int, ...], after: tuple[int, ...], width: int) -> None:
        super().__init__()
        self._after = after
        images = len(before) == len(after) == 3
        self._size = after[1:] if images and before[1:] != after[1:] else None
        self._adds = before[0] == after[0] if images else before == after
        parts = [_near, _far] if images else []
        parameters = (before[0], after[0], width)
        self.parts = nn.ModuleList([part(*parameters) for part in parts] or [_perceptron(before, after, width)])
        if self._adds:
            for part in self.parts:
                _silence(part)

    def forward(self, x: Tensor) -> Tensor:
        """What the stage is expected to make of x (N, *before), (N, *after)."""
        if self._size is not None:
            x = functional.interpolate(x, self._size, mode="bilinear", align_corners=False)
        # Pixels in [0, 1] spread around 0, where the steps of a stage are easier to find.
        spread = 4 * x - 2
        y = torch.stack([part(spread) for part in self.parts]).sum(dim=0)
        if y.dim() == 2:
            y = y.reshape(-1, *self._after)
        return x + y if self._adds else y


def _near(channels: int, out: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, width, 1), nn.ELU(), nn.Conv2d(width, width, 1), nn.ELU(), nn.Conv2d(width, out, 1)
    )


def _far(channels: int, out: int, width: int) -> nn.Sequential:
    """Dilated, so that each output pixel sees 17 x 17 input pixels; every layer keeps the size."""
    layers: list[nn.Module] = []
    for number, dilation in enumerate((1, 2, 4)):
        layers += [nn.Conv2d(width if number else channels, width, 3, padding=dilation, dilation=dilation), nn.ELU()]
    return nn.Sequential(*layers, nn.Conv2d(width, out, 3, padding=1))


def _perceptron(before: tuple[int, ...], after: tuple[int, ...], width: int) -> nn.Sequential:
    hidden = 4 * width
    layers = [nn.Flatten(), nn.Linear(math.prod(before), hidden), nn.ELU(), nn.Linear(hidden, hidden), nn.ELU()]
    return nn.Sequential(*layers, nn.Linear(hidden, math.prod(after)))


def _silence(part: nn.Module) -> None:
    """Let the last layer answer 0."""
    *_, weight, bias = part.parameters()
    nn.init.zeros_(weight)
    nn.init.zeros_(bias)


def frozen(network: nn.Module) -> nn.Module:
    """The same network in evaluation mode, its weights without a gradient."""
    return network.eval().requires_grad_(False)
