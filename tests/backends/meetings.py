"""Circuits by hand in which queries and keys meet, and the emitted files of them."""

import numpy as np

from cortico.backends.numpy import compile_source, emit_source
from cortico.ir import (
    Bound,
    CellClass,
    CircuitBuilder,
    Compartment,
    Effect,
    Region,
    Role,
    TensorRef,
    Weight,
)

PAIR = ("query", "key")
CAUSAL = (Bound("key", "query", 0),)
TOKENS = 7


class Meeting:
    """A circuit where queries and keys meet. Inputs: a and b over pairs, x over tokens and features."""

    def __init__(self):
        self.builder = CircuitBuilder("meeting")
        for name in PAIR:
            self.builder.axis(name, Role.COLUMN, "n")
        self.builder.axis("feature", Role.MODEL, 3)
        self.builder.input("a", ("n", "n"))
        self.builder.input("b", ("n", "n"))
        self.builder.input("x", ("n", 3))

    def cells(self, name, axes, *parts, transfer="identity", domain=()):
        """A population; a part is what one compartment sums: inputs with their axes, and populations."""
        compartments, synapses = [], []
        for number, part in enumerate(parts):
            effect = Effect.DIVIDES if "/" in part else Effect.MULTIPLIES
            drive = tuple(Weight(TensorRef(*ref)) for ref in part if isinstance(ref, tuple))
            compartments.append(Compartment(f"c{number}", effect, drive))
            heard = [pre for pre in part if isinstance(pre, str) and pre != "/"]
            synapses += [(f"{pre}_{name}_{number}", pre, name, f"c{number}") for pre in heard]
        self.builder.population(name, axes, Region.L5, CellClass.PT, compartments, transfer, domain)
        for synapse in synapses:
            self.builder.project(*synapse)

    def pairs(self, name, *parts, **options):
        self.cells(name, PAIR, *parts, **options)

    def shown(self, name, weight, *divisors):
        """Σ_key weight x / divisors, over queries and features."""
        divided = (["/", divisor] for divisor in divisors)
        self.cells(f"{name}_x", (*PAIR, "feature"), [weight], [("x", ("key", "feature"))], *divided)
        self.cells(name, ("query", "feature"), [f"{name}_x"])

    def run(self, *outputs, size=1.0, height=2):
        """The inputs a, b and x, and what the emitted file makes of them in tiles."""
        for name, axes in outputs:
            self.builder.output(f"{name}_out", name, axes)
        rng = np.random.default_rng(0)
        shapes = [(TOKENS, TOKENS), (TOKENS, TOKENS), (TOKENS, 3)]
        a, b, x = (size * rng.standard_normal(shape) for shape in shapes)
        x = np.abs(x)  # of one sign: where exponentials overflow, no infinities cancel
        given = [array.copy() for array in (a, b, x)]
        attention = compile_source(emit_source(self.builder.build()))
        assert "in_tiles" in attention.__globals__
        attention.__globals__["TILE"] = (height, height)
        found = attention(*given, threads=1)
        for array, before in zip(given, (a, b, x), strict=True):
            np.testing.assert_array_equal(array, before)  # inputs are read only
        return a, b, x, found


A, B, X_QUERY, X_KEY = (
    ("a", PAIR),
    ("b", PAIR),
    ("x", ("query", "feature")),
    ("x", ("key", "feature")),
)
ROWS = ("query", "feature")
EARLIER = np.tril(np.ones((TOKENS, TOKENS)))


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-12)


def emitted(net, *outputs):
    for name, axes in outputs:
        net.builder.output(f"{name}_out", name, axes)
    attention = compile_source(emit_source(net.builder.build()))
    if "TILE" in attention.__globals__:
        attention.__globals__["TILE"] = (2, 2)
    return attention


def numbers(*batch):
    rng = np.random.default_rng(0)
    pairs = (*batch, TOKENS, TOKENS)
    return tuple(rng.standard_normal(shape) for shape in (pairs, pairs, (*batch, TOKENS, 3)))
