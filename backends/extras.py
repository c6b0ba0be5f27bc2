"""Optional libraries: one readable line where one is missing, and one kind of error for all."""

from __future__ import annotations

import functools
import importlib.util
import sys
from importlib.metadata import EntryPoints, entry_points

from cortico.ir.errors import UnsupportedError


def require_extra(backend: str, module: str, library: str = "") -> None:
    """`require_library` for a backend, whose extra is called as the backend is."""
    require_library(f"backend {backend!r}", module, backend, library)


def require_library(what: str, module: str, extra: str, library: str = "") -> None:
    """UnsupportedError that says what to install when `module`, of a `library`, is not there."""
    if not is_installed(module):
        raise UnsupportedError(f"{what} needs {library or module}: pip install 'cortico[{extra}]'")


def is_installed(module: str) -> bool:
    """Whether a library can be found; it is not imported."""
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):  # a finder refuses it, or it is switched off in sys.modules
        return False


def plugins(group: str) -> EntryPoints:
    """What is installed under the entry points of that group."""
    return _plugins(group, tuple(sys.path))


@functools.cache  # a look at everything that is installed takes 20 ms
def _plugins(group: str, path: tuple[str, ...]) -> EntryPoints:
    return entry_points(group=group)
