"""Open and run a doubtful model once, alone in a process with limits; run as a script by `probing`."""

import json
import sys

_GIB = 1 << 30


def _limit(file_size: int, seconds: int) -> None:
    """Cap memory and processor time where the system can."""
    try:
        import resource
    except ImportError:
        return
    with open("/proc/self/statm", encoding="ascii") if sys.platform == "linux" else _nothing() as file:
        pages = file.read().split()
    used = int(pages[0]) * resource.getpagesize() if pages else 0
    room = used + 3 * file_size + 4 * _GIB
    for what, value in ((resource.RLIMIT_AS, room), (resource.RLIMIT_CPU, seconds)):
        soft, hard = resource.getrlimit(what)
        top = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(what, (min(top, soft) if soft != resource.RLIM_INFINITY else top, hard))


class _nothing:  # noqa: N801
    def __enter__(self) -> "_nothing":
        return self

    def __exit__(self, *_: object) -> None:
        return

    def read(self) -> str:
        return ""
