"""Optional libraries: one readable line where one is missing, and one kind of error for all."""

from __future__ import annotations

import importlib.util

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
