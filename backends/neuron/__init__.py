"""The NEURON backend: a script and two mechanisms that run the circuit, on one or many MPI processes.

`mechanisms` writes the mechanisms, `running` compiles them and runs the script.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

import numpy as np

from cortico.backends.cells.backend import CellBackend
from cortico.backends.cells.coder import Coder
from cortico.backends.cells.script import area_and_time, dendrites
from cortico.backends.cells.start import slowest, steps_to_settle
from cortico.backends.neuron.mechanisms import function_numbers, mechanisms
from cortico.backends.neuron.options import Options
from cortico.backends.neuron.running import require_neuron, run_script
from cortico.ir import Circuit, Effect, Population
from cortico.ir.analysis.inputs import Arrays

__all__ = ["NeuronBackend", "Options", "mechanisms"]


class NeuronBackend(CellBackend[Options]):
    """Emits a NEURON script with its mechanisms, and runs them in processes of their own."""

    name = "neuron"
    summary = "a NEURON script and mechanisms: one-segment compartments, over MPI"
    title = "NEURON"
    lacks = "which no mechanism of NEURON settles to"
    exponentials = ("TINY", "np.exp(699)")  # beyond 700, NEURON's exp stays at e^700
    template = "cortico.backends.neuron.template.network"
    template_of_tokens = "cortico.backends.neuron.template.presented"
    of_tokens = ("token_ms",)
    Options = Options
    physiology = settles_by_depth = waits = True

    def arguments(self) -> dict[str, object]:
        return {name: value for name, value in super().arguments().items() if name != "ranks"}

    def values(self, circuit: Circuit) -> str:
        return f"TRANSFERS = {json.dumps(function_numbers(circuit))}"

    def cell(self, coder: Coder, population: Population) -> Iterator[str]:
        yield from area_and_time(coder, population)
        yield from dendrites(coder, population)

    def units(self, population: Population) -> int:
        """A dendrite, products, the soma."""
        effects = [compartment.effect for compartment in population.compartments]
        divisors = effects.count(Effect.DIVIDES)
        factors = len(effects) - divisors
        if factors == 1 and not divisors and population.transfer == "identity":
            return 1
        return 2 + max(factors - 2, divisors - 1, 0)

    def steps(self, circuit: Circuit) -> int | None:
        """As the script counts them; None for tokens one after another."""
        if circuit.presents_tokens:
            return None
        dt = self.options.dt
        part = dt / (dt + (self.options.tau or slowest(circuit)))
        return steps_to_settle(circuit, self.units, part, self.options.tolerance)

    def emit(self, circuit: Circuit) -> Mapping[str, str]:
        return {**super().emit(circuit), **mechanisms(circuit)}

    def require(self) -> None:
        require_neuron(self.options.ranks)

    def outputs(
        self, files: Mapping[str, str], inputs: Arrays, weights: Arrays
    ) -> dict[str, np.ndarray]:
        return run_script(files, self.script, inputs, weights, self.options.ranks)
