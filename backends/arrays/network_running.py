"""What a network is given when it runs, checked: inputs, arrays of nodes, precision."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cortico.backends.names import Names
from cortico.ir import InputKind
from cortico.ir.analysis.inputs import Arrays, angles, given_inputs, stored_values
from cortico.ir.network import Network
from cortico.ir.network.sizes import Sizes, resolved, shapes_of_ports, sizes_of_nodes
from cortico.ir.tensors import FLOATS
from cortico.ir.text.networks import stored_arrays

#: Arguments of emitted functions that are no inputs.
_OWN = (
    "self",
    "weights",
    "dtype",
    "past",
    "only_last",
    "threads",
    "work",
    "start",
    "positions",
    "level",
)


@dataclass(frozen=True)
class GivenNetwork:
    """What the emitted code of a network is called with."""

    network: Network
    inputs: Arrays  #: by their names in the network
    arguments: Arrays  #: the same by the names that they have as arguments
    weights: Arrays  #: `path.name` and `block:name` to array, as `network.safetensors` has them
    dtype: type[np.floating[Any]]
    axes: Mapping[str, int]  #: of each output, how many it has beside those of a batch

    @classmethod
    def of(cls, network: Network, given: Mapping[str, Any]) -> GivenNetwork:
        """SpecError that lists all that is wrong with the inputs, or with the arrays of a node."""
        inputs, symbols = given_inputs(network, given)
        _require_arrays(network, symbols)
        names, shapes = argument_names(network), shapes_of_ports(network)
        return cls(
            network,
            inputs,
            {names[name]: array for name, array in inputs.items()},
            stored_arrays(network),
            _precision(network, inputs),
            {output.name: len(shapes[output.source]) for output in network.outputs},
        )


def argument_names(network: Network) -> dict[str, str]:
    """Inputs of a network to what they are called as arguments, in any emitted file."""
    return Names(_OWN).of(tensor.name for tensor in network.inputs)


def _require_arrays(network: Network, symbols: Mapping[str, int]) -> None:
    sizes = sizes_of_nodes(network)
    for node in network:
        known = _numbers(sizes[node.path], symbols)
        stored_values(replace(node.circuit, name=node.path), known, node.values)


def _numbers(sizes: Sizes, symbols: Mapping[str, int]) -> dict[str, int]:
    """Symbols of a node to numbers."""
    pairs = ((symbol, *resolved((side,), symbols)) for symbol, side in sizes.items())
    return {symbol: side for symbol, side in pairs if isinstance(side, int)}


def _precision(network: Network, inputs: Arrays) -> type[np.floating[Any]]:
    """float32 where all inputs of rates are; without such inputs where no weight is float64, angles apart."""
    rates = [t.name for t in network.inputs if t.kind is InputKind.RATE]
    deciding = [inputs[name] for name in rates] if rates else [*_weights(network)]
    small = FLOATS[1:2] if rates else FLOATS[:2]
    single = bool(deciding) and all(array.dtype.name in small for array in deciding)
    return np.float32 if single else np.float64


def _weights(network: Network) -> Iterator[np.ndarray]:
    """Arrays of nodes that are no angles."""
    for node in network:
        exact = angles(node.circuit)
        yield from (array for name, array in node.values.items() if name not in exact)
