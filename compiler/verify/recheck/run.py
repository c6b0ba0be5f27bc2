"""Circuits evaluated modulo p, the arguments of exponentials modulo q: exp(a) is g^a."""

from __future__ import annotations

import math
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np

from cortico.verify.recheck.text import UnableError, heard, require
from cortico.verify.recheck.world import ALL, POWER, Array, Arrays, World


class Run:
    """The rates of a circuit: level 0 modulo p, and level 1, the arguments of exp, modulo q."""

    def __init__(self, circuit: Any, world: World, tensors: list[Arrays]) -> None:
        self.circuit, self.world, self.tensors = circuit, world, tensors
        self.constants: dict[Fraction, Any] = {}
        self.known: dict[Any, Array] = {}
        #: Of each population that integrates, e to minus its rate at rest.
        self.freed: dict[str, Any] = {}

    def outputs(self) -> Arrays:
        """Output name to its numbers."""
        found, p = self.circuit.outputs.items(), self.world.primes[0]
        return {
            name: self.contract([self.rate(source, 0)], axes, 0) % p
            for name, (source, axes) in found
        }

    def rate(self, name: str, level: int) -> Any:
        """The rates of a population and their axes."""
        axes, transfer, domain, compartments = self.circuit.populations[name]
        if name in self.circuit.integrating:
            raise UnableError(f"{name} integrates, and others hear it than exponentials")
        if (name, level) not in self.known:
            inner = level + (transfer == "exp")
            if inner == 2:
                raise UnableError("an exponential of an exponential cannot be re-checked")
            inside = self.contract([self.within(bound) for bound in domain], axes, inner)
            drive, p = inside, self.world.primes[inner]
            powers = (transfer is not None) + sum(e == "divides" for e, _ in compartments.values())
            self.world.chance.spend(f"population {name}", POWER * powers * inside.size, ALL)
            for effect, terms in compartments.values():
                terms = [t for t in terms if not self.takes_away(transfer, t)]
                current = sum((self.current(axes, term, inner) for term in terms), 0 * inside) % p
                if effect == "divides":
                    current = self.world.reciprocal(current, inner)
                drive = drive * current % p
            rate = transferred(self.world, transfer, drive, level) * inside
            for factor in self.inhibition(name, level):
                rate = rate * self.contract([factor], axes, level) % self.world.primes[level]
            self.known[name, level] = rate
        return self.known[name, level], axes

    # ---- populations that integrate ------------------------------------------------------------

    def takes_away(self, transfer: str | None, term: Any) -> bool:
        """Whether a term is what a population integrates, taken from the argument of an exponential."""
        pre, w, domain, at = term
        plain = (w.factor, w.sizes, w.tensor, domain, at) == (-1, [], None, [], [])
        return transfer == "exp" and pre in self.circuit.integrating and plain

    def inhibition(self, name: str, level: int) -> list[Any]:
        """The factors e^(-m) of an exponential cell from whose argument m is taken, with their axes."""
        _, transfer, _, compartments = self.circuit.populations[name]
        terms = [t for effect, ts in compartments.values() for t in ts if effect == "multiplies"]
        pools = [t[0] for t in terms if self.takes_away(transfer, t)]
        require(not pools or len(compartments) == 1, f"{name} multiplies what it exponentiates")
        return [(self.at_rest(pool, level), self.circuit.populations[pool][0]) for pool in pools]

    def at_rest(self, name: str, level: int) -> Array:
        """e to minus the rate of a population where it is at rest: found from one equation, and put into it.

        It integrates f(Σ - 1), f is 0 at 0 only, and Σ is a multiple of e^(-rate).
        """
        if name not in self.freed:
            axes, transfer, domain, compartments = self.circuit.populations[name]
            odd = transfer in (None, "tanh", "erf") and not domain and level == 0
            sums = [
                c
                for c, (effect, ts) in compartments.items()
                if effect == "multiplies"
                and [t[1].factor for t in ts if not t[0] and not t[1].tensor] == [-1]
            ]
            if not odd or len(sums) != 1:
                raise UnableError(f"where {name} is at rest is not known")
            terms = [term for term in compartments[sums[0]][1] if term[0]]
            require(
                all(map(self.adds, terms)), f"the sum of {name} may be negative, and has no rest"
            )
            free = Run(self.circuit, self.world, self.tensors)
            free.freed = {**self.freed, name: self.contract([], axes, level)}
            found = free.driven(name, sums[0]) + 1
            self.freed[name] = self.world.reciprocal(found % self.world.primes[level], level)
            rest = self.contract([], axes, level)
            for compartment, (effect, _) in compartments.items():
                current = self.driven(name, compartment)
                rest = rest * (
                    self.world.reciprocal(current, 0) if effect == "divides" else current
                )
            require(not (rest % self.world.primes[0]).any(), f"{name} has no rest")
        return self.freed[name]

    def adds(self, term: Any) -> bool:
        """Whether a term is surely not negative; it is no sum of residues that could tell."""
        pre, w, _, _ = term
        gates = self.circuit.inputs.get(w.tensor) if w.tensor else True
        if w.factor <= 0 or not gates:
            return False
        _, transfer, _, compartments = self.circuit.populations.get(pre, ((), "exp", (), {}))
        inside = [each for _, terms in compartments.values() for each in terms]
        return transfer == "exp" or (transfer is None and all(map(self.adds, inside)))

    def driven(self, name: str, compartment: str) -> Array:
        """The current of a compartment."""
        axes, _, _, compartments = self.circuit.populations[name]
        terms = [self.current(axes, term, 0) for term in compartments[compartment][1]]
        return sum(terms[1:], terms[0]) % self.world.primes[0]

    def contract(self, operands: list[Any], axes: Any, level: int) -> Array:
        """A product summed onto axes of this circuit."""
        return self.world.contract(operands, axes, self.circuit.axes, level)

    def current(self, axes: Any, term: Any, level: int) -> Array:
        """`gain · Σ tensor · rate · [inside]`, over the axes of the population."""
        pre, w, domain, _ = term
        operands = [self.within(bound) for bound in domain]
        operands += [(self.rate(pre, level)[0], heard(self.circuit, term))] if pre else []
        operands += [(self.tensor(w.tensor, level), w.axes)] if w.tensor else []
        factor, powers = self.constants.get(w.factor, (w.factor, []))
        powers = [*powers, *((self.circuit.axes[axis], exponent) for axis, exponent in w.sizes)]
        return self.world.gain(factor, powers, level) * self.contract(operands, axes, level)

    def within(self, bound: Any) -> Any:
        """1 where a bound holds, else 0, and its axes."""
        sizes = [self.world.sizes[self.circuit.axes[axis]] for axis in bound[:2]]
        left, right = map(np.arange, sizes)
        most = math.copysign(self.world.near[abs(bound[2])], bound[2])
        return (left[:, None] - right <= most).astype(int).astype(object), bound[:2]

    def tensor(self, name: str, level: int) -> Array:
        """A tensor, its formula evaluated; cosine and sine of an angle are random."""
        if name not in self.circuit.formulas:
            return self.tensors[level][name]
        kind, argument = self.circuit.formulas[name]
        shape = self.world.shape(self.circuit, name)
        self.world.chance.spend(f"tensor {name}", 10 * math.prod(shape), 10**7)
        if kind == "first":
            return (np.arange(*shape) == 0).astype(int).astype(object)
        given = self.tensors[level][argument]
        if kind == "rows":  # of more tokens than it has rows nothing is claimed
            return given[np.arange(shape[0]) % len(given)]
        if kind == "distance":
            i, j = np.ogrid[: shape[-2], : shape[-1]]
            return given[..., None, None] * (j - i).astype(object)
        return rotation(self.world, given, shape[0], level)


