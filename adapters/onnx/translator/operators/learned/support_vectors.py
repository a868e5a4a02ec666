"""SVMClassifier and SVMRegressor."""

import torch
from torch import Tensor

from ...node import Node, UntranslatableError
from .coupling import coupled
from .kernels import similarities
from .transforms import rows, scores_only, transformed, two_columns, weights

_SURE = 1e-7


def _pairwise(similar: Tensor, coefficients: Tensor, sizes: list[int], intercepts: Tensor) -> Tensor:
    """One score per pair of classes, (0, 1), (0, 2), ..., (1, 2), ..."""
    starts = [sum(sizes[:place]) for place in range(len(sizes))]
    blocks = [slice(start, start + size) for start, size in zip(starts, sizes, strict=True)]
    scores: list[Tensor] = []
    for i in range(len(sizes)):
        for j in range(i + 1, len(sizes)):
            one = similar[:, blocks[i]] @ coefficients[j - 1, blocks[i]]
            other = similar[:, blocks[j]] @ coefficients[i, blocks[j]]
            scores.append(one + other + intercepts[len(scores)])
    return torch.stack(scores, -1)


def _probabilities(scores: Tensor, slope: Tensor, shift: Tensor, classes: int) -> Tensor:
    """Pairwise scores through a sigmoid each, then coupled, (N, K)."""
    first = torch.sigmoid(-(scores * slope + shift)).clamp(_SURE, 1.0 - _SURE)
    upper = torch.triu_indices(classes, classes, 1, device=scores.device)
    places = upper[0] * classes + upper[1]
    mirrored = upper[1] * classes + upper[0]
    index = torch.cat([places, mirrored])
    flat = torch.zeros(classes * classes, dtype=scores.dtype, device=scores.device).expand(len(scores), -1)
    pairs = flat.index_copy(-1, index, torch.cat([first, 1.0 - first], -1))
    return coupled(pairs.reshape(len(scores), classes, classes))


def _labels(node: Node) -> int:
    return len(node.attributes.get("classlabels_strings") or node.attributes.get("classlabels_ints") or [])


def _with_vectors(node: Node, x: Tensor, sizes: list[int]) -> Tensor:
    """Scores of pairs, a score and its negative for two classes, or probabilities of classes."""
    classes = _labels(node)
    if classes != len(sizes) or classes < 2:
        raise UntranslatableError(f"{node.key} with {classes} labels for {len(sizes)} classes")
    vectors = weights(node, "support_vectors", x).reshape(sum(sizes), -1)
    coefficients = weights(node, "coefficients", x).reshape(-1, sum(sizes))
    scores = _pairwise(similarities(node, x, vectors), coefficients, sizes, weights(node, "rho", x))
    slope = weights(node, "prob_a", x)
    if len(slope):
        return transformed(node, _probabilities(scores, slope, weights(node, "prob_b", x), classes))
    scores = transformed(node, scores)
    return scores if classes > 2 else two_columns(node, scores, mirrored=True)


def svm_classifier(node: Node, x: Tensor) -> tuple[Tensor, ...]:
    """One against one over support vectors, or one linear score per class where there are none.

    Raises: UntranslatableError.
    """
    x = rows(node, x)
    sizes = node.integers("vectors_per_class") or []
    if sum(sizes):
        return scores_only(node, _with_vectors(node, x, sizes))
    coefficients = weights(node, "coefficients", x).reshape(_labels(node), -1)
    return scores_only(node, transformed(node, x @ coefficients.T + weights(node, "rho", x)[0]))


def svm_regressor(node: Node, x: Tensor) -> Tensor:
    """One number per sample, (N, 1).

    Raises: UntranslatableError.
    """
    if node.integer("one_class", 0) or node.text("post_transform", "NONE") != "NONE":
        raise UntranslatableError(f"{node.key} that answers with a sign or a transform")
    x = rows(node, x)
    coefficients, count = weights(node, "coefficients", x), node.integer("n_supports", 0)
    if count:
        x = similarities(node, x, weights(node, "support_vectors", x).reshape(count, -1))
    return (x @ coefficients + weights(node, "rho", x)[0]).unsqueeze(-1)
