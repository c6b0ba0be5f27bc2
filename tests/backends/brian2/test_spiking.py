"""Spiking cells: they code the rates they stand for, better with more of them, and say what they cannot."""

import numpy as np
import pytest

from cortico.backends import get_backend
from cortico.backends.brian2 import Options, emit_script
from cortico.ir import SpecError
from cortico.lowering import lower
from cortico.spec import AttentionSpec, Kernel
from cortico.spec.weights import random_weights
from tests.backends.brian2.simulation import simulate
from tests.cases import CASES
from tests.oracle import textbook_attention

SPEC = AttentionSpec(model=2, heads=1, kernel=Kernel.LINEAR, name="spiking head")


def error(neurons, seed, duration=300.0):
    """Root mean square error of the outputs over their root mean square."""
    weights = random_weights(SPEC, seed)
    x = np.random.default_rng(seed).standard_normal((3, 2))
    options = {"cells": "lif", "neurons": neurons, "seed": seed, "dt": 0.5, "duration": duration}
    outputs, _ = simulate(lower(SPEC, weights), {"x": x}, backend_options=options)
    expected = textbook_attention(SPEC, weights, x)
    return np.sqrt(((outputs["y"] - expected) ** 2).mean() / (expected**2).mean())


@pytest.mark.full
def test_more_cells_code_better():
    """Independent phases: the error falls as one over the root of their number, here from 4 to 64."""
    few, many = (np.sqrt(np.mean([error(k, s) ** 2 for s in range(3)])) for k in (4, 64))
    assert many < 0.05
    assert 1.5 < few / many < 12  # 4 is expected


@pytest.mark.full
def test_a_rate_that_does_not_change_is_coded_without_bias():
    """Relay cells hear only the input: their mean rate is the input to a few spikes."""
    weights, x = random_weights(SPEC, 0), np.array([[0.5, -1.0], [1.5, 0.0], [-0.2, 1.0]])
    source = emit_script(lower(SPEC, weights), Options(cells="lif"))
    assert "REFRACTORY" in source
    options = {"cells": "lif", "neurons": 50, "dt": 0.5, "duration": 800.0}
    _, activity = simulate(
        lower(SPEC, weights), {"x": x}, backend_options=options, monitor=["matrix_query"]
    )
    late = activity["matrix_query"][activity["t_ms"] > activity["t_ms"][-1] - 400]
    assert np.abs(late.mean(axis=0) - x).max() < 0.01
    assert late.std(axis=0).max() > 1e-3  # it is made of spikes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cells": "spiking"}, "option cells"),
        ({"cells": "lif", "neurons": 0}, "option neurons .* a number from 1 on, found 0"),
        ({"cells": "lif", "neurons": 2.5}, "option neurons"),
        ({"cells": "lif", "peak": -1}, "option peak"),
        ({"cells": "lif", "method": "euler"}, "integrated by exponential_euler only"),
        ({"cells": "lif", "target": "cpp_standalone"}, "not C\\+\\+"),
        ({"form": "fast", "target": "cpp_standalone"}, "not C\\+\\+"),
        ({"form": "quick"}, "option form"),
        ({"seed": -1}, "option seed"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(SpecError, match=message):
        get_backend("brian2", **options)


def test_axes_in_time_are_refused():
    (case,) = [case for case in CASES if case.name == "memory"]
    circuit = lower(case.spec, case.weights)
    backend = get_backend("brian2", cells="lif")
    assert backend.unsupported(circuit) == ["axes in time, which cells=lif has not"]
