"""The text of a circuit, read with a parser of its own. What cortico refuses is refused, or kept apart."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fractions import Fraction
from types import SimpleNamespace
from typing import Any


class UnableError(Exception):
    """What this checker cannot re-check, though it may be right."""


def require(holds: object, problem: str) -> None:
    """ValueError with the problem unless something holds."""
    if not holds:
        raise ValueError(problem)


#: Most characters of a circuit, and of one of its lines.
LONGEST, LONGEST_LINE = 10**6, 10**4

STORED = r"float16|float32|float64"
LINES = {
    "": r"cortico circuit 1|name .*|weights .*|",
    "axis": r"axis (\w+) : (\w+) (\w+)(?: in \w+)?",
    "input": r"input (\w+) \(([\w, ]*)\)( mask| token)?",
    "parameter": rf"parameter (\w+) \(([\w, ]*)\)(?: stored ({STORED})| = (\w+)\((\w*)\))?",
    "population": r"population (\w+) \[([\w, ]*)\] \S+ \w+(?: (?!where|integrates)(\w+))?"
    r"(?: integrates (\S+) per ms(?: from (\S+))?)?(?: where (.+))?",
    "compartment": r"  (\w+) (multiplies|divides)(?: (.+))?",
    "projection": r"projection \w+ (\w+)(?:\[([\w, ]*)\])? -> (\w+)\.(\w+) weight (.+?)"
    r"( delay \S+ (?:ms|steps))?(?: where (.+))?",
    "output": r"output (\w+) = (\w+)\[([\w, ]*)\]",
}
NUMBER = r"-?\d{1,400}(?:\.\d{1,400})?(?:e[-+]?\d{1,3})?|-?\d{1,400}/[1-9]\d{0,400}"
POWER = r"-?\d{1,2}(?:/[1-9]\d?)?"
WEIGHT = rf"(?:({NUMBER})(?: \* |$))?((?:size\(\w+\)\^{POWER}(?: \* |$))*)(?:(\w+)\[([\w, ]*)\])?"
BOUND = r"(\w+) - (\w+) <= (-?\d{1,15})"
EXTENT = r"[1-9]\d{0,17}|[A-Za-z_]\w*"


def matched(pattern: str, text: str) -> Any:
    """The groups of a pattern that a whole text must match."""
    found = re.fullmatch(pattern, text, re.ASCII)
    require(found, f"cannot read {text[:80]!r}")
    return found.groups() if found else ()


def number(text: str) -> Fraction:
    """A number as the decimal or fraction that it is written as; floats must be able to hold it."""
    exact = Fraction(matched(f"({NUMBER})", text)[0])
    require(abs(exact) < 2**1023, f"{text[:80]} is too large for a float")
    require(not exact or abs(exact) > Fraction(1, 2**1022), f"{text[:80]} is too small for a float")
    return exact


def powers(sizes: Iterable[Any]) -> list[tuple[str, Fraction]]:
    """Powers of the sizes of axes."""
    return [(axis, Fraction(matched(f"({POWER})", power)[0])) for axis, power in sizes]


def names(text: str | None) -> list[str]:
    """The names in a list."""
    return re.findall(r"\w+", text or "", re.ASCII)


def bounds(text: str | None) -> list[Any]:
    """`j - i <= 0 and …` as (left, right, offset)."""
    found = [matched(BOUND, bound) for bound in text.split(" and ")] if text else []
    return [(left, right, int(offset)) for left, right, offset in found]


def weight(text: str) -> SimpleNamespace:
    """`factor * size(a)^-1/2 * W[h, a]`."""
    factor, sizes, tensor, axes = matched(WEIGHT, text)
    sizes = powers(re.findall(r"size\((\w+)\)\^(\S+)", sizes))
    factor, axes = number(factor or "1"), names(axes)
    return SimpleNamespace(factor=factor, sizes=sizes, tensor=tensor, axes=axes)


def parse(text: str) -> SimpleNamespace:
    """A circuit. Populations hold their compartments, and these the terms that they add up."""
    require(len(text) <= LONGEST, f"a circuit of {len(text)} characters is too long")
    c = SimpleNamespace(axes={}, columns=[], shapes={}, inputs={}, stored={}, formulas={})
    c.populations, c.outputs, c.integrating, c.delayed, last = {}, {}, set[str](), False, ""
    for line in text.split("\n"):
        require(len(line) <= LONGEST_LINE, f"a line of {len(line)} characters is too long")
        fits = [k for k, form in LINES.items() if re.fullmatch(form, line, re.ASCII)]
        require(fits, f"cannot read {line[:80]!r}")
        name, *part = matched(LINES[fits[0]], line) or ("",)
        match fits[0]:
            case "axis":
                _declare(c.axes, name, part[1])
                c.columns += [part[1]] if part[0] == "column" else []
            case "input":
                _declare(c.shapes, name, names(part[0]))
                # whether it is 0 or 1; of tokens is known what is of any rates
                c.inputs[name] = None if part[1] == " token" else bool(part[1])
            case "parameter":
                _declare(c.shapes, name, names(part[0]))
                c.stored |= {name: part[1]} if part[1] else {}
                c.formulas |= {name: part[2:]} if part[2] else {}
            case "population":
                last = name
                axes, transfer, pace, _, domain = part
                _declare(c.populations, name, (names(axes), transfer, bounds(domain), {}))
                if pace:
                    require(number(pace) > 0, f"{name} does not integrate at a pace above 0")
                    c.integrating |= {name}
            case "compartment":
                terms = part[1].split(" + ") if part[1] else []
                drive: list[Any] = [("", weight(term), [], []) for term in terms]
                _declare(c.populations[last][3], name, (part[0], drive))
            case "projection":
                require(name in c.populations, f"no population is called {name}")
                at, post, onto, *rest = part
                term = (name, weight(rest[0]), bounds(rest[2]), names(at))
                c.delayed = c.delayed or bool(rest[1])
                c.populations[post][3][onto][1].append(term)
            case "output":
                _declare(c.outputs, name, (part[0], names(part[1])))
    c.terms = [t for p in c.populations.values() for _, terms in p[3].values() for t in terms]
    _check(c)
    return c


def _declare(table: dict[str, Any], name: str, value: Any) -> None:
    require(name not in table, f"{name} is declared twice")
    table[name] = value


def _check(c: SimpleNamespace) -> None:
    """Everything is declared and read at axes at hand, and tensors at the sizes that they have."""
    for extent in [*c.axes.values(), *(side for sides in c.shapes.values() for side in sides)]:
        require(re.fullmatch(EXTENT, extent, re.ASCII), f"{extent} is no size")
    for name, (axes, _, domain, compartments) in c.populations.items():
        require(len(set(axes)) == len(axes) and set(axes) <= set(c.axes), f"axes of {name}")
        require(compartments, f"{name} has no compartment")
        require(all({left, right} <= set(axes) for left, right, _ in domain), f"bounds of {name}")
        for _, terms in compartments.values():
            require(terms, f"nothing reaches a compartment of {name}")
            for term in terms:
                _check_term(c, name, {*axes, *heard(c, term)}, term)
    for name, (kind, argument) in c.formulas.items():
        _check_formula(c, name, kind, argument)
    for name, (source, axes) in c.outputs.items():
        require(sorted(axes) == sorted(c.populations[source][0]), f"axes of the output {name}")


def heard(c: SimpleNamespace, term: Any) -> list[str]:
    """The axes that a term reads a population at, other ones of the same sizes than its own or these."""
    own, at = (c.populations[term[0]][0] if term[0] else []), term[3]
    sizes = [[c.axes.get(axis) for axis in axes] for axes in (own, at or own)]
    require(sizes[0] == sizes[1] and len(set(at)) == len(at), f"axes at which {term[0]} is read")
    return at or own


def _check_term(c: SimpleNamespace, name: str, at_hand: set[str], term: Any) -> None:
    _, w, domain, _ = term
    require(all({left, right} <= at_hand for left, right, _ in domain), f"bounds onto {name}")
    require(set(w.axes) <= at_hand, f"a weight onto {name} is read at axes that are not at hand")
    require(all(axis in c.axes for axis, _ in w.sizes), f"a weight onto {name} has unknown sizes")
    fits = not w.tensor or c.shapes.get(w.tensor) == [c.axes[axis] for axis in w.axes]
    require(fits, f"{w.tensor} is read at axes of other sizes than its own")  # small ones would fit


def _check_formula(c: SimpleNamespace, name: str, kind: str, argument: str) -> None:
    own, given = c.shapes[name], c.shapes.get(argument, [])
    plain = argument not in {*c.inputs, *c.formulas} and given
    require(plain or kind == "first", f"{argument} is no parameter")
    fits = {
        "rows": len(own) == len(given) == 2 and own[1:] == given[1:],
        "first": len(own) == 1 and not argument,
        "rotation": len(own) == 4 and [*own[1:2], "2", "2"] == [*given, *own[2:]],
        "distance": len(own) >= 2 and own[:-2] == given,
    }
    require(kind in fits, f"unknown formula {kind}")
    require(fits[kind], f"{name} does not have the sizes of {kind}({argument})")
