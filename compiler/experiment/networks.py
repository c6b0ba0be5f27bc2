"""Experiments on networks: what each block does on an input, and lesions of parts of levels.

    for node, seen in observe_network(network, {"tokens": ids}): seen.attention
    silent = lesion_network(network, "layer:L2/3@level=3,area=5")

A target of `lesion` with `@level=3` is in the blocks of that level, else in those of all levels and between;
with areas it is in the blocks that have areas (attention heads).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from cortico.backends.reference import ordered
from cortico.experiment.activity import Activity, observe
from cortico.experiment.cut import lesion
from cortico.experiment.targets import Kind, Target, read_target
from cortico.ir import Role, SpecError
from cortico.ir.analysis.inputs import Arrays, given_inputs
from cortico.ir.arguments import kind
from cortico.ir.errors import named
from cortico.ir.network import Network, Node, Port, network
from cortico.ir.rewrite import with_values

_PLACE = re.compile(r"(?P<what>[^@]*)@level=(?P<level>[0-9]{1,9})(,(?P<rest>area=.*))?")


@dataclass(frozen=True)
class LevelTarget:
    """What `lesion` names, in the blocks of one level or of all."""

    target: Target
    level: int | None = None

    def __str__(self) -> str:
        what = f"{self.target.kind}:{self.target.name}"
        areas = self.target.areas
        places = [] if self.level is None else [f"level={self.level}"]
        places += [] if areas is None else [f"area={','.join(map(str, areas))}"]
        return what + ("@" + ",".join(places) if places else "")

    def nodes(self, given: Network) -> tuple[Node, ...]:
        """The blocks it is in. SpecError when there is no such level, or none of its blocks has the target."""
        if self.level is None:
            blocks = given.nodes
        elif self.level < len(given.levels):
            blocks = given.levels[self.level].nodes
        else:
            raise SpecError(
                f"{self}: there is no level {self.level}, {named(given.name)} has {len(given.levels)}"
            )
        found = tuple(node for node in blocks if self._is_in(node))
        if found:
            return found
        for node in blocks:  # that says what there is instead
            if self.target.areas is None or _has_areas(node):
                self._find(node)
        raise SpecError(f"{self}: none of its blocks has areas")

    def _is_in(self, node: Node) -> bool:
        try:
            self._find(node)
        except SpecError:
            return False
        return self.target.areas is None or _has_areas(node)

    def _find(self, node: Node) -> None:
        if self.target.kind is Kind.PROJECTION:
            self.target.projections(node.circuit)
        else:
            self.target.populations(node.circuit)


def read_level_target(text: str) -> LevelTarget:
    """The target that a text names, such as `layer:L2/3@level=3,area=5`. SpecError for another."""
    found = _PLACE.fullmatch(text)
    if found is None:
        return LevelTarget(read_target(text))
    rest = f"@{found['rest']}" if found["rest"] else ""
    return LevelTarget(read_target(found["what"] + rest), int(found["level"]))


@kind
def lesion_network(given: Network, text: str, factor: float = 0.0) -> Network:
    """The network with the rates or synapses that a target names times `factor`; 0 silences them.

    SpecError as `lesion` has it, and for levels that there are not.
    """
    target = read_level_target(text)
    paths = {node.path for node in target.nodes(given)}
    nodes = [
        replace(node, circuit=lesion(node.circuit, target.target, factor))
        if node.path in paths
        else node
        for node in given.nodes
    ]
    return network(given.name, given.inputs, nodes, given.wires, given.outputs)


@kind
def observe_network(given: Network, inputs: Arrays) -> Iterator[tuple[Node, Activity]]:
    """Run a network block by block on one example: each block with what all its cells do.

    Rates are float64, of the interpreter. SpecError for inputs that do not fit or have a batch, for blocks
    without numbers, and for rates that overflow or are too many.
    """
    arrays, _ = given_inputs(given, inputs)
    known = {Port(name): array for name, array in arrays.items()}
    for node in given.order:
        sources = {t.name: given.source_of[Port(t.name, node.path)] for t in node.circuit.inputs}
        heard = {name: known[port] for name, port in sources.items() if port in known}
        seen = observe(with_values(node.circuit, node.values), heard)
        for output in node.circuit.outputs:
            given_rates = ordered(seen.circuit, output.source, seen.rates)
            known[Port(output.name, node.path)] = given_rates
        yield node, seen


def _has_areas(node: Node) -> bool:
    return any(axis.role is Role.AREA for axis in node.circuit.axes)
