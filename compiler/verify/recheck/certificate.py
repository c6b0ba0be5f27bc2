"""A certificate: its chain of steps, its claims, its files, and what was found of them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from cortico.verify.recheck.arrays import Ledger, frequencies, placed, read_tensors
from cortico.verify.recheck.claims import APPROXIMATE, check_claims
from cortico.verify.recheck.facts import Step, check_fact, words
from cortico.verify.recheck.files import check_files
from cortico.verify.recheck.forms import Each, Maybe, Table, fit, printable, read_json
from cortico.verify.recheck.report import BELIEVED, RECHECKED, Finding, Report, attempt
from cortico.verify.recheck.run import Run
from cortico.verify.recheck.text import UnableError, number, parse, powers, require
from cortico.verify.recheck.textbook import Textbook
from cortico.verify.recheck.world import Arrays, Chance, World

VERSION = 2
TRIALS = 3

FORM = Table(
    {
        "cortico_certificate": int,
        "spec": dict,
        "files": Each(str, dict),
        "lowered": str,
        "emitted?": Maybe(Table({"backend": str, "options": dict})),
        "steps": Each(Table({"pass": str, "after": str, "facts": list, "approximate?": bool})),
        "claims": Each(Table({"claim": str, "verdict": str, "detail": str, "given": Each(str)})),
    }
)

#: Most steps, claims and files, and facts of a step.
MOST = 1000

#: The spec's own weights, by the names of `compiler/spec/weights.py`.
Weights = Mapping[str, np.ndarray]


def recheck(
    certificate: Any, folder: Path | None = None, weights: Weights | None = None
) -> list[str]:
    """What is wrong with a certificate, in words; nothing when nothing is."""
    return examine(certificate, folder, weights).wrong


def examine(certificate: Any, folder: Path | None = None, weights: Weights | None = None) -> Report:
    """What a certificate says, each with what was found of it.

    Its files are in `folder`. `weights` are those of the spec, for facts about numbers.
    """
    read: list[Chain] = []

    def understand() -> str:
        read.append(Chain(certificate))
        return "can be read"

    found = attempt("the certificate", understand)
    return read[0].report(folder, weights) if read else Report((found,))


class Chain:
    """A certificate that could be read: its spec and circuits, and the facts of each step."""

    def __init__(self, certificate: Any) -> None:
        fit(certificate, dict, "it")
        version = certificate.get("cortico_certificate")
        require(version == VERSION, f"its version is {printable(version)}, expected {VERSION}")
        fit(certificate, FORM, "it")
        self.certificate, self.steps = certificate, certificate["steps"]
        self.words: list[list[str]] = []
        for name in ("steps", "claims", "files"):
            require(len(certificate[name]) <= MOST, f"it has too many {name}")
        self.chance = Chance()
        texts = [certificate["lowered"], *(step["after"] for step in self.steps)]
        require(sum(map(len, texts)) <= 4 * 10**6, "its circuits are too long")
        self.circuits = [parse(text) for text in texts]
        self.book = Textbook(certificate["spec"], self.circuits[0])
        for step in self.steps:
            require(len(step["facts"]) <= MOST, "a step has too many facts")
            for fact in step["facts"]:
                check_fact(fact)
            self.words.append([words(fact) for fact in step["facts"]])
            exact = not (step.get("approximate") and step["facts"])
            require(exact, "a step that is approximate rests on no facts")

    def report(self, folder: Path | None, weights: Weights | None) -> Report:
        """All findings."""
        self.folder, self.given = folder, weights
        first = attempt("the lowered circuit computes attention", self.first)
        passes = [self.of_pass(name, steps) for name, steps in self.passes]
        found = check_claims(self.certificate["claims"], first, passes, self.layout)
        if folder is not None:
            found += check_files(self.certificate, folder, self.circuits[-1])
        return Report((*found, *self.numbers()))

    @property
    def passes(self) -> list[tuple[str, list[int]]]:
        """Each pass with the numbers of its steps, in the order in which they ran."""

        def name_of(k: int) -> tuple[str, bool]:
            return self.steps[k]["pass"], self.steps[k].get("approximate", False)

        return [(name, list(ks)) for (name, _), ks in groupby(range(len(self.steps)), name_of)]

    # ---- circuits ------------------------------------------------------------------------------

    def first(self) -> str:
        """The first circuit computes attention."""
        circuit, book = self.circuits[0], self.book
        book.check_interface()
        for trial in range(TRIALS):
            world = World(self.chance, trial, [circuit], window=(book.s["window"] or 1) - 1)
            levels = [Step(world, circuit, circuit, [], level).old for level in (0, 1)]
            same({"y": book.output(world, levels)}, Run(circuit, world, levels).outputs())
        return f"so on random numbers, last at sizes {shown(world)}"

    def of_pass(self, name: str, steps: list[int]) -> tuple[str, Finding, list[str]]:
        """Whether a pass kept the output; and the facts on which that rests, in words."""
        given = list(dict.fromkeys(text for k in steps for text in self.words[k]))
        what = f"{printable(name, 80)} keeps the output"
        if self.steps[steps[0]].get("approximate"):
            return name, Finding(BELIEVED, what, APPROXIMATE), given
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
        return name, found, given

    def step(self, k: int) -> str:
        """Both circuits compute the same, whatever the tensors, as long as the facts hold."""
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
    def last_arrays(self) -> dict[str, np.ndarray] | None:
        """The arrays in the folder, when it has them."""
        path = (self.folder or Path()) / "circuit.safetensors"
        if self.folder is None or not self.circuits[-1].stored or not path.is_file():
            return None
        return read_tensors(path, self.circuits[-1])

    @cached_property
    def ledger(self) -> Ledger:
        first = None if self.given is None else placed(self.book, self.given)
        if first is not None:
            stored = set(self.circuits[0].stored)
            require(set(first) == stored, "the weights are not those that the first circuit reads")
        facts = [step["facts"] for step in self.steps]
        return Ledger(self.circuits, facts, first, self.last_arrays)

    def fact(self, about: tuple[int, Any]) -> str:
        """A fact of a step holds of the arrays that are here; constants were compared with their sizes."""
        k, fact = about
        if fact["kind"] != "constant":
            self.ledger.check(k, fact)
        return "so of the arrays"

    def layout(self) -> str:
        """The spec's numbers stand where the circuit reads them: those in the folder are made of them."""
        if not self.ledger.complete:
            raise UnableError("the spec's weights are not here")
        return "so of these weights"

    def numbers(self) -> list[Finding]:
        """What is found of stored numbers, and of the frequencies of rotary embedding."""
        found: list[Finding] = []
        if any(circuit.stored for circuit in self.circuits):
            found.append(attempt("the stored numbers", self.stored))
        if self.book.rotary:
            found.append(attempt("rotary embedding", self.rotary))
        return found

    def stored(self) -> str:
        ledger = self.ledger
        require(not ledger.wrong, "; ".join(ledger.wrong[:4]))
        if self.last_arrays is None:
            raise UnableError("they are not here")
        if self.given is None:
            raise UnableError("that they are the spec's is believed: its weights were not given")
        if not ledger.complete:
            raise UnableError("not all of them are made of the spec's weights by facts")
        return f"are made of the spec's weights, each to within {ledger.rounding:.1e}"

    def rotary(self) -> str:
        """The frequencies are the spec's; how features pair shows only in the spec's weights."""
        if not self.ledger.complete:
            raise UnableError("base, style and rotated show only in the spec's weights")
        own = frequencies(self.book)
        there = self.ledger.at[0]["frequencies"].mid
        if not np.allclose(own, there, rtol=1e-12, atol=0):
            raise UnableError("its frequencies are given with the weights")
        return "has the spec's frequencies and pairs of features"


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


def main(arguments: Sequence[str]) -> int:
    """Print what is found of the certificate that is named, and return the exit code."""
    path = Path(arguments[0]) if len(arguments) == 1 else Path()
    path = path / "certificate.json" if path.is_dir() else path
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        report = examine(read_json(path), path.parent)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"{printable(str(path))}: {printable(str(error), 240)}\n")
        return 2
    sys.stdout.write("".join(f"{line}\n" for line in report.lines()))
    return report.code
