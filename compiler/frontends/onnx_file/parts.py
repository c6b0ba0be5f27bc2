"""`Parts`: the nodes that an operator of onnxruntime is written out as."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import helper

from cortico.frontends.onnx_file.internal import DOMAIN, NAMES
from cortico.ir.errors import SpecError

if TYPE_CHECKING:
    from cortico.frontends.onnx_file.graph import OnnxGraph

#: How the names of what is made here begin. Files that have such names are refused.
OWN = "cortico:"


@dataclass
class Parts:
    """The nodes that stand for one of a graph; arrays that they want are put into its constants."""

    node: onnx.NodeProto
    graph: OnnxGraph
    nodes: list[onnx.NodeProto] = field(default_factory=list)

    def __call__(
        self, kind: str, *inputs: str | np.ndarray, result: str | None = None, **options: Any
    ) -> str:
        """The name of what an operator makes of values and arrays."""
        name = result or f"{OWN}{self.node.output[0]}/{kind}{len(self.nodes)}"
        domain = DOMAIN if kind in NAMES else ""
        names = [
            each if isinstance(each, str) else self._store(f"{OWN}{name}.{place}", each)
            for place, each in enumerate(inputs)
        ]
        self.nodes.append(helper.make_node(kind, names, [name], domain=domain, **options))
        return name

    def _store(self, name: str, array: np.ndarray) -> str:
        self.graph.constants[name] = array
        return name

    def stored(self, name: str, what: str) -> np.ndarray:
        """The array of a name. SpecError when the file does not store it."""
        if name not in self.graph.constants:
            raise SpecError(f"{what} of {self.node.op_type} {self.node.name!r} are not stored")
        return self.graph.constants[name]
