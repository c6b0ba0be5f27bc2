"""Optional libraries: one readable line where one is missing."""

from __future__ import annotations

from importlib.util import find_spec

from cortico.ir.errors import UnsupportedError


def require_extra(backend: str, module: str) -> None:
    """UnsupportedError that says what to install when `module` is not there.

    The extra of a backend is called as the backend is.
    """
    if find_spec(module) is None:
        raise UnsupportedError(
            f"backend {backend!r} needs {module}: pip install 'cortico[{backend}]'"
        )
