"""Exporters write one layer as many nodes: what torch has a kernel for is put together again."""

from collections.abc import Sequence

from torch import Tensor

from .attention import fuse_attention
from .batch_norm import fuse_batch_norm
from .gelu import fuse_gelu
from .layout import channels_last
from .linear import fuse_linear
from .view import Entry, View

RULES = (fuse_batch_norm, fuse_gelu, fuse_attention, fuse_linear, channels_last)


def fuse(nodes: Sequence[Entry], constants: dict[str, Tensor], outputs: Sequence[str]) -> list[Entry]:
    """The nodes with every rule applied; new weights are added to the constants."""
    view = View(nodes, constants, outputs)
    for rule in RULES:
        rule(view)
    return view.nodes


__all__ = ["fuse"]
