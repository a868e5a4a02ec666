"""Reports onto the disk: found out early that they cannot be written, written to the end, kept somewhere at least."""

import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .harness.errors import UnfinishedError, UsageError


def check_writable(out: Path) -> None:
    """Find out now, not after the run, that nothing can be written.

    Raises:
        UsageError: nothing can.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            return
    except OSError as error:
        raise UsageError(f"--out {out}: cannot write there ({error.strerror}); give another folder") from error


def write_all(result: Any, out: Path) -> list[Path]:
    """The reports, whatever interrupts; when they cannot be written there, the numbers are kept in a temporary folder.

    Raises:
        UnfinishedError: something could not be written; the text says where the numbers are.
    """
    from . import reports

    with _undisturbed():
        try:
            return [*reports.write_reports(result, out), reports.write_adversarial(result, out)]
        except UnfinishedError as error:
            raise UnfinishedError(f"{str(error).rstrip('.')}; {_rescued(reports, result)}") from error


def _rescued(reports: Any, result: Any) -> str:
    try:
        rescue = Path(tempfile.mkdtemp(prefix="robcheck-"))
        reports.write_reports(result, rescue, formats=("json",))
    except (UnfinishedError, OSError):
        print(result.model_dump_json(exclude={"gallery"}))
        return "the result was printed instead"
    return f"the result is kept in {rescue}"


@contextmanager
def _undisturbed() -> Iterator[None]:
    """A second Ctrl-C has to wait for the reports."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
