"""The NEST backend: one standalone script that runs the circuit on NEST's own rate neurons."""

from __future__ import annotations

import math

from cortico.backends.cells.backend import CellBackend
from cortico.backends.nest.in_time import InTime
from cortico.backends.nest.options import Options
from cortico.ir import Circuit, Effect, Population
from cortico.ir.rewrite import longest_chain

__all__ = ["NestBackend", "Options"]

#: Units that a signal passes in a product (negative, quotient, sum) and in a quotient.
_PRODUCT, _QUOTIENT = 3, 2

#: The same in transfer functions that are circuits of units: behind a negative, and in a sigmoid and a product.
_CIRCUITS = {"sqrt": 2, "silu": 1 + _PRODUCT}

#: What is left to products after a step: a quarter, whatever the step (HEADROOM of the script).
_LEAST_LEFT = 0.25


class NestBackend(CellBackend[Options]):
    """Emits a PyNEST script, and runs it in a process of its own."""

    name = "nest"
    summary = "a NEST script: built-in rate neurons that settle to attention"
    title = "NEST"
    lacks = "which no rate neuron of NEST has"
    template = "cortico.backends.nest.template.network"
    template_of_tokens = "cortico.backends.nest.template.presented"
    memory_units = 1
    exponentials = ("SMALLEST", "LARGEST")
    Options = Options
    in_time = True
    writer_in_time = InTime

    def steps(self, circuit: Circuit) -> float | None:
        """A stage after another, each as long as `tolerance` takes; None for tokens one after another."""
        if circuit.presents_tokens:
            return None
        left = math.exp(-self.options.dt / self.options.tau)
        each = 1 + math.log(self.options.tolerance) / math.log(max(left, _LEAST_LEFT))
        return each * longest_chain(circuit, self.units)

    def units(self, population: Population) -> int:
        """A sum, quotients, products, a transfer function."""
        effects = [compartment.effect for compartment in population.compartments]
        divisors = effects.count(Effect.DIVIDES)
        factors = len(effects) - divisors
        computed = _PRODUCT * max(factors - 1, 0) + _QUOTIENT * divisors
        own = 1 if computed and population.transfer != "identity" else 0
        return 1 + computed + _CIRCUITS.get(population.transfer, own)
