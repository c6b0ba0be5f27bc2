"""Backends: what runs a circuit, or writes code or files of it."""

from cortico.backends.protocol import (
    Backend,
    Emitter,
    Exporter,
    Progress,
    Runner,
    backend_names,
    get_backend,
    get_runner,
    get_writer,
    require_support,
)

__all__ = [
    "Backend",
    "Emitter",
    "Exporter",
    "Progress",
    "Runner",
    "backend_names",
    "get_backend",
    "get_runner",
    "get_writer",
    "require_support",
]
