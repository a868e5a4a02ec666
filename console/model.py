"""What an adapter sees of a model."""

from rich.table import Table
from rich.text import Text

from ..harness.model_info import ModelInfo, Rejection


def info_table(info: ModelInfo) -> Table:
    """What the adapter sees."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    twin = "yes" if info.twin.available else f"no: {info.twin.reason}"
    if info.twin.parity is not None:
        twin += (
            f" (differs by at most {info.twin.parity:.1e} of {info.twin.scale or 0:.3g} on {info.twin.samples} samples)"
        )
    rows = {
        "model": f"{info.name} ({info.format}{f', opset {info.opset}' if info.opset else ''})",
        "input": f"{info.input_shape or 'open'} in [{info.bounds[0]:g}, {info.bounds[1]:g}], "
        f"batch {info.batch or 'any'}",
        "normalisation": "none" if info.mean is None else f"mean {info.mean}, std {info.std}",
        "output": f"{info.output}, {info.classes or 'unknown number of'} classes",
        "rejection": rejection_text(info.rejection),
        "gradients": twin,
        "obstacles": "; ".join(f"{k}: {v}" for k, v in info.obstacles.items()) or "none",
        "missing operators": ", ".join(info.missing_operators) or "none",
        "operators": ", ".join(f"{k} x {v}" for k, v in sorted(info.operators.items())) or "not a graph",
        "runs on": f"{info.device}{f' ({info.provider})' if info.provider else ''}",
        "sha256": info.sha256 or "-",
        "trust": info.trust,
        "notes": "; ".join(info.notes) or "none",
    }
    for key, value in rows.items():
        table.add_row(key, Text(value))
    return table


def rejection_text(found: Rejection | None) -> str:
    """When the model refuses to answer, and how its twin was compared."""
    if found is None:
        return "none"
    text = f"output {found.output!r} above {found.above:g}"
    if found.unit == "log-odds":
        text += ", in log-odds (it ends in a sigmoid)"
    if found.parity is None:
        return text
    off = f"differs on {found.parity:.1%} of the samples" if found.unit == "whole" else f"differs by {found.parity:.1e}"
    return f"{text} (the twin {off}, of scores up to {found.scale or 0:.3g})"
