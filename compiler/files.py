"""Writing a folder of files so that an interrupted or failed run leaves what was there whole."""

from __future__ import annotations

import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cortico.ir.errors import SpecError


@contextmanager
def replacing_files(folder: Path) -> Iterator[Path]:
    """A temporary folder whose files move into `folder` when the block ends without an error.

    Files in `folder` with other names stay. SpecError when `folder` cannot be written.
    """
    with _readable_errors(folder), _created(folder):
        staging = Path(tempfile.mkdtemp(prefix=".cortico-", dir=folder))
        try:
            yield staging
            _require_replaceable(staging, folder)
            with interrupts_held():
                for path in sorted(staging.iterdir()):
                    path.replace(folder / path.name)
        finally:
            shutil.rmtree(staging, ignore_errors=True)


@contextmanager
def _readable_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except FileExistsError as error:
        raise SpecError(
            f"cannot write to folder {str(folder)!r}: {error.filename!r} is no folder"
        ) from None
    except OSError as error:
        raise SpecError(f"cannot write to folder {str(folder)!r}: {error.strerror}") from None


@contextmanager
def _created(folder: Path) -> Iterator[None]:
    """`folder` and those around it, created where they lack; removed again after an error."""
    created: list[Path] = []
    try:
        for each in (*reversed(folder.parents), folder):
            if not each.is_dir():
                each.mkdir(exist_ok=True)
                created.append(each)
        yield
    except BaseException:
        for each in reversed(created):
            with suppress(OSError):  # someone else may have put a file there
                each.rmdir()
        raise


def _require_replaceable(staging: Path, folder: Path) -> None:
    """A folder in a file's place would stop the replacing half way."""
    for path in staging.iterdir():
        target = folder / path.name
        if target.is_dir():
            raise SpecError(f"cannot write {str(target)!r}: it is a folder, expected a file")


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Hold Ctrl-C back for a moment, so that what must not stop half way does not."""
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
