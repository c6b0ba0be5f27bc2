"""Optional libraries: one readable line where one is missing."""

from __future__ import annotations

import importlib.util

from cortico.ir.errors import UnsupportedError


def require_extra(backend: str, module: str, library: str = "") -> None:
    """UnsupportedError that says what to install when `module`, of a `library`, is not there.

    The extra of a backend is called as the backend is.
    """
    if importlib.util.find_spec(module) is None:
        raise UnsupportedError(
            f"backend {backend!r} needs {library or module}: pip install 'cortico[{backend}]'"
        )
