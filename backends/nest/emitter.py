"""Text of the emitted NEST script."""

from __future__ import annotations

from cortico.backends.cell_script import BY_CELL, Engine, dendrites, emit_cell_script
from cortico.backends.nest.options import Options
from cortico.backends.nest.template import CONSTANTS, HEADER, MAIN, NETWORK
from cortico.backends.transfers import function_table
from cortico.ir import Circuit, Effect, Population
from cortico.ir.rewrite import longest_chain

SCRIPT = "attention_nest.py"

ENGINE = Engine(
    header=HEADER,
    constants=lambda circuit: CONSTANTS + function_table(circuit, "nest"),
    main=MAIN,
    options=Options,
    network=f"{NETWORK}\n{BY_CELL}",
    settle="",
    cell=dendrites,
    physiology=False,
)

#: Units that a signal passes in a product (negative, quotient, sum) and in a quotient.
_PRODUCT, _QUOTIENT = 3, 2


def emit_script(circuit: Circuit, options: Options) -> str:
    """A standalone Python script that imports nest and numpy and runs `circuit`."""
    chain = longest_chain(circuit, _units)
    return emit_cell_script(circuit, ENGINE, vars(options), chain)


def _units(population: Population) -> int:
    """How many units of a cell a signal passes: a sum, quotients, products, a transfer function."""
    effects = [compartment.effect for compartment in population.compartments]
    divisors = effects.count(Effect.DIVIDES)
    factors = len(effects) - divisors
    computed = _PRODUCT * max(factors - 1, 0) + _QUOTIENT * divisors
    own = 1 if computed and population.transfer != "identity" else 0
    return 1 + computed + own
