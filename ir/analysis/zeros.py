"""What is exactly zero: weights, parts of weights, and rates of neurons that nothing drives."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cortico.ir.analysis.constants import stored_of, values_of
from cortico.ir.circuit import Circuit, resolve
from cortico.ir.population import Population
from cortico.ir.tensors import Weight
from cortico.ir.transfer import TRANSFERS


def live_along(circuit: Circuit, weight: Weight, axes: Sequence[str]) -> np.ndarray:
    """Where a weight is not known to be zero: a boolean array over `axes`, which have numbers.

    An index counts as live when any entry of the tensor at it may differ from zero.
    """
    shape = [resolve(circuit.axis(axis).extent, {}) for axis in axes]
    if weight.gain.coefficient == 0:
        return np.zeros(shape, dtype=bool)
    known, support = _support(circuit, weight)
    mine = [axis for axis in axes if axis in known]
    others = tuple(k for k, axis in enumerate(known) if axis not in mine)
    kept = [axis for axis in known if axis in mine]
    live = np.transpose(support.any(axis=others), [kept.index(axis) for axis in mine])
    spread = live.reshape([size if a in mine else 1 for a, size in zip(axes, shape, strict=True)])
    return np.broadcast_to(spread, shape)


def is_zero(circuit: Circuit, weight: Weight) -> bool:
    """Whether every entry of a weight is exactly zero. A symbolic one never is."""
    return not live_along(circuit, weight, ())


def keeps_zero(population: Population) -> bool:
    """Whether a neuron whose argument is zero is silent: an exponential one is not.

    One that integrates nothing stays where it started.
    """
    began = population.integrates.start if population.integrates else 0.0
    return TRANSFERS[population.transfer].keeps_zero and began == 0.0


def _support(circuit: Circuit, weight: Weight) -> tuple[tuple[str, ...], np.ndarray]:
    """Axes, and where the tensor may differ from zero along them."""
    stored = stored_of(circuit, weight)
    values = values_of(circuit, stored.name) if stored else None
    formula = circuit.formula(weight.tensor.name) if weight.tensor else None
    vanishes = formula is None or formula.kind == "distance"  # where its argument does
    if stored is None or values is None or not vanishes:
        return (), np.ones((), dtype=bool)
    return stored.axes, values != 0
