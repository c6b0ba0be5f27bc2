"""Re-checks a certificate with nothing of cortico: only Python and NumPy.

    python -m cortico.verify.recheck certificate.json

Circuits are read from their text, made small (sizes, and distances of tokens), and evaluated on random
tensors, exactly modulo primes p = 2q + 1 near 2**63, exp(a) as g^a with a modulo q. Random numbers come
from the SHA-256 of the certificate: nobody can choose them. Checked are the hashes of files, the first
circuit against attention from its formulas, every step, and that each begins where the last ended.
Numbers of weights, such as the frequencies of rotary embedding, are not in a certificate.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import sys
from collections import defaultdict
from fractions import Fraction
from functools import lru_cache, partial
from itertools import chain, count
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import numpy as np

TRIALS, LARGEST = 3, 10**6
Array = Any  #: an array of Python integers
Arrays = dict[str, Array]


def require(holds: object, problem: str) -> None:
    """ValueError with the problem unless something holds."""
    if not holds:
        raise ValueError(problem)


# ---- the text of a circuit -----------------------------------------------------------------------

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


# ---- small sizes, primes, random numbers ---------------------------------------------------------


#: Of q = -1 modulo this, 2, 3, … 31 are squares, and also modulo 2q + 1: small sizes have roots.
SQUARES = 8 * math.prod((3, 5, 7, 11, 13, 17, 19, 23, 29, 31))


@lru_cache(maxsize=8)
def primes(key: str) -> tuple[int, int, int]:
    """p and q with p = 2q + 1, and a base of order q modulo p."""
    rng = Random(f"{key} primes")
    while True:
        q = rng.randrange(2**22, 2**23) * SQUARES - 1
        p = 2 * q + 1
        small = any(q % n == 0 or p % n == 0 for n in range(37, 400, 2))
        if not small and all(pow(n, q - 1, q) == 1 == pow(n, p - 1, p) for n in (2, 3, 5, 7)):
            return p, q, rng.randrange(2, p - 1) ** 2 % p


class World:
    """Small sizes for circuits, and random numbers for their tensors, modulo p and modulo q.

    Sizes up to 4 stay, others become different small ones, others in every trial, and those `pinned` become what it says.
    """

    def __init__(self, key: str, trial: int, circuits: Any, pinned: Any, window: int = 0) -> None:
        self.key, self.near, last = f"{key} {trial}", dict[int, int](), 2
        terms = [term for c in circuits for term in c.terms]
        domains = [p[2] for c in circuits for p in c.populations.values()] + [t[2] for t in terms]
        for far in sorted({window, *(abs(bound[2]) for domain in domains for bound in domain)}):
            self.near[far] = far if far <= 3 else max(last, 3) + 1
            last = max(last, self.near[far])
        sides = {e for c in circuits for e in chain(c.axes.values(), *c.shapes.values())}
        fixed = {side: int(side) for side in sides if side in ("1", "2", "3", "4")} | pinned
        columns = [
            e for e in dict.fromkeys(e for c in circuits for e in c.columns) if e not in pinned
        ]
        free = (n for n in count(last + 2 + trial) if n not in fixed.values())
        self.sizes = {e: next(free) for e in columns}
        used = {*fixed.values(), *self.sizes.values()}
        fresh = (n for n in count(3 + trial) if n not in used)
        for side in sorted(sides - set(columns), key=lambda side: (len(side), side)):
            self.sizes[side] = fixed[side] if side in fixed else next(fresh)
        *self.primes, self.base = primes(key.split()[0])

    def power(self, factor: Fraction, powers: list[Any], level: int) -> int:
        """`factor · Π size^exponent`; a root is the square among the roots."""
        p, found = self.primes[level], factor.numerator
        for size, e in [*powers, (factor.denominator, Fraction(-1))]:
            root = 1 if e.denominator == 1 else pow(e.denominator, -1, p // 2)
            found = found * pow(size, e.numerator * root, p) % p
        return found

    def hashed(self, level: int, *key: object) -> int:
        """A random function of `key`."""
        return Random(f"{self.key} {level} {key}").randrange(self.primes[level])

    def draw(self, circuit: Any, name: str, level: int) -> Array:
        """Random numbers of the shape that a circuit declares; 0 and 1 for masks."""
        shape = [self.sizes[side] for side in circuit.shapes[name]]
        require(math.prod(shape) <= LARGEST, f"tensor {name} is too large")
        is_mask = name in circuit.masks
        rng = Random(f"{self.key} {name} {0 if is_mask else level}")
        below = 2 if is_mask else self.primes[level]
        numbers = [rng.randrange(below) for _ in range(math.prod(shape))]
        return np.array(numbers, dtype=object).reshape(shape)


def contract(operands: list[Any], onto: Any, sizes: Any = None) -> Array:
    """The product of (array, axes), summed over all axes but `onto`; alike along axes they lack."""
    ones = [(np.full(sizes[axis], 1, dtype=object), [axis]) for axis in onto] if sizes else []
    letters: dict[str, int] = {}
    parts: list[Any] = [np.array(1, dtype=object), []]
    for array, axes in operands + ones:
        parts += [array, [letters.setdefault(axis, len(letters)) for axis in axes]]
    return np.array(np.einsum(*parts, [letters[axis] for axis in onto]), dtype=object)


# ---- evaluating ----------------------------------------------------------------------------------


class Run:
    """The rates of a circuit: level 0 modulo p, and level 1, the arguments of exp, modulo q."""

    def __init__(self, circuit: Any, world: World, tensors: list[Arrays]) -> None:
        self.circuit, self.world, self.tensors = circuit, world, tensors
        self.sizes = {axis: world.sizes[extent] for axis, extent in circuit.axes.items()}
        self.constants: dict[Fraction, Any] = {}
        self.known: dict[Any, Array] = {}

    def outputs(self) -> Arrays:
        """Output name to its numbers."""
        found = self.circuit.outputs.items()
        return {name: contract([self.rate(source, 0)], axes) for name, (source, axes) in found}

    def rate(self, name: str, level: int) -> Any:
        """The rates of a population and their axes."""
        axes, transfer, domain, compartments = self.circuit.populations[name]
        if (name, level) not in self.known:
            inner = level + (transfer == "exp")
            require(inner < 2, "an exponential of an exponential cannot be re-checked")
            require(math.prod(self.sizes[a] for a in axes) <= LARGEST, f"{name} is too large")
            inside = contract([self.within(bound) for bound in domain], axes, self.sizes)
            drive, p = inside, self.world.primes[inner]
            for effect, terms in compartments.values():
                current = sum((self.current(axes, term, inner) for term in terms), 0 * inside) % p
                if effect == "divides":
                    current = np.frompyfunc(lambda x, p=p: pow(x, p - 2, p), 1, 1)(current)
                drive = drive * current % p
            self.known[name, level] = self.transferred(transfer, drive, level) * inside
        return self.known[name, level], axes

    def current(self, axes: Any, term: Any, level: int) -> Array:
        """`gain · Σ tensor · rate · [inside]`, over the axes of the population."""
        pre, w, domain = term
        operands = [self.within(bound) for bound in domain]
        operands += [self.rate(pre, level)] if pre else []
        operands += [(self.tensor(w.tensor, level), w.axes)] if w.tensor else []
        factor, powers = self.constants.get(w.factor, (w.factor, []))
        powers = [*powers, *((self.sizes[axis], exponent) for axis, exponent in w.sizes)]
        return self.world.power(factor, powers, level) * contract(operands, axes, self.sizes)

    def within(self, bound: Any) -> Any:
        """1 where a bound holds, else 0, and its axes."""
        left, right = (np.arange(self.sizes[axis]) for axis in bound[:2])
        most = math.copysign(self.world.near[abs(bound[2])], bound[2])
        return (left[:, None] - right <= most).astype(int).astype(object), bound[:2]

    def transferred(self, transfer: str | None, x: Array, level: int) -> Array:
        """exp as a power, relu as the lower half of the numbers, others as random functions."""
        p, base, hashed = self.world.primes[level], self.world.base, self.world.hashed
        functions: dict[str | None, Any] = {
            None: lambda a: a,
            "exp": lambda a: pow(base, a, p),
            "relu": lambda a: a if a <= p // 2 else 0,
            "tanh": lambda a: hashed(level, a) - hashed(level, (p - a) % p),
            "sqrt": lambda a: hashed(level, a, "sqrt") if a else 0,
        }
        return np.frompyfunc(functions[transfer], 1, 1)(x)

    def tensor(self, name: str, level: int) -> Array:
        """A tensor, its formula evaluated; cosine and sine of an angle are random."""
        if name not in self.circuit.formulas:
            return self.tensors[level][name]
        kind, argument = self.circuit.formulas[name]
        shape = [self.world.sizes[side] for side in self.circuit.shapes[name]]
        given = self.tensors[level][argument]
        if kind == "distance":
            i, j = np.ogrid[: shape[-2], : shape[-1]]
            return given[..., None, None] * (j - i).astype(object)
        require(kind == "rotation", f"unknown formula {kind}")
        return rotation(self.world, given, shape[0], level)


def rotation(world: World, frequencies: Array, tokens: int, level: int) -> Array:
    """Matrices (token, plane, 2, 2) with random numbers for the cosine and sine of each angle."""
    angles = np.array([[(f, t) for f in frequencies] for t in range(tokens)], dtype=object)
    cosine, sine = (
        np.frompyfunc(partial(world.hashed, level, k), 2, 1)(*np.moveaxis(angles, -1, 0))
        for k in "cs"
    )
    return np.stack([np.stack([cosine, -sine], -1), np.stack([sine, cosine], -1)], -2)


# ---- facts: what a step says of its tensors ------------------------------------------------------


#: Kinds of facts, those that say what a tensor before is made of first.
KINDS = ("zero", "part", "parts", "split", "selected", "constant", "same", "scaled", "sum")


class Step:
    """The tensors before and after a step at one level, drawn so that its facts hold."""

    def __init__(self, world: World, before: Any, after: Any, facts: Any, level: int) -> None:
        self.world, self.before, self.after, self.level = world, before, after, level
        self.old: Arrays = {}
        self.new: Arrays = {}
        strange = [fact["kind"] for fact in facts if fact["kind"] not in KINDS]
        require(not strange, f"unknown kinds of facts: {strange}")
        inputs = {name: self.was(name) for name in before.inputs}
        for fact in sorted(facts, key=lambda fact: KINDS.index(fact["kind"])):
            getattr(self, fact["kind"])(**{k: v for k, v in fact.items() if k != "kind"})
        touched = [name for name, array in inputs.items() if self.old[name] is not array]
        touched += [name for name in after.inputs if name in self.new or name not in inputs]
        require(not touched, f"nothing is known of inputs, found facts about {touched}")
        for name in set(before.shapes) - set(before.formulas):
            self.was(name)
        for name in set(after.shapes) - set(after.formulas) - set(self.new):
            same = name in self.old and before.shapes[name] == after.shapes[name]
            require(same, f"tensor {name} has no definition, or other sizes than before")
            self.new[name] = self.old[name]

    def was(self, name: str) -> Array:
        """A tensor before, drawn when no fact has said anything of it."""
        if name not in self.old:
            self.old[name] = self.world.draw(self.before, name, self.level)
        return self.old[name]

    def part(self, new: str, old: str, sign: int) -> None:
        self.new[new] = self.world.draw(self.after, new, self.level)
        self.old[old] = self.old.get(old, 0) + sign * self.new[new]

    def gain(self, coefficient: str, sizes: Any) -> int:
        powers = [(self.world.sizes[self.before.axes[a]], number(e)) for a, e in sizes]
        return self.world.power(number(coefficient), powers, self.level)

    def zero(self, old: str) -> None:
        self.old[old] = 0 * self.was(old)

    def parts(self, old: str, plus: str | None, minus: str | None) -> None:
        for sign, new in ((1, plus), (-1, minus)):
            if new is not None:
                self.part(new, old, sign)

    def split(self, member: str, tensors: Any, **_: Any) -> None:
        copies = self.world.sizes[self.after.axes[member]]
        for new, (old, side, copied) in tensors.items():
            array = self.new[new] = self.world.draw(self.after, new, self.level)
            shape = (*array.shape[:side], -1, *array.shape[side + 2 :])
            self.old[old] = np.repeat(array, copies, side) if copied else array.reshape(shape)

    def selected(
        self, axis: str, heads: Any, order: Any, tensors: Any, support: Any, **_: int
    ) -> None:
        read, along, order = dict(tensors.values()), [*heads, axis], np.array(order)
        for old, where in support.items():
            live = (np.array(where["live"], dtype=object), where["axes"])
            self.old[old] = contract([(self.was(old), read[old]), live], read[old])
        require(order.min() >= 0, "an order has negative indices")
        for new, (old, axes) in tensors.items():
            sized = [self.before.axes[a] for a in axes] == self.before.shapes[old]
            require(sized, f"{old} does not have the axes {axes}")
            sides, front = [axes.index(a) for a in along], range(len(along))
            at = (*np.indices(order.shape, sparse=True)[:-1], order)
            self.new[new] = np.moveaxis(np.moveaxis(self.was(old), sides, front)[at], front, sides)

    def constant(self, value: str, coefficient: str, sizes: Any) -> None:
        factors = [float(self.before.axes[axis]) ** float(number(e)) for axis, e in sizes]
        exact = float(number(coefficient)) * math.prod(factors)
        require(math.isclose(float(number(value)), exact), f"{value} is not {exact}")

    def scaled(self, new: str, old: str, coefficient: str = "1", sizes: Any = ()) -> None:
        self.new[new] = self.gain(coefficient, sizes) * self.was(old)

    same = scaled

    def sum(self, new: str, axes: Any, terms: Any) -> None:
        self.new[new] = np.zeros((), dtype=object)
        for term in terms:
            reads = [(self.was(name), own) for name, own in term["reads"]]
            gain = self.gain(term["coefficient"], term["sizes"])
            self.new[new] = self.new[new] + gain * contract(reads, axes)


# ---- attention from its formulas -----------------------------------------------------------------

FIELDS = """model heads kv_heads key_features value_features output cross context tokens context_tokens
kernel mask window key_padding scale bias rotary position_bias sink residual thalamus microcircuit name"""

#: Heads h are members r of groups g; key features a, to be turned, are components t of planes p.
SIDES = """x:im context:jl keep:j W_Q:ham W_K:gal W_V:gcl W_O:hoc b_Q:ha b_K:ga b_V:gc b_O:o
alibi_slopes:h position_bias:hij sink:h frequencies:p"""


class Textbook:
    """Attention of a spec, on the tensors of a circuit for it."""

    def __init__(self, spec: dict[str, Any], circuit: Any) -> None:
        require(set(spec) <= set(FIELDS.split()), "the spec has unknown fields")
        self.s = s = defaultdict(lambda: None, spec)
        heads, d = s["heads"] or 1, s["key_features"] or s["model"] // (s["heads"] or 1)
        groups, tokens, width = s["kv_heads"] or heads, s["tokens"] or "n", s["model"]
        self.rotary, source = s["rotary"] is not None, s["context_tokens"] or "n_context"
        extents = {"h": heads, "g": groups, "r": heads // groups, "a": d, "p": d // 2, "t": 2}
        extents |= {"i": tokens, "j": source if s["cross"] else tokens, "m": width}
        extents |= {"l": s["context"] or width, "o": s["output"] or width}
        extents |= {"c": s["value_features"] or d}
        self.extents = {letter: str(extent) for letter, extent in extents.items()}
        self.split = {"h": "gr" if heads > groups else "h", "a": "pt" if self.rotary else "a"}
        self.sides = dict(part.split(":") for part in SIDES.split())
        self.circuit, self.level = circuit, int(s["kernel"] != "linear")

    def output(self, world: World, tensors: list[Arrays]) -> Array:
        """`y_i = Σ_h W_O[h] Σ_j p_hij v_hj + b_O (+ x_i)`, p the scores or their softmax."""
        self.world, self.tensors, p = world, tensors, world.primes[0]
        share = self.shares(self.scores() % world.primes[self.level], self.seen())
        v = self.linear("value", "j", 0)
        v = np.repeat(v, len(share) // len(v), 0)
        y = np.einsum("hoc,hij,hjc->io", self.read("W_O", 0), share, v)
        y = y + (self.read("b_O", 0) if (self.s["bias"] or {}).get("output") else 0)
        return (y + (self.read("x", 0) if self.s["residual"] else 0)) % p

    def read(self, name: str, level: int) -> Array:
        """A tensor with the sides of `SIDES`; the circuit may have split them, not changed them."""
        parts = [self.split.get(side, side) for side in self.sides[name]]
        declared = [self.extents[letter] for part in parts for letter in part]
        require(self.circuit.shapes.get(name) == declared, f"{name} is not as the spec wants it")
        sizes = [math.prod(self.world.sizes[self.extents[x]] for x in part) for part in parts]
        return self.tensors[level][name].reshape(sizes)

    def linear(self, kind: str, tokens: str, level: int) -> Array:
        """`W x + b` (heads, tokens, features) of query, key or value."""
        x = self.read("context" if self.s["cross"] and tokens == "j" else "x", level)
        y = np.einsum("ham,im->hia", self.read(f"W_{kind[0].upper()}", level), x)
        if (self.s["bias"] or {}).get(kind):
            y = y + self.read(f"b_{kind[0].upper()}", level)[:, None]
        if not self.rotary or kind == "value":
            return y % self.world.primes[level]
        turns = rotation(self.world, self.read("frequencies", level), len(x), level)
        turned = np.einsum("ipst,hipt->hips", turns, y.reshape(*y.shape[:2], -1, 2))
        return turned.reshape(y.shape) % self.world.primes[level]

    def scores(self) -> Array:
        """`scale · q_hi · k_hj + bias_hij`."""
        s, level = self.s, self.level
        q, k = self.linear("query", "i", level), self.linear("key", "j", level)
        root = [(q.shape[2], Fraction(-level, 2))]
        scale = (Fraction(1), root) if s["scale"] is None else (number(repr(s["scale"])), [])
        k = np.repeat(k, len(q) // len(k), 0)
        found = self.world.power(*scale, level) * np.einsum("hia,hja->hij", q, k)
        if s["position_bias"] == "alibi":
            i, j = np.ogrid[: found.shape[1], : found.shape[2]]
            found = found + self.read("alibi_slopes", level)[:, None, None] * (j - i).astype(object)
        table = s["position_bias"] == "table"
        return found + (self.read("position_bias", level) if table else 0)

    def seen(self) -> Array:
        """1 where query i may see source token j, else 0."""
        s, sizes = self.s, [self.world.sizes[self.extents[token]] for token in "ij"]
        (i, j), found = np.ogrid[: sizes[0], : sizes[1]], np.ones(sizes, dtype=int)
        if s["mask"] in ("causal", "window"):
            found = found * (j <= i)
        if s["window"]:
            found = found * (i - j <= self.world.near[s["window"] - 1])
        return found.astype(object) * (self.read("keep", 0) if s["key_padding"] else 1)

    def shares(self, scores: Array, seen: Array) -> Array:
        """The scores, or their softmax, of the source tokens seen."""
        if not self.level:
            return scores * seen
        p, base = self.world.primes[0], self.world.base
        exp = np.frompyfunc(lambda a: pow(base, a, p), 1, 1)
        e = exp(scores) * seen
        total = e.sum(2) + (exp(self.read("sink", 1))[:, None] if self.s["sink"] else 0)
        return e * np.frompyfunc(lambda x: pow(x, p - 2, p), 1, 1)(total % p)[..., None] % p


# ---- the certificate -----------------------------------------------------------------------------


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


if __name__ == "__main__":
    sys.exit(main())
