"""A pager that was closed ends no evaluation."""

import sys
from typing import Any

import pytest

from robcheck.console import make_console


class Gone:
    """A stream that takes three words and no more."""

    encoding = "utf-8"

    def __init__(self) -> None:
        self.taken: list[str] = []

    def write(self, text: str) -> int:
        if len(self.taken) == 3:
            raise BrokenPipeError(32, "Broken pipe")
        self.taken.append(text)
        return len(text)

    def flush(self) -> None:
        """Nothing waits."""

    def isatty(self) -> bool:
        return False


def test_a_lasting_console_goes_on_without_a_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    stream: Any = Gone()
    monkeypatch.setattr(sys, "stdout", stream)
    console = make_console(lasting=True)
    for number in range(9):
        console.print(f"line {number}")
    sys.stdout.close()  # nothing is left open in its place
    assert "".join(stream.taken).splitlines() == ["line 0", "line 1", "line 2"]
