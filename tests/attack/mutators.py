"""Random edits of circuits with numbers: all that may be wrong, all that keep, and plots of both.

An edit gives None, or raises IndexError, where there is nothing for it to do. A plot is a spec, numbers,
a circuit and a pass that belong together: faults that chance alone would meet too seldom.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import NamedTuple

import numpy as np

from cortico.ir import Circuit, SpecError
from cortico.spec import AttentionSpec, Bias, Kernel, Mask, Microcircuit, PositionBias, Rotary
from tests.attack import edits_of_axes as axes
from tests.attack import edits_of_interface as interface
from tests.attack import edits_of_numbers as numbers
from tests.attack import edits_that_keep as keep
from tests.attack.drawing import Weights, dead_features, outlier
from tests.circuit_edits import join_sources, read_at_other_axes
from tests.random_circuits import is_valid
from tests.verify.mutations import MUTATIONS, Edit
from tests.verify.rewrites import REWRITES

_ANY: tuple[Edit, ...] = (
    *[axes.cut_axis] * 4,
    axes.permuted,
    axes.fixed_tokens,
    axes.roles,
    axes.swapped_axes,
    axes.bounds,
    numbers.scaled_numbers,
    numbers.nudged,
    *[numbers.zeroed] * 2,
    numbers.rounded,
    numbers.shuffled_numbers,
    numbers.swapped_tensors,
    numbers.same_tensor,
    numbers.swapped_heads,
    numbers.value_bias_moved,
    *[numbers.bias_dropped] * 2,
    *[numbers.bias_resized] * 2,
    numbers.gain_changed,
    *[numbers.gain_axis] * 2,
    *[numbers.constant_added] * 2,
    *[interface.masked_input] * 2,
    interface.squared_inputs,
    interface.other_inputs,
    interface.output_order,
    keep.approximate,
    read_at_other_axes,
)

_KEEP: tuple[Edit, ...] = (
    *[keep.gain_out] * 2,
    keep.size_out,
    keep.parts,
    keep.copied_tensor,
    keep.balanced,
    keep.nothing_dropped,
    keep.exact_pass,
    join_sources,
)

#: What may be wrong or right, and what is right but for rounding.
WRONG_OR_RIGHT: tuple[Edit, ...] = (*_ANY, *_ANY, *MUTATIONS)
REWRITTEN: tuple[Edit, ...] = (*_KEEP, *_KEEP, *REWRITES)


def edited(random: Random, circuit: Circuit, edits: tuple[Edit, ...]) -> tuple[Circuit, str]:
    """The circuit after one edit that fits it, and the name of the edit; itself if none does."""
    for _ in range(60):
        edit = random.choice(edits)
        try:
            new = edit(random, circuit)
        except IndexError:  # nothing there to change
            continue
        if new is not None and new != circuit and is_valid(new):
            return new, edit.__name__.strip("_")
    return circuit, "nothing"


# ---- plots ---------------------------------------------------------------------------------------


class Plot(NamedTuple):
    """Changes of a spec, of its numbers, of its circuit, and what the pass then does."""

    spec: Callable[[Random, AttentionSpec], AttentionSpec]
    plant: Callable[[Random, Weights], None]
    subject: tuple[tuple[Edit, ...], ...]
    passes: tuple[Edit, ...]


def plotted(random: Random, plot: Plot, spec: AttentionSpec) -> AttentionSpec:
    """The spec that a plot needs; as it was where its other options do not fit."""
    try:
        return plot.spec(random, spec)
    except SpecError:
        return spec


def _turned(random: Random, spec: AttentionSpec) -> AttentionSpec:
    """Rotary, every token seen: its source tokens may become another symbol."""
    spec = replace(spec, cross=False, context=None, context_tokens=None, tokens="n")
    spec = replace(spec, position_bias=PositionBias.NONE, mask=Mask.NONE, window=None)
    return replace(spec, rotary=Rotary(), key_features=random.choice([2, 4]))


def _crossed(random: Random, spec: AttentionSpec) -> AttentionSpec:
    spec = replace(spec, rotary=None, mask=Mask.NONE, window=None, position_bias=PositionBias.NONE)
    return replace(spec, cross=True, tokens="n", context_tokens=None)


def _biased(random: Random, spec: AttentionSpec) -> AttentionSpec:
    return replace(spec, bias=Bias(value=spec.bias.value, output=True))


def _summed(random: Random, spec: AttentionSpec) -> AttentionSpec:
    """Softmax over all tokens, with biases of values: they may move behind it, if all rows sum to one."""
    spec = replace(spec, bias=Bias(value=True, output=True), microcircuit=Microcircuit.MASK)
    return replace(spec, kernel=Kernel.SOFTMAX)


def _negative(random: Random, weights: Weights) -> None:
    weights["b_O"] = -np.abs(weights["b_O"])


def _nothing(random: Random, weights: Weights) -> None:
    pass


def _same(random: Random, spec: AttentionSpec) -> AttentionSpec:
    return spec


PLOTS: tuple[Plot, ...] = (
    Plot(_turned, _nothing, ((keep.uncoupled,), (numbers.resized_by_tokens,)), (numbers.gain_of_tokens,)),
    Plot(_crossed, _nothing, ((numbers.resized_by_tokens,),), (numbers.gain_of_tokens,)),
    Plot(_same, dead_features, (), (axes.cut_axis,)),
    Plot(_same, outlier, (), (numbers.zeroed, numbers.nudged)),
    Plot(
        _biased,
        _negative,
        (),
        (numbers.bias_dropped, numbers.bias_resized, numbers.constant_added, numbers.gain_changed),
    ),
    Plot(_summed, _nothing, (), (numbers.value_bias_moved,)),
)  # fmt: skip
