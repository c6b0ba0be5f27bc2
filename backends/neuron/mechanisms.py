"""The mechanisms beside an emitted NEURON script, with the transfer functions of its circuit."""

from __future__ import annotations

import functools
import textwrap
from collections.abc import Mapping
from importlib import resources

from cortico.backends.transfers import brought
from cortico.ir import TRANSFERS, Circuit

FILES = ("dendritic_product.mod", "rate_synapse.mod")
STORING = "storing_synapse.mod"  #: where tokens come one after another


def function_numbers(circuit: Circuit | None) -> dict[str, int]:
    """The number of each function in the mechanism of cells."""
    places = {name: place for place, name in enumerate(TRANSFERS)}
    return {transfer.name: places[transfer.name] for transfer in brought(circuit, "neuron")}


def mechanisms(circuit: Circuit | None = None) -> dict[str, str]:
    """File name to text of the mechanisms; a circuit may add transfer functions to those that all have,
    and synapses that store."""
    folder, numbers = resources.files("cortico.backends.neuron"), function_numbers(circuit)
    names = ", ".join(f"{number} {name}" for name, number in numbers.items())
    filled = {"@NAMES@": names, "@BRANCHES@": _branches(numbers)}
    found = {}
    in_time = circuit is not None and circuit.presents_tokens
    for file in (*FILES, *[STORING] * in_time):
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
