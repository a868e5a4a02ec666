"""What each finding asks, and which experiments it waits for: read off the checks themselves."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .diagnosis import CHECKS
from .diagnosis.contract import CODES
from .diagnosis.limits import LIMITS, Limit

_ELSEWHERE = {
    "NOT_EVALUATED": "Was every sample judged, and attacked?",
    "WAIVER_EXPIRED": "Is every waiver still in force?",
}
"""Of findings that no check raises."""


@dataclass(frozen=True)
class Asked:
    """One code: its question, its limit, and the control experiments that answer it."""

    code: str
    question: str
    limit: Limit
    experiments: tuple[str, ...] = ()


def asked() -> dict[str, Asked]:
    """Every code that may be found, by itself."""
    return {code: _of(code, limit) for code, limit in LIMITS.items()}


def _of(code: str, limit: Limit) -> Asked:
    name = code
    while name:
        if name in CODES:
            return Asked(code, _question(CODES[name]), limit)
        for check in CHECKS:
            if name in (check.code, *check.also):
                return Asked(code, _question(check.judge), limit, check.needs)
        # A row may hold a second threshold of a finding, under its name and a word more.
        name = name.rpartition("_")[0]
    return Asked(code, _ELSEWHERE.get(code, ""), limit)


def _question(check: Callable[..., Any]) -> str:
    """The first line of its file."""
    return (getattr(inspect.getmodule(check), "__doc__", "") or "").partition("\n")[0]
