"""Emitted NEURON scripts, run in this process; the mechanisms are compiled once."""

import functools
import importlib.util
import os
import shutil
from dataclasses import replace

import pytest

from cortico.backends.neuron import Options, emit_script, mechanisms
from cortico.backends.neuron.running import compiled
from cortico.ir import TRANSFERS
from tests.ir.circuits import attention

MISSING = [
    what
    for what, there in (
        ("neuron", importlib.util.find_spec("neuron")),
        ("a C++ compiler", shutil.which("g++")),
    )
    if not there
]
needs_neuron = pytest.mark.skipif(bool(MISSING), reason=f"{' and '.join(MISSING)} not installed")
needs_mpi = pytest.mark.skipif(shutil.which("mpiexec") is None, reason="mpiexec not installed")

#: A step brings each compartment to rest.
SYNCHRONOUS = {"dt": 1e8}

#: What OpenMPI wants to hear before it starts two processes as root, or on one core.
MPI = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
}


def all_functions():
    """A circuit with a population for each function that the mechanisms may have."""
    (first, *_) = attention().populations
    names = [name for name, transfer in TRANSFERS.items() if transfer.neuron is not None]
    populations = (replace(first, name=f"p_{name}", transfer=name) for name in names)
    return replace(attention(), populations=tuple(populations))


@functools.cache
def load_neuron():
    """Load NEURON with the mechanisms, once for this process."""
    os.environ["NEURON_MODULE_OPTIONS"] = "-nogui"
    import neuron

    neuron.load_mechanisms(str(compiled(tuple(mechanisms(all_functions()).items()))))


def load(circuit):
    """What an emitted script defines."""
    load_neuron()
    namespace = {"__name__": "attention_neuron", "__file__": "attention_neuron.py"}
    exec(compile(emit_script(circuit, Options()), "attention_neuron.py", "exec"), namespace)
    return namespace


def simulate(circuit, inputs, weights=None, **options):
    """Outputs of one example; `options` are arguments of the script's function."""
    known = {p.name: p.values for p in circuit.parameters if p.values is not None}
    weights = {**known, **(weights or {})}
    return load(circuit)["simulate"](**inputs, weights=weights, **options)
