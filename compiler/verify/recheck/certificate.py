"""A certificate: its chain of steps, its files, and what is wrong with them."""

from __future__ import annotations

import hashlib
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np

from cortico.verify.recheck.facts import Step
from cortico.verify.recheck.run import Run
from cortico.verify.recheck.text import number, parse, require
from cortico.verify.recheck.textbook import Textbook
from cortico.verify.recheck.world import Arrays, World

TRIALS = 3


def recheck(certificate: dict[str, Any], folder: Path | None = None) -> list[str]:
    """What is wrong with a certificate, in words; nothing when all is fine. Files are in `folder`."""
    return examine(certificate, folder)[0]


def examine(certificate: Any, folder: Path | None = None) -> tuple[list[str], list[str]]:
    """What is wrong with a certificate, and what was checked and found right, in words."""
    wrong: list[str] = []
    right: list[str] = []

    def attempt(what: str, check: Any, *arguments: Any) -> None:
        try:
            right.append(f"{what}: {check(*arguments)}")
        except Exception as error:  # whatever is in a certificate, it gets an answer
            kind = "" if type(error) is ValueError else f"cannot be read, {type(error).__name__} "
            wrong.append(f"{what}: {kind}{str(error)[:200]}")

    def everything() -> str:
        require(certificate["cortico_certificate"] == 1, "its version is not 1")
        lists = isinstance(certificate["steps"], list) and isinstance(certificate["files"], dict)
        require(lists, "steps are no list, or files no table")
        steps, key = certificate["steps"], json.dumps(certificate, sort_keys=True)
        key = hashlib.sha256(key.encode()).hexdigest()
        texts = [certificate["lowered"], *(step["after"] for step in steps)]
        attempt("first circuit", check_first, key, certificate["spec"], texts[0])
        for k, (before, step) in enumerate(zip(texts, steps, strict=False)):
            what = f"step {k + 1}, {step['pass']}"
            attempt(what, check_step, f"{key} {k}", before, step["after"], step["facts"])
        for name, digest in certificate["files"].items() if folder else ():
            attempt(f"file {name}", check_file, folder, name, digest, texts[-1])
        for claim in certificate["claims"]:
            given = f", given {', '.join(claim['given'])}" if claim["given"] else ""
            right.append(f"claimed: {claim['claim']}: {claim['verdict']}{given}")
        return f"{len(steps)} steps"

    attempt("certificate", everything)
    return wrong, right


def check_first(key: str, spec: dict[str, Any], text: str) -> str:
    """The first circuit computes attention."""
    circuit = parse(text)
    book, window = Textbook(spec, circuit), (spec.get("window") or 1) - 1
    for trial in range(TRIALS):
        world = World(key, trial, [circuit], {}, window)
        levels = [Step(world, circuit, circuit, [], level).old for level in (0, 1)]
        same({"y": book.output(world, levels)}, Run(circuit, world, levels).outputs())
    return f"is attention, at sizes {shown(world)}"


def check_step(key: str, before_text: str, after_text: str, facts: list[Any]) -> str:
    """Both circuits compute the same, whatever the tensors, as long as the facts hold."""
    if any(fact["kind"] == "vanishing" for fact in facts):
        return "NOT RE-CHECKED: it rests on sums of weights that are zero, and weights are not here"
    before, after = parse(before_text), parse(after_text)
    pinned: dict[str, int] = {}
    for fact in facts:
        if fact["kind"] == "selected":
            axes = [*fact["heads"], fact["axis"]]
            pinned |= {c.axes[a]: int(c.axes[a]) for c in (before, after) for a in axes}
    for trial in range(TRIALS):
        world = World(key, trial, [before, after], pinned)
        for fact in facts:
            if fact["kind"] == "split":
                halves = [world.sizes[after.axes[fact[half]]] for half in ("group", "member")]
                world.sizes[before.axes[fact["axis"]]] = math.prod(halves)
        levels = [Step(world, before, after, facts, level) for level in (0, 1)]
        left = Run(before, world, [level.old for level in levels])
        right = Run(after, world, [level.new for level in levels])
        for f in (fact for fact in facts if fact["kind"] == "constant"):
            powers = [(left.sizes[axis], number(e)) for axis, e in f["sizes"]]
            right.constants[number(f["value"])] = number(f["coefficient"]), powers
        same(left.outputs(), right.outputs())
    given = "".join(f"\n  given {json.dumps(fact)[:200]}" for fact in facts)
    return f"keeps the output, at sizes {shown(world)}{given}"


def same(one: Arrays, two: Arrays) -> None:
    """ValueError unless the outputs are equal."""
    require(set(one) == set(two), f"outputs {sorted(one)} against {sorted(two)}")
    for name, array in one.items():
        equal = array.shape == two[name].shape and bool(np.all(array == two[name]))
        require(equal, f"the output {name} is another")


def shown(world: World) -> str:
    """The small size of every size that is not itself."""
    return " ".join(f"{side}→{size}" for side, size in world.sizes.items() if side != str(size))


def check_file(folder: Path, name: str, digest: str, last: str) -> str:
    """A file beside the certificate has its hash, and the circuit is the one after the last step."""
    require(Path(name).name == name, "is no plain file name")
    if not (folder / name).is_file():
        return "is not here"
    content = (folder / name).read_bytes()
    require(hashlib.sha256(content).hexdigest() == digest, "has changed")
    if name == "circuit.cortico":
        lines = [line for line in content.decode().split("\n") if not line.startswith("weights ")]
        require(lines == last.split("\n"), "is not the circuit after the last step")
    return "is as it was"


def main() -> int:
    """Print what is wrong with the certificate named on the command line; 1 if anything is."""
    path = Path(sys.argv[1])
    wrong, right = examine(json.loads(path.read_text("utf-8")), path.parent)
    sys.stdout.write("\n".join([*right, *(f"WRONG {problem}" for problem in wrong), ""]))
    return int(bool(wrong))
