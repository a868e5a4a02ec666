"""Results out: a Result becomes a page for a person, JSON for a program and JUnit XML for a CI job."""

from collections.abc import Callable, Iterable
from difflib import get_close_matches
from pathlib import Path

from ..harness.errors import UsageError
from ..harness.results import Result
from .adversarial import write_adversarial
from .atomic import write_atomic
from .html import render_html
from .json_report import read_json, render_json
from .junit import render_junit

__all__ = ["FORMATS", "read_json", "render_html", "render_json", "render_junit", "write_adversarial", "write_reports"]

_WRITERS: dict[str, tuple[str, Callable[[Result], bytes]]] = {
    "json": ("result.json", lambda result: render_json(result).encode("utf-8")),
    "junit": ("junit.xml", render_junit),
    "html": ("report.html", lambda result: render_html(result).encode("utf-8", "replace")),
}
FORMATS = tuple(_WRITERS)


def write_reports(result: Result, folder: Path, formats: Iterable[str] = ("html", "json", "junit")) -> list[Path]:
    """Write report.html, result.json and junit.xml to `folder`; the paths in the order of `formats`.

    Raises:
        UsageError: a format that is not one of FORMATS.
        UnfinishedError: a file cannot be written; older files are left intact.
    """
    wanted = list(dict.fromkeys(formats))
    for name in wanted:
        if name not in _WRITERS:
            near = get_close_matches(name, FORMATS, 1, cutoff=0.0)[0]
            raise UsageError(f"there is no report format {name!r}; did you mean {near!r} (of {', '.join(FORMATS)})?")
    folder = Path(folder)
    # JSON first: everything else can be made again from it.
    written = {
        name: write_atomic(folder / file, render(result)) for name, (file, render) in _WRITERS.items() if name in wanted
    }
    return [written[name] for name in wanted]