#: Functions that are 0 at 0; tanh and erf, which are odd, and relu have more said of them.
_SILENT_AT_ZERO = ("sqrt", "gelu", "gelu_tanh", "silu", "relu_squared")


def transferred(world: World, transfer: str | None, x: Array, level: int) -> Array:
    """exp as a power, relu as the lower half of the numbers, others as random functions."""
    p, base, hashed = world.primes[level], world.base, world.hashed
    functions: dict[str | None, Any] = {
        None: lambda a: a,
        "exp": lambda a: pow(base, a, p),
        "relu": lambda a: a if a <= p // 2 else 0,
        "tanh": lambda a: hashed(level, a) - hashed(level, (p - a) % p),
        **{n: lambda a, n=n: hashed(level, a, n) if a else 0 for n in _SILENT_AT_ZERO},
        "erf": lambda a: hashed(level, a, "erf") - hashed(level, (p - a) % p, "erf"),
    }
    other = partial(hashed, level, transfer)  # cortico knows which names there are
    return np.frompyfunc(functions.get(transfer, other), 1, 1)(x)


def rotation(world: World, frequencies: Array, tokens: int, level: int) -> Array:
    """Matrices (token, plane, 2, 2) with random numbers for the cosine and sine of each angle."""
    angles = np.array([[(f, t) for f in frequencies] for t in range(tokens)], dtype=object)
    cosine, sine = (
        np.frompyfunc(partial(world.hashed, level, k), 2, 1)(*np.moveaxis(angles, -1, 0))
        for k in "cs"
    )
    return np.stack([np.stack([cosine, -sine], -1), np.stack([sine, cosine], -1)], -2)
