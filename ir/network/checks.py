"""What every network must satisfy; `network` makes one that does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain

from cortico.ir.errors import CircuitError, bullet_list, near_name, shown
from cortico.ir.invariants import check
from cortico.ir.network.network import Network, NetworkOutput, Node, Port, Wire
from cortico.ir.network.sizes import sizes_of_nodes
from cortico.ir.paths import PATH, prefix
from cortico.ir.tensors import Input, InputKind


def network(
    name: str,
    inputs: Sequence[Input],
    nodes: Sequence[Node],
    wires: Iterable[Wire | tuple[str, str]],
    outputs: Mapping[str, str] | Sequence[NetworkOutput],
) -> Network:
    """A network, checked. A wire may be two texts, such as `("layer[0].norm.y", "layer[1].attention.x")`,
    and outputs a mapping such as `{"logits": "readout.y"}`.

    CircuitError lists every violation.
    """
    joined = (w if isinstance(w, Wire) else Wire(*map(port, w)) for w in wires)
    given = (
        tuple(NetworkOutput(key, port(text)) for key, text in outputs.items())
        if isinstance(outputs, Mapping)
        else tuple(outputs)
    )
    made = Network(name, tuple(inputs), tuple(nodes), tuple(joined), given)
    check_network(made)
    return made


def port(text: str) -> Port:
    """The port that a text such as `layer[0].attention.x` names."""
    path, _, name = text.rpartition(".")
    return Port(name, path)


def check_network(made: Network) -> None:
    """Raise one CircuitError that lists every violation; of very many, the first ones."""
    for circuit in made.blocks:
        check(circuit)
    for group in RULES:
        problems = chain.from_iterable(rule(made) for rule in group)
        for first in problems:
            listed = bullet_list(chain([first], problems))
            raise CircuitError(f"network {shown(made.name)} is broken:{listed}")
    sizes_of_nodes(made)  # these need the order of the nodes


# ---- rules ---------------------------------------------------------------------------------------

Violations = Iterator[str]


def paths_are_paths(made: Network) -> Violations:
    """Paths are names with dots and numbers."""
    for node in made.nodes:
        if not PATH.fullmatch(node.path):
            yield f"{shown(node.path)} is no path such as layer[3].attention"


def paths_are_apart(made: Network) -> Violations:
    """No node stands at the path of another or below it, and no two would get the same names."""
    for path, times in Counter(node.path for node in made.nodes).items():
        if times > 1:
            yield f"{times} nodes stand at {path}"
    taken: dict[str, str] = {}
    for path in dict.fromkeys(node.path for node in made.nodes):
        other = taken.setdefault(prefix(path), path)
        if other != path:
            yield f"the parts of {other} and {path} would have the same names"
        above = [p for p in taken.values() if path.startswith((f"{p}.", f"{p}["))]
        yield from (f"{path} stands below the node {each}" for each in above)


def names_are_unique(made: Network) -> Violations:
    """No two inputs, and no two outputs, share a name."""
    for kind, names in (
        ("input", [tensor.name for tensor in made.inputs]),
        ("output", [output.name for output in made.outputs]),
    ):
        for name, times in Counter(names).items():
            if times > 1:
                yield f"{kind} {name!r} is declared {times} times"
    if not made.outputs:
        yield "there is no output"


def values_fit(made: Network) -> Violations:
    """A node has arrays for all parameters that its circuit leaves open, or for none."""
    for node in made.nodes:
        for name in node.values:
            if name not in node.open:
                near = near_name(name, node.open)
                yield f"{node.path} has values for {name!r}{near}, which its circuit does not leave open"
        missing = [name for name in node.open if name not in node.values]
        if node.values and missing:
            yield f"{node.path} has values, but none for {', '.join(missing)}"


def ports_exist(made: Network) -> Violations:
    """Wires and outputs begin at an input of the network or an output of a node; wires end at its inputs."""
    sources = {Port(tensor.name) for tensor in made.inputs}
    sources |= {Port(o.name, n.path) for n in made.nodes for o in n.circuit.outputs}
    targets = {Port(t.name, n.path) for n in made.nodes for t in n.circuit.inputs}
    for wire in made.wires:
        if wire.source not in sources:
            yield f"wire {wire}: nothing gives {wire.source}{_near(wire.source, sources)}"
        if wire.target not in targets:
            yield f"wire {wire}: there is no input {wire.target}{_near(wire.target, targets)}"
    for output in made.outputs:
        if not output.source.path or output.source not in sources:
            yield f"output {output.name!r}: no node gives {output.source}{_near(output.source, sources)}"


def inputs_are_fed_once(made: Network) -> Violations:
    """One wire ends at each input of each node."""
    times = Counter(wire.target for wire in made.wires)
    for node in made.nodes:
        for tensor in node.circuit.inputs:
            target = Port(tensor.name, node.path)
            if times[target] != 1:
                yield f"{times[target]} wires end at {target}, expected one"


def kinds_fit(made: Network) -> Violations:
    """What says which tokens exist is fed by an input of the network that says so, rates by rates."""
    kinds = {Port(tensor.name): tensor.kind for tensor in made.inputs}
    for wire in made.wires:
        given = kinds.get(wire.source, InputKind.RATE)
        expected = next(
            t.kind for t in made[wire.target.path].circuit.inputs if t.name == wire.target.name
        )
        if given is not expected:
            yield f"wire {wire}: {wire.source} is a {given}, expected a {expected}"


def wires_become_synapses(made: Network) -> Violations:
    """What a node gives another is heard by cells: weights of synapses cannot be rates of cells."""
    for wire in made.wires:
        circuit = made[wire.target.path].circuit
        as_weights = {p.weight.tensor.name for p in circuit.projections if p.weight.tensor}
        if wire.source.path and wire.target.name in as_weights:
            yield f"wire {wire}: {wire.target.name!r} is a weight of synapses, which no cell can be"


def _near(wrong: Port, known: Iterable[Port]) -> str:
    return near_name(str(wrong), list(map(str, known)))


#: Groups of rules; each rests on the groups before it.
RULES: tuple[tuple[Callable[[Network], Violations], ...], ...] = (
    (paths_are_paths, paths_are_apart, names_are_unique, values_fit),
    (ports_exist, inputs_are_fed_once),
    (kinds_fit, wires_become_synapses),
)
