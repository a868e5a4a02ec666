"""What can go wrong, as a tree; each error is one sentence for a person and one exit code for a machine."""

from typing import Any, ClassVar


class RobcheckError(Exception):
    """Base of every error that robcheck raises on purpose; its text is one sentence: what, where, what to do."""

    exit_code: ClassVar[int] = 70


class UsageError(RobcheckError):
    """The command, the suite or an argument is wrong (exit code 2)."""

    exit_code = 2


class SuiteError(UsageError):
    """A suite file cannot be used; the text names file, path and the nearest valid word."""


class DeviceError(UsageError):
    """The device or execution provider that was asked for is not there."""


class UnusableError(RobcheckError):
    """Model or data cannot be used (exit code 4)."""

    exit_code = 4


class ModelError(UnusableError):
    """The model file or object cannot be evaluated."""


class UnsafeModelError(ModelError):
    """Loading this file would run code from it."""


class DataError(UnusableError):
    """The samples or labels cannot be used."""


class UnfinishedError(RobcheckError):
    """The run could not finish: disk full, device lost; what was computed is kept (exit code 5).

    `result` is the Result of what was computed, where there is one.
    """

    exit_code = 5
    result: Any = None


class NotApplicableError(RobcheckError):
    """An attack turns out to have no meaning for these samples, which is no weakness of the evaluation."""


class NoGradientError(RobcheckError):
    """The target has no gradient of the kind that was asked for; the planner turns this into a skipped attack."""
