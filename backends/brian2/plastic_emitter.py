"""A script whose synapses learn: the network of a circuit, with plastic synapses, biases and a course of lessons."""

from __future__ import annotations

from collections.abc import Iterator

from cortico.backends.brian2.cell_groups import CellGroup, Pathway, cell_groups
from cortico.backends.brian2.coder import Coder
from cortico.backends.brian2.emitter import COURSE, IMPORTS, NETWORK, PRESENTED, prepared
from cortico.backends.brian2.options import Options
from cortico.backends.brian2.plastic_statements import (
    bias_values,
    comment_lines,
    partners,
    plastic_synapses,
    with_biases,
)
from cortico.backends.brian2.plasticity import Course, Plasticity
from cortico.backends.brian2.statements import cells, synapses
from cortico.backends.cells.presented.depth import depth
from cortico.backends.cells.presented.schedule import schedule
from cortico.backends.cells.statements import (
    bind,
    function,
    option_lines,
    parameters,
    put_together,
    quoted,
)
from cortico.ir import Circuit

LEARNING = "cortico.backends.brian2.template.learning"

_DOC = '''\
"""Present all examples once an epoch, in an order drawn from `seed`, while the weights learn.

Returns the weights by name, and the loss of each presentation before it was learned from. The gate of
plasticity is open for the last `window` ms of a presentation; without `settling` (ms) the time before
is as long as signals need to come within `tolerance` through the longest chain of cells.
"""'''


def emit_plastic_script(circuit: Circuit, plasticity: Plasticity, file: str) -> str:
    """A standalone Python script that imports brian2 and numpy and trains `circuit`.

    All populations of the circuit, its inputs and outputs have the axis `plasticity.samples`, in time.
    """
    coder = Coder.of(circuit, plan=schedule(circuit), options=Options())
    return put_together(
        coder,
        (LEARNING, NETWORK, PRESENTED, COURSE),
        [IMPORTS, _learn(coder, plasticity)],
        option_lines(Course, vars(Course())),
        file=quoted(file)[1:-1],
        locality="\n".join(comment_lines(plasticity)),
    )


def _learn(coder: Coder, plasticity: Plasticity) -> str:
    """The function that builds the network, presents the examples and reads the weights."""
    circuit = coder.circuit
    groups = cell_groups(circuit, coder.plan, coder.names, plasticity.projections)
    groups = tuple(with_biases(coder, plasticity, group) for group in groups)
    body = [*bind(coder), "", *_lessons(coder, plasticity), ""]
    body += [*_grid(coder, plasticity), "", *_tensors(coder, plasticity), ""]
    for group in groups:
        body += [*cells(coder, group), *bias_values(coder, plasticity, group), ""]
    body += [*partners(plasticity, groups), ""]
    for group, pathway in _pathways(groups):
        made = plastic_synapses(coder, groups, group, pathway, plasticity)
        body += [*(made or synapses(coder, groups, group, pathway)), ""]
    body += _finish(coder, plasticity, groups)
    return function("learn", parameters(coder, vars(Course()), wanted=True), [_DOC, *body])


def _pathways(groups: tuple[CellGroup, ...]) -> Iterator[tuple[CellGroup, Pathway]]:
    return ((g, pathway) for g in groups for current in g.currents for pathway in current.pathways)


def _lessons(coder: Coder, plasticity: Plasticity) -> Iterator[str]:
    """Lines that choose target and step, draw the order of examples, and say when weights change."""
    circuit = coder.circuit
    samples = coder.size(circuit.axis(plasticity.samples).extent)
    yield from prepared(circuit)
    yield "if settling is None:"
    chain = depth(circuit, coder.plan).through
    yield f"    settling = settling_steps({chain}, part, tolerance) * dt"
    yield f"timing = Lessons(dt, settling, window, {samples}, epochs)"
    yield "gate, tau_w = timing.gate(), window / learning_rate * ms"
    yield "rng = np.random.default_rng(seed)"
    yield f"order = np.concatenate([rng.permutation({samples}) for _ in range(epochs)])"
    for tensor in circuit.inputs:
        name = coder.tensors[tensor.name]
        yield f"{name} = {name}[order]"


def _grid(coder: Coder, plasticity: Plasticity) -> Iterator[str]:
    """Lines that make the index of each axis an array along a dimension of its own."""
    space = [axis for axis in coder.circuit.axes if not axis.in_time]
    names = ["_", *(coder.axes[axis.name] for axis in space)]
    ranges = [":1", *(f":{coder.size(axis.extent)}" for axis in space)]
    yield f"{', '.join(names)} = np.ogrid[{', '.join(ranges)},]"
    example = coder.axes[plasticity.samples]
    yield f"{example} = np.arange(len(order)).reshape(-1, *{[1] * len(space)})  # the presentation"


def _tensors(coder: Coder, plasticity: Plasticity) -> Iterator[str]:
    """Lines that make a `Tensor` of everything that learns."""
    yield "tensors = {"
    for tensor in plasticity.tensors:
        decay = f"{tensor.decay!r} * dt * ms / tau_w" if tensor.shared and tensor.decay else "0.0"
        yield f'    "{tensor.name}": Tensor({coder.tensors[tensor.name]}, {decay}),'
    yield "}"


def _finish(coder: Coder, plasticity: Plasticity, groups: tuple[CellGroup, ...]) -> Iterator[str]:
    """Statements after the last Synapses, up to the return."""
    pathways = [pathway.name for _, pathway in _pathways(groups)]
    (error,) = (g for g in groups if g.populations[0].name == plasticity.output_error)
    shared = ", ".join(f'tensors["{t.name}"]' for t in plasticity.tensors if t.shared)
    yield f"groups = [{', '.join(group.name for group in groups)}]"
    yield f"synapses = [{', '.join(pathways)}]"
    yield f"operation = timing.watch(groups, {error.name}, [{shared}])"
    yield "network = Network(groups, synapses, operation)"
    yield "start(network, target, timing.count * timing.steps * dt)"
    yield "learned = {name: tensor.values() for name, tensor in tensors.items()}"
    yield "return {**weights, **learned}, np.array(timing.losses)"
