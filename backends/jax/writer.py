"""How expressions on arrays read in JAX."""

from __future__ import annotations

from cortico.backends.arrays.writer import Writer


class JaxWriter(Writer):
    """Text of `jax.numpy` expressions."""

    library = "jnp"
    attend_arguments = ("mesh=mesh",)

    def differences(self, left: str, right: str) -> str:
        return f"({self.positions(left)}[:, None] - {self.positions(right)})"

    def transfer(self, name: str, argument: str) -> str:
        return super().transfer(name, argument).replace("np.", "jnp.", 1)
