"""What a person sees on a terminal: progress, the plan, the summary, the contract."""

import sys
from typing import IO, cast

from rich.console import Console

from .contract import contract_table, show_contract
from .model import info_table
from .plan import plan_table
from .progress import ProgressBars
from .result import show_result
from .screen import Screen

__all__ = [
    "ProgressBars",
    "contract_table",
    "info_table",
    "make_console",
    "plan_table",
    "show_contract",
    "show_result",
]


def make_console(*, quiet: bool = False, lasting: bool = False) -> Console:
    """A console on standard output; nothing but errors when quiet.

    Args:
        lasting: go on without a word where standard output goes away.
    """
    width = None if sys.stdout.isatty() else 120
    file = cast("IO[str]", Screen()) if lasting else None
    return Console(file=file, quiet=quiet, highlight=False, width=width)
