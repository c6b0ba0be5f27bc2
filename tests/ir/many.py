"""Many valid circuits, and walks through them that know nothing of the module under test."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator

import numpy as np

from cortico.backends.reference import interpret
from cortico.ir import Circuit
from tests.cases import CASES
from tests.covering import covering
from tests.random_circuits import from_scratch, is_valid, numbers, of_case

#: Numbers of the cases in which every pair of options is met.
CHOSEN = tuple(map(CASES.index, covering()))


def _all() -> Iterator[Circuit]:
    for number in range(len(CASES)):
        yield of_case(number, "")
    for number in CHOSEN:
        yield of_case(number, "default")
    made = (from_scratch(random.Random(seed)) for seed in range(150))
    yield from (circuit for circuit in made if is_valid(circuit))


CIRCUITS = tuple(_all())
SMALL = tuple(CIRCUITS[number] for number in CHOSEN) + CIRCUITS[len(CASES) :]


def walk(part: object, kind: type) -> Iterator[object]:
    """All values of a kind in a part of a circuit, in the order of its fields."""
    if isinstance(part, kind):
        yield part
    if isinstance(part, tuple):
        for each in part:
            yield from walk(each, kind)
    elif dataclasses.is_dataclass(part):
        for field in dataclasses.fields(part):
            yield from walk(getattr(part, field.name), kind)


def rates(circuit: Circuit, seed: int, tokens: int = 3) -> dict[str, np.ndarray]:
    """The rates of all populations on random inputs and weights."""
    with np.errstate(all="ignore"):
        return interpret(circuit, *numbers(seed, circuit, tokens))
