"""An emitted NumPy file with numbers for its calls: inputs, weights, and what the reference gives for them."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cortico.backends import get_runner
from cortico.backends.arrays.backend import argument_names
from cortico.backends.numpy import compile_source
from cortico.backends.reference import interpret
from cortico.backends.script_parts import stores_weights
from cortico.ir import Circuit, Input, InputKind
from cortico.ir.analysis.inputs import bind_symbols, within_tables
from cortico.ir.circuit import resolve
from cortico.ir.domain import mask
from cortico.ir.rewrite import map_parameters
from cortico.ir.text import save_circuit
from cortico.verify.emission.coverage import MARK, Branches
from cortico.verify.exact.circuit import operations

Arrays = dict[str, np.ndarray]

#: Numbers of tokens: few, and more than the largest tile and several chunks; in each without common factor.
_FEW, _MANY = (7, 5, 6, 8, 9), (311, 170, 101, 99, 97)

#: Synapses up to which the reference interpreter runs for many tokens.
_MOST_OPERATIONS = 100_000_000


class EmittedFile:
    """An emitted file with a mark in each branch, called with random numbers; `expected` is the reference's."""

    def __init__(self, circuit: Circuit, branches: Branches, folder: Path, seed: int) -> None:
        self.circuit, self.branches, self.folder = circuit, branches, folder
        self.names = argument_names(circuit, branches.text)
        self.rng = np.random.default_rng(seed)
        self.few = within_tables(circuit, dict(zip(circuit.symbols, _FEW, strict=False)))
        self.many = within_tables(circuit, dict(zip(circuit.symbols, _MANY, strict=False)))
        if operations(circuit, self.many) > _MOST_OPERATIONS:
            self.many = self.times(3)
        self.weights = self._weights()
        self.stored = stores_weights(circuit)
        self.load()

    # ---- the file ----------------------------------------------------------------------------------

    def load(self, kind: str | None = None) -> None:
        """Read the file anew, beside the stored weights as they are or as another type."""
        folder = self.folder / (kind or "as_it_is")
        folder.mkdir()
        self.kept = self.circuit if kind is None else _of_type(self.circuit, kind)
        if self.stored:
            save_circuit(self.kept, folder / "circuit.cortico")
        entry = compile_source(self.branches.text, str(folder / "attention.py"))
        self.space: dict[str, Any] = entry.__globals__
        self.space[MARK] = self.branches.mark
        self.takes = inspect.signature(entry).parameters

    def call(self, inputs: Mapping[str, Any], **options: Any) -> Arrays:
        """The outputs by name, for inputs by the circuit's names; weights are given if not in `options`."""
        given = {self.names[name]: array for name, array in inputs.items()}
        options.setdefault("weights", self.weights)
        options = {name: value for name, value in options.items() if name in self.takes}
        return self._named(self.space["attention"](**given, **options))

    def _named(self, result: Any) -> Arrays:
        several = result if isinstance(result, tuple) else (result,)
        names = [output.name for output in self.circuit.outputs]
        return dict(zip(names, map(np.asarray, several), strict=True))

    # ---- numbers -----------------------------------------------------------------------------------

    def _weights(self) -> Arrays:
        """Stored numbers, and random ones for parameters that have none."""
        plain = [p for p in self.circuit.parameters if p.formula is None]
        return {
            p.name: fixed(
                p.values
                if p.values is not None
                else self._normal([resolve(side, self.few) for side in p.shape]) / 2
            )
            for p in plain
        }

    def _normal(self, shape: list[int] | tuple[int, ...]) -> np.ndarray:
        return self.rng.standard_normal(shape)

    def times(self, factor: int) -> dict[str, int]:
        """So many times a few tokens, or as many as tables have rows."""
        return within_tables(self.circuit, {s: factor * size for s, size in self.few.items()})

    def inputs(self, symbols: Mapping[str, int], batch: tuple[int, ...]) -> Arrays:
        """Random inputs. In the last example nothing exists that a 0/1 input can deny."""
        return {t.name: fixed(self._input(t, symbols, batch)) for t in self.circuit.inputs}

    def _input(
        self, tensor: Input, symbols: Mapping[str, int], batch: tuple[int, ...]
    ) -> np.ndarray:
        shape = (*batch, *(resolve(side, symbols) for side in tensor.given))
        if tensor.kind is InputKind.RATE:
            return self._normal(shape)
        if tensor.kind is InputKind.TOKEN:
            return self.rng.integers(0, resolve(tensor.shape[-1], symbols), shape)
        live = self.rng.random(shape) < 0.7
        examples = live.reshape(math.prod(batch), -1)
        examples[:, :1], examples[:, 1:2] = False, True  # causal: the first query sees nothing
        if len(examples) > 1:
            examples[-1] = False
        return live

    def expected(self, inputs: Arrays, weights: Arrays | None = None) -> Arrays:
        runner = get_runner("reference")
        return runner.run(self.circuit, inputs, self.weights if weights is None else weights)

    def least_exponential(self, inputs: Arrays) -> float:
        """The least rate of an exponential cell, in any example; infinity where there is none."""
        cells = [p for p in self.circuit.populations if p.transfer == "exp"]
        batch = next(iter(inputs.values())).shape[: -len(self.circuit.inputs[0].given) or None]
        sizes = self.circuit.sizes(bind_symbols(self.circuit, inputs))
        least = math.inf
        for index in np.ndindex(*batch) if cells else ():
            rates = interpret(self.circuit, {n: a[index] for n, a in inputs.items()}, self.weights)
            for p in cells:
                inside = np.broadcast_to(mask(p.domain, p.axes, sizes), rates[p.name].shape)
                least = min(least, rates[p.name][inside].min(initial=math.inf))
        return least


def _of_type(circuit: Circuit, kind: str) -> Circuit:
    return map_parameters(
        circuit,
        lambda p: p if p.values is None else replace(p, values=p.values.astype(kind)),
    )


def fixed(array: np.ndarray) -> np.ndarray:
    """The array, which cannot be changed: emitted code has no business with what it is given."""
    array = np.array(array)
    array.setflags(write=False)
    return array
