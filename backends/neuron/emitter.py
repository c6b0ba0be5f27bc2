"""Text of the emitted NEURON script, and the mechanisms beside it."""

from __future__ import annotations

import functools
import json
import textwrap
from collections.abc import Iterator, Mapping
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
from cortico.backends.transfers import brought
from cortico.ir import TRANSFERS, Circuit, Effect, Population
from cortico.ir.rewrite import longest_chain

SCRIPT = "attention_neuron.py"
MECHANISMS = ("dendritic_product.mod", "rate_synapse.mod")


def _cell(coder: Coder, population: Population) -> Iterator[str]:
    yield from area_and_time(coder, population)
    yield from dendrites(coder, population)


def _numbers(circuit: Circuit | None) -> dict[str, int]:
    """The number of each function in the mechanism of cells."""
    places = {name: place for place, name in enumerate(TRANSFERS)}
    return {transfer.name: places[transfer.name] for transfer in brought(circuit, "neuron")}


def _constants(circuit: Circuit) -> str:
    return CONSTANTS.format(transfers=json.dumps(_numbers(circuit)))


ENGINE = Engine(
    header=HEADER,
    constants=_constants,
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


def mechanisms(circuit: Circuit | None = None) -> dict[str, str]:
    """File name to text of the mechanisms; a circuit may add transfer functions to those that all have."""
    folder, numbers = resources.files("cortico.backends.neuron"), _numbers(circuit)
    names = ", ".join(f"{number} {name}" for name, number in numbers.items())
    filled = {"@NAMES@": names, "@BRANCHES@": _branches(numbers)}
    found = {}
    for file in MECHANISMS:
        text = folder.joinpath(file).read_text(encoding="utf-8")
        found[file] = functools.reduce(lambda t, pair: t.replace(*pair), filled.items(), text)
    return found


def _branches(numbers: Mapping[str, int]) -> str:
    """NMODL that changes f = x as the function of the cell does; NaN for one that it lacks."""
    bodies = {number: TRANSFERS[name].neuron for name, number in numbers.items()}
    cases = (
        f"if (transfer == {number}) {{\n{textwrap.indent(body, ' ' * 4)}\n}}"
        for number, body in bodies.items()
        if body
    )
    lacking = f"if (transfer != 0) {{\n{' ' * 4}f = sqrt(-1)\n}}"
    return textwrap.indent(" else ".join((*cases, lacking)), " " * 4)


def _compartments(population: Population) -> int:
    """How many compartments of a cell a signal passes: a dendrite, products, the soma."""
    effects = [compartment.effect for compartment in population.compartments]
    divisors = effects.count(Effect.DIVIDES)
    factors = len(effects) - divisors
    if factors == 1 and not divisors and population.transfer == "identity":
        return 1
    return 2 + max(factors - 2, divisors - 1, 0)
