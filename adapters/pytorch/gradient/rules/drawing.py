"""Draws whose probabilities depend on the input."""

from typing import Any

from ..call import Call
from ..pairs import otherwise
from ..run import Run


def drawing(run: Run, call: Call) -> Any:
    """bernoulli, poisson, normal: the mean stands in."""
    mean = call.get(1, "p", "mean") if call.writes else call.get(0, "mean")
    return run.answer(call, lambda: run.soft(mean) * 1) if run.depends(mean) else otherwise(run, call)
