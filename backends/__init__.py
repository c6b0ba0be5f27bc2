"""Backends: what runs a circuit, or emits code that does."""

from cortico.backends.protocol import Backend, backend_names, get_backend, require_support

__all__ = ["Backend", "backend_names", "get_backend", "require_support"]
