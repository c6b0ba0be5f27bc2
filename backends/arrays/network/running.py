"""What a network is given when it runs, checked: inputs, arrays of nodes, precision."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cortico.backends.names import Names
from cortico.ir.analysis.inputs import (
    Arrays,
    angles,
    given_inputs,
    precision_of,
    stored_values,
)
from cortico.ir.errors import SpecError
from cortico.ir.network import Network
from cortico.ir.network.sizes import Sizes, resolved, shapes_of_ports, sizes_of_nodes
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
    "stop",
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
    symbols: Mapping[str, int]  #: sizes that the inputs say
    axes: Mapping[str, int]  #: of each output, how many it has beside those of a batch

    @classmethod
    def of(cls, network: Network, given: Mapping[str, Any]) -> GivenNetwork:
        """SpecError that lists all that is wrong with the inputs, or with the arrays of a node."""
        inputs, symbols = given_inputs(network, given)
        weights = network_weights(network)
        _require_fit(network, symbols)
        names, shapes = argument_names(network), shapes_of_ports(network)
        return cls(
            network,
            inputs,
            {names[name]: array for name, array in inputs.items()},
            weights,
            precision_of(network, inputs, _weights(network)),
            symbols,
            {output.name: len(shapes[output.source]) for output in network.outputs},
        )


def argument_names(network: Network) -> dict[str, str]:
    """Inputs of a network to what they are called as arguments, in any emitted file."""
    return Names(_OWN).of(tensor.name for tensor in network.inputs)


def network_weights(network: Network) -> dict[str, np.ndarray]:
    """What `network.safetensors` holds. SpecError for a node that has no arrays."""
    missing = [node.path for node in network if node.open and not node.values]
    if missing:
        more = f" and {len(missing) - 8} more" if len(missing) > 8 else ""
        raise SpecError(
            f"network {network.name!r} has no weights at {', '.join(missing[:8])}{more}"
        )
    return stored_arrays(network)


def _require_fit(network: Network, symbols: Mapping[str, int]) -> None:
    """SpecError for arrays that do not fit the sizes of what comes in, such as too short a table."""
    sizes = sizes_of_nodes(network)
    for node in network:
        known = _numbers(sizes[node.path], symbols)
        stored_values(replace(node.circuit, name=node.path), known, node.values)


def _numbers(sizes: Sizes, symbols: Mapping[str, int]) -> dict[str, int]:
    """Symbols of a node to numbers."""
    found = {symbol: resolved((side,), symbols)[0] for symbol, side in sizes.items()}
    return {symbol: side for symbol, side in found.items() if isinstance(side, int)}


def _weights(network: Network) -> Iterator[np.ndarray]:
    """Arrays of nodes that are no angles."""
    for node in network:
        exact = angles(node.circuit)
        yield from (array for name, array in node.values.items() if name not in exact)
