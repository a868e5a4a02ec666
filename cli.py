"""The command line: the roof under which adapters, suites, harness and reports meet."""

import errno
import os
import signal
import sys
import traceback
from types import FrameType
from typing import Annotated

import typer
from rich.console import Console

from . import __version__
from .commands import describe, evaluate, inspect, list_, selftest
from .comparison import compare
from .harness.errors import RobcheckError
from .planning import plan

app = typer.Typer(
    name="robcheck",
    help="How often is a classifier still right when an adversary who knows everything attacks it?",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

# Newer typer carries its own click, older typer shares the package; this is the base of usage errors in both.
_UsageProblem: type[Exception] = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")

_INTERRUPTED = 130
"""What typer makes of a KeyboardInterrupt."""
_EXITS = (
    "Exit codes: 0 pass or no gate, 1 gate failed, 2 usage or configuration, 3 inconclusive, 4 model or data cannot be "
    "used, 5 the run could not finish (what was computed is kept), 70 internal error, 130 and 143 interrupted."
)

_PLAN_EXITS = "Exit codes: 0 planned, 2 usage or configuration, 4 model or data cannot be used."
_COMPARE_EXITS = (
    "Exit codes: 0 compared, and no loss of more than --max-regression; 1 such a loss; 2 usage, or the two cannot be "
    "compared; 3 inconclusive; 4 a result cannot be read."
)
_SELFTEST_EXITS = "Exit codes: 0 everything came out as it has to, 1 something did not, 2 usage or configuration."
_INSPECT_EXITS = (
    "Exit codes: 0 looked at, 2 usage or configuration, 3 a severe finding stands, 4 model or data cannot be used."
)


app.command(epilog=_EXITS)(evaluate)
app.command(epilog=_INSPECT_EXITS)(inspect)
app.command(epilog=_PLAN_EXITS)(plan)
app.command(epilog=_COMPARE_EXITS)(compare)
app.command(name="list")(list_)
app.command()(describe)
app.command(epilog=_SELFTEST_EXITS)(selftest)


def _version(value: bool) -> None:
    if value:
        print(f"robcheck {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """How often is a classifier still right when an adversary who knows everything attacks it?"""


class _Terminated(KeyboardInterrupt):
    """SIGTERM, handled like Ctrl-C."""


def _terminate(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001
    global _terminated
    _terminated = True
    raise _Terminated


_terminated = False


def main() -> None:
    """Run the command line and turn every outcome into one sentence and one exit code."""
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(_guarded())


def _guarded() -> int:
    try:
        code = app(standalone_mode=False)
        if code == _INTERRUPTED:
            raise KeyboardInterrupt
        return code if isinstance(code, int) else 0
    except _UsageProblem as error:
        text: str = error.format_message()  # type: ignore[attr-defined]
        if type(error).__name__ == "NoArgsIsHelpError":
            print(text)
            return 2
        return _complain(f"{text.rstrip('.')}; see robcheck --help", 2)
    except (KeyboardInterrupt, typer.Abort):
        return _complain(
            "interrupted; if the attacks had begun, what they found is in the reports",
            143 if _terminated else _INTERRUPTED,
        )
    except RobcheckError as error:
        return _complain(str(error), error.exit_code)
    except MemoryError:
        return _complain("out of memory; give a smaller --batch-size or fewer --samples", 5)
    except (Exception, SystemExit) as error:
        if isinstance(error, BrokenPipeError) or isinstance(error.__context__, BrokenPipeError):
            # whoever read the output (head, a pager) has seen enough; Python must not try to flush the rest
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115
            return _INTERRUPTED
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115
            return _complain("no space is left to write to; free some, or send the output elsewhere", 5)
        traceback.print_exc()
        return _complain("internal error: please report the lines above", 70)


def _complain(sentence: str, code: int) -> int:
    Console(stderr=True, highlight=False, soft_wrap=True).print(f"robcheck: {sentence}", markup=False)
    return code


__all__ = ["app", "main"]
