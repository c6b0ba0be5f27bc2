"""What a circuit computes in exact numbers: the reference interpreter once more, over any ring.

Populations are evaluated one after another, each as a full object array over its axes, as
`cortico.backends.reference` does in float64. Nothing is shared with the emitter: no plan, no order of
products, no shift of softmax.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from cortico.ir import (
    TRANSFERS,
    Circuit,
    Compartment,
    Domain,
    Effect,
    Gain,
    Population,
    Projection,
    Weight,
)
from cortico.ir.analysis.rest import at_rest
from cortico.ir.circuit import resolve
from cortico.ir.domain import mask
from cortico.ir.rewrite import weights_of
from cortico.ir.transfer import ExactRule
from cortico.verify.exact.ring import Number, Ring

Sizes = Mapping[str, int]
Exact = Mapping[str, np.ndarray]  #: name to object array of numbers

_MOST_PRODUCTS = 200

#: An array and the names of its axes.
Factor = tuple[np.ndarray, tuple[str, ...]]


def exact_outputs(
    circuit: Circuit, tensors: Exact, symbols: Sizes, ring: Ring
) -> dict[str, np.ndarray]:
    """Output name to object array. `tensors` has every input and every parameter without formula."""
    rates = _Interpreter(circuit, tensors, symbols, ring).rates()
    outputs = {}
    for output in circuit.outputs:
        axes = circuit.population(output.source.name).axes
        order = [axes.index(axis) for axis in output.source.axes]
        outputs[output.name] = np.transpose(rates[output.source.name], order)
    return outputs


def is_rational(circuit: Circuit) -> bool:
    """Whether a circuit without formulas takes rationals to rationals, but for roots in its gains."""
    exact = {TRANSFERS[population.transfer].exact for population in circuit.populations}
    return exact <= {ExactRule.ITSELF, ExactRule.HALF}


def gains(circuit: Circuit) -> list[Gain]:
    """The gains of a circuit but 1, each once."""
    return list(dict.fromkeys(w.gain for w in weights_of(circuit) if not w.gain.is_one))


def learn_gains(ring: Ring, circuit: Circuit, symbols: Sizes) -> None:
    """Tell `ring` the gains of a circuit and their products, which emitted code holds as floats.

    Products of up to eight gains, as long as there are not more than two hundred of them.
    """
    sizes, known = circuit.sizes(symbols), gains(circuit)
    learned = 0
    for count in range(1, 9):
        learned += math.comb(len(known) + count - 1, count) if known else 0
        if learned > _MOST_PRODUCTS:
            return
        for chosen in itertools.combinations_with_replacement(known, count):
            ring.learn(chosen, sizes)


def operations(circuit: Circuit, symbols: Sizes) -> int:
    """About how many multiplications `exact_outputs` makes."""
    sizes = circuit.sizes(symbols)
    axes = [circuit.synapse_axes(projection) for projection in circuit.projections]
    axes += [population.axes for population in circuit.populations]
    return sum(math.prod(sizes[axis] for axis in each) for each in axes)


class _Interpreter:
    def __init__(self, circuit: Circuit, tensors: Exact, symbols: Sizes, ring: Ring) -> None:
        self.circuit, self.ring, self.sizes = at_rest(circuit), ring, circuit.sizes(symbols)
        self.tensors = {**tensors, **_formulas(circuit, tensors, symbols, ring)}
        self.zero, self.one = ring.number(0), ring.number(1)
        self.computed: dict[str, np.ndarray] = {}

    def rates(self) -> dict[str, np.ndarray]:
        for population in self.circuit.order:
            self.computed[population.name] = self.rate(population)
        return self.computed

    def rate(self, population: Population) -> np.ndarray:
        excitation, inhibition = self.full(population, self.one), self.full(population, self.one)
        for compartment in population.compartments:
            current = self.current(population, compartment)
            if compartment.effect is Effect.MULTIPLIES:
                excitation = _objects(excitation * current)
            else:
                inhibition = _objects(inhibition * current)
        rate = self.full(population, self.zero)
        inside = np.broadcast_to(
            mask(population.domain, population.axes, self.sizes), excitation.shape
        )
        for index in np.argwhere(inside):
            at = tuple(index)
            rate[at] = self.fire(population.transfer, excitation[at], inhibition[at])
        return rate

    def fire(self, transfer: str, excitation: Number, inhibition: Number) -> Number:
        """φ(excitation / inhibition), and x / 0 is 0."""
        driven = self.zero if inhibition == 0 else excitation / inhibition
        assert transfer in TRANSFERS
        return self.ring.apply(transfer, driven)

    def current(self, population: Population, compartment: Compartment) -> np.ndarray:
        total = self.full(population, self.zero)
        for weight in compartment.drive:
            total = _objects(total + self.summed(population.axes, [], weight, ()))
        for projection in self.circuit.projections_onto(population.name, compartment.name):
            total = _objects(total + self.synaptic(population, projection))
        return total

    def synaptic(self, post: Population, projection: Projection) -> np.ndarray:
        pre = self.circuit.heard(projection)
        rate = (self.computed[pre.name], pre.axes)
        return self.summed(post.axes, [rate], projection.weight, projection.domain)

    def summed(
        self, onto: Sequence[str], factors: list[Factor], weight: Weight, domain: Domain
    ) -> np.ndarray:
        """gain · Σ of the product of `factors` and the weight's tensor inside `domain`, over `onto`."""
        if weight.tensor:
            factors = [*factors, (self.tensors[weight.tensor.name], weight.tensor.axes)]
        axes = tuple(dict.fromkeys([*onto, *(axis for _, own in factors for axis in own)]))
        product = _objects(Number(self.ring, self.ring.gain(weight.gain, dict(self.sizes))))
        for array, own in factors:
            product = _objects(product * _placed(array, own, axes))
        product = np.where(mask(domain, axes, self.sizes), product, _objects(self.zero))
        whole = np.broadcast_to(product, [self.sizes[axis] for axis in axes])
        return _objects(whole.sum(axis=tuple(range(len(onto), len(axes)))))

    def full(self, population: Population, value: Number) -> np.ndarray:
        return np.full([self.sizes[axis] for axis in population.axes], _objects(value))


