"""ConvTranspose in one, two and three dimensions."""

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional

from ..node import Node, UntranslatableError
from .windows import torch_pads

_CONVOLUTIONS: dict[int, Callable[..., Tensor]] = {
    1: functional.conv_transpose1d,
    2: functional.conv_transpose2d,
    3: functional.conv_transpose3d,
}


def _crops(node: Node, full: list[int], spatial: list[int], stride: list[int]) -> tuple[list[int], list[int]]:
    """What to cut at both ends of the uncropped output of size `full`."""
    rank = len(full)
    mode = node.text("auto_pad", "NOTSET")
    target = node.integers("output_shape")
    if target is None and mode in ("NOTSET", "VALID"):
        pads = (node.integers("pads") if mode == "NOTSET" else None) or [0] * (2 * rank)
        return pads[:rank], pads[rank:]
    same = target is None
    target = target or [size * step for size, step in zip(spatial, stride, strict=True)]
    totals = [size - wanted for size, wanted in zip(full, target[-rank:], strict=True)]
    if any(-total >= step for total, step in zip(totals, stride, strict=True)) and not same:
        raise UntranslatableError(f"ConvTranspose to {target} of what makes {full}")
    # onnxruntime fills up, at the end, for an output_shape only
    missing = [0 if same else min(total, 0) for total in totals]
    totals = [max(total, 0) for total in totals]
    small, large = [t // 2 for t in totals], [t - t // 2 for t in totals]
    begin, end = (small, large) if mode == "SAME_UPPER" else (large, small)
    return begin, [size + fill for size, fill in zip(end, missing, strict=True)]


def conv_transpose(node: Node, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """The gradient of Conv as an operator; crops after the uncropped torch one.

    Raises: UntranslatableError.
    """
    rank = weight.dim() - 2
    convolve = _CONVOLUTIONS.get(rank)
    if convolve is None:
        raise UntranslatableError(f"ConvTranspose over {rank} dimensions")
    stride = node.integers("strides") or [1] * rank
    dilation = node.integers("dilations") or [1] * rank
    extra = node.integers("output_padding") or [0] * rank
    if any(more >= max(step, d) for more, step, d in zip(extra, stride, dilation, strict=True)):
        raise UntranslatableError("ConvTranspose with an output_padding as large as its stride")
    y = convolve(x, weight, None, stride, 0, extra, node.integer("group", 1), dilation)
    begin, end = _crops(node, list(y.shape[2:]), list(x.shape[2:]), stride)
    if any(begin) or any(end):
        y = functional.pad(y, torch_pads([-size for size in begin], [-size for size in end]))
    return y if bias is None else y + bias.reshape(-1, *([1] * rank))
