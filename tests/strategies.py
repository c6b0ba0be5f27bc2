"""Hypothesis strategies: small random circuits that satisfy every invariant."""

from __future__ import annotations

import warnings
from fractions import Fraction

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

from cortico.backends.reference import interpret
from cortico.ir import (
    TRANSFERS,
    Bound,
    CellClass,
    Circuit,
    CircuitBuilder,
    Compartment,
    Delay,
    DelayUnit,
    Effect,
    Formula,
    Gain,
    InputKind,
    Integration,
    Region,
    Role,
    TensorRef,
    Unfold,
    Weight,
)
from cortico.ir.domain import conjunction
from cortico.ir.rewrite import weights_of
from cortico.ir.tensors import FLOATS

AXES = "ijabc"
SYMBOLIC = "n"

homes = st.one_of(
    st.tuples(
        st.sampled_from([r for r in Region if r.in_cortex]),
        st.sampled_from([c for c in CellClass if not c.in_thalamus]),
    ),
    st.tuples(
        st.sampled_from([Region.CORE, Region.MATRIX, Region.HIGHER_ORDER]), st.just(CellClass.RELAY)
    ),
    st.just((Region.RETICULAR, CellClass.RETICULAR)),
)


def subsets(items, least=0, most=4):
    return (
        st.lists(st.sampled_from(items), unique=True, min_size=least, max_size=most).map(tuple)
        if items
        else st.just(())
    )


@st.composite
def circuits(
    draw, symbolic: bool = True, time: bool = True, most: int = 3, living: bool = False
) -> Circuit:
    """A valid circuit of at most four axes of at most `most` indices each.

    One that is `living` has populations that integrate, delays, and loops through these.
    """
    return _Drawing(draw, symbolic, time and not living, most, living).circuit()


delays = st.one_of(
    st.builds(Delay, st.floats(1e-3, 100)),
    st.builds(Delay, st.integers(1, 50).map(float), st.just(DelayUnit.STEPS)),
)
integrations = st.builds(Integration, st.floats(1e-3, 10), st.floats(-20, 20))


