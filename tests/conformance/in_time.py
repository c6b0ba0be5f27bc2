"""Small circuits that live in time, and what they do in loops of NumPy written by hand: all simulators share them.

A loop gives what its cells hand on. It has a line for each population, which says what makes it fire, from what
was handed on so many steps before, and it knows nothing of circuits.
"""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from cortico.backends.trajectory import run_in_time
from cortico.ir import (
    CellClass,
    Circuit,
    CircuitBuilder,
    Compartment,
    Delay,
    DelayUnit,
    Effect,
    Gain,
    Integration,
    Region,
    Role,
    TensorRef,
    Weight,
)
from cortico.ir.physiology import cell_type

DT = 0.1
W = np.array([[0.9, -0.4], [0.3, 0.7]])
RELAY, RETICULAR = (Region.CORE, CellClass.RELAY), (Region.RETICULAR, CellClass.RETICULAR)
EXCITES, INHIBITS = (Region.L23, CellClass.IT), (Region.L23, CellClass.PV)
MINUS = Gain(-1.0)


@dataclass(frozen=True, eq=False)
class Living:
    """A circuit, its inputs, options of a run, and the loop that does the same by hand."""

    circuit: Circuit
    inputs: Mapping[str, np.ndarray]
    options: Mapping[str, object]
    by_hand: Callable[["Past", np.ndarray], dict[str, np.ndarray]]
    kinds: Mapping[str, tuple[Region, CellClass]]  #: cells that leak
    paces: Mapping[str, tuple[float, float]] = field(default_factory=dict)  #: cells that integrate

    @property
    def name(self) -> str:
        return self.circuit.name

    def expected(self, dt: float = DT, **options: object) -> np.ndarray:
        """Output y at the end of the run, or of each stimulus, by the loop."""
        course, each = self.course(dt, **options), self._steps(dt)
        return course[each::each] if "token_ms" in self.options else course[-1]

    def course(self, dt: float = DT, **options: object) -> np.ndarray:
        """Output y at the beginning and after each step."""
        told = {**self.options, **options}
        stimuli = self.inputs["x"] if "token_ms" in told else self.inputs["x"][None]
        past = Past(self, dt, bool(told.get("prospective")))
        for x in stimuli:
            for _ in range(self._steps(dt)):
                past.step(self.by_hand(past, x))
        return np.stack([handed["out"] for handed in past.handed])

    def reference(self, dt: float = DT, **options: object) -> np.ndarray:
        """The same by the reference interpreter."""
        told = {**self.options, **options, "dt": dt, "every": dt}
        found: np.ndarray = run_in_time(self.circuit, self.inputs, **told).outputs["y"]
        return found

    def _steps(self, dt: float) -> int:
        time = self.options.get("token_ms", self.options.get("duration"))
        assert isinstance(time, float)
        return round(time / dt)


class Past:
    """What was handed on, by population; `past("core", 3)` is that of three steps ago."""

    def __init__(self, case: Living, dt: float, prospective: bool) -> None:
        self.case, self.dt, self.prospective = case, dt, prospective
        starts = {**dict.fromkeys(case.kinds, 0.0), **{n: s for n, (_, s) in case.paces.items()}}
        self.rates = {name: np.full(2, start) for name, start in starts.items()}
        self.handed = [self.rates]

    def __call__(self, name: str, steps: int = 1) -> np.ndarray:
        return self.handed[max(len(self.handed) - steps, 0)][name]

    def step(self, wanted: dict[str, np.ndarray]) -> None:
        new, handed = {}, {}
        for name, goal in wanted.items():
            if name in self.case.paces:
                new[name] = self.rates[name] + self.case.paces[name][0] * self.dt * goal
                handed[name] = new[name]
                continue
            tau = cell_type(*self.case.kinds[name]).membrane_time.value
            new[name] = goal + (self.rates[name] - goal) * np.exp(-self.dt / tau)
            handed[name] = goal if self.prospective else new[name]
        self.rates = new
        self.handed.append(handed)


def _builder(name: str) -> tuple[CircuitBuilder, Weight, Callable[..., Weight]]:
    """A builder, what drives cells from outside, and weights W."""
    builder = CircuitBuilder(name)
    builder.axis("m", Role.MODEL, 2)
    builder.axis("k", Role.MODEL, 2)
    builder.input("x", (2,))
    builder.parameter("W", (2, 2), W)
    weight = lambda *axes, gain=Gain(): Weight(TensorRef("W", axes), gain)  # noqa: E731
    return builder, Weight(TensorRef("x", ("m",))), weight


def trn_loop() -> Living:
    """Core cells excite reticular ones, which inhibit them, 2 ms there and 2 ms back."""
    builder, x, weight = _builder("TRN loop")
    builder.population("out", ["m"], *RELAY, [Compartment("driver", drive=(x,))])
    builder.population("trn", ["k"], *RETICULAR, [Compartment("soma")], "relu")
    builder.project("there", "out", "trn", "soma", weight("k", "m"), delay=Delay(2.0))
    builder.project("back", "trn", "out", "driver", weight("m", "k", gain=MINUS), delay=Delay(2.0))
    builder.output("y", "out", ["m"])

    def loop(past: Past, x: np.ndarray) -> dict[str, np.ndarray]:
        delay = round(2.0 / past.dt)
        heard = np.maximum(W @ past("out", delay), 0.0)
        return {"out": x - W @ past("trn", delay), "trn": heard}

    kinds = {"out": RELAY, "trn": RETICULAR}
    inputs = {"x": np.array([1.0, 2.0])}
    return Living(builder.build(), inputs, {"duration": 40.0}, loop, kinds)


