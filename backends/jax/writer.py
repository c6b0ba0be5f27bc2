"""How expressions on arrays read in JAX."""

from __future__ import annotations

from cortico.backends.arrays.writer import Writer


class JaxWriter(Writer):
    """Text of `jax.numpy` expressions."""

    library = "jnp"
    language = "jax"
    attend_arguments: tuple[str, ...] = ("mesh=mesh",)

    def differences(self, left: str, right: str) -> str:
        return f"({self.positions(left)}[:, None] - {self.positions(right)})"

    def rows(self, table: str, ids: str, sides: int) -> str:
        return f"jnp.take({table}, {ids}, axis=0)"
