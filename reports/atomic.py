"""Files that are either whole or not there."""

import os
import secrets
from pathlib import Path

from ..harness.errors import UnfinishedError


def write_atomic(path: Path, content: bytes) -> Path:
    """Write `content` to `path` so that a reader finds the old file or the new one, never a part.

    Raises:
        UnfinishedError: the folder cannot be made or written, or the disk is full; an older file is left intact.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_through(temporary, content)
        os.replace(temporary, path)
    except OSError as error:
        raise UnfinishedError(
            f"cannot write the report {path}: {_reason(error)}; free some space or choose another folder, then write "
            "the report again."
        ) from error
    finally:
        _discard(temporary)
    return path


def _write_through(path: Path, content: bytes) -> None:
    # os.open and not tempfile: a report has the permissions of any other file of this user, not 0600.
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    with open(handle, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _discard(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:  # the folder itself is what failed, and the error that says so is on its way
        return


def _reason(error: OSError) -> str:
    if isinstance(error, NotADirectoryError | FileExistsError):
        return "a file stands where the folder should be"
    if isinstance(error, IsADirectoryError):
        return "a folder of that name is in the way"
    return (error.strerror or str(error) or type(error).__name__).lower()
