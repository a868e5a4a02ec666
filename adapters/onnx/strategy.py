"""How a twin runs several samples at once: in the fastest way that answers as running them one after the other."""

import warnings

import torch
from torch import Tensor

from .drawn import apart, sampled
from .score import SMALLEST_SCORE
from .translator.node import UntranslatableError
from .translator.translate import first_line
from .twin import Strategy, TorchTwin

_AGREE = 1e-5


def _options(twin: TorchTwin) -> tuple[Strategy, ...]:
    """Ways to run several samples at once that are worth trying, the fastest first."""
    # A larger fixed batch may be written into a Reshape, which a few samples cannot tell: those stay in the loop.
    if twin.batch not in (None, 1) or twin.one_by_one:
        return ()
    # under vmap every sample has draws of its own, as if it were alone
    return ("vmap",) if twin.graph.shared_draws else ("direct", "vmap")


def _answers(twin: TorchTwin, values: Tensor, strategy: Strategy) -> Tensor:
    """(N, columns), or (draws, N, columns) of a graph that draws."""
    return sampled(lambda: twin.scores(values, strategy)) if twin.random else twin.scores(values, strategy)


def _agrees(found: Tensor, reference: Tensor, twin: TorchTwin) -> bool:
    if found.shape != reference.shape:
        return False
    if twin.score is None:
        return _close(found, reference, twin.random, 1.0)
    # Beside large logits a small score would not count.
    return _close(found[..., :-1], reference[..., :-1], twin.random, 1.0) and _close(
        found[..., -1:], reference[..., -1:], twin.random, SMALLEST_SCORE
    )


def _close(found: Tensor, reference: Tensor, random: bool, least: float) -> bool:
    scale = max(float(reference.abs().nan_to_num(0.0).max()) if reference.numel() else 0.0, least)
    if random:
        return apart(found, reference) <= _AGREE * scale
    return torch.allclose(found, reference, rtol=0.0, atol=_AGREE * scale, equal_nan=True)


@torch.no_grad()
def choose_strategy(twin: TorchTwin, x: Tensor) -> int:
    """Run the twin on samples one file batch after the other, then in the fastest way that gives the same; returns K.

    Raises: UntranslatableError.
    """
    values = twin.entry(x.to(twin.device)).to(twin.dtype)
    try:
        reference = _answers(twin, values, "loop")
    except UntranslatableError:
        raise
    except Exception as error:
        raise UntranslatableError(f"the twin failed: {first_line(error)}") from error
    twin.strategy = "loop"
    for option in _options(twin):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                found = _answers(twin, values, option)
        except Exception:
            # a graph that insists on batch 1 fails in many ways; the next strategy is tried
            continue
        if _agrees(found, reference, twin):
            twin.strategy = option
            break
    return int(reference.shape[-1]) - (twin.score is not None)
