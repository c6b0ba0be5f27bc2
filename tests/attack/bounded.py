"""Bounds on what reading a file may take: seconds of work, bytes of memory, characters of an error."""

from __future__ import annotations

import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

#: Of work, resident at the most, and of one error.
SECONDS, BYTES, CHARACTERS = 5, 2**30, 2000

_STATUS, _MARK = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class TooSlow(BaseException):
    """The alarm rang. No Exception: readers must not catch it."""


@contextmanager
def alarm(seconds: float = SECONDS, waiting: float = 60.0) -> Iterator[None]:
    """TooSlow after so many seconds of the processor, which others may use too, or of waiting."""

    def ring(number: int, frame: Any) -> None:
        raise TooSlow

    clocks = {
        signal.SIGPROF: (signal.ITIMER_PROF, seconds),
        signal.SIGALRM: (signal.ITIMER_REAL, waiting),
    }
    previous = {number: signal.signal(number, ring) for number in clocks}
    for timer, limit in clocks.values():
        signal.setitimer(timer, limit)
    try:
        yield
    finally:
        for timer, _ in clocks.values():
            signal.setitimer(timer, 0)
        for number, handler in previous.items():
            signal.signal(number, handler)


def most_resident() -> int:
    """Bytes resident at their most since this program was started, or since `forget_most`.

    Linux lets `ru_maxrss` of a new program begin at what its parent had, so the kernel's own mark is read there.
    """
    if _STATUS.is_file():
        return 1024 * int(_STATUS.read_text("ascii", "replace").partition("VmHWM:")[2].split()[0])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def forget_most() -> int:
    """Let the mark begin anew, where the kernel can; what is resident now."""
    with suppress(OSError):
        _MARK.write_text("5")
    return most_resident()
