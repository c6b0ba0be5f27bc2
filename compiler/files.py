"""Writing a folder of files so that an interrupted or failed run leaves what was there whole."""

from __future__ import annotations

import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cortico.ir.errors import SpecError


@contextmanager
def replacing_files(folder: Path) -> Iterator[Path]:
    """A temporary folder whose files move into `folder` when the block ends without an error.

    Files in `folder` with other names stay. SpecError when `folder` cannot be written.
    """
    existed = folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=".cortico-", dir=folder))
    except OSError as error:
        raise SpecError(f"cannot write to folder {str(folder)!r}: {error.strerror}") from None
    finished = False
    try:
        yield staging
        with _interrupts_held():
            for path in sorted(staging.iterdir()):
                path.replace(folder / path.name)
        finished = True
    except OSError as error:
        raise SpecError(f"cannot write to folder {str(folder)!r}: {error.strerror}") from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        if not finished and not existed:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Hold Ctrl-C back for a moment, so that a set of files is replaced as a whole."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    seen: list[int] = []
    previous = signal.signal(signal.SIGINT, lambda number, _: seen.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
    if seen:
        raise KeyboardInterrupt
