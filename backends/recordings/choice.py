"""Which cells are recorded, as users write it: `deep`, `mask[h=0,i=3]`, `relay:10`, `all`; several with commas."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from cortico.ir import Circuit, Population, SpecError
from cortico.ir.errors import bullet_list, named, near_name
from cortico.ir.names import name_template

#: The word for every population.
ALL = "all"

_APART = re.compile(r"[,\s]+(?![^\[]*\])")  # commas and spaces that are in no brackets
_INDEX = r"\s*\w+\s*=\s*\d{1,18}\s*"
_CHOICE = re.compile(rf"(\w+)(?:\[({_INDEX}(?:,{_INDEX})*)\])?(?::([1-9]\d{{0,17}}))?", re.ASCII)


@dataclass(frozen=True)
class Choice:
    """Cells of one population, or of all: those `at` some indices, and at `most` so many, evenly spread."""

    population: str
    at: tuple[tuple[str, int], ...] = ()  #: axis, as its block calls it, and index
    most: int | None = None


def read_choices(text: str, option: str) -> tuple[Choice, ...]:
    """The cells that a text asks for. SpecError, which names the `option`, for one that asks for none."""
    words = [word for word in _APART.split(text) if word]
    found = {word: _CHOICE.fullmatch(word) for word in words}
    for word, match in found.items():
        if match is None:
            raise SpecError(
                f"{option}: {named(word)} is no choice of cells, expected a population (`deep`), cells "
                "at indices (`deep[h=0,i=3]`), a sample (`deep:10`), or `all`"
            )
    if not words:
        raise SpecError(f"{option} is empty, expected names of populations, or `all`")
    return tuple(_choice(match) for match in found.values() if match)


def _choice(match: re.Match[str]) -> Choice:
    pairs = (pair.split("=") for pair in (match[2] or "").split(",") if pair)
    at = tuple((axis.strip(), int(index)) for axis, index in pairs)
    return Choice(match[1], at, int(match[3]) if match[3] else None)


def by_population(circuit: Circuit, choices: Sequence[Choice]) -> Mapping[str, list[Choice]]:
    """What is asked for of each population, in the circuit's order; those without a choice are left out."""
    found = {
        population.name: [c for c in choices if c.population in (population.name, ALL)]
        for population in circuit.populations
    }
    return {name: own for name, own in found.items() if own}


def place_of(circuit: Circuit, population: Population, axis: str) -> str | None:
    """The axis of a population that its block calls so; None where its cells have none."""
    template = name_template(circuit, population)
    return dict(zip(template.own_axes, template.axes, strict=True)).get(axis)


def require_choices(circuit: Circuit, choices: Mapping[str, Sequence[Choice]]) -> None:
    """SpecError that lists all cells that are asked for, by option, and are not in the circuit."""
    problems = [
        f"{option}: {problem}"
        for option, asked in choices.items()
        for problem in wrong_choices(circuit, asked)
    ]
    if problems:
        raise SpecError(
            problems[0]
            if len(problems) == 1
            else f"no such cells can be recorded:{bullet_list(problems)}"
        )


def wrong_choices(circuit: Circuit, choices: Iterable[Choice]) -> Iterator[str]:
    """A line for each population, axis and index that a circuit has not."""
    populations = {p.name: p for p in circuit.populations}
    for choice in choices:
        if choice.population in populations:
            yield from _wrong_indices(circuit, populations[choice.population], choice)
        elif choice.population != ALL:
            near = near_name(choice.population, populations)
            yield (
                f"no population is called {named(choice.population)}{near}; there are: "
                f"{', '.join(populations)}"
            )
        elif choice.at:
            yield f"{ALL} takes no indices, found {choice.at[0][0]}={choice.at[0][1]}"


def _wrong_indices(circuit: Circuit, population: Population, choice: Choice) -> Iterator[str]:
    own = name_template(circuit, population).own_axes
    for word, index in choice.at:
        axis = place_of(circuit, population, word)
        size = circuit.axis(axis).extent if axis else None
        if axis is None:
            has = f"has axes {', '.join(own)}" if own else "has one cell, and no axes"
            yield f"cells of {population.name!r} have no axis {word!r}: it {has}"
        elif isinstance(size, int) and index >= size:
            yield (
                f"cells of {population.name!r} have indices 0 to {size - 1} along {word}, "
                f"found {word}={index}"
            )
