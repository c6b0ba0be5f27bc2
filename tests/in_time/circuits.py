"""Small circuits that live in time."""

import numpy as np

from cortico.ir import (
    CellClass,
    CircuitBuilder,
    Compartment,
    Delay,
    Gain,
    Integration,
    Region,
    Role,
    TensorRef,
    Weight,
)

W = np.array([[0.3, 0.1], [0.2, 0.4]])
X = np.array([1.0, 2.0])
TWO_MS = Delay(2.0)


def _begun(name):
    builder = CircuitBuilder(name)
    builder.axis("m", Role.MODEL, 2)
    builder.axis("k", Role.MODEL, 2)
    builder.input("x", (2,))
    builder.parameter("W", (2, 2), W)
    drive = (Weight(TensorRef("x", ("m",))),)
    return builder, [Compartment("driver", drive=drive)]


def trn_loop(delay=TWO_MS):
    """Core cells, and reticular cells that they excite and that inhibit them."""
    builder, driven = _begun("trn loop")
    builder.population("core", ["m"], Region.CORE, CellClass.RELAY, driven)
    soma = [Compartment("soma")]
    builder.population("trn", ["k"], Region.RETICULAR, CellClass.RETICULAR, soma)
    builder.project("down", "core", "trn", "soma", Weight(TensorRef("W", ("k", "m"))))
    back = Weight(TensorRef("W", ("m", "k")), Gain(-1.0))
    builder.project("back", "trn", "core", "driver", back, delay=delay)
    builder.output("y", "core", ["m"])
    return builder.build()


def at_rest():
    """Where `trn_loop` rests on `X`: r = x − W W r, solved as linear equations."""
    return np.linalg.solve(np.eye(2) + W @ W, X)


def delayed():
    """One pathway with a delay, and no loop."""
    builder, driven = _begun("delayed")
    builder.population("core", ["m"], Region.CORE, CellClass.RELAY, driven)
    builder.population(
        "relay", ["k"], Region.HIGHER_ORDER, CellClass.RELAY, [Compartment("driver")]
    )
    to = ("core", "relay", "driver", Weight(TensorRef("W", ("k", "m"))))
    builder.project("up", *to, delay=Delay(2.5))
    builder.output("y", "relay", ["k"])
    return builder.build()


def leaking(start=0.5):
    """Cells that integrate what they hear less their own rate: at rest they are what they hear."""
    builder, driven = _begun("leaking")
    kind = ("core", ["m"], Region.CORE, CellClass.RELAY, driven)
    builder.population(*kind, integrates=Integration(0.1, start))
    builder.project("leak", "core", "core", "driver", Weight(gain=Gain(-1.0)))
    builder.population("copy", ["k"], Region.L4, CellClass.STELLATE, [Compartment("basal")])
    builder.project("up", "core", "copy", "basal", Weight(TensorRef("W", ("k", "m"))))
    builder.output("y", "copy", ["k"])
    return builder.build()


#: What a circuit comes to on `X`.
SETTLED = {
    "trn loop": (trn_loop, at_rest()),
    "delayed": (delayed, W @ X),
    "leaking": (leaking, W @ X),
}


def looped(gain, delay=TWO_MS, transfer="identity", drive="x"):
    """One cell that hears itself, `delay` later, times `gain`; and `x`, or nothing."""
    builder = CircuitBuilder("loop")
    builder.axis("m", Role.MODEL, 1)
    builder.input("x", (1,))
    weight = Weight(TensorRef("x", ("m",)), Gain(1.0 if drive == "x" else 0.0))
    parts = [Compartment("basal", drive=(weight,))]
    builder.population("cell", ["m"], Region.L23, CellClass.IT, parts, transfer)
    builder.project("back", "cell", "cell", "basal", Weight(gain=Gain(gain)), delay=delay)
    builder.output("y", "cell", ["m"])
    return builder.build()


def chain(depth):
    """Cells one behind the other, the first of which hears `x`."""
    builder = CircuitBuilder("chain")
    builder.axis("m", Role.MODEL, 1)
    builder.input("x", (1,))
    drive = (Weight(TensorRef("x", ("m",))),)
    for k in range(depth):
        parts = [Compartment("basal", drive=() if k else drive)]
        builder.population(f"p{k}", ["m"], Region.L23, CellClass.IT, parts)
        if k:
            builder.project(f"to_{k}", f"p{k - 1}", f"p{k}", "basal")
    builder.output("y", f"p{depth - 1}", ["m"])
    return builder.build()
