"""Axis names as single letters, as NumPy's einsum wants them."""

from __future__ import annotations

import string
from collections.abc import Mapping
from dataclasses import replace

from cortico.ir import Circuit, Weight
from cortico.ir.domain import rename


def axis_letters(circuit: Circuit) -> dict[str, str]:
    """Axis name to a letter of its own: the name itself where it is one letter, else a free one."""
    names = [axis.name for axis in circuit.axes]
    letters = {name: name for name in names if len(name) == 1 and name.isalpha()}
    free = iter([letter for letter in string.ascii_letters if letter not in letters])
    for name in names:
        if name not in letters:
            preferred = [
                letter for letter in name if letter.isalpha() and letter not in letters.values()
            ]
            letters[name] = (
                preferred[0] if preferred else next(f for f in free if f not in letters.values())
            )
    return letters


def with_letters(circuit: Circuit, names: Mapping[str, str]) -> Circuit:
    """The same circuit with its axes called by `names`."""

    def axes(old: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(names[axis] for axis in old)

    def weight(old: Weight) -> Weight:
        gain = replace(old.gain, sizes=tuple((names[a], power) for a, power in old.gain.sizes))
        tensor = old.tensor and replace(old.tensor, axes=axes(old.tensor.axes))
        return Weight(tensor, gain)

    return replace(
        circuit,
        axes=tuple(replace(axis, name=names[axis.name]) for axis in circuit.axes),
        populations=tuple(
            replace(
                p,
                axes=axes(p.axes),
                domain=rename(p.domain, names),
                compartments=tuple(
                    replace(c, drive=tuple(weight(w) for w in c.drive)) for c in p.compartments
                ),
            )
            for p in circuit.populations
        ),
        projections=tuple(
            replace(p, weight=weight(p.weight), domain=rename(p.domain, names))
            for p in circuit.projections
        ),
        outputs=tuple(
            replace(o, source=replace(o.source, axes=axes(o.source.axes))) for o in circuit.outputs
        ),
    )