def _objects(value: object) -> np.ndarray:
    """`value` as an object array: NumPy makes a bare object of an array without axes."""
    return np.asarray(value, dtype=object)


def _placed(array: np.ndarray, own: tuple[str, ...], axes: tuple[str, ...]) -> np.ndarray:
    """`array` over its axes `own`, so that it broadcasts over `axes`."""
    order = [own.index(axis) for axis in axes if axis in own]
    places = tuple(slice(None) if axis in own else None for axis in axes)
    return np.asarray(np.transpose(array, order)[places])


# ---- formulas --------------------------------------------------------------------------------------


def _formulas(
    circuit: Circuit, tensors: Exact, symbols: Sizes, ring: Ring
) -> dict[str, np.ndarray]:
    """The parameters that are formulas over others."""
    values = {}
    for parameter in circuit.parameters:
        if parameter.formula is not None:
            shape = tuple(resolve(side, symbols) for side in parameter.shape)
            arguments = (tensors[name] for name in parameter.formula.arguments)
            values[parameter.name] = _FORMULAS[parameter.formula.kind](shape, ring, *arguments)
    return values


def _rotation(shape: tuple[int, ...], ring: Ring, frequencies: np.ndarray) -> np.ndarray:
    """`R[t, p] = [[cos, -sin], [sin, cos]](t · frequencies[p])`."""
    result = np.empty(shape, object)
    for t, p in np.ndindex(shape[:2]):
        angle = t * frequencies[p]
        cos, sin = ring.apply("cos", angle), ring.apply("sin", angle)
        result[t, p, 0, 0] = result[t, p, 1, 1] = cos
        result[t, p, 0, 1], result[t, p, 1, 0] = -sin, sin
    return result


def _distance(shape: tuple[int, ...], ring: Ring, slopes: np.ndarray) -> np.ndarray:
    """`slopes[…] · (j - i)`."""
    result = np.empty(shape, object)
    for index in np.ndindex(shape):
        result[index] = slopes[index[:-2]] * (index[-1] - index[-2])
    return result


def _rows(shape: tuple[int, ...], ring: Ring, table: np.ndarray) -> np.ndarray:
    """As many rows of a table as there are tokens."""
    result = np.empty(shape, object)
    for index in np.ndindex(shape):
        result[index] = table[index]
    return result


def _first(shape: tuple[int, ...], ring: Ring) -> np.ndarray:
    """1 for token 0."""
    return ring.array(np.array([t == 0 for t in range(*shape)]))


_FORMULAS: Mapping[str, Callable[..., np.ndarray]] = {
    "rotation": _rotation,
    "distance": _distance,
    "rows": _rows,
    "first": _first,
}
