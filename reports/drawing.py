"""Figures as inline SVG: no pyplot, no global state, colours from the page's own palette."""

import io
import re
import warnings
from html import escape
from typing import Literal

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.text import Text

from .wording import clean

WIDE, PHONE = 1040, 340
"""The two widths in CSS pixels at which every figure is drawn."""

# Matplotlib draws in these colours; the page replaces them by its variables, so that a figure follows dark mode.
INK, MUTED, GRID, LINE, BREAK, GATE, FILL = (f"#0101{i:02d}" for i in range(11, 18))
_VARIABLES = {
    INK: "--ink",
    MUTED: "--muted",
    GRID: "--rule",
    LINE: "--accent",
    BREAK: "--fail",
    GATE: "--gate",
    FILL: "--accent-soft",
}
_FONT = re.compile(r"font: (?:(\d+) )?([\d.]+)px [^;\"<>]*")
_REFERENCE = re.compile(r"(\bid=\"|href=\"#|url\(#)")


def figure(width: int, height: int, *, grid: Literal["x", "y"] = "y") -> tuple[Figure, Axes]:
    """An empty figure of that many CSS pixels, with one frameless pair of axes."""
    drawing = Figure(figsize=(width / 72, height / 72), layout="constrained")
    drawing.patch.set_alpha(0.0)
    axes = drawing.add_subplot()
    axes.patch.set_alpha(0.0)
    for side in ("top", "right", "left" if grid == "y" else "bottom"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom" if grid == "y" else "left"].set_color(GRID)
    axes.tick_params(colors=MUTED, length=0, labelsize=11, pad=5)
    axes.grid(axis=grid, color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    return drawing, axes


def short(name: str, length: int) -> str:
    """The name on one line, cut to `length` characters."""
    text = " ".join(clean(name).split())
    return text if len(text) <= length else text[: length - 1] + "\N{HORIZONTAL ELLIPSIS}"


def svg(drawing: Figure, key: str, title: str, description: str) -> str:
    """The figure as an `<svg>` element whose ids begin with `key`, with an accessible title and description."""
    for text in drawing.findobj(Text):
        if isinstance(text, Text):
            text.set_parse_math(False)  # an attack may be called "$x$"
    FigureCanvasSVG(drawing)
    stream = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": key}), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a glyph that matplotlib's own font lacks is drawn by the reader's font
        drawing.savefig(stream, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    page = stream.getvalue()
    body = page[page.index(">", page.index("<svg")) + 1 : page.rindex("</svg>")]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = _REFERENCE.sub(lambda match: f"{match[1]}{key}-", body.replace("xlink:href", "href"))
    for colour, variable in _VARIABLES.items():
        body = body.replace(colour, f"var({variable})")
    body = _FONT.sub(lambda match: f"font-weight: {match[1] or 400}; font-size: {match[2]}px", body)
    width, height = drawing.get_size_inches() * 72
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" width="{width:g}" role="img" '
        f'aria-labelledby="{key}-title {key}-desc"><title id="{key}-title">{escape(title)}</title>'
        f'<desc id="{key}-desc">{escape(description)}</desc>{body}</svg>'
    )
