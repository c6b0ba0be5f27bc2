"""Small circuits made by hand, and brute-force answers about any small circuit."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np

from cortico.ir import (
    Bound,
    CellClass,
    Circuit,
    CircuitBuilder,
    Compartment,
    Effect,
    Formula,
    Gain,
    InputKind,
    Region,
    Role,
    TensorRef,
    Unfold,
    Weight,
)

MASK, HALF = InputKind.MASK, Fraction(1, 2)
CAUSAL = (Bound("j", "i", 0),)


def tensor(name: str, axes: str, gain: Gain = Gain()) -> Weight:
    return Weight(TensorRef(name, tuple(axes)), gain)


def ones(*names: str) -> tuple[Compartment, ...]:
    """Compartments driven by the constant one."""
    return tuple(Compartment(name, Effect.MULTIPLIES, (Weight(),)) for name in names)


def attention(
    *,
    tokens=3,
    heads=2,
    keys=2,
    values=2,
    model=3,
    causal=False,
    softmax=False,
    weights=True,
    clock=(),
) -> Circuit:
    """The mask circuit of attention: linear, or softmax; all on `tokens` tokens."""
    b = CircuitBuilder("softmax attention" if softmax else "linear attention")
    for name, role, extent in (
        ("h", Role.AREA, heads),
        ("i", Role.COLUMN, tokens),
        ("j", Role.COLUMN, tokens),
        ("a", Role.FEATURE, keys),
        ("c", Role.FEATURE, values),
        ("m", Role.MODEL, model),
    ):
        b.axis(name, role, extent, Unfold.TIME if name in clock else Unfold.SPACE)
    b.input("x", (tokens, model))
    rng = np.random.default_rng(0)
    for name, shape in (
        ("W_Q", (heads, keys, model)),
        ("W_K", (heads, keys, model)),
        ("W_V", (heads, values, model)),
        ("W_O", (heads, model, values)),
    ):
        b.parameter(name, shape, rng.normal(size=shape) if weights else None)
    pairs = CAUSAL if causal else ()
    driver = Compartment("driver")
    b.population(
        "core",
        "jm",
        Region.CORE,
        CellClass.RELAY,
        [Compartment("driver", drive=(tensor("x", "jm"),))],
    )
    b.population(
        "matrix",
        "im",
        Region.MATRIX,
        CellClass.RELAY,
        [Compartment("driver", drive=(tensor("x", "im"),))],
    )
    b.population(
        "superficial",
        "hija",
        Region.L23,
        CellClass.IT,
        [Compartment("apical"), Compartment("basal")],
        domain=pairs,
    )
    gate = [Compartment("basal"), Compartment("apical")]
    if softmax:
        b.population("mask", "hij", Region.L23, CellClass.IT, [driver], "exp", pairs)
        b.population("pool", "hi", Region.L5, CellClass.PV, [driver])
        b.project("scores", "superficial", "mask", "driver", Weight(None, Gain(0.5)))
        b.project("pooling", "mask", "pool", "driver")
        gate.append(Compartment("shunt", Effect.DIVIDES))
    b.population("deep", "hijc", Region.L5, CellClass.PT, gate, domain=pairs)
    if softmax:
        b.project("shunting", "pool", "deep", "shunt")
    b.population("relay", "im", Region.HIGHER_ORDER, CellClass.RELAY, [driver])
    b.project("key", "core", "superficial", "apical", tensor("W_K", "ham"))
    b.project("query", "matrix", "superficial", "basal", tensor("W_Q", "ham"))
    b.project("value", "core", "deep", "basal", tensor("W_V", "hcm"))
    b.project("lateral", "mask" if softmax else "superficial", "deep", "apical")
    b.project("out", "deep", "relay", "driver", tensor("W_O", "hmc"))
    b.output("y", "relay", "im")
    return b.build()


def sampler() -> Circuit:
    """A bit of everything, for the golden file of the text form."""
    b = CircuitBuilder('a "sampler" of everything\nin two lines: 皮質')
    b.axis("g", Role.AREA, 2)
    b.axis("h", Role.AREA, 3)
    b.axis("i", Role.COLUMN, "n")
    b.axis("t", Role.COLUMN, "n", Unfold.TIME)
    b.axis("p", Role.FEATURE, 4)
    b.axis("u", Role.FEATURE, 2)
    b.axis("v", Role.FEATURE, 2)
    b.input("x", ("n", 4, 2))
    b.input("keep", ("n",), kind=MASK)
    b.parameter("W", (2, 3, 4), np.arange(24, dtype=np.float32).reshape(2, 3, 4))
    b.parameter("inv_freq", (4,))
    b.parameter("R", ("n", 4, 2, 2), formula=Formula("rotation", ("inv_freq",)))
    b.parameter("b", (), np.float64(0.5) * np.ones(()))
    b.population(
        "core",
        "tpv",
        Region.CORE,
        CellClass.RELAY,
        [Compartment("driver", drive=(tensor("x", "tpv"), Weight(None, Gain(-0.25))))],
    )
    b.population(
        "cell",
        "ghitpu",
        Region.L23,
        CellClass.IT,
        [
            Compartment("apical", drive=(tensor("b", "", Gain(2.0)),)),
            Compartment("keep", drive=(tensor("keep", "i"),)),
            Compartment("shunt", Effect.DIVIDES, (Weight(None, Gain(sizes=(("p", HALF),))),)),
        ],
        "tanh",
        (Bound("i", "t", 3), Bound("t", "i", 0)),
    )
    b.project("turn", "core", "cell", "apical", tensor("R", "tpuv"))
    b.population("sum", "p", Region.HIGHER_ORDER, CellClass.RELAY, [Compartment("driver")])
    gain = Gain(0.1, (("p", -HALF), ("i", Fraction(-1))))
    b.project("gather", "cell", "sum", "driver", tensor("W", "ghp", gain), (Bound("t", "i", -1),))
    b.output("y", "sum", "p")
    b.output("cells", "cell", "utpihg")
    return b.build()


# ---- brute force ---------------------------------------------------------------------------------


def tuples(axes, sizes, domain):
    """All index tuples inside a domain, as dicts, one by one."""
    for index in itertools.product(*(range(sizes[axis]) for axis in axes)):
        at = dict(zip(axes, index, strict=True))
        if all(at[b.left] - at[b.right] <= b.offset for b in domain):
            yield at


def cell(circuit, population, at, read=()):
    """The neuron of `population` at an index, perhaps `read` at other axes: its name and its indices in space."""
    own = circuit.population(population).axes
    pairs = [(a, b) for a, b in zip(own, read or own, strict=True) if not circuit.axis(a).in_time]
    return population, tuple((axis, at[other]) for axis, other in pairs)


def all_cells(circuit, population):
    sizes, own = circuit.sizes(), circuit.population(population)
    return {cell(circuit, population, at) for at in tuples(own.axes, sizes, own.domain)}


def all_synapses(circuit, projection):
    """Pairs of cells that a projection joins at some index."""
    axes, domain = circuit.synapse_axes(projection), circuit.synapse_domain(projection)
    return {
        (cell(circuit, projection.pre, at, projection.at), cell(circuit, projection.post, at))
        for at in tuples(axes, circuit.sizes(), domain)
    }


def tied_in_time(circuit, domain):
    """Whether a bound ties two axes in time: neurons exist then whether or not it ever holds."""
    return any(circuit.axis(b.left).in_time and circuit.axis(b.right).in_time for b in domain)