class _Drawing:
    """Draws one circuit, part by part."""

    def __init__(self, draw, symbolic, time, most, living=False):
        self.draw, self.living = draw, living
        self.builder = CircuitBuilder(draw(st.text(max_size=8)))
        self.tensors = 0
        self.extents, self.unfolds = {}, {}
        unfolds = list(Unfold) if time else [Unfold.SPACE]
        for name in draw(subsets(AXES, 1, 4)):
            sizes = st.integers(1, most)
            extent = draw(st.one_of(sizes, st.just(SYMBOLIC)) if symbolic else sizes)
            self.extents[name] = extent
            role = draw(st.sampled_from(list(Role)))
            self.unfolds[name] = draw(st.sampled_from(unfolds))
            self.builder.axis(name, role, extent, self.unfolds[name])
        if SYMBOLIC in self.extents.values():
            self.builder.input("carrier", (SYMBOLIC,))
        # Every domain of the circuit ties the same two axes, so that no three are ever tied.
        self.pair = draw(subsets(list(self.extents), 2, 2)) if len(self.extents) > 1 else ()

    def circuit(self):
        count = self.draw(st.integers(1, 4))
        shapes = [self.population_axes() for _ in range(count)]
        for number in range(count):
            self.population(number, shapes)
        last = self.draw(st.integers(0, count - 1))
        self.builder.output("y", f"p{last}", self.draw(st.permutations(shapes[last])))
        return self.builder.build()

    def population_axes(self):
        return self.draw(subsets(list(self.extents)))

    def population(self, number, shapes):
        axes = shapes[number]
        compartments, projections = [], []
        for name in ("c0", "c1", "where")[: self.draw(st.integers(1, 3))]:
            heard = range(len(shapes) if self.living else number)
            sources = self.draw(subsets(heard, 0, 2))
            for pre in sources:
                at = self.reading(shapes[pre])
                synapse_axes = [*axes, *(a for a in at or shapes[pre] if a not in axes)]
                weight = self.weight(synapse_axes, with_inputs=False)
                source = TensorRef(f"p{pre}", at)
                late = self.living and (pre >= number or self.draw(st.booleans()))
                delay = self.draw(delays) if late else None
                projections.append((source, name, weight, self.domain(synapse_axes), delay))
            drives = self.draw(st.integers(0 if sources else 1, 2))
            drive = tuple(self.weight(axes, with_inputs=True) for _ in range(drives))
            compartments.append(Compartment(name, self.draw(st.sampled_from(Effect)), drive))
        transfer = self.draw(st.sampled_from(list(TRANSFERS)))
        region, cell_class = self.draw(homes)
        self.builder.population(
            f"p{number}",
            axes,
            region,
            cell_class,
            compartments,
            transfer,
            self.domain(axes),
            self.draw(st.none() | integrations) if self.living else None,
        )
        for source, compartment, *rest in projections:
            name = f"{source.name}_p{number}_{compartment}"
            self.builder.project(name, source, f"p{number}", compartment, *rest)

    def reading(self, own):
        """Other axes of the same sizes, or none: a domain at them ties no third axis."""
        at = []
        for axis in own if self.draw(st.integers(0, 3)) == 0 else ():
            tied = axis in self.pair and set(self.pair) <= set(own)
            known = self.pair if tied else self.unfolds
            at.append(
                self.draw(st.sampled_from([a for a in known if self.kind(a) == self.kind(axis)]))
            )
        return tuple(at) if len(set(at)) == len(at) else ()

    def kind(self, axis):
        return self.extents[axis], self.unfolds[axis]

    def domain(self, axes):
        if len(self.pair) < 2 or not set(self.pair) <= set(axes):
            return ()
        pairs = st.sampled_from([self.pair, self.pair[::-1]])
        bounds = st.builds(lambda p, offset: Bound(*p, offset), pairs, st.integers(-1, 2))
        return conjunction(self.draw(st.lists(bounds, max_size=2)))

    # ---- weights ---------------------------------------------------------------------------

    def weight(self, axes, with_inputs):
        over = self.draw(subsets(list(axes)))
        kinds = ["none", "values", "symbolic", *(["input"] if with_inputs else [])]
        kinds += ["distance"] * (len(over) >= 2) + ["rotation"] * self.rotates(over)
        kinds += ["rows"] * (len(over) == 2) + ["first"] * (len(over) == 1)
        kind = self.draw(st.sampled_from(kinds))
        if kind == "none":
            return Weight(None, self.gain())
        return Weight(TensorRef(self.tensor(kind, over), over), self.gain())

    def rotates(self, over):
        return len(over) == 4 and [self.extents[a] for a in over[2:]] == [2, 2]

    def gain(self):
        number = st.one_of(
            st.just(1.0),
            st.floats(-4, 4),
            st.floats(allow_nan=False, allow_infinity=False, width=16),
        )
        power = st.tuples(
            st.sampled_from(list(self.extents)), st.fractions(-1, 1, max_denominator=3)
        )
        sizes = self.draw(st.lists(power, max_size=2))
        return Gain(self.draw(number), tuple((axis, Fraction(f)) for axis, f in sizes))

    def tensor(self, kind, over):
        shape = tuple(self.extents[axis] for axis in over)
        if kind == "input":
            counted = any(isinstance(side, int) for side in shape[-1:])
            kinds = [k for k in InputKind if counted or k is not InputKind.TOKEN]
            return self.builder.input(self.fresh("x"), shape, self.draw(st.sampled_from(kinds)))
        if kind == "distance":
            return self.formula(kind, shape, shape[:-2])
        if kind == "rotation":
            return self.formula(kind, shape, shape[1:2])
        if kind == "rows":
            longer = self.draw(st.integers(0, 2))
            rows = shape[0] if isinstance(shape[0], str) else shape[0] + longer
            return self.formula(kind, shape, (rows, shape[1]))
        if kind == "first":
            return self.builder.parameter(self.fresh("F"), shape, formula=Formula(kind, ()))
        return self.plain(shape, values=kind == "values")

    def formula(self, kind, shape, argument_shape):
        argument = self.plain(argument_shape, values=self.draw(st.booleans()))
        return self.builder.parameter(self.fresh("F"), shape, formula=Formula(kind, (argument,)))

    def plain(self, shape, values):
        array = None
        if values and SYMBOLIC not in shape:
            rng = np.random.default_rng(self.draw(st.integers(0, 99)))
            array = np.asarray(rng.normal(size=shape), dtype=self.draw(st.sampled_from(FLOATS)))
        return self.builder.parameter(self.fresh("W"), shape, array)

    def fresh(self, stem):
        self.tensors += 1
        return f"{stem}{self.tensors}"


def real_numbers(circuit, seed, tokens):
    """Inputs, parameters and rates of a circuit, all of them numbers that floats hold well."""
    # products of tiny gains underflow to zero in one order of multiplication and not in another
    gains = [weight.gain.coefficient for weight in weights_of(circuit)]
    assume(all(gain == 0 or abs(gain) > 1e-6 for gain in gains))
    rng = np.random.default_rng(seed)

    def draw(tensor):
        shape = [tokens if isinstance(side, str) else side for side in tensor.shape]
        if getattr(tensor, "kind", None) is InputKind.TOKEN:
            return rng.integers(0, shape[-1], shape[:-1])
        if getattr(tensor, "kind", None) is InputKind.MASK:
            return rng.integers(0, 2, shape).astype(bool)
        return rng.uniform(0.2, 1.5, shape)

    inputs = {tensor.name: draw(tensor) for tensor in circuit.inputs}
    given = {p.name: draw(p) for p in circuit.parameters if p.formula is None and p.values is None}
    if all(tensor.kind is not InputKind.RATE for tensor in circuit.inputs):
        # then weights decide the precision: all are to be compared in double
        stored = (p for p in circuit.parameters if p.values is not None)
        given |= {p.name: p.values.astype(float) for p in stored}
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        rates = interpret(circuit, inputs, given)
    assume(all(np.all(np.abs(rate) < 1e100) for rate in rates.values()))
    return inputs, given, rates