def excitation_and_inhibition() -> Living:
    """A pair of populations whose loop, of 4 ms, is stronger than it is stable: it oscillates for ever."""
    builder, x, _ = _builder("E-I pair")
    strong = Weight(gain=Gain(6.0))
    builder.population("out", ["m"], *EXCITES, [Compartment("basal", drive=(x,))], "tanh")
    builder.population("pv", ["m"], *INHIBITS, [Compartment("soma")], "tanh")
    builder.project("excites", "out", "pv", "soma", strong, delay=Delay(2.5))
    builder.project("inhibits", "pv", "out", "basal", Weight(gain=Gain(-6.0)), delay=Delay(1.5))
    builder.output("y", "out", ["m"])

    def loop(past: Past, x: np.ndarray) -> dict[str, np.ndarray]:
        inhibited = x - 6.0 * past("pv", round(1.5 / past.dt))
        return {"out": np.tanh(inhibited), "pv": np.tanh(6.0 * past("out", round(2.5 / past.dt)))}

    kinds = {"out": EXCITES, "pv": INHIBITS}
    inputs = {"x": np.array([0.3, -0.2])}
    return Living(builder.build(), inputs, {"duration": 150.0}, loop, kinds)


def integrators() -> Living:
    """Two cells that integrate, one what it hears of the other less than its input, and start from other rates."""
    builder, x, _ = _builder("integrators")
    own = Compartment("basal", drive=(x,))
    builder.population("first", ["m"], *EXCITES, [own], integrates=Integration(0.05, 0.2))
    builder.population(
        "out", ["m"], *EXCITES, [Compartment("basal")], integrates=Integration(0.08, -0.1)
    )
    minus = Weight(gain=MINUS)
    builder.project("up", "first", "out", "basal", delay=Delay(3, DelayUnit.STEPS))
    builder.project("leak", "out", "out", "basal", minus)
    builder.project("back", "out", "first", "basal", minus)
    builder.output("y", "out", ["m"])

    def loop(past: Past, x: np.ndarray) -> dict[str, np.ndarray]:
        return {"first": x - past("out"), "out": past("first", 3) - past("out")}

    paces = {"first": (0.05, 0.2), "out": (0.08, -0.1)}
    inputs = {"x": np.array([1.0, -2.0])}
    return Living(builder.build(), inputs, {"duration": 60.0}, loop, {}, paces)


def chain() -> Living:
    """Six prospective cells one after another: what comes out follows an input that changes each 50 ms."""
    builder, x, weight = _builder("chain")
    names = ["one", "two", "three", "four", "five", "out"]
    for number, (before, name) in enumerate(zip([None, *names], names, strict=False)):
        drive = () if before else (x,)
        axis, other = ("m", "k") if number % 2 == 0 else ("k", "m")
        builder.population(name, [axis], *EXCITES, [Compartment("basal", drive=drive)], "tanh")
        if before:
            builder.project(f"to_{name}", before, name, "basal", weight(axis, other))
    builder.output("y", "out", ["k"])

    def loop(past: Past, x: np.ndarray) -> dict[str, np.ndarray]:
        heard = {name: W @ past(before) for before, name in itertools.pairwise(names)}
        return {"one": np.tanh(x), **{name: np.tanh(each) for name, each in heard.items()}}

    inputs = {"x": np.array([[1.0, 0.5], [-1.0, 0.2], [0.1, 2.0]])}
    options = {"token_ms": 50.0, "prospective": True}
    return Living(builder.build(), inputs, options, loop, dict.fromkeys(names, EXCITES))


def divided() -> Living:
    """Cells that are divided by a pool of themselves, which hears them later, and once by nothing."""
    builder, x, weight = _builder("gain control")
    apical = Compartment("apical", drive=(x,))
    shunt = Compartment("shunt", Effect.DIVIDES)
    builder.population("out", ["m"], *EXCITES, [apical, shunt])
    builder.population(
        "pv", ["k"], *INHIBITS, [Compartment("soma", drive=(Weight(gain=Gain(0.5)),))], "relu"
    )
    builder.project("pools", "out", "pv", "soma", weight("k", "m"), delay=Delay(1.0))
    builder.project("divides", "pv", "out", "shunt", weight("m", "k"))
    builder.output("y", "out", ["m"])

    def loop(past: Past, x: np.ndarray) -> dict[str, np.ndarray]:
        shunt = W @ past("pv")
        fires = np.divide(x, shunt, out=np.zeros(2), where=shunt != 0)
        pooled = W @ past("out", round(1.0 / past.dt)) + 0.5
        return {"out": fires, "pv": np.maximum(pooled, 0.0)}

    kinds = {"out": EXCITES, "pv": INHIBITS}
    inputs = {"x": np.array([1.0, 2.0])}
    return Living(builder.build(), inputs, {"duration": 30.0}, loop, kinds)


LIVING = (trn_loop(), excitation_and_inhibition(), integrators(), chain(), divided())
