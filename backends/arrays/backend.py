"""What the backends share that write a program of arrays into one Python file, and run its text."""

from __future__ import annotations

import ast
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cortico.backends.arrays.network.running import GivenNetwork
from cortico.backends.extras import require_extra
from cortico.backends.transfers import unspelled
from cortico.ir import Circuit
from cortico.ir.analysis.inputs import Arrays, Taking, given_inputs, precision, stored_values
from cortico.ir.arguments import kind
from cortico.ir.network import Network

#: Most axes for which einsum has letters.
_MOST_AXES = 52


class ArrayBackend(ABC):
    """Emits one file, and runs the emitted text directly."""

    at_rest = True
    name: str
    summary: str
    file: str  #: the name of the emitted file
    entry: str  #: what it defines: a function of inputs, or the class of one
    needs: str  #: the module that it imports
    library: str  #: what that is called
    network_file: str  #: the name of the file of a network
    network_entry: str  #: what that defines

    @abstractmethod
    def source(self, circuit: Circuit) -> str:
        """The text of the file."""

    @abstractmethod
    def outputs(self, entry: Any, weights: Arrays, inputs: Arrays, dtype: Any) -> Any:
        """What the file's `entry` gives: an array, or a tuple of them. `dtype` is the precision."""

    @abstractmethod
    def network_source(self, network: Network) -> str:
        """The text of the file of a network."""

    def network_outputs(self, entry: Any, given: GivenNetwork) -> Any:
        """What the `network_entry` of a file gives: as `outputs`, where it is called alike."""
        return self.outputs(entry, given.weights, given.arguments, given.dtype)

    def unsupported(self, circuit: Circuit) -> list[str]:
        problems = [*unspelled(circuit, self.name, f"which {self.library} does not have")]
        if len(circuit.axes) > _MOST_AXES:
            problems.append(f"{len(circuit.axes)} axes, einsum has letters for {_MOST_AXES}")
        return problems

    def emit(self, circuit: Circuit) -> Mapping[str, str]:
        return {self.file: self.source(circuit)}

    @kind
    def run(
        self,
        circuit: Circuit,
        inputs: Mapping[str, Any],
        parameters: Mapping[str, Any] | None = None,
    ) -> dict[str, np.ndarray]:
        """Output name to array, in the precision that the rates have, or without such inputs the weights."""
        require_extra(self.name, self.needs, self.library)
        inputs, symbols = given_inputs(circuit, inputs)
        weights = stored_values(circuit, symbols, parameters)
        result = self.results(circuit, weights, inputs)
        return {
            output.name: with_batch(circuit, inputs, array, len(output.source.axes))
            for output, array in zip(circuit.outputs, result, strict=True)
        }

    def results(self, circuit: Circuit, weights: Arrays, inputs: Arrays) -> Sequence[Any]:
        """The outputs in their order."""
        dtype = precision(circuit, inputs, weights)
        source = self.source(circuit)
        entry = compiled(source, self.file, self.entry)
        names = argument_names(circuit, source)
        arguments = {names[name]: array for name, array in inputs.items()}
        result = self.outputs(entry, weights, arguments, dtype)
        return result if isinstance(result, tuple) else (result,)

    # ---- networks --------------------------------------------------------------------------------

    def emit_network(self, network: Network) -> Mapping[str, str]:
        return {self.network_file: self.network_source(network)}

    @kind
    def run_network(self, network: Network, inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Output name to array, in the precision that the rates have, or without such inputs the weights."""
        require_extra(self.name, self.needs, self.library)
        given = GivenNetwork.of(network, inputs)
        source = self.network_source(network)
        result = self.network_outputs(
            compiled(source, self.network_file, self.network_entry), given
        )
        several = result if isinstance(result, tuple) else (result,)
        pairs = zip(network.outputs, several, strict=True)
        return {
            o.name: with_batch(network, given.inputs, array, given.axes[o.name])
            for o, array in pairs
        }


def with_batch(circuit: Taking, inputs: Arrays, array: Any, axes: int) -> np.ndarray:
    """`array` with the batch axes of the inputs, also of those that it does not depend on."""
    given = [inputs[t.name].shape for t in circuit.inputs if t.name in inputs]
    own = [len(t.given) for t in circuit.inputs if t.name in inputs]
    leads = (shape[: len(shape) - count] for shape, count in zip(given, own, strict=True))
    array = np.asarray(array)
    whole = (*np.broadcast_shapes(*leads), *array.shape[array.ndim - axes :])
    return array if array.shape == whole else np.broadcast_to(array, whole)


def argument_names(circuit: Circuit, source: str) -> dict[str, str]:
    """Inputs of a circuit to the names that emitted `source` has for them as arguments.

    Inputs of rates and tokens stand first and in their order, then those of zeros and ones, by keyword.
    """
    functions = (n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.FunctionDef))
    function = next(f for f in functions if f.name in ("attention", "forward"))
    given, own = function.args, {"weights"} if function.name == "attention" else {"self"}
    wanted = [t.name for t in circuit.inputs if not t.optional]
    masks = [t.name for t in circuit.inputs if t.optional]
    in_order = [a.arg for a in given.args if a.arg not in own]
    by_keyword = [a.arg for a in given.kwonlyargs][: len(masks)]
    return dict(zip([*wanted, *masks], [*in_order, *by_keyword], strict=True))


def compiled(source: str, filename: str, entry: str) -> Any:
    """What emitted source defines as `entry`."""
    return definitions(source, filename)[entry]


def definitions(source: str, filename: str) -> dict[str, Any]:
    """All that emitted source defines. Only ever called on text that cortico emitted."""
    namespace: dict[str, Any] = {"__name__": filename.removesuffix(".py"), "__file__": filename}
    exec(compile(source, filename, "exec"), namespace)
    return namespace
