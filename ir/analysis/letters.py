"""Axis names as single letters, as NumPy's einsum wants them."""

from __future__ import annotations

import string
from collections.abc import Iterable

from cortico.ir.circuit import Circuit


def axis_letters(circuit: Circuit) -> dict[str, str]:
    """Axis name to a letter of its own: the name itself where it is one letter, else a free one."""
    return letters_of(axis.name for axis in circuit.axes)


def letters_of(axes: Iterable[str]) -> dict[str, str]:
    """The same for some axes, of which there are no more than letters."""
    names = list(axes)
    letters = {name: name for name in names if len(name) == 1 and name.isalpha()}
    for name in names:
        if name not in letters:
            wishes = (*filter(str.isalpha, name), *string.ascii_letters)
            letters[name] = next(letter for letter in wishes if letter not in letters.values())
    return letters
