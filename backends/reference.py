"""The reference interpreter: what a circuit means, in plain NumPy. Slow and obvious on purpose.

Populations are evaluated one after another, each as a full array over its axes:

    I_c  = Σ drive + Σ_projections Σ_(axes only in pre) weight · rate_pre · [inside the domain]
    rate = φ( Π multiplying I_c / Π dividing I_c ) · [inside the domain],   and x/0 is 0

A time axis is an axis like any other here: the rate at step t is the entry at index t. Where rates are too large
or too small for a float, as exponentials of large scores, all is computed again in wider numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cortico.backends.course import Options
from cortico.backends.ending import Ending
from cortico.backends.wide import WideInterpreter
from cortico.ir import (
    Circuit,
    CircuitError,
    Compartment,
    Effect,
    Population,
    Projection,
    TensorRef,
    Weight,
)
from cortico.ir.analysis.inputs import (
    Arrays,
    all_live,
    as_rates,
    given_inputs,
    parameter_values,
)
from cortico.ir.analysis.rest import at_rest
from cortico.ir.arguments import kind
from cortico.ir.domain import Domain, mask
from cortico.ir.errors import named
from cortico.ir.options import to_mapping
from cortico.ir.transfer import TRANSFERS

if TYPE_CHECKING:
    from cortico.backends.trajectory import Trajectory

#: Rates down to here have all digits, and their products some room.
SMALLEST = 1e-200


#: Steps of the first of the runs in which a circuit should settle, and of the last; each has twice as many as the one before.
_FIRST, _LAST = 1_000, 128_000


class ReferenceBackend:
    """Interprets a circuit in float64; every other backend is tested against it.

    A circuit whose rest is not known in closed form, or any circuit with an option (`Options`), runs in time: for
    `duration`, with `token_ms` on one stimulus after another, or until it has settled. What it gives are its rates at the end, with
    `token_ms` at the end of each stimulus.
    """

    name = "reference"
    in_time = True
    summary = "direct interpreter that defines what a circuit means (slow)"

    def __init__(self, **options: object) -> None:
        self.options = Options.of(options)
        self.remarks: tuple[str, ...] = ()

    def unsupported(self, circuit: Circuit) -> list[str]:
        return []

    @kind
    def run(
        self,
        circuit: Circuit,
        inputs: Mapping[str, Any],
        parameters: Mapping[str, Any] | None = None,
    ) -> dict[str, np.ndarray]:
        """Output name to float64 array; leading axes of the inputs beyond the declared are a batch.

        CircuitError for a circuit that does not settle, where no duration is given.
        """
        self.remarks = ()
        if self.options.token_ms is not None:
            return self._stream(circuit, inputs, parameters)
        inputs, _ = given_inputs(circuit, inputs)
        batch = _batch_shape(circuit, inputs)
        results = []
        for index in np.ndindex(*batch):
            one = {name: _example(circuit, name, array, index) for name, array in inputs.items()}
            rates = self._rates(circuit, one, parameters)
            results.append([ordered(circuit, output.source, rates) for output in circuit.outputs])
        return {
            output.name: np.stack([r[k] for r in results]).reshape((*batch, *results[0][k].shape))
            for k, output in enumerate(circuit.outputs)
        }

    def _rates(self, circuit: Circuit, one: Arrays, parameters: Arrays | None) -> Arrays:
        """The rates of one example; those at the end of a run in time."""
        if self.options == Options() and _has_known_rest(circuit):
            return interpret(circuit, one, parameters)
        from cortico.backends.trajectory import run_in_time  # it interprets as this file does

        course = to_mapping(self.options)
        if self.options.duration is not None:
            return self._last(run_in_time(circuit, one, parameters, **course))
        steps, ending = _FIRST, None
        while steps <= _LAST:
            course["duration"] = steps * self.options.dt
            ran = run_in_time(circuit, one, parameters, **course)
            if ran.ending is Ending.SETTLED:
                return self._last(ran)
            if ran.ending is ending is not Ending.MOVES:
                break
            steps, ending = 2 * steps, ran.ending
        raise CircuitError(
            f"circuit {named(circuit.name)} does not settle: {ran.told}; give duration to have its rates then"
        )

    def _last(self, ran: Trajectory) -> Arrays:
        self.remarks = (*self.remarks, ran.told)
        return {name: rates[-1] for name, rates in ran.rates.items()}

    def _stream(
        self, circuit: Circuit, inputs: Mapping[str, Any], parameters: Arrays | None
    ) -> dict[str, np.ndarray]:
        """The outputs at the end of each stimulus, the first axis of all that changes."""
        from cortico.backends.trajectory import run_in_time

        course = to_mapping(self.options) | {"every": self.options.token_ms}
        ran = run_in_time(circuit, inputs, parameters, **course)
        self.remarks = (ran.told,)
        if not all(np.isfinite(rates).all() for rates in ran.rates.values()):
            raise CircuitError(f"circuit {named(circuit.name)} {ran.told}")
        return {name: array[1:] for name, array in ran.outputs.items()}


def _has_known_rest(circuit: Circuit) -> bool:
    try:
        return at_rest(circuit) is not None
    except CircuitError:
        return False


def interpret(
    circuit: Circuit, inputs: Arrays, parameters: Arrays | None = None
) -> dict[str, np.ndarray]:
    """The rates of every population (float64, over its axes) for one example without batch axes.

    Those at rest, of a circuit that lives in time; CircuitError where its rest is not known (`at_rest`).
    """
    circuit = at_rest(circuit)
    interpreter = interpreter_of(circuit, inputs, parameters)
    with np.errstate(over="ignore", invalid="ignore"):
        rates = interpreter.rates()
        if _are_held(interpreter, rates) or not _are_finite(interpreter.tensors):
            return rates
        return WideInterpreter(circuit, interpreter.sizes, interpreter.tensors).rates()


def _are_held(interpreter: Interpreter, rates: Arrays) -> bool:
    """Whether floats hold all rates: none is infinite, and no exponential lost digits or became 0."""
    if not _are_finite(rates):
        return False
    exponential = (p for p in interpreter.circuit.populations if p.transfer == "exp")
    return all((interpreter.of_cells(p, rates[p.name]) > SMALLEST).all() for p in exponential)


def _are_finite(arrays: Arrays) -> bool:
    return all(np.isfinite(array).all() for array in arrays.values())


def currents(
    circuit: Circuit,
    rates: Arrays,
    population: Population,
    inputs: Arrays,
    parameters: Arrays | None = None,
) -> dict[str, np.ndarray]:
    """The current of every compartment of a population, over its axes, at rates from `interpret`."""
    interpreter = interpreter_of(circuit, inputs, parameters)
    interpreter.computed = dict(rates)
    return {c.name: interpreter.current(population, c) for c in population.compartments}


def interpreter_of(circuit: Circuit, inputs: Arrays, parameters: Arrays | None) -> Interpreter:
    """An interpreter of one example without batch axes, whose inputs are checked."""
    inputs, symbols = given_inputs(circuit, inputs)
    given = as_rates(circuit, all_live(circuit, inputs, symbols))
    tensors = {**parameter_values(circuit, symbols, parameters), **given}
    tensors = {name: np.asarray(array, dtype=np.float64) for name, array in tensors.items()}
    return Interpreter(circuit, circuit.sizes(symbols), tensors)


class Interpreter:
    """The rates of a circuit; `computed` is what a population hands on, by name. `tensors` are float64."""

    def __init__(self, circuit: Circuit, sizes: dict[str, int], tensors: Arrays) -> None:
        self.circuit, self.sizes, self.tensors = circuit, sizes, tensors
        self.computed: dict[str, np.ndarray] = {}

    def rates(self) -> dict[str, np.ndarray]:
        for population in self.circuit.order:
            self.computed[population.name] = self.rate(population)
        return self.computed

    def of_cells(self, population: Population, rates: np.ndarray) -> np.ndarray:
        """Rates of the cells that exist, one after another."""
        inside = mask(population.domain, population.axes, self.sizes)
        existing: np.ndarray = rates[np.broadcast_to(inside, rates.shape)]
        return existing

    def rate(self, population: Population) -> np.ndarray:
        shape = [self.sizes[axis] for axis in population.axes]
        excitation, inhibition = np.ones(shape), np.ones(shape)
        for compartment in population.compartments:
            current = self.current(population, compartment)
            if compartment.effect is Effect.MULTIPLIES:
                excitation = excitation * current
            else:
                inhibition = inhibition * current
        inside = mask(population.domain, population.axes, self.sizes)
        excitation = excitation * inside
        driven = np.divide(excitation, inhibition, out=np.zeros(shape), where=inhibition != 0)
        driven = np.where(inside, driven, 1.0)  # all functions have a value there
        return np.where(inside, TRANSFERS[population.transfer].evaluate(driven), 0.0)

    def current(self, population: Population, compartment: Compartment) -> np.ndarray:
        total = np.zeros([self.sizes[axis] for axis in population.axes])
        for weight in compartment.drive:
            total = total + self.summed(population.axes, [], weight, ())
        for projection in self.circuit.projections_onto(population.name, compartment.name):
            total = total + self.synaptic(population, projection)
        return total

    def handed_on(self, projection: Projection) -> np.ndarray:
        """The rates that arrive at the synapses of a projection, over the axes of its source."""
        return self.computed[projection.pre]

    def synaptic(self, post: Population, projection: Projection) -> np.ndarray:
        pre = self.circuit.heard(projection)
        rate = (self.handed_on(projection), pre.axes)
        return self.summed(post.axes, [rate], projection.weight, projection.domain)

    def summed(
        self,
        onto: Sequence[str],
        factors: list[tuple[np.ndarray, tuple[str, ...]]],
        weight: Weight,
        domain: Domain,
    ) -> np.ndarray:
        """gain · Σ of the product of `factors`, the weight's tensor and the domain, over `onto`."""
        factors = [(np.ones(()), ()), *factors]
        if weight.tensor:
            factors.append((self.tensors[weight.tensor.name], weight.tensor.axes))
        for bound in domain:
            pair = (bound.left, bound.right)
            factors.append((mask((bound,), pair, self.sizes).astype(float), pair))
        # a term that lacks an axis of the result is the same along it
        factors += [(np.ones(self.sizes[axis]), (axis,)) for axis in onto]
        met = dict.fromkeys(axis for _, axes in factors for axis in axes)  # einsum counts 52
        letter = {axis: k for k, axis in enumerate(met)}
        operands = [part for array, axes in factors for part in (array, [letter[a] for a in axes])]
        total: np.ndarray = np.einsum(*operands, [letter[axis] for axis in onto])
        return weight.gain.value(self.sizes) * total


def _batch_shape(circuit: Circuit, inputs: Arrays) -> tuple[int, ...]:
    leading = [
        np.shape(inputs[tensor.name])[: np.ndim(inputs[tensor.name]) - len(tensor.given)]
        for tensor in circuit.inputs
        if tensor.name in inputs
    ]
    return max(leading, key=len, default=())


def _example(circuit: Circuit, name: str, array: np.ndarray, index: tuple[int, ...]) -> np.ndarray:
    """One example of a batch; an input without batch axes is shared by all."""
    declared = [len(tensor.given) for tensor in circuit.inputs if tensor.name == name]
    is_batched = bool(declared) and np.ndim(array) > declared[0]
    return np.asarray(array)[index] if is_batched else np.asarray(array)


def ordered(circuit: Circuit, source: TensorRef, rates: Arrays) -> np.ndarray:
    """The rates of a population with its axes in the order in which it is read."""
    axes = circuit.population(source.name).axes
    return np.transpose(rates[source.name], [axes.index(axis) for axis in source.axes])
