"""Runs attempts in a process of its own, which is ended when one hangs or takes all memory."""

from __future__ import annotations

import atexit
import json
import queue
import resource
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tests.attack.trial import Trial

_ROOT = Path(__file__).parents[2]

#: What the process may take: bytes of memory.
_MEMORY = 6 * 2**30


#: Seconds that a process gets to end by itself.
_PATIENCE = 3


class Sandbox:
    """Asks `python -m MODULE` for attempts by their seed; `serve` is its other end."""

    def __init__(self, module: str, seconds: float) -> None:
        self._module, self._seconds = module, seconds
        self._process: subprocess.Popen[str] | None = None
        self._lines: queue.Queue[str] = queue.Queue()
        atexit.register(self._end)

    def attempt(self, seed: int) -> Trial:
        """The attempt; "stopped" for one that ended the process or had no end."""
        process = self._process or self._start()
        assert process.stdin is not None
        process.stdin.write(f"{seed}\n")
        process.stdin.flush()
        try:
            line = self._lines.get(timeout=self._seconds)
        except queue.Empty:
            line = ""
        if not line:
            self._end()
            return Trial("stopped", False, f"seed {seed}")
        return Trial(*json.loads(line))

    def reading(self, seed: int) -> Trial:
        """An attempt at reading something, which may never end the process."""
        found = self.attempt(seed)
        return found._replace(wrong=True) if found.said == "stopped" else found

    def _start(self) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", self._module],
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._process, self._lines = process, queue.Queue()
        threading.Thread(target=_listen, args=(process, self._lines), daemon=True).start()
        return process

    def _end(self) -> None:
        if self._process is not None:
            assert self._process.stdin is not None and self._process.stdout is not None
            with suppress(BrokenPipeError):
                self._process.stdin.close()  # it ends by itself, and leaves no files
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_PATIENCE)
            self._process.kill()
            self._process.wait()
            self._process.stdout.close()
            self._process = None


def _listen(process: subprocess.Popen[str], lines: queue.Queue[str]) -> None:
    assert process.stdout is not None
    try:
        for line in process.stdout:
            lines.put(line)
    except ValueError:  # closed
        pass
    lines.put("")


def serve(attempt: Callable[[int], Trial]) -> None:
    """Answer each seed on standard input by a line of JSON."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    answers = sys.stdout
    sys.stdout = sys.stderr
    for line in sys.stdin:
        print(json.dumps(attempt(int(line))), file=answers, flush=True)
