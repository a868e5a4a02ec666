"""The parent's side of the probe: start it, wait for it, say what happened in one sentence."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from ....harness.errors import ModelError
from .ort_errors import blame
from .preflight import Checked

SECONDS = 60
"""Wall clock and processor time for one session and one run."""


def probe(checked: Checked, shapes: list[tuple[int, ...]], dtype: str, seconds: int = SECONDS) -> None:
    """Open and run the model once in a child process with limits on time and memory.

    Raises: ModelError.
    """
    path = checked.path.resolve()
    size = len(checked.data) + sum(file.stat().st_size for file in checked.external)
    task = {
        "path": str(path),
        "size": size,
        "seconds": seconds,
        "shapes": [list(shape) for shape in shapes],
        "dtype": dtype,
        "external": bool(checked.external),
    }
    script = Path(__file__).with_name("probe.py")
    command = [sys.executable, "-P", str(script), json.dumps(task)]
    with tempfile.TemporaryDirectory() as folder:
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, cwd=folder, check=False)
        except subprocess.TimeoutExpired:
            raise ModelError(
                f"{checked.path} did not open and run once within {seconds} s; it may loop without end, so export "
                "a plain classifier"
            ) from None
    try:
        error = json.loads(done.stdout.strip().splitlines()[-1])["error"]
    except (IndexError, ValueError, KeyError, TypeError):
        raise ModelError(
            f"{checked.path} ended the process that opened it within limits on time and memory (exit code "
            f"{done.returncode}); export a plain classifier"
        ) from None
    if error:
        raise ModelError(blame(checked).sentence(RuntimeError(error)))
