"""The self-test on a terminal: one line per case, as soon as it is known."""

from collections.abc import Iterable
from typing import Protocol

from rich.console import Console
from rich.text import Text


class Case(Protocol):
    """One control and what came of it."""

    @property
    def name(self) -> str:
        """Of the model, and how it was attacked."""
        ...

    @property
    def expected(self) -> str:
        """What has to come out."""
        ...

    @property
    def found(self) -> str:
        """What came out."""
        ...

    @property
    def ok(self) -> bool:
        """Whether that is the same."""
        ...

    @property
    def seconds(self) -> float:
        """How long it took."""
        ...


def show_selftest(console: Console, cases: Iterable[Case]) -> int:
    """Print every case; the number of those that did not come out as they have to."""
    console.print(Text(f"      {'control':<36} {'seconds':>7}  what has to come out -> what came out", style="dim"))
    failed, count = 0, 0
    for case in cases:
        count, failed = count + 1, failed + (not case.ok)
        line = Text("  ok  " if case.ok else " FAIL ", style="green" if case.ok else "bold red")
        line.append(f"{case.name:<36} {case.seconds:7.1f}  {case.expected or 'a severe finding'}", style="none")
        line.append(f" -> {case.found}", style="none")
        console.print(line, soft_wrap=True)
    if failed:
        console.print(f"\n{failed} of {count} controls failed: do not believe any number of this installation.")
    else:
        console.print(f"\nAll {count} controls came out as they have to.")
    return failed
