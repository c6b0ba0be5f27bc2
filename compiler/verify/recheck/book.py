"""What one block is given and gives, by its spec: a page of the textbook, on the tensors of a circuit for it."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from cortico.verify.recheck.text import require
from cortico.verify.recheck.world import Array, Arrays, World


class Book:
    """One block. Sides of tensors are letters, whose sizes `extents` says.

    `sides` are those of inputs and parameters by name, `split` letters that the circuit has as several.
    """

    #: What its circuit computes, in claims.
    called = ""
    sides: dict[str, str]
    extents: dict[str, str]
    #: The sides of `y`.
    gives = "im"
    #: A distance of tokens that it speaks of; whether features turn with tokens.
    window, rotary = 0, False

    def __init__(self, spec: Mapping[str, Any], circuit: Any) -> None:
        self.s, self.circuit = spec, circuit
        self.split: dict[str, str] = {}

    def inputs(self) -> dict[str, bool | None]:
        """Each input, and its kind as `parse` has it: whether it is 0 or 1, None for tokens."""
        return {"x": False}

    def output(self, world: World, tensors: list[Arrays]) -> Array:
        """`y` on tensors modulo both primes."""
        raise NotImplementedError

    def check_interface(self) -> None:
        """The circuit's inputs and its output are those of the spec, with their sizes and kinds."""
        c, wanted = self.circuit, self.inputs()
        require(c.inputs == wanted, f"its inputs are {', '.join(c.inputs)}, or of other kinds")
        for name in wanted:
            sides = [self.extents[letter] for letter in self.sides[name]]
            require(c.shapes[name] == sides, f"{name} is not as the spec wants it")
        found = {name: [c.axes[axis] for axis in axes] for name, (_, axes) in c.outputs.items()}
        sides = [self.extents[letter] for letter in self.gives]
        require(found == {"y": sides}, f"its output is not y ({', '.join(sides)})")

    # ---- tensors -------------------------------------------------------------------------------

    def begin(self, world: World, tensors: list[Arrays]) -> None:
        """Say on which tensors the equations are evaluated."""
        self.world, self.tensors = world, tensors

    def read(self, name: str, level: int = 0) -> Array:
        """A tensor with its sides; the circuit may have split them, not changed them."""
        parts = [self.split.get(side, side) for side in self.sides[name]]
        declared = [self.extents[letter] for part in parts for letter in part]
        require(self.circuit.shapes.get(name) == declared, f"{name} is not as the spec wants it")
        sizes = [math.prod(self.world.sizes[self.extents[x]] for x in part) for part in parts]
        return self.tensors[level][name].reshape(sizes)

    def counts(self, side: str, level: int = 0) -> Array:
        """With which weight each index of a side counts in a sum."""
        parts = [self.world.counts[level][self.extents[x]] for x in self.split.get(side, side)]
        return functools.reduce(lambda one, two: np.multiply.outer(one, two).ravel(), parts)
