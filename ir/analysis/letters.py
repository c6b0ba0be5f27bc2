"""Axis names as single letters, as NumPy's einsum wants them."""

from __future__ import annotations

import string

from cortico.ir.circuit import Circuit


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
