"""A block's circuits one after another: the first, those after each step, and the facts on which these rest."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from itertools import groupby
from typing import Any

import numpy as np

from cortico.verify.recheck.arrays import Ball, Ledger
from cortico.verify.recheck.book import Book
from cortico.verify.recheck.claims import APPROXIMATE, OfPass
from cortico.verify.recheck.facts import Step, check_fact, words
from cortico.verify.recheck.forms import Each, Table, printable
from cortico.verify.recheck.report import BELIEVED, RECHECKED, Finding, attempt
from cortico.verify.recheck.run import Run
from cortico.verify.recheck.text import UnableError, number, parse, powers, require
from cortico.verify.recheck.world import Arrays, Chance, World

TRIALS = 3

#: The form of steps.
STEPS = Each(Table({"pass": str, "after": str, "facts": list, "approximate?": bool}))

#: Most steps, and facts of a step; most characters of all circuits.
MOST, LONGEST = 1000, 4 * 10**6

#: Arrays of the first circuit, and of the last, each None where they are not here.
Given = tuple[Mapping[str, Ball] | None, Mapping[str, np.ndarray] | None]


class Once:
    """What was found of things that were looked at before."""

    def __init__(self) -> None:
        self.known: dict[str, str | Exception] = {}

    def __call__(self, key: str, check: Callable[[], str]) -> str:
        if key not in self.known:
            try:
                self.known[key] = check()
            except Exception as error:
                self.known[key] = error
        found = self.known[key]
        if isinstance(found, Exception):
            raise found
        return found


class Chain:
    """Circuits, and the facts of each step from one to the next. ValueError for what is none.

    `arrays` says which numbers are here when facts are looked at.
    """

    def __init__(
        self, first: str, steps: list[Any], chance: Chance, arrays: Callable[[], Given], once: Once
    ) -> None:
        require(len(steps) <= MOST, "it has too many steps")
        self.steps, self.chance, self.arrays, self.once = steps, chance, arrays, once
        self.texts = [first, *(step["after"] for step in steps)]
        require(sum(map(len, self.texts)) <= LONGEST, "its circuits are too long")
        self.circuits = [parse(text) for text in self.texts]
        self.words: list[list[str]] = []
        for step in steps:
            require(len(step["facts"]) <= MOST, "a step has too many facts")
            for fact in step["facts"]:
                check_fact(fact)
            self.words.append([words(fact) for fact in step["facts"]])
            exact = not (step.get("approximate") and step["facts"])
            require(exact, "a step that is approximate rests on no facts")

    @property
    def passes(self) -> list[tuple[str, list[int]]]:
        """Each pass with the numbers of its steps, in the order in which they ran."""

        def name_of(k: int) -> tuple[str, bool]:
            return self.steps[k]["pass"], self.steps[k].get("approximate", False)

        return [(name, list(ks)) for (name, _), ks in groupby(range(len(self.steps)), name_of)]

    def of_pass(self, name: str, steps: list[int], of: str = "") -> OfPass:
        """Whether a pass kept the output; and the facts on which that rests, in words."""
        given = list(dict.fromkeys(text for k in steps for text in self.words[k]))
        what, named = f"{printable(name, 80)} keeps the output{of}", name + of
        if self.steps[steps[0]].get("approximate"):
            return named, Finding(BELIEVED, what, APPROXIMATE), given
        found = attempt(what, each_of, self.step, steps)
        if found.status == RECHECKED and given:
            about = [(k, fact) for k in steps for fact in self.steps[k]["facts"]]
            facts = attempt(what, each_of, self.fact, about)
            shown = "; ".join(printable(text) for text in given[:8])
            more = f" and {len(given) - 8} more" if len(given) > 8 else ""
            detail = f"{found.detail}, given {shown}{more}"
            if facts.status != RECHECKED:
                detail += f", of which was found: {facts.detail}"
            found = Finding(facts.status, what, detail)
        return named, found, given

    def step(self, k: int) -> str:
        """Both circuits compute the same, whatever the tensors, as long as the facts hold."""
        key = json.dumps([self.texts[k], self.texts[k + 1], self.steps[k]["facts"]])
        return self.once(key, lambda: self._step(k))

    def _step(self, k: int) -> str:
        before, after, facts = self.circuits[k], self.circuits[k + 1], self.steps[k]["facts"]
        same_interface(before, after)
        pinned, products = dict[str, int](), dict[str, Any]()
        for fact in facts:
            if fact["kind"] == "selected":
                axes = [c.axes[a] for c in (before, after) for a in (*fact["heads"], fact["axis"])]
                require(all(e.isdigit() for e in axes), "indices of a symbolic size are selected")
                pinned |= {extent: int(extent) for extent in axes}
            if fact["kind"] == "split":
                halves = [after.axes[fact[half]] for half in ("group", "member")]
                products[before.axes[fact["axis"]]] = halves
        for trial in range(TRIALS):
            world = World(self.chance, trial, [before, after], pinned, products)
            compare(world, before, after, facts)
        return f"so on random numbers, last at sizes {shown(world)}"

    # ---- numbers -------------------------------------------------------------------------------

    @cached_property
    def ledger(self) -> Ledger:
        """What is known of the numbers of every circuit."""
        first, last = self.arrays()
        if first is not None:
            stored = set(self.circuits[0].stored)
            require(set(first) == stored, "the weights are not those that the first circuit reads")
        return Ledger(self.circuits, [step["facts"] for step in self.steps], first, last)

    def fact(self, about: tuple[int, Any]) -> str:
        """A fact of a step holds of the arrays that are here; constants were compared with their sizes."""
        k, fact = about
        if fact["kind"] != "constant":
            self.ledger.check(k, fact)
        return "so of the arrays"


def computes(book: Book, chance: Chance) -> str:
    """The circuit of a page of the textbook computes what stands there. ValueError where it does not."""
    book.check_interface()
    for trial in range(TRIALS):
        world = World(chance, trial, [book.circuit], window=book.window)
        levels = [Step(world, book.circuit, book.circuit, [], level).old for level in (0, 1)]
        same({"y": book.output(world, levels)}, Run(book.circuit, world, levels).outputs())
    return f"so on random numbers, last at sizes {shown(world)}"


def each_of(check: Callable[[Any], str], things: Iterable[Any]) -> str:
    """A check of each of some things; one that is wrong counts more than those it cannot look at."""
    last, unable = "", list[str]()
    for thing in things:
        try:
            last = check(thing)
        except UnableError as reason:
            unable.append(str(reason))
    if unable:
        raise UnableError("; ".join(list(dict.fromkeys(unable))[:4]))
    return last


def compare(world: World, before: Any, after: Any, facts: list[Any]) -> None:
    """ValueError unless two circuits have equal outputs in a world, given facts."""
    steps = [Step(world, before, after, facts, level) for level in (0, 1)]
    left = Run(before, world, [step.old for step in steps])
    right = Run(after, world, [step.new for step in steps])
    for fact in (fact for fact in facts if fact["kind"] == "constant"):
        found = [(before.axes[axis], e) for axis, e in powers(fact["sizes"])]
        right.constants[number(fact["value"])] = number(fact["coefficient"]), found
    outputs = right.outputs()
    for fact in (fact for fact in facts if fact["kind"] == "vanishing"):
        require(len(outputs) == 1, "a sum vanishes in one of several outputs")
        ((name, (_, axes)),) = after.outputs.items()
        extents = [after.axes[axis] for axis in axes]
        outputs[name] = outputs[name] + steps[0].summed(fact["axes"], fact["terms"], extents)
    p = world.primes[0]
    same(left.outputs(), {name: array % p for name, array in outputs.items()})


def same_interface(before: Any, after: Any) -> None:
    """Inputs and outputs have the same names, sizes and kinds; tensors that stay, their type."""
    require(before.inputs == after.inputs, "its inputs are others, or of other kinds")
    for name in before.inputs:
        require(before.shapes[name] == after.shapes[name], f"the input {name} has other sizes")
    outputs = [
        {name: [c.axes[axis] for axis in axes] for name, (_, axes) in c.outputs.items()}
        for c in (before, after)
    ]
    require(outputs[0] == outputs[1], "its outputs are others, or have other sizes")
    for name in set(before.shapes) & set(after.shapes):
        fine = before.stored.get(name) == after.stored.get(name)
        require(fine, f"{name} is stored as another type")


def same(one: Arrays, two: Arrays) -> None:
    """ValueError unless the outputs are equal."""
    require(set(one) == set(two), f"outputs {sorted(one)} against {sorted(two)}")
    for name, array in one.items():
        equal = array.shape == two[name].shape and bool(np.all(array == two[name]))
        require(equal, f"the output {name} is another")


def shown(world: World) -> str:
    """The small size of every size that is not itself."""
    return " ".join(f"{side}→{size}" for side, size in world.sizes.items() if side != str(size))
