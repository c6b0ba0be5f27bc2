"""The simulators of cells: how tests run an emitted script of each, and how near a settled network must come."""

import atexit
import functools
import importlib.util
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from unittest import mock

import pytest

from cortico.backends import get_backend
from cortico.backends.neuron import mechanisms
from cortico.backends.neuron.running import compiled
from cortico.backends.script_running import run_in_folder
from cortico.ir import TRANSFERS, Unfold
from tests.backends.toy_simulator import ToyBackend
from tests.ir.circuits import attention


def missing(modules, tools=()):
    """What of these modules and programs is not installed."""
    return [
        *(module for module in modules if importlib.util.find_spec(module) is None),
        *(tool for tool in tools if shutil.which(tool) is None),
    ]


@dataclass(frozen=True, eq=False)
class Simulator:
    """A backend, and how its scripts are run. `exactly`: options with which a step brings all to rest."""

    name: str
    near: float  #: largest relative error
    missing: list[str]
    exactly: Mapping[str, object] = field(default_factory=dict)

    @property
    def needs(self):
        return pytest.mark.skipif(
            bool(self.missing), reason=f"{' and '.join(self.missing)} not installed"
        )

    def backend(self, **options):
        return get_backend(self.name, **options)

    def source(self, circuit, **options):
        """The emitted script."""
        return self.backend(**options).source(circuit)

    def load(self, circuit):
        """What an emitted script defines, in this process."""
        file = f"attention_{self.name}.py"
        namespace = {"__name__": file.removesuffix(".py"), "__file__": file}
        exec(compile(self.source(circuit), file, "exec"), namespace)
        return namespace

    def simulate(self, circuit, inputs, weights=None, **options):
        """Outputs of one example; `options` are arguments of the script's function."""
        given = {**values_of(circuit), **(weights or {})}
        return self.load(circuit)["simulate"](**inputs, weights=given, **options)

    def settle(self, circuit, inputs, weights=None):
        """The same, as exactly as can be."""
        return self.simulate(circuit, inputs, weights, **self.exactly)


def values_of(circuit):
    """The weights that a circuit has."""
    return {p.name: p.values for p in circuit.parameters if p.values is not None}


# ---- NEST ------------------------------------------------------------------------------------------

NEST = Simulator("nest", 1e-9, missing(["nest"]))

#: Fewer steps, and some digits less.
QUICK = {"tau": 0.1, "tolerance": 1e-12}

# ---- Nengo -----------------------------------------------------------------------------------------


class _Nengo(Simulator):
    def load(self, circuit):
        """Nengo keeps no decoders in the user's home."""
        import nengo

        nengo.rc.set("decoder_cache", "enabled", "False")
        return super().load(circuit)


NENGO = _Nengo("nengo", 1e-14, missing(["nengo"]))

# ---- NEURON: the mechanisms are compiled once ------------------------------------------------------

#: What OpenMPI wants to hear before it starts two processes as root, or on one core.
MPI = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
}
needs_mpi = pytest.mark.skipif(shutil.which("mpiexec") is None, reason="mpiexec not installed")


def all_functions():
    """A circuit with a population for each function that the mechanisms may have."""
    (first, *_) = attention().populations
    names = [name for name, transfer in TRANSFERS.items() if transfer.neuron is not None]
    populations = (replace(first, name=f"p_{name}", transfer=name) for name in names)
    axes = tuple(
        replace(axis, unfold=Unfold.TIME) for axis in attention().axes
    )  # and for what is stored
    return replace(attention(), axes=axes, populations=tuple(populations))


@functools.cache
def load_neuron():
    """Load NEURON with the mechanisms, once for this process."""
    os.environ["NEURON_MODULE_OPTIONS"] = "-nogui"
    import neuron

    neuron.load_mechanisms(str(compiled(tuple(mechanisms(all_functions()).items()))))


class _Neuron(Simulator):
    def load(self, circuit):
        load_neuron()
        return super().load(circuit)


NEURON = _Neuron("neuron", 1e-12, missing(["neuron"], ["g++"]), {"dt": 1e8})

# ---- ANNarchy: each script in a process of its own, compiled quickly, all in one folder ------------


@functools.cache
def folder():
    """Where networks are compiled, one after another: what does not depend on them is compiled once."""
    made = Path(tempfile.mkdtemp(prefix="cortico-annarchy-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    compiler = made / "tools" / "g++"
    compiler.parent.mkdir()
    compiler.write_text(f'#!/bin/sh\nexec {shutil.which("g++")} "$@" -O0\n', encoding="utf-8")
    compiler.chmod(0o755)
    return made


def without_optimisation():
    """The PATH on which g++ is called with -O0: compiling takes half of the time."""
    return f"{folder() / 'tools'}{os.pathsep}{os.environ['PATH']}"


class _Annarchy(Simulator):
    def simulate(self, circuit, inputs, weights=None, **options):
        """Outputs of a batch; `options` are the backend's."""
        source, given = self.source(circuit, **options), {**values_of(circuit), **(weights or {})}
        with mock.patch.dict(os.environ, PATH=without_optimisation()):
            return run_in_folder(source, inputs, given, folder(), "the ANNarchy network")


TOOLS = ("g++", "cmake", "make")
ANNARCHY = _Annarchy("annarchy", 1e-12, missing(["ANNarchy"], TOOLS), {"dt": 1e8})

# ---- what anybody could add ------------------------------------------------------------------------


class _Toy(Simulator):
    def backend(self, **options):
        return ToyBackend(**options)


TOY = _Toy("toy", 1e-12, [], {"dt": 1.0, "tau": 1.0})

#: Those whose scripts run in this process, as parameters of a test.
IN_PROCESS = [pytest.param(s, marks=s.needs, id=s.name) for s in (NEURON, NEST, NENGO, TOY)]
CELL_BY_CELL = (NEURON, NEST, ANNARCHY, NENGO)
