"""Writing files so that an interrupted or failed run leaves what was there whole.

Nothing that is there with other content is replaced without `force`; the same content is fine.
"""

from __future__ import annotations

import errno
import filecmp
import hashlib
import logging
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cortico.ir.errors import CircuitError, SpecError

try:
    from fcntl import LOCK_EX, LOCK_NB, flock
except ImportError:  # Windows has no such locks: what a killed run left is not found there
    flock = None  # type: ignore[assignment]

#: What ends a run from outside: Ctrl-C, `kill`, and a terminal that is closed.
ENDING = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)

#: How the names of temporary folders begin.
_UNFINISHED = ".cortico-unfinished-"

#: A full disk, a quota, the largest file that is allowed: not the fault of what was asked for.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)

_log = logging.getLogger("cortico")


@contextmanager
def replacing_files(folder: Path, *, force: bool = False) -> Iterator[Path]:
    """A temporary folder whose files move into `folder` when the block ends without an error.

    Files in `folder` with other names stay. SpecError when `folder` cannot be written, and, without
    `force`, when a file of one of the names is there with other content. OSError when the disk is full.
    """
    with _readable_errors(folder), _created(folder), _staging(folder) as staging:
        yield staging
        _require_replaceable(staging, folder, force)
        with interrupts_held():
            for path in sorted(staging.iterdir()):
                path.replace(folder / path.name)


def write_text(path: Path, text: str, *, force: bool = False) -> None:
    """Write one file of text, as `replacing_files` does."""
    with replacing_files(path.parent, force=force) as staging:
        (staging / path.name).write_text(text, encoding="utf-8")


def require_new(folder: Path, names: Iterable[str]) -> None:
    """SpecError when a file of one of these names is in `folder`: what is said before long work."""
    _refuse([folder / name for name in names if (folder / name).exists()])


def sha256(path: Path) -> str:
    """The SHA-256 of a file in hexadecimal; the file may be larger than memory."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digests(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file in a folder, by its name."""
    return {path.name: sha256(path) for path in sorted(folder.iterdir())}


# ---- what may be replaced ------------------------------------------------------------------------


def _require_replaceable(staging: Path, folder: Path, force: bool) -> None:
    """SpecError where a folder or device is in a file's place, or, without `force`, other content."""
    pairs = [(path, folder / path.name) for path in sorted(staging.iterdir())]
    for _, target in pairs:
        if target.exists() and not target.is_file():
            kind = "a folder" if target.is_dir() else "no plain file"
            raise SpecError(f"cannot write {str(target)!r}: it is {kind}, expected a file")
    if not force:
        _refuse(
            [old for new, old in pairs if old.exists() and not filecmp.cmp(new, old, shallow=False)]
        )


def _refuse(others: list[Path]) -> None:
    """SpecError that names the first of these, if there are any."""
    if others:
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        raise SpecError(
            f"{str(others[0])!r}{more} would be replaced by other content: "
            "choose another place, or --force (in Python force=True)"
        )


# ---- folders -------------------------------------------------------------------------------------


@contextmanager
def _readable_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except FileExistsError as error:
        raise SpecError(
            f"cannot write to folder {str(folder)!r}: {error.filename!r} is no folder"
        ) from None
    except (OSError, CircuitError) as error:
        cause = error if isinstance(error, OSError) else error.__cause__  # of `save_circuit`
        if not isinstance(cause, OSError):
            raise
        if cause.errno in _NO_ROOM:
            raise OSError(cause.errno, os.strerror(cause.errno), str(folder)) from None
        raise SpecError(f"cannot write to folder {str(folder)!r}: {cause.strerror}") from None


@contextmanager
def _created(folder: Path) -> Iterator[None]:
    """`folder` and those around it, created where they lack; removed again after an error."""
    created: list[Path] = []
    try:
        for each in (*reversed(folder.parents), folder):
            if not each.is_dir():
                with interrupts_held():
                    each.mkdir(exist_ok=True)
                    created.append(each)
        yield
    except BaseException:
        for each in reversed(created):
            with suppress(OSError):  # someone else may have put a file there
                each.rmdir()
        raise


@contextmanager
def _staging(folder: Path) -> Iterator[Path]:
    """A temporary folder in `folder`, locked while this process lives; removed at the end."""
    _remove_unfinished(folder)
    made: list[tuple[Path, int | None]] = []
    try:
        with interrupts_held():
            made.append(_locked_folder(folder))
        yield made[0][0]
    finally:
        with interrupts_held():
            for staging, lock in made:
                shutil.rmtree(staging, ignore_errors=True)
                if lock is not None:
                    os.close(lock)


def _locked_folder(folder: Path) -> tuple[Path, int | None]:
    """A new folder and its lock. Another run may remove it before it is locked: then once more."""
    while True:
        staging = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=folder))
        lock = _lock(staging, wait=True)
        if staging.is_dir():
            return staging, lock
        if lock is not None:
            os.close(lock)


def _remove_unfinished(folder: Path) -> None:
    """Remove, and say so, what runs that were killed left in `folder`: nobody holds its lock."""
    for path in sorted(folder.glob(f"{_UNFINISHED}*")):
        lock = _lock(path, wait=False)
        if lock is not None:
            shutil.rmtree(path, ignore_errors=True)
            os.close(lock)
            if not path.exists():
                _log.warning("removed %r, left by a run that was killed", str(path))


def _lock(folder: Path, wait: bool) -> int | None:
    """An open folder with its lock, which ends with the process. None where it cannot be had."""
    if flock is None:
        return None
    try:
        opened = os.open(folder, os.O_RDONLY)
    except OSError:  # gone, or another user's
        return None
    try:
        flock(opened, LOCK_EX if wait else LOCK_EX | LOCK_NB)
    except OSError:  # held by a run that lives, or a file system without locks
        os.close(opened)
        return None
    return opened


# ---- signals -------------------------------------------------------------------------------------


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Hold Ctrl-C and the like back for a moment, so that what must not stop half way does not."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    seen: list[int] = []
    heard = [each for each in ENDING if signal.getsignal(each) not in (signal.SIG_IGN, None)]
    previous = {each: signal.signal(each, lambda number, _: seen.append(number)) for each in heard}
    try:
        yield
    finally:
        for each, handler in previous.items():
            signal.signal(each, handler)
    if seen:
        signal.raise_signal(seen[0])
