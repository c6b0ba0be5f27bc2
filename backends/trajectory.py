"""The reference interpreter in time: trajectories of circuits, in plain NumPy. Slow and obvious on purpose.

A run counts steps of `dt` ms. At each step all populations hear what others handed on before (a delay ago; the
step before where a projection has none), and move together, with I as `reference.py` has it:

    cells        τ dr/dt = φ(I) − r, exact while I holds: r + (1 − e^(−dt/τ)) (φ(I) − r); φ(I) where τ = 0
    integrating  dr/dt = rate · φ(I), by Euler's method: r + rate · dt · φ(I)

A cell hands on its rate r. A prospective one hands on r + τ dr/dt, which is φ(I): what it hears without the lag of
its membrane (Granier & Senn's later model; Brandt et al. 2024, arXiv 2405.16676). Cells that integrate hand on r.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

import numpy as np

from cortico.backends.clock import delays_in_steps
from cortico.backends.reference import Interpreter, interpreter_of, ordered
from cortico.ir import Circuit, CircuitError, Compartment, Population, Projection, SpecError
from cortico.ir.analysis.inputs import Arrays
from cortico.ir.arguments import kind
from cortico.ir.options import OptionSet, number
from cortico.ir.physiology import cell_type

_TIME = number(1e-6, 1e9, "a positive number of ms")
#: Of its duration, the last part of a run in which nothing moves that has settled.
_LAST = 10
#: How much the range of a rate may change from a quarter of a run to the next while it oscillates.
_STEADY = 0.2


class Ending(StrEnum):
    """What a run has come to."""

    SETTLED = "settled"
    OSCILLATES = "oscillates"
    DIVERGES = "diverges"
    MOVES = "moves"  #: it has not settled yet, and does nothing regular


@dataclass(frozen=True)
class Course(OptionSet):
    """How a circuit runs in time. Times in ms; SpecError for what cannot be.

    `tau` is one membrane time constant for all cells, 0 for cells that are at once what they hear makes them;
    by default each class has its own (`cell_types.csv`). With `token_ms` the first axis of inputs is time: each
    stimulus stays so long, and `duration` is that of all. Rates are kept `every` so many ms. A circuit has
    settled when no rate moves by more than `tolerance` of the largest of its population in the last tenth of a run.
    """

    owner = "run in time"

    duration: Annotated[float, _TIME] | None = None
    dt: Annotated[float, _TIME] = 0.1
    tau: Annotated[float, number(0.0, 1e9, "0 or a positive number of ms")] | None = None
    prospective: bool = False
    token_ms: Annotated[float, _TIME] | None = None
    every: Annotated[float, _TIME] | None = None
    tolerance: Annotated[float, number(1e-15, 1.0, "a number from 1e-15 to 1")] = 1e-9

    def steps(self, name: str) -> int:
        """A time in steps. SpecError where it is no whole number of them."""
        time: float = getattr(self, name)
        if round(time / self.dt) < 1 or abs(time / self.dt - round(time / self.dt)) > 1e-6:
            raise SpecError(
                f"{name} = {time:g} ms is no whole number of steps of dt = {self.dt:g} ms"
            )
        return round(time / self.dt)


@dataclass(frozen=True)
class Trajectory:
    """What cells handed on at `times` (ms), and what that came to.

    `rates` has an array per population, over times and its axes. `settled_ms` is when the last rate came to rest,
    `period_ms` the period of the largest oscillation; None where that is not what happened.
    """

    circuit: Circuit
    times: np.ndarray
    rates: Mapping[str, np.ndarray]
    ending: Ending
    settled_ms: float | None = None
    period_ms: float | None = None

    @property
    def outputs(self) -> dict[str, np.ndarray]:
        """Output name to its numbers at all times."""
        return {
            o.name: np.stack([ordered(self.circuit, o.source, rates) for rates in self._by_time()])
            for o in self.circuit.outputs
        }

    def _by_time(self) -> Iterator[dict[str, np.ndarray]]:
        for place in range(len(self.times)):
            yield {name: rates[place] for name, rates in self.rates.items()}


@kind
def run_in_time(
    circuit: Circuit,
    inputs: Mapping[str, Any],
    parameters: Mapping[str, Any] | None = None,
    *,
    start: Mapping[str, Any] | None = None,
    **course: object,
) -> Trajectory:
    """The trajectory of a circuit whose inputs hold, or change every `token_ms`; `course` are fields of `Course`.

    `start` has rates at the beginning by population, 0 by default, or what a population that integrates starts
    from. Raises SpecError for times that are no whole number of steps and for names that are not there.
    """
    options = Course.of(course)
    stimuli, steps = _stimuli(circuit, inputs, options)
    run = _Run(circuit, options, [interpreter_of(circuit, each, parameters) for each in stimuli])
    for name, rates in (start or {}).items():
        run.begin(circuit.population(name), rates)
    return run.trajectory(steps)


def _stimuli(
    circuit: Circuit, inputs: Mapping[str, Any], options: Course
) -> tuple[list[dict[str, Any]], int]:
    """The inputs of each stimulus, and the steps of the whole run."""
    if any(axis.in_time for axis in circuit.axes):
        raise CircuitError(f"circuit {circuit.name!r} has tokens one after another: no run in time")
    if options.token_ms is None:
        if options.duration is None:
            raise SpecError("a run in time needs duration, or token_ms and inputs that change")
        return [dict(inputs)], options.steps("duration")
    ranks = {tensor.name: len(tensor.given) for tensor in circuit.inputs}
    moving = {n: len(a) for n, a in inputs.items() if np.ndim(a) == ranks.get(n, np.ndim(a)) + 1}
    if len(set(moving.values())) != 1:
        found = ", ".join(f"{n}: {count}" for n, count in moving.items()) or "none"
        raise SpecError(
            f"token_ms needs inputs with a first axis of time, all as long; found {found}"
        )
    count = next(iter(moving.values()))
    stimuli = [{n: a[k] if n in moving else a for n, a in inputs.items()} for k in range(count)]
    per_stimulus = options.steps("token_ms")
    if options.duration is not None and options.steps("duration") != count * per_stimulus:
        raise SpecError(
            f"duration = {options.duration:g} ms, but {count} stimuli of {options.token_ms:g} ms take "
            f"{count * options.token_ms:g} ms: leave it out"
        )
    return stimuli, count * per_stimulus


class _Run:
    """A circuit on its way: rates, what was handed on before, and what is computed again when it changes."""

    def __init__(self, circuit: Circuit, options: Course, stimuli: list[Interpreter]) -> None:
        self.circuit, self.options, self.stimuli = circuit, options, stimuli
        self.delays = delays_in_steps(circuit, options.dt)
        self.parts = {p.name: _part_of_way(p, options) for p in circuit.populations}
        longest = {
            p.name: max((self.delays[q.name] for q in circuit.projections_from(p.name)), default=1)
            for p in circuit.populations
        }
        sizes = stimuli[0].sizes
        self.rates = {p.name: _at_start(p, sizes) for p in circuit.populations}
        #: What each population handed on in the last steps, the latest first.
        self.past = {n: deque([r] * longest[n], longest[n]) for n, r in self.rates.items()}
        self.listeners = [_Listener(each, self.delays, self.past) for each in stimuli]

    def begin(self, population: Population, rates: Any) -> None:
        """Let a population begin with these rates, a number or an array over its axes."""
        shape = self.rates[population.name].shape
        try:
            begun = np.broadcast_to(np.asarray(rates, float), shape)
        except ValueError:
            found = np.shape(rates)
            raise SpecError(
                f"start of {population.name!r} has shape {found}, expected {shape} or a number"
            ) from None
        self.rates[population.name] = begun
        past = self.past[population.name]
        past.extend([begun] * len(past))

    def step(self, listener: _Listener) -> None:
        """Let all populations move by one step."""
        handed = {}
        for population in self.circuit.populations:
            name, wanted = population.name, listener.rate(population)
            moved = self.rates[name] + self.parts[name] * (
                wanted if population.integrates else wanted - self.rates[name]
            )
            self.rates[name] = _kept(self.rates[name], moved)
            prospective = self.options.prospective and not population.integrates
            handed[name] = wanted if prospective else self.rates[name]
        for name, rates in handed.items():
            self.past[name].appendleft(_kept(self.past[name][0], rates))

    def now(self) -> dict[str, np.ndarray]:
        """What each population hands on."""
        return {name: past[0] for name, past in self.past.items()}

    def trajectory(self, steps: int) -> Trajectory:
        options = self.options
        every = options.steps("every") if options.every else max(1, round(1 / options.dt))
        per_stimulus = options.steps("token_ms") if options.token_ms else steps
        kept, rest, done = [(0, self.now())], _Rest(options.tolerance, steps), 0
        with np.errstate(over="ignore", invalid="ignore"):
            for done in range(1, steps + 1):
                self.step(self.listeners[(done - 1) // per_stimulus])
                if done % every == 0 or done == steps:
                    kept.append((done, self.now()))
                if not rest.watch(done, self.now()):
                    kept.append((done, self.now()))
                    break
        times = np.array([step for step, _ in kept]) * options.dt
        rates = {name: np.stack([each[name] for _, each in kept]) for name in self.rates}
        ending, period = rest.ending(times, rates)
        settled = rest.last_move * options.dt if ending is Ending.SETTLED else None
        return Trajectory(self.circuit, times, rates, ending, settled, period)


def _part_of_way(population: Population, options: Course) -> float:
    """The part of its way that a cell goes in a step; how much of φ(I) one that integrates takes up."""
    if population.integrates:
        return population.integrates.rate * options.dt
    tau = options.tau
    if tau is None:
        tau = cell_type(population.region, population.cell_class).membrane_time.value
    return float(-np.expm1(-options.dt / tau)) if tau else 1.0


def _at_start(population: Population, sizes: Mapping[str, int]) -> np.ndarray:
    start = population.integrates.start if population.integrates else 0.0
    return np.full([sizes[axis] for axis in population.axes], start)


def _kept(old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """`old` itself where nothing has changed, so that who hears it knows."""
    return old if np.array_equal(old, new) else new


class _Listener(Interpreter):
    """An interpreter that hears what was handed on before, and computes again only what has changed."""

    def __init__(
        self, of: Interpreter, delays: Mapping[str, int], past: Mapping[str, deque[np.ndarray]]
    ) -> None:
        super().__init__(of.circuit, of.sizes, of.tensors)
        self.delays, self.past = delays, past
        self.arrived: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        self.currents: dict[tuple[str, str], tuple[list[np.ndarray], np.ndarray]] = {}
        self.fired: dict[str, tuple[list[np.ndarray], np.ndarray]] = {}

    def handed_on(self, projection: Projection) -> np.ndarray:
        return self.past[projection.pre][self.delays[projection.name] - 1]

    def synaptic(self, post: Population, projection: Projection) -> np.ndarray:
        heard = self.handed_on(projection)
        known = self.arrived.get(projection.name)
        if known is None or known[0] is not heard:
            known = self.arrived[projection.name] = heard, super().synaptic(post, projection)
        return known[1]

    def current(self, population: Population, compartment: Compartment) -> np.ndarray:
        onto = self.circuit.projections_onto(population.name, compartment.name)
        parts = [self.synaptic(population, projection) for projection in onto]
        known = self.currents.get((population.name, compartment.name))
        if known is None or not _same(known[0], parts):
            known = parts, super().current(population, compartment)
            self.currents[population.name, compartment.name] = known
        return known[1]

    def rate(self, population: Population) -> np.ndarray:
        currents = [self.current(population, c) for c in population.compartments]
        known = self.fired.get(population.name)
        if known is None or not _same(known[0], currents):
            known = self.fired[population.name] = currents, super().rate(population)
        return known[1]


def _same(old: list[np.ndarray], new: list[np.ndarray]) -> bool:
    return all(a is b for a, b in zip(old, new, strict=True))


class _Rest:
    """Watches a run: when it last moved, and what it comes to."""

    def __init__(self, tolerance: float, steps: int) -> None:
        self.tolerance, self.steps = tolerance, steps
        self.last_move = 0
        self.base: dict[str, np.ndarray] = {}

    def watch(self, step: int, rates: Arrays) -> bool:
        """Note what moved at a step; False when a rate is NaN or infinite, and nothing more can come of it."""
        for name, now in rates.items():
            before = self.base.get(name)
            if before is now:
                continue
            size = np.abs(now).max(initial=0.0)
            if not np.isfinite(size):
                return False
            if before is None or np.abs(now - before).max(initial=0.0) > self.tolerance * size:
                self.base[name], self.last_move = now, step
        return True

    def ending(self, times: np.ndarray, rates: Arrays) -> tuple[Ending, float | None]:
        if not all(np.isfinite(array).all() for array in rates.values()):
            return Ending.DIVERGES, None
        if self.last_move <= self.steps - self.steps // _LAST:
            return Ending.SETTLED, None
        flat = np.concatenate([array.reshape(len(times), -1) for array in rates.values()], axis=1)
        quarter = max(2, len(times) // 4)
        third, fourth = (
            np.ptp(part, axis=0) for part in (flat[-2 * quarter : -quarter], flat[-quarter:])
        )
        cell = int(np.argmax(fourth))
        if fourth[cell] > (1 + _STEADY) * third[cell]:
            return Ending.DIVERGES, None
        period = _period(times[-2 * quarter :], flat[-2 * quarter :, cell])
        if period is not None and fourth[cell] >= (1 - _STEADY) * third[cell]:
            return Ending.OSCILLATES, period
        return Ending.MOVES, None


def _period(times: np.ndarray, rates: np.ndarray) -> float | None:
    """The mean time between upward crossings of the middle of the range; None for fewer than two periods."""
    middle = (rates.max() + rates.min()) / 2
    below, above = rates[:-1] - middle, rates[1:] - middle
    places = np.flatnonzero((below < 0) & (above >= 0))
    if len(places) < 3:
        return None
    parts = below[places] / (below[places] - above[places])
    crossings = times[places] + parts * np.diff(times)[places]
    return float((crossings[-1] - crossings[0]) / (len(crossings) - 1))
