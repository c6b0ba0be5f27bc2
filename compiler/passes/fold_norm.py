"""fold-norm: gain and bias of a norm go into the weights of what hears it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from cortico.ir.analysis.constants import values_of
from cortico.ir.network import Network, Port
from cortico.passes.affine import Affine, Reader, RefusedError, affine_output
from cortico.passes.base import NetworkPass
from cortico.passes.naming import named_apart
from cortico.passes.sharing import Sharing, with_nodes


@dataclass(frozen=True)
class FoldNorm(NetworkPass):
    """Fold gain and bias of a norm into the weights of every block that hears it.

        Σ_m W[a,m] (g[m] z[m] + b[m]) + c[a]   ->   Σ_m (W[a,m] g[m]) z[m] + (c[a] + Σ_m W[a,m] b[m])

    Norms that stand before attention, feed-forward blocks or a readout (GPT-2, Llama) lose their gain, and
    the cells that add the bias. A norm is left alone, and the report says why, where something reads it
    without weights along m (a residual: BERT's norms, whose output is the stream; Gemma 2's norms of what
    a block gives), where it is an output, and where weights have no numbers or are another node's, too
    (a tied readout). Numbers are multiplied in float64 and stored in their own type.
    """

    name = "fold-norm"

    def run(self, network: Network) -> Network:
        circuits = {node.path: node.whole for node in network.nodes}
        for fold in _Plan(network).folds:
            norm = circuits[fold.path]
            gain, shift = fold.affine.numbers(norm)
            for path, name in fold.readers:
                circuits[path] = Reader(circuits[path], name, fold.side).folded(gain, shift)
            circuits[fold.path] = fold.affine.plain(norm)
        shared = Sharing()
        nodes = [
            shared.node(n, named_apart(n.whole, circuits[n.path]))
            if circuits[n.path] is not n.whole
            else n
            for n in network.nodes
        ]
        return with_nodes(network, nodes)

    def left_alone(self, network: Network) -> Mapping[str, str]:
        return _Plan(network).left


class _Fold(NamedTuple):
    """A norm at a path, the inputs that hear it, and the side of these along which its gain is."""

    path: str
    affine: Affine
    readers: Sequence[tuple[str, str]]
    side: int


class _Plan:
    """Which norms fold, and why others do not."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.folds: list[_Fold] = []
        self.left: dict[str, str] = {}
        for node in network.nodes:
            affine = affine_output(node.whole)
            if affine is not None:
                try:
                    self.folds.append(self._fold(node.path, affine))
                except RefusedError as reason:
                    self.left[node.path] = str(reason)

    def _fold(self, path: str, affine: Affine) -> _Fold:
        port = Port(affine.output, path)
        for output in self.network.outputs:
            if output.source == port:
                raise RefusedError(f"it is the output {output.name!r}")
        affine.require_numbers(self.network[path].whole)
        targets = [wire.target for wire in self.network.wires if wire.source == port]
        for target in targets:
            whole = self.network[target.path].whole
            try:
                Reader(whole, target.name, affine.side).require(affine.shift is not None)
            except RefusedError as reason:
                raise RefusedError(f"{target.path}.{reason}") from None
            self._require_own(target.path, Reader(whole, target.name, affine.side).tensors)
        return _Fold(path, affine, [(t.path, t.name) for t in targets], affine.side)

    def _require_own(self, path: str, tensors: Sequence[str]) -> None:
        """That no other node has these very weights."""
        mine = [values_of(self.network[path].whole, name) for name in tensors]
        for node in self.network.nodes:
            for name, theirs in node.values.items() if node.path != path else ():
                if any(a is not None and np.may_share_memory(a, theirs) for a in mine):
                    raise RefusedError(f"{path} shares its weights with {node.path}, {name}")
