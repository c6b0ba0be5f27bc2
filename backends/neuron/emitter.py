"""Text of the emitted NEURON script, and the mechanisms beside it."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources

from cortico.backends.brian2.code import Coder
from cortico.backends.brian2.template import SETTLING_STEPS
from cortico.backends.cell_script import (
    BY_CELL,
    Engine,
    area_and_time,
    dendrites,
    emit_cell_script,
)
from cortico.backends.neuron.options import Options
from cortico.backends.neuron.template import CELL, CONSTANTS, HEADER, MAIN, NETWORK
from cortico.ir import Circuit, Effect, Population
from cortico.ir.rewrite import longest_chain

SCRIPT = "attention_neuron.py"
MECHANISMS = ("dendritic_product.mod", "rate_synapse.mod")


def _cell(coder: Coder, population: Population) -> Iterator[str]:
    yield from area_and_time(coder, population)
    yield from dendrites(coder, population)


ENGINE = Engine(
    header=HEADER,
    constants=CONSTANTS,
    main=MAIN,
    options=Options,
    network="\n".join((CELL, NETWORK, BY_CELL, SETTLING_STEPS)),
    settle="{chain}",
    cell=_cell,
    physiology=True,
)


def emit_script(circuit: Circuit, options: Options) -> str:
    """A standalone Python script that imports neuron and numpy and runs `circuit`."""
    chain = longest_chain(circuit, _compartments)
    return emit_cell_script(circuit, ENGINE, options.of_script(), chain)


def mechanisms() -> dict[str, str]:
    """File name to text of the mechanisms: the same for all circuits."""
    folder = resources.files("cortico.backends.neuron")
    return {name: folder.joinpath(name).read_text(encoding="utf-8") for name in MECHANISMS}


def _compartments(population: Population) -> int:
    """How many compartments of a cell a signal passes: a dendrite, products, the soma."""
    effects = [compartment.effect for compartment in population.compartments]
    divisors = effects.count(Effect.DIVIDES)
    factors = len(effects) - divisors
    if factors == 1 and not divisors and population.transfer == "identity":
        return 1
    return 2 + max(factors - 2, divisors - 1, 0)
