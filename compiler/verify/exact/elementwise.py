"""A circuit and the textbook's attention or other block, entry by entry in SymPy, at tiny sizes.

The textbook's equations are evaluated on symbols, the circuit by `exact.circuit`, which knows no equations;
SymPy expands and compares, where the prover has a normal form. It holds for all weights and inputs at the
given sizes, and at no others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cortico.ir import Circuit, SpecError
from cortico.ir.circuit import resolve
from cortico.lowering.layout import layouts, plane_frequencies
from cortico.spec import AttentionSpec
from cortico.spec.weights import optional_shapes, required_shapes
from cortico.spec.wiring import Block
from cortico.verify.equations.reference import book
from cortico.verify.exact.circuit import exact_outputs, operations
from cortico.verify.exact.symbols import (
    MOST_OPERATIONS,
    Formal,
    TooManyTermsError,
    first_difference,
    symbol_array,
    symbol_tensors,
    with_every_mask,
)
from cortico.verify.exact.textbook import textbook

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class ElementwiseResult:
    """What a comparison with the textbook, entry by entry, has shown."""

    equal: bool
    sizes: Mapping[str, int]  #: of the symbols
    entries: int  #: how many expressions were compared
    difference: str | None  #: where the first difference is, or why there is no result
    too_large: bool = False  #: nothing was compared

    @property
    def text(self) -> str:
        """The result in one sentence."""
        at = "".join(f", {symbol} = {size}" for symbol, size in self.sizes.items())
        if self.too_large:
            return f"circuit and textbook were not compared in SymPy{at}: {self.difference}"
        if not self.equal:
            return f"the circuit is not the textbook's{at}: {self.difference}"
        return f"the circuit equals the textbook in {self.entries} SymPy expressions{at}"


def elementwise_meaning(
    circuit: Circuit, symbols: Mapping[str, int] | None = None, tensors: Arrays | None = None
) -> dict[str, np.ndarray]:
    """Output name to array of SymPy expressions, in symbols such as `W_Q[0, 1, 0]`.

    `symbols` gives sizes. `tensors` gives arrays of expressions or numbers in place of such symbols; 0/1
    inputs are 1. TooManyTermsError for a circuit that is not tiny.
    """
    sizes, ring = dict(symbols or {}), Formal()
    if operations(circuit, sizes) > MOST_OPERATIONS:
        raise TooManyTermsError
    given = {name: ring.array(array) for name, array in (tensors or {}).items()}
    outputs = exact_outputs(circuit, {**symbol_tensors(circuit, sizes, ring), **given}, sizes, ring)
    return {name: _payloads(array) for name, array in outputs.items()}


def check_elementwise(
    spec: Block, circuit: Circuit, sizes: Mapping[str, int] | None = None
) -> ElementwiseResult:
    """Compare `circuit`, made from `spec`, with the textbook's block for every 0/1 input.

    `sizes` gives the symbols of `spec`, 2 each by default. The circuit's weights must be those of the
    spec: a pass that makes new numbers makes tensors without a counterpart, and that is a SpecError.
    """
    bound = dict(sizes or dict.fromkeys(circuit.symbols, 2))
    try:
        return _compared(spec, circuit, bound)
    except TooManyTermsError as error:
        return ElementwiseResult(False, bound, 0, str(error), too_large=True)


def _compared(spec: Block, circuit: Circuit, sizes: Mapping[str, int]) -> ElementwiseResult:
    page = book(spec)
    computed = {*page.of_positions(), *page.formulas(), "frequencies", *required_shapes(spec)}
    wanted = [name for name in page.given() if name not in computed]
    if sorted(wanted) != sorted(tensor.name for tensor in circuit.inputs):
        difference = f"its inputs are {', '.join(t.name for t in circuit.inputs)}"
        return ElementwiseResult(False, sizes, 0, f"{difference}, expected {', '.join(wanted)}")
    weights = spec_symbols(spec)
    parameters = _circuit_symbols(spec, circuit, weights)
    inputs = with_every_mask(circuit, sizes, _input_symbols(circuit, sizes))
    entries = 0
    for example in range(max(map(len, inputs.values()))):
        one = {name: array[example] for name, array in inputs.items()}
        found = elementwise_meaning(circuit, sizes, {**parameters, **one})["y"]
        expected = _payloads(textbook(spec, weights, one, Formal()))
        if found.shape != expected.shape:
            difference = f"y has shape {found.shape}, expected {expected.shape}"
            return ElementwiseResult(False, sizes, entries, difference)
        place = first_difference(list(zip(found.flat, expected.flat, strict=True)))
        if place is not None:
            at = ", ".join(map(str, np.unravel_index(place, found.shape)))
            return ElementwiseResult(False, sizes, entries, f"first in y[{at}]")
        entries += found.size
    return ElementwiseResult(True, sizes, entries, None)


# ---- symbols ---------------------------------------------------------------------------------------


def spec_symbols(spec: Block) -> dict[str, np.ndarray]:
    """A symbol for every entry of every tensor of `spec`, rotary frequencies included."""
    shapes = required_shapes(spec) | optional_shapes(spec)
    return {name: symbol_array(name, tuple(map(int, shape))) for name, shape in shapes.items()}


def _circuit_symbols(spec: Block, circuit: Circuit, weights: Arrays) -> Arrays:
    """The same symbols where the circuit has those entries: lowering moves entries, it does not mix them."""
    lowered = {n: layout.to_circuit(weights[n]) for n, layout in layouts(spec).items()}
    if isinstance(spec, AttentionSpec) and spec.rotary:
        lowered["frequencies"] = plane_frequencies(spec, weights)
    plain = [p for p in circuit.parameters if p.formula is None]
    strange = [p.name for p in plain if p.name not in lowered or lowered[p.name].shape != p.shape]
    if strange:
        raise SpecError(f"tensors of the circuit that the spec lacks: {', '.join(strange)}")
    return {p.name: lowered[p.name] for p in plain}


def _input_symbols(circuit: Circuit, sizes: Mapping[str, int]) -> Arrays:
    rates = [tensor for tensor in circuit.inputs if not tensor.optional]
    return {t.name: symbol_array(t.name, tuple(resolve(s, sizes) for s in t.shape)) for t in rates}


def _payloads(array: np.ndarray) -> np.ndarray:
    return np.asarray(np.frompyfunc(lambda number: number.payload, 1, 1)(array), object)
