"""The text of a circuit, read with a parser of its own."""

from __future__ import annotations

import re
from fractions import Fraction
from types import SimpleNamespace
from typing import Any


def require(holds: object, problem: str) -> None:
    """ValueError with the problem unless something holds."""
    if not holds:
        raise ValueError(problem)


LINES = {
    "": r"cortico circuit 1|name .*|weights .*|",
    "axis": r"axis (\w+) : (\w+) (\w+)(?: in \w+)?",
    "tensor": r"\w+ (\w+) \(([\w, ]*)\)( mask)?(?: stored \w+)?(?: = (\w+)\((\w+)\))?",
    "population": r"population (\w+) \[([\w, ]*)\] \S+ \w+(?: (?!where)(\w+))?(?: where (.+))?",
    "compartment": r"  (\w+) (multiplies|divides)(?: (.+))?",
    "projection": r"projection \w+ (\w+) -> (\w+)\.(\w+) weight (.+?)(?: where (.+))?",
    "output": r"output (\w+) = (\w+)\[([\w, ]*)\]",
}
NUMBER = r"-?\d{1,400}(?:\.\d{1,400})?(?:e[-+]?\d{1,3})?|-?\d{1,400}/[1-9]\d{0,400}"
WEIGHT = rf"(?:({NUMBER})(?: \* |$))?((?:size\(\w+\)\^\S+(?: \* |$))*)(?:(\w+)\[([\w, ]*)\])?"
BOUND = r"(\w+) - (\w+) <= (-?\d{1,15})"


def matched(pattern: str, text: str) -> Any:
    """The groups of a pattern that a whole text must match."""
    found = re.fullmatch(pattern, text, re.ASCII)
    require(found, f"cannot read {text[:80]!r}")
    return found.groups() if found else ()


def number(text: str) -> Fraction:
    """A number as the decimal or fraction that it is written as."""
    return Fraction(matched(f"({NUMBER})", text)[0])


def names(text: str | None) -> list[str]:
    """The names in a list."""
    return re.findall(r"\w+", text or "")


def bounds(text: str | None) -> list[Any]:
    """`j - i <= 0 and …` as (left, right, offset)."""
    found = [matched(BOUND, bound) for bound in text.split(" and ")] if text else []
    return [(left, right, int(offset)) for left, right, offset in found]


def weight(text: str) -> SimpleNamespace:
    """`factor * size(a)^-1/2 * W[h, a]`."""
    factor, powers, tensor, axes = matched(WEIGHT, text)
    sizes = [(axis, number(e)) for axis, e in re.findall(r"size\((\w+)\)\^(\S+)", powers)]
    factor, axes = number(factor or "1"), names(axes)
    return SimpleNamespace(factor=factor, sizes=sizes, tensor=tensor, axes=axes)


def parse(text: str) -> SimpleNamespace:
    """A circuit. Populations hold their compartments, and these the terms that they add up."""
    c = SimpleNamespace(axes={}, columns=[], shapes={}, masks=set(), formulas={}, populations={})
    c.outputs, c.inputs, last = {}, [], ""
    for line in text.split("\n"):
        fits = [k for k, form in LINES.items() if re.fullmatch(form, line, re.ASCII)]
        require(fits, f"cannot read {line[:80]!r}")
        name, *part = matched(LINES[fits[0]], line) or ("",)
        match fits[0]:
            case "axis":
                c.axes[name] = part[1]
                c.columns += [part[1]] if part[0] == "column" else []
            case "tensor":
                c.shapes[name] = names(part[0])
                c.inputs += [name] if line.startswith("input ") else []
                c.masks |= {name} if part[1] else set()
                c.formulas |= {name: part[2:]} if part[2] else {}
            case "population":
                last, c.populations[name] = name, (names(part[0]), part[1], bounds(part[2]), {})
            case "compartment":
                terms = part[1].split(" + ") if part[1] else []
                drive: list[Any] = [("", weight(term), []) for term in terms]
                c.populations[last][3][name] = (part[0], drive)
            case "projection":
                term = (name, weight(part[2]), bounds(part[3]))
                c.populations[part[0]][3][part[1]][1].append(term)
            case "output":
                c.outputs[name] = (part[0], names(part[1]))
    c.terms = [t for p in c.populations.values() for _, terms in p[3].values() for t in terms]
    for _, w, _ in c.terms:  # at small sizes more would fit
        fits_too = not w.tensor or c.shapes[w.tensor] == [c.axes[axis] for axis in w.axes]
        require(fits_too, f"{w.tensor} is read at axes of other sizes than its own")
    return c
