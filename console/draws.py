"""The numbers that only a random target has."""

from rich.table import Table

from ..harness.results import Result
from ..reports.draws import draw_lines


def draws_table(result: Result) -> Table:
    """A random target's accuracies, clean beside robust."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("accuracy", no_wrap=True)
    for column in ("clean", "interval", "attacked", "interval"):
        table.add_column(column, justify="right", no_wrap=True)
    for line in draw_lines(result):
        cells = [
            text
            for found in (line.clean, line.robust)
            for text in (f"{found.value:.1%}", f"{found.interval[0]:.1%} to {found.interval[1]:.1%}")
        ]
        table.add_row(line.name.lower(), *cells)
    return table
