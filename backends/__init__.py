"""Backends: what runs a circuit, or writes code or files of it."""

from cortico.backends.protocol import (
    Backend,
    Emitter,
    Exporter,
    NetworkEmitter,
    NetworkExporter,
    NetworkRunner,
    Progress,
    Runner,
    backend_names,
    get_backend,
    get_runner,
    get_writer,
    goes_by_blocks,
    require_network_support,
    require_support,
    run_network,
)

__all__ = [
    "Backend",
    "Emitter",
    "Exporter",
    "NetworkEmitter",
    "NetworkExporter",
    "NetworkRunner",
    "Progress",
    "Runner",
    "backend_names",
    "get_backend",
    "get_runner",
    "get_writer",
    "goes_by_blocks",
    "require_network_support",
    "require_support",
    "run_network",
]
