"""Standard output that may go away: a pager that was closed, a full disk."""

import os
import sys
from typing import Any


class Screen:
    """Writes to standard output for as long as that takes anything in; what nobody can see ends no evaluation."""

    def write(self, text: str) -> int:
        """The number of characters, as a stream says it, written or not."""
        try:
            sys.stdout.write(text)
        except OSError:
            _leave()
        return len(text)

    def flush(self) -> None:
        """Hand on what was written."""
        try:
            sys.stdout.flush()
        except OSError:
            _leave()

    def __getattr__(self, name: str) -> Any:
        return getattr(sys.stdout, name)


def _leave() -> None:
    """Python must not try to flush the rest when it ends."""
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115
