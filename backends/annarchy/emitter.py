"""Text of the emitted ANNarchy script."""

from __future__ import annotations

from collections.abc import Iterator

from cortico.backends.annarchy.neurons import (
    arguments,
    definitions,
    neuron_types,
    with_plain_names,
)
from cortico.backends.annarchy.options import Options
from cortico.backends.annarchy.template import CONSTANTS, HEADER, MAIN, NETWORK
from cortico.backends.brian2.code import Coder
from cortico.backends.brian2.template import SETTLING_STEPS
from cortico.backends.cell_script import (
    BY_CELL,
    Engine,
    drive,
    emit_cell_script,
    time_constant,
)
from cortico.ir import Circuit, Population
from cortico.ir.rewrite import longest_chain

SCRIPT = "attention_annarchy.py"


def _cell(coder: Coder, population: Population) -> Iterator[str]:
    """The type of the neurons, their time constant, what drives each compartment from outside."""
    circuit = coder.circuit
    yield f"neuron={neuron_types(circuit)[arguments(circuit, population)]}"
    yield time_constant(population)
    for compartment in population.compartments:
        if compartment.drive:
            yield f"{compartment.name}_drive={drive(coder, compartment)}"


ENGINE = Engine(
    header=HEADER,
    constants=lambda circuit: f"{CONSTANTS}\n{definitions(circuit)}",
    main=MAIN,
    options=Options,
    network="\n".join((NETWORK, BY_CELL, SETTLING_STEPS)),
    settle="{chain}",
    cell=_cell,
    physiology=True,
    reuses=True,
)


def emit_script(circuit: Circuit, options: Options) -> str:
    """A standalone Python script that imports ANNarchy and numpy and runs `circuit`."""
    circuit = with_plain_names(circuit)
    chain = longest_chain(circuit, lambda population: 1)
    return emit_cell_script(circuit, ENGINE, options.of_script(), chain)
