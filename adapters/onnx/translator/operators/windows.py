"""Where sliding windows lie: kernel, stride, dilation and padding of convolutions and pools."""

from dataclasses import dataclass

from ..node import Node, UntranslatableError


@dataclass(frozen=True)
class Window:
    """One entry per spatial dimension."""

    kernel: list[int]
    stride: list[int]
    dilation: list[int]
    begin: list[int]
    end: list[int]

    @property
    def symmetric(self) -> bool:
        """Whether both ends are padded alike and none is cropped."""
        return self.begin == self.end and min(self.begin, default=0) >= 0

    def span(self, axis: int) -> int:
        """Pixels that one dilated window covers."""
        return (self.kernel[axis] - 1) * self.dilation[axis] + 1


def window(node: Node, kernel: list[int], spatial: list[int]) -> Window:
    """The windows of a node over an input of this spatial size, with auto_pad resolved.

    Raises: UntranslatableError.
    """
    rank = len(kernel)
    stride = node.integers("strides") or [1] * rank
    dilation = node.integers("dilations") or [1] * rank
    pads = node.integers("pads") or [0] * (2 * rank)
    mode = node.text("auto_pad", "NOTSET")
    if len(spatial) != rank or len(pads) != 2 * rank:
        raise UntranslatableError(f"{node.key} slides a {rank}-d window over {len(spatial)}-d data")
    if mode == "NOTSET":
        return Window(kernel, stride, dilation, pads[:rank], pads[rank:])
    if mode == "VALID":
        return Window(kernel, stride, dilation, [0] * rank, [0] * rank)
    if mode not in ("SAME_UPPER", "SAME_LOWER"):
        raise UntranslatableError(f"{node.key} has the unknown auto_pad {mode!r}")
    totals = [
        max((-(-size // step) - 1) * step + (k - 1) * d + 1 - size, 0)
        for size, step, k, d in zip(spatial, stride, kernel, dilation, strict=True)
    ]
    small, large = [t // 2 for t in totals], [t - t // 2 for t in totals]
    return Window(kernel, stride, dilation, *((small, large) if mode == "SAME_UPPER" else (large, small)))


def torch_pads(begin: list[int], end: list[int]) -> list[int]:
    """The order of `torch.nn.functional.pad`: last dimension first, begin and end side by side."""
    return [size for pair in zip(reversed(begin), reversed(end), strict=True) for size in pair]
