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
from typing import Any

import numpy as np

from cortico.backends.clock import delays_in_steps
from cortico.backends.course import Course
from cortico.backends.ending import Ending, Watch
from cortico.backends.reference import Interpreter, interpreter_of, ordered
from cortico.ir import Circuit, CircuitError, Compartment, Population, Projection, SpecError
from cortico.ir.arguments import kind
from cortico.ir.arrays import as_array
from cortico.ir.domain import mask
from cortico.ir.physiology import cell_type


@dataclass(frozen=True)
class Trajectory:
    """What cells handed on at `times` (ms), and what that came to.

    `rates` has an array per population, over times and its axes. `ending` is what the last stimulus came to:
    `settled_ms` is when the last rate came to rest, `period_ms` the period of the largest oscillation; None where
    that is not what happened.
    """

    circuit: Circuit
    times: np.ndarray
    rates: Mapping[str, np.ndarray]
    ending: Ending
    settled_ms: float | None = None
    period_ms: float | None = None

    @property
    def told(self) -> str:
        """How it ended, in words."""
        if self.settled_ms is not None:
            return f"settled after {self.settled_ms:g} ms"
        if self.period_ms is not None:
            return f"oscillates with a period of {self.period_ms:.4g} ms"
        end = f"{self.times[-1]:g} ms"
        return f"diverges by {end}" if self.ending is Ending.DIVERGES else f"still moves at {end}"

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
        run.begin(_population(circuit, name), rates)
    return run.trajectory(steps)


def _population(circuit: Circuit, name: str) -> Population:
    try:
        return circuit.population(name)
    except CircuitError as error:
        raise SpecError(f"start: {error}") from None


def _stimuli(
    circuit: Circuit, inputs: Mapping[str, Any], options: Course
) -> tuple[list[dict[str, Any]], int]:
    """The inputs of each stimulus, and the steps of the whole run."""
    if circuit.presents_tokens:
        raise CircuitError(f"circuit {circuit.name!r} has tokens one after another: no run in time")
    if options.token_ms is None:
        if options.duration is None:
            raise SpecError("a run in time needs duration, or token_ms and inputs that change")
        _refuse_batches(circuit, inputs)
        return [dict(inputs)], options.steps("duration")
    ranks = {tensor.name: len(tensor.given) for tensor in circuit.inputs}
    moving = {n: len(a) for n, a in inputs.items() if np.ndim(a) == ranks.get(n, np.ndim(a)) + 1}
    if len(set(moving.values())) != 1:
        found = ", ".join(f"{n}: {count}" for n, count in moving.items()) or "none"
        raise SpecError(
            f"token_ms needs inputs with a first axis of time, all as long; found {found}"
        )
    count = next(iter(moving.values()))
    if not count:
        raise SpecError(f"{', '.join(moving)}: the first axis, which is time, has no entries")
    stimuli = [{n: a[k] if n in moving else a for n, a in inputs.items()} for k in range(count)]
    _refuse_batches(circuit, stimuli[0])
    per_stimulus = options.steps("token_ms")
    if options.duration is not None and options.steps("duration") != count * per_stimulus:
        raise SpecError(
            f"duration = {options.duration:g} ms, but {count} stimuli of {options.token_ms:g} ms take "
            f"{count * options.token_ms:g} ms: leave it out"
        )
    return stimuli, count * per_stimulus


def _refuse_batches(circuit: Circuit, inputs: Mapping[str, Any]) -> None:
    for tensor in circuit.inputs:
        given, declared = np.ndim(inputs.get(tensor.name, 0)), len(tensor.given)
        if given > declared:
            raise SpecError(
                f"input {tensor.name!r} has {given} axes, expected {declared}: a run in time takes one example, "
                "and a first axis of time with token_ms"
            )


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
        given = as_array(rates, f"start of {population.name!r}")
        if given.shape not in ((), shape) or given.dtype.kind not in "iuf":
            raise SpecError(
                f"start of {population.name!r} is {given.dtype} of shape {given.shape}, expected numbers of "
                f"shape {shape}, or one number"
            )
        if not np.isfinite(given).all():
            raise SpecError(
                f"start of {population.name!r} has NaN or infinity, expected finite numbers"
            )
        begun = _of_cells(population, self.stimuli[0].sizes, np.broadcast_to(given, shape))
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
        watch = Watch(
            options.tolerance,
            steps - per_stimulus,
            per_stimulus,
            max(self.delays.values(), default=1),
        )
        watch.note(0, self.now())
        kept = {0: self.now()}
        with np.errstate(over="ignore", invalid="ignore"):
            for done in range(1, steps + 1):
                self.step(self.listeners[(done - 1) // per_stimulus])
                goes_on = watch.note(done, self.now())
                if done % every == 0 or done == steps or not goes_on:
                    kept[done] = self.now()
                if not goes_on:
                    break
        return self._told(kept, watch)

    def _told(self, kept: Mapping[int, dict[str, np.ndarray]], watch: Watch) -> Trajectory:
        dt = self.options.dt
        rates = {name: np.stack([each[name] for each in kept.values()]) for name in self.rates}
        ending, period = watch.ending()
        settled = watch.last_move * dt if ending is Ending.SETTLED else None
        times = np.array(list(kept)) * dt
        return Trajectory(self.circuit, times, rates, ending, settled, period and period * dt)


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
    return _of_cells(population, sizes, np.full([sizes[axis] for axis in population.axes], start))


def _of_cells(population: Population, sizes: Mapping[str, int], rates: np.ndarray) -> np.ndarray:
    """The rates of cells that exist, and 0 elsewhere."""
    return np.where(mask(population.domain, population.axes, sizes), rates, 0.0)


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
