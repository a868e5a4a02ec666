"""Open and run a doubtful model once, alone in a process with limits; `probing` runs it as a script."""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime

_ROOM = 4 << 30


def limit(file_size: int, seconds: int) -> None:
    """Cap memory (what is used now, three times the file, 4 GiB) and processor time where the system can."""
    try:
        import resource
    except ImportError:
        return
    caps = [(resource.RLIMIT_CPU, seconds)]
    status = Path("/proc/self/statm")
    if status.exists():
        used = int(status.read_text(encoding="ascii").split()[0]) * resource.getpagesize()
        caps.append((resource.RLIMIT_AS, used + 3 * file_size + _ROOM))
    for what, cap in caps:
        _, hard = resource.getrlimit(what)
        resource.setrlimit(what, (cap if hard == resource.RLIM_INFINITY else min(cap, hard), hard))


def run_once(path: str, shapes: list[list[int]], dtype: str, external: bool) -> str:
    """Open the model and run it on zeros of the first shape that it takes; the error, or nothing."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    source = path if external else Path(path).read_bytes()
    try:
        session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"], enable_fallback=0)
    except Exception as error:
        return f"open: {error}"
    failure = ""
    for shape in shapes:
        try:
            session.run(None, {session.get_inputs()[0].name: np.zeros(shape, dtype=dtype)})
            return ""
        except Exception as error:
            failure = failure or f"run: {error}"
    return failure


def main() -> None:
    """Arguments as one JSON object on the command line, the answer as one JSON object on stdout."""
    task = json.loads(sys.argv[1])
    limit(task["size"], task["seconds"])
    error = run_once(task["path"], task["shapes"], task["dtype"], task["external"])
    print(json.dumps({"error": error[:2000]}))


if __name__ == "__main__":
    main()
