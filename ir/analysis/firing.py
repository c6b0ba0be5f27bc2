"""Which cells surely fire: their rates are above 0 whatever inputs and tensors hold, at all sizes."""

from __future__ import annotations

from cortico.ir.analysis.signs import Signs
from cortico.ir.axes import Extent
from cortico.ir.circuit import Circuit
from cortico.ir.domain import Bound, bound_axes, mask, restrict
from cortico.ir.population import Compartment, Population, Projection
from cortico.ir.tensors import Weight
from cortico.ir.transfer import TRANSFERS


class Firing:
    """The populations of a feed-forward circuit that surely fire: exponentials, and sums and products of such."""

    def __init__(self, circuit: Circuit) -> None:
        self.circuit, self.signs = circuit, Signs(circuit)
        self.names: set[str] = set()
        for population in circuit.order:
            if population.transfer == "exp" or self._adds_up(population):
                self.names.add(population.name)

    def _adds_up(self, population: Population) -> bool:
        return TRANSFERS[population.transfer].is_identity and all(
            self.hears_some(population, c) for c in population.compartments
        )

    def hears_some(self, population: Population, compartment: Compartment) -> bool:
        """Whether the current of a compartment is surely above 0: nothing in it is below, and something above."""
        heard = self.circuit.projections_onto(population.name, compartment.name)
        above = any(map(constant_above_0, compartment.drive)) or any(map(self.is_heard, heard))
        return above and self.signs.current_is_positive(population, compartment)

    def is_heard(self, projection: Projection) -> bool:
        """Whether every cell that a projection ends on surely hears one that fires."""
        fires = projection.pre in self.names and constant_above_0(projection.weight)
        return fires and reaches_all(self.circuit, projection)


def constant_above_0(weight: Weight) -> bool:
    """Whether a weight is a number, and above 0."""
    return weight.tensor is None and weight.gain.coefficient > 0


def reaches_all(circuit: Circuit, projection: Projection) -> bool:
    """Whether every cell that a projection ends on has a synapse of it. False where that is not seen."""
    post = circuit.population(projection.post)
    extents = {axis.name: axis.extent for axis in circuit.axes}
    own, tying = set(post.axes), circuit.synapse_domain(projection)
    if not set(restrict(tying, own)) <= set(post.domain):
        return False
    ties = [bound for bound in tying if not {bound.left, bound.right} <= own]
    if _the_same_index_is_there(ties, own, extents):
        return True
    sizes = {axis: size for axis in bound_axes(ties) if isinstance(size := extents[axis], int)}
    if set(sizes) != bound_axes(ties):
        return False
    axes = sorted(sizes)
    summed = tuple(k for k, axis in enumerate(axes) if axis not in own)
    return bool(mask(tuple(ties), axes, sizes).any(axis=summed).all())


def _the_same_index_is_there(ties: list[Bound], own: set[str], extents: dict[str, Extent]) -> bool:
    """Whether j = i obeys all bounds, for each axis j that is summed and the one axis i of a cell that it is tied to."""
    tied: dict[str, set[str]] = {}
    for bound in ties:
        pair = {bound.left, bound.right}
        for axis in pair - own:
            tied.setdefault(axis, set()).update(pair & own or {axis})
    alike = all(
        len(to) == 1 and extents[axis] == extents[next(iter(to))] and to <= own
        for axis, to in tied.items()
    )
    return alike and all(bound.offset >= 0 for bound in ties)
