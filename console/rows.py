"""A label and what it says, the second line under the first."""

from rich.console import Console
from rich.containers import Lines
from rich.text import Text

_LABEL = 16
_PLAIN = {"\u202f%": "%", "\u202f": " ", "\N{MINUS SIGN}": "-", "\N{LESS-THAN OR EQUAL TO}": "<=", "\N{EN DASH}": "-"}
"""What a terminal may not be able to show."""


def show_row(console: Console, label: str, said: Text | str, style: str = "") -> None:
    """Print the label and the text beside it, wrapped to the terminal, without trailing blanks."""
    text = said if isinstance(said, Text) else Text(plain(said), style=style)
    for i, line in enumerate(_wrapped(console, text, _LABEL)):
        console.print(Text.assemble((label if i == 0 else "").ljust(_LABEL), line), soft_wrap=True)


def show_paragraph(console: Console, text: Text) -> None:
    """Print the text over the whole width, without trailing blanks."""
    for line in _wrapped(console, text, 0):
        console.print(line, soft_wrap=True)


def _wrapped(console: Console, text: Text, taken: int) -> Lines:
    lines = text.wrap(console, max(24, console.width - taken))
    for line in lines:
        line.rstrip()
    return lines


def plain(text: str) -> str:
    """The words of a report in characters that every terminal has."""
    for rich, poor in _PLAIN.items():
        text = text.replace(rich, poor)
    return text
