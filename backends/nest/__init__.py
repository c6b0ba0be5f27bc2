"""The NEST backend: one standalone script that runs the circuit on NEST's own rate neurons."""

from __future__ import annotations

from cortico.backends.cells.backend import CellBackend
from cortico.backends.nest.options import Options
from cortico.ir import Effect, Population

__all__ = ["NestBackend", "Options"]

#: Units that a signal passes in a product (negative, quotient, sum) and in a quotient.
_PRODUCT, _QUOTIENT = 3, 2


class NestBackend(CellBackend[Options]):
    """Emits a PyNEST script, and runs it in a process of its own."""

    name = "nest"
    summary = "a NEST script: built-in rate neurons that settle to attention"
    title = "NEST"
    lacks = "which no rate neuron of NEST has"
    template = "cortico.backends.nest.template"
    exponentials = ("SMALLEST", "LARGEST")
    Options = Options

    def units(self, population: Population) -> int:
        """A sum, quotients, products, a transfer function."""
        effects = [compartment.effect for compartment in population.compartments]
        divisors = effects.count(Effect.DIVIDES)
        factors = len(effects) - divisors
        computed = _PRODUCT * max(factors - 1, 0) + _QUOTIENT * divisors
        own = 1 if computed and population.transfer != "identity" else 0
        return 1 + computed + own
