"""The numbers that only a detector has."""

from rich.table import Table

from ..harness.results import Result
from ..reports.detector import point_lines


def points_table(result: Result) -> Table:
    """A detector at its thresholds."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("threshold", no_wrap=True)
    for column in ("clean accuracy", "clean rejection", "attacked", "interval"):
        table.add_column(column, justify="right", no_wrap=True)
    for line in point_lines(result):
        robust = line.point.robust_accuracy
        table.add_row(
            line.name.lower(),
            f"{line.point.clean_accuracy.value:.1%}",
            f"{line.point.clean_rejection.value:.1%}",
            f"{robust.value:.1%}",
            f"{robust.interval[0]:.1%} to {robust.interval[1]:.1%}",
        )
    return table
