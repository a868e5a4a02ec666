"""Two results of the same samples side by side, on a terminal."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..harness.comparing import NAMED, Compared, Quantity

_COLOURS = {"PASS": "green", "FAIL": "red", "INCONCLUSIVE": "yellow", "NO_GATE": "cyan"}
_CAVEAT = (
    "The intervals speak of the sampling of test points alone. Both numbers are upper bounds: where an attack works "
    "better on one of the two, that is part of the change."
)


def show_comparison(console: Console, found: Compared) -> None:
    """Accuracies, attacks, samples, everything else that changed, verdict."""
    console.print(
        Text.assemble(
            ("Compared", "bold"), f" {found.before} with {found.after} on {found.samples:,} samples of {found.data}"
        )
    )
    console.print(accuracy_table(found))
    console.print(Text(_CAVEAT, style="dim"))
    console.print()
    console.print(pairs_table(found))
    if found.attacks:
        console.print()
        console.print(attack_table(found))
    for text, names in (("no longer robust", found.lost), ("newly robust", found.won)):
        console.print(_names(text, names))
    if found.changes:
        console.print()
        console.print(change_table(found))
    for reason in found.against_pass:
        console.print(Text(reason, style="yellow"))
    console.print()
    console.print(
        Text.assemble((found.verdict, f"bold {_COLOURS[found.verdict]}"), f"  {found.explanation}"),
    )


def accuracy_table(found: Compared) -> Table:
    """Clean and robust accuracy before and after, the difference with its interval, and McNemar's p."""
    table = _table("accuracy", "before", "after", "change", f"{found.confidence:.0%} interval", "p (McNemar)")
    for quantity in (found.clean, found.robust):
        change = quantity.change
        table.add_row(
            quantity.name,
            f"{change.before:.1%}",
            f"{change.after:.1%}",
            signed(change.after - change.before),
            f"{signed(change.interval[0])} to {signed(change.interval[1])}",
            p_value(change.p),
        )
    return table


def pairs_table(found: Compared) -> Table:
    """How many samples are right in both runs, in one of them, in none."""
    table = _table("samples", "right in both", "only before", "only after", "in neither")
    for quantity in (found.clean, found.robust):
        table.add_row(quantity.name, *_counts(quantity))
    return table


def _counts(quantity: Quantity) -> list[str]:
    found = quantity.table
    return [f"{n:,}" for n in (found.both, found.only_before, found.only_after, found.neither)]


def attack_table(found: Compared) -> Table:
    """What stands after each attack of the plan, before and after."""
    table = _table("standing after", "before", "after", "p (McNemar)", "after Holm")
    for row in found.attacks:
        shares = ["-" if share is None else f"{share:.1%}" for share in (row.before, row.after)]
        table.add_row(row.name, *shares, p_value(row.p), p_value(row.adjusted))
    return table


def change_table(found: Compared) -> Table:
    """Everything else that differs."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("what else changed", "before", "after"):
        table.add_column(column, overflow="fold")
    for change in found.changes:
        table.add_row(Text(change.what), Text(change.before), Text(change.after))
    return table


def signed(difference: float) -> str:
    """`+1.2 points`; a difference of shares is no share."""
    return f"{100 * difference:+.1f} points"


def p_value(p: float | None) -> str:
    """`0.032`, `< 0.001`, or nothing."""
    if p is None:
        return "-"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _names(text: str, names: list[int]) -> Text:
    shown = ", ".join(str(name) for name in names[:NAMED])
    more = f" and {len(names) - NAMED:,} more (--json has all)" if len(names) > NAMED else ""
    return Text(f"{text}: {len(names):,}" + (f" (samples {shown}{more})" if names else ""))


def _table(first: str, *columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column(first, overflow="fold")
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table
