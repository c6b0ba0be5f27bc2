"""The ANNarchy backend: one standalone script with the equations of every kind of neuron.

`neurons` writes the equations, `running` runs the script.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np

from cortico.backends.annarchy.neurons import NeuronTypes, with_plain_names
from cortico.backends.annarchy.options import Options
from cortico.backends.annarchy.running import require_annarchy, run_script
from cortico.backends.cells.backend import CellBackend
from cortico.backends.cells.coder import Coder
from cortico.backends.cells.script import drive, time_constant
from cortico.backends.cells.start import slowest, steps_to_settle
from cortico.backends.cells.timed import is_timed
from cortico.ir import Circuit, Population
from cortico.ir.analysis.inputs import Arrays

__all__ = ["AnnarchyBackend", "Options"]


class AnnarchyBackend(CellBackend[Options]):
    """Emits an ANNarchy script, and runs it in a process of its own."""

    name = "annarchy"
    summary = "an ANNarchy script: the equations as they are, compiled to C++"
    title = "ANNarchy"
    lacks = "which networks of ANNarchy do not settle to"
    exponentials = ("SILENT", "np.finfo(float).max")
    template = "cortico.backends.annarchy.template"
    template_in_time = "cortico.backends.annarchy.template_in_time"
    in_time = True
    Options = Options
    physiology = reuses = settles_by_depth = waits = True

    def arguments(self) -> dict[str, object]:
        return {**super().arguments(), "folder": "."}

    def flags(self) -> str:
        return super().flags() + (
            'parser.add_argument("--folder", default=".", help="where ANNarchy makes its folder")\n'
        )

    def types(self, circuit: Circuit) -> NeuronTypes:
        timed = is_timed(circuit, self.options)
        return NeuronTypes(circuit, timed, timed and self.options.prospective)

    def values(self, circuit: Circuit) -> str:
        return self.types(circuit).definitions()

    def cell(self, coder: Coder, population: Population) -> Iterator[str]:
        """The type of the neurons, their time constant, what drives each compartment from outside."""
        yield f"neuron={self.types(coder.circuit).name(population)}"
        yield time_constant(population)
        for compartment in population.compartments:
            if compartment.drive:
                yield f"{compartment.name}_drive={drive(coder, compartment)}"

    def steps(self, circuit: Circuit) -> int:
        part = 1 - math.exp(-self.options.dt / (self.options.tau or slowest(circuit)))
        return steps_to_settle(circuit, self.units, part, self.options.tolerance)

    def onset(self, circuit: Circuit, after: int) -> str:
        return f"onset=onset(network, {after}, {slowest(circuit)})"

    def started(self, circuit: Circuit, last: int) -> Iterator[str]:
        yield f"run_until(network, onset(network, {last}, {slowest(circuit)}))"

    def source(self, circuit: Circuit) -> str:
        return super().source(with_plain_names(circuit))

    def require(self) -> None:
        require_annarchy()

    def outputs(
        self, files: Mapping[str, str], inputs: Arrays, weights: Arrays
    ) -> dict[str, np.ndarray]:
        return run_script(files[self.script], inputs, weights)
