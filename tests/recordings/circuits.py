"""Circuits that are recorded, with names that tell cells apart."""

import numpy as np

from cortico.ir import (
    Bound,
    CellClass,
    CircuitBuilder,
    Compartment,
    Region,
    Role,
    TensorRef,
    Weight,
)

#: What the populations of `pair` are driven with, and the weights between them.
X = np.array([0.5, -2.0, 3.0])
W = np.array([[1.0, 0.0, 2.0], [0.25, -1.0, 0.5]])


def pair():
    """`core` (3 cells) is driven by x; `relay` (2 cells) hears it, by W (2, 3)."""
    builder = CircuitBuilder("pair")
    builder.axis("m", Role.FEATURE, 3)
    builder.axis("a", Role.FEATURE, 2)
    drive = (Weight(TensorRef(builder.input("x", (3,)), ("m",))),)
    builder.population(
        "core", ("m",), Region.CORE, CellClass.RELAY, [Compartment("a", drive=drive)]
    )
    builder.population("relay", ("a",), Region.CORE, CellClass.RELAY, [Compartment("a")])
    weight = builder.parameter("W", (2, 3), values=W)
    builder.project("to", "core", "relay", "a", Weight(TensorRef(weight, ("a", "m"))))
    builder.output("y", "relay", ("a",))
    return builder.build()


def triangle(values=(4, 3)):
    """Cells [i, k, j] where j <= i, each of which fires 100 i + 10 k + j: axes tied by a bound stand apart."""
    rows, inner = values
    builder = CircuitBuilder("triangle")
    builder.axis("j", Role.COLUMN, rows)
    builder.axis("i", Role.COLUMN, rows)
    builder.axis("k", Role.FEATURE, inner)
    i, k, j = np.ogrid[:rows, :inner, :rows]
    drive = (Weight(TensorRef(builder.input("x", (rows, inner, rows)), ("i", "k", "j"))),)
    builder.population(
        "cell",
        ("i", "k", "j"),
        Region.L5,
        CellClass.PT,
        [Compartment("a", drive=drive)],
        "identity",
        (Bound("j", "i", 0),),
    )
    builder.output("y", "cell", ("i", "k", "j"))
    return builder.build(), {"x": 100.0 * i + 10 * k + j}
