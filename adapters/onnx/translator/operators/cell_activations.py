"""Activations inside recurrent cells: names, and which of them take alpha and beta from the node's lists."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from ..node import Node, UntranslatableError

Activation = Callable[[Tensor], Tensor]


def _thresholded(x: Tensor, alpha: float) -> Tensor:
    return torch.where(x > alpha, x, torch.zeros_like(x))


_PLAIN: dict[str, Activation] = {
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "softplus": lambda x: torch.logaddexp(x, torch.zeros_like(x)),
    "softsign": functional.softsign,
    "tanh": torch.tanh,
}
_ALPHA: dict[str, tuple[Callable[[Tensor, float], Tensor], float | None]] = {
    "elu": (lambda x, alpha: functional.elu(x, alpha), 1.0),
    "leakyrelu": (lambda x, alpha: functional.leaky_relu(x, alpha), 0.01),
    "thresholdedrelu": (_thresholded, None),
}
"""Name -> (function, the alpha it has when the list is used up; None where runtimes disagree about that)."""
_BOTH: dict[str, tuple[Callable[[Tensor, float, float], Tensor], tuple[float, float] | None]] = {
    "affine": (lambda x, alpha, beta: alpha * x + beta, None),
    "hardsigmoid": (lambda x, alpha, beta: torch.clamp(alpha * x + beta, 0.0, 1.0), (0.2, 0.5)),
    "scaledtanh": (lambda x, alpha, beta: alpha * torch.tanh(beta * x), None),
}


def activation_names(node: Node, usual: Sequence[str]) -> list[str]:
    """Those of the node, or else the usual ones."""
    given = node.attributes.get("activations") or usual
    return [name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name) for name in given]


def activations(node: Node, names: list[str]) -> list[Activation]:
    """Functions by name; each that has an alpha or a beta takes the next one of the node's lists.

    Raises: UntranslatableError.
    """
    alphas = iter(node.numbers("activation_alpha") or [])
    betas = iter(node.numbers("activation_beta") or [])
    found = []
    for name in names:
        key = name.lower()
        if key in _PLAIN:
            found.append(_PLAIN[key])
        elif key in _ALPHA:
            function, usual = _ALPHA[key]
            found.append(_with_alpha(function, _given(node, name, next(alphas, usual))))
        elif key in _BOTH:
            wide, pair = _BOTH[key]
            alpha, beta = next(alphas, pair and pair[0]), next(betas, pair and pair[1])
            found.append(_with_both(wide, _given(node, name, alpha), _given(node, name, beta)))
        else:
            raise UntranslatableError(f"{node.key} has the unknown activation {name!r}")
    return found


def _given(node: Node, name: str, value: float | None) -> float:
    if value is None:
        raise UntranslatableError(f"{node.key} has {name} without its alpha or beta")
    return value


def _with_alpha(function: Callable[[Tensor, float], Tensor], alpha: float) -> Activation:
    return lambda x: function(x, alpha)


def _with_both(function: Callable[[Tensor, float, float], Tensor], alpha: float, beta: float) -> Activation:
    return lambda x: function(x, alpha, beta)
