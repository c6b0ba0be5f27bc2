"""Networks in JAX: `file` is the emitted file, `template` has its helpers."""

from cortico.backends.jax.network.file import emit_network

__all__ = ["emit_network"]
