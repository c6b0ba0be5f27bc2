"""Emitted scripts, run in this process: what the tests of Brian2 share."""

import contextlib
import io

import numpy as np

from cortico.backends.brian2 import Options, emit_script, load_simulate

#: A step is one synchronous update of all cells: the network settles exactly in as many as it is deep.
SYNCHRONOUS = {"method": "euler", "dt": 10.0, "tau": 10.0}
#: Integrated in time, ten steps to a membrane time constant.
IN_TIME = {"method": "exponential_euler", "dt": 1.0, "tau": 10.0}


def simulate(circuit, inputs, weights=None, backend_options=None, **options):
    """Outputs and activity of one example; `options` are arguments of the script's function."""
    known = {p.name: p.values for p in circuit.parameters if p.values is not None}
    function = load_simulate(emit_script(circuit, Options(**(backend_options or {}))))
    with contextlib.redirect_stderr(io.StringIO()):
        return function(**inputs, weights={**known, **(weights or {})}, **options)


def second_example(case):
    """One example of a case, without a batch axis."""
    return {name: array[1] for name, array in case.inputs.items()}


def relative_error(found, expected):
    return float(np.abs(found - expected).max() / np.abs(expected).max())
