"""Circuits that a careless reading of names and sizes would take for equal, or for different."""

from fractions import Fraction

from cortico.ir import (
    CellClass,
    CircuitBuilder,
    Compartment,
    Formula,
    Gain,
    Region,
    Role,
    TensorRef,
    Weight,
)
from cortico.verify.equations.meaning import circuit_equations
from cortico.verify.known import Known
from cortico.verify.normal.equivalence import compare


def reads(name, *axes, **sizes):
    gain = Gain(1.0, tuple((axis, Fraction(power)) for axis, power in sizes.items()))
    return Weight(TensorRef(name, axes), gain)


def circuit(builder, axes, *factors):
    """One population over `axes`, the product of `factors`."""
    parts = [Compartment(f"c{k}", drive=(weight,)) for k, weight in enumerate(factors)]
    builder.population("p", axes, Region.L23, CellClass.IT, parts)
    builder.output("y", "p", axes)
    return builder.build()


def verdict(one, other):
    return compare(circuit_equations(one), circuit_equations(other))[0].verdict


def with_tokens(*extra):
    builder = CircuitBuilder("tokens")
    for name, extent in (("i", "n"), ("j", "n"), ("h", 2), *extra):
        builder.axis(name, Role.COLUMN, extent)
    builder.input("x", ("n",))
    builder.parameter("slopes", (2,))
    return builder


def test_a_parameter_called_offset_is_no_distance():
    far = with_tokens()
    far.parameter("far", (2, "n", "n"), formula=Formula("distance", ("slopes",)))
    given = with_tokens()
    given.parameter("offset", ("n", "n"))
    axes, tokens = ("h", "i", "j"), (reads("x", "i"), reads("x", "j"))
    one = circuit(far, axes, reads("far", *axes), *tokens)
    other = circuit(given, axes, reads("slopes", "h"), reads("offset", "i", "j"), *tokens)
    assert verdict(one, other) is not Known.PROVED


def test_axes_of_different_extents_are_not_one_through_a_formula():
    def scaled_by(axis):
        builder = with_tokens(("k", "m"), ("l", "m"))
        builder.input("z", ("m",))
        builder.parameter("slope", ())
        for name, extent in (("near", "n"), ("far", "m")):
            builder.parameter(name, (extent, extent), formula=Formula("distance", ("slope",)))
        axes = ("i", "j", "k", "l")
        near = reads("near", "i", "j", **{axis: 1})
        return circuit(builder, axes, near, reads("far", "k", "l"))

    assert verdict(scaled_by("i"), scaled_by("k")) is not Known.PROVED


def test_a_circuit_is_itself():
    """Also where an axis occurs in gains only."""
    builder = with_tokens(("k", 3))
    itself = circuit(builder, ("i",), reads("x", "i", k=-1))
    assert verdict(itself, itself) is not Known.REFUTED


def test_equal_extents_are_no_reason():
    """Scaled by another axis that happens to have as many indices."""

    def scaled_by(axis):
        builder = with_tokens(("k", 2))
        builder.parameter("w", (2,))
        return circuit(builder, ("h", "k"), reads("slopes", "h", **{axis: 1}), reads("w", "k"))

    assert verdict(scaled_by("h"), scaled_by("h")) is Known.PROVED
    assert verdict(scaled_by("h"), scaled_by("k")) is Known.REFUTED


def test_axes_of_one_name_are_not_one_axis():
    """Gains of an axis `k` that has three indices here and five there."""

    def of_size(extent):
        return circuit(with_tokens(("k", extent)), ("i",), reads("x", "i", k=-1))

    assert verdict(of_size(3), of_size(5)) is not Known.PROVED
