"""QLinearConv, of the standard domain and of com.microsoft."""

from torch import Tensor

from ...node import Node
from .calculation import Calculation, quantising
from .integer_products import channels
from .levels import along, levels


def _qlinear_conv(
    how: Calculation,
    node: Node,
    x: Tensor,
    x_scale: Tensor,
    x_zero: Tensor | None,
    w: Tensor,
    w_scale: Tensor,
    w_zero: Tensor | None,
    y_scale: Tensor,
    y_zero: Tensor | None,
    bias: Tensor | None = None,
) -> Tensor:
    """Channels second, or last for x and y alone when the attribute says so."""
    last = bool(node.integer("channels_last", 0))
    x = x.movedim(-1, 1) if last else x
    products = how.conv(node, x, channels(x_zero, x, 1), w, channels(w_zero, w, 0))
    total = how.total(node, products, None if bias is None else along(bias, x.dim(), 1))
    factor = along(x_scale, x.dim(), 1) * along(w_scale, x.dim(), 1) / along(y_scale, x.dim(), 1)
    y = how.settled(total * factor, levels(node, 7, y_zero, x), how.offset(node, y_zero, total))
    return y.movedim(1, -1) if last else y


QLINEAR_CONV = quantising(_qlinear_conv)
