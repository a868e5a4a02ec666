"""LinearClassifier and LinearRegressor."""

from torch import Tensor
from torch.nn import functional

from ...node import Node
from .transforms import rows, scores_only, transformed, two_columns, weights


def linear_classifier(node: Node, x: Tensor) -> tuple[Tensor, ...]:
    """One score per intercept; a single score of two labels becomes two columns.

    Raises: UntranslatableError.
    """
    x = rows(node, x)
    intercepts = weights(node, "intercepts", x)
    coefficients = weights(node, "coefficients", x).reshape(len(intercepts), -1)
    scores = transformed(node, functional.linear(x, coefficients, intercepts))
    labels = node.attributes.get("classlabels_strings") or node.attributes.get("classlabels_ints") or []
    if len(intercepts) == 1 and len(labels) == 2:
        scores = two_columns(node, scores, mirrored=False)
    return scores_only(node, scores)


def linear_regressor(node: Node, x: Tensor) -> Tensor:
    """One number per target; intercepts count when there is one for each.

    Raises: UntranslatableError.
    """
    x = rows(node, x)
    targets = node.integer("targets", 1)
    intercepts = weights(node, "intercepts", x)
    coefficients = weights(node, "coefficients", x).reshape(targets, -1)
    return transformed(node, functional.linear(x, coefficients, intercepts if len(intercepts) == targets else None))
