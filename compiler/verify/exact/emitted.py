"""Whether emitted code is the circuit, exactly: both on the same exact numbers, entry by entry.

What is checked is text that this process emits; that of a file is compared with it as bytes and not run.
The text runs unchanged on object arrays (`numpy_code`); the circuit is evaluated by an interpreter of its
own (`exact.circuit`). Inputs and weights are random residues modulo primes near
2^61, or random rationals. At the sizes where it is run,

* for sums, products and quotients, code that differs from the circuit as a formula is found but with a
  probability of at most degree / 2^61 per run (Schwartz and Zippel);
* with exponentials right code is never refused, and no such bound is known for wrong code: residues
  have an exponential that obeys exp(a + b) = exp(a) exp(b), and no other law;
* `max` chooses by an order without meaning, so that a shift of softmax must cancel, whichever it is;
* `cos`, `sin` and all transfer functions but `exp` and `relu` are opaque: code must call them on the very same numbers.

Numbers in the code that round a constant of the circuit are read as that constant: 0.7071067811865475
as 2^-1/2 when the circuit says `size(a)^-1/2`. The largest relative distance of such a number is
reported as `rounding`. Every other float is the dyadic rational that it is.

Exact numbers do not overflow. So code that forgets to shift a softmax is right here.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cortico.backends.numpy.emitter import emit_source
from cortico.ir import (
    TRANSFERS,
    Bound,
    Circuit,
    CorticoError,
    InputKind,
    Parameter,
    Population,
    UnsupportedError,
)
from cortico.ir.analysis.inputs import as_rates, within_tables
from cortico.ir.analysis.rest import at_rest
from cortico.ir.circuit import resolve
from cortico.ir.rewrite import domains_of, longest_chain
from cortico.ir.transfer import ExactRule
from cortico.verify.exact.arithmetic import PrimeField, Rationals
from cortico.verify.exact.circuit import (
    Exact,
    exact_outputs,
    is_rational,
    learn_gains,
    operations,
)
from cortico.verify.exact.numpy_code import RUNS, run_emitted
from cortico.verify.exact.ring import Number, Ring
from cortico.verify.exact.symbols import (
    MOST_OPERATIONS,
    Formal,
    TooManyTermsError,
    first_difference,
    symbol_tensors,
    with_every_mask,
)

#: Examples that run at once, so that the code's batch axes are used; one more without any token.
_BATCH = 2

#: Multiplications above which a check is refused: so many take about a minute, and a gigabyte.
_MOST_OPERATIONS = 10_000_000


#: The place of the first entry that code and circuit do not have in common.
Same = Callable[[Sequence[Any], Sequence[Number]], int | None]


def same_numbers(found: Sequence[Any], expected: Sequence[Number]) -> int | None:
    """Entry by entry with `==`."""
    pairs = zip(found, expected, strict=True)
    return next((k for k, (one, other) in enumerate(pairs) if other != one), None)


@dataclass(frozen=True)
class EmittedResult:
    """What a run of emitted code beside its circuit has shown."""

    equal: bool
    sizes: Mapping[str, int]  #: of the symbols
    arithmetic: str
    entries: int  #: how many numbers were compared
    difference: str | None  #: where the first difference is, or why there is no result
    rounding: (
        float  #: largest relative distance of a number in the code from the constant it rounds
    )
    too_large: bool = False  #: nothing was compared

    @property
    def text(self) -> str:
        """The result in one sentence."""
        at = "".join(f", {symbol} = {size}" for symbol, size in self.sizes.items())
        if self.too_large:
            return f"the emitted code was not compared{at}: {self.difference}"
        if not self.equal:
            return f"the emitted code is not the circuit{at}: {self.difference}"
        return (
            f"the emitted code equals the circuit exactly in {self.entries} numbers{at} "
            f"({self.arithmetic}; constants rounded by at most {self.rounding:.0e})"
        )


def check_emitted(
    circuit: Circuit,
    symbols: Mapping[str, int] | None = None,
    seed: int = 0,
    *,
    on_ranks: bool = False,
    stored: bool = False,
    rational: bool = False,
) -> EmittedResult:
    """Run what the NumPy backend emits, perhaps `on_ranks`, beside `circuit` on random exact numbers.

    `symbols` gives sizes, by default small ones that are all different. With `stored` the parameters
    have their stored values, else random ones. With `rational` numbers are rationals, for circuits
    without exponentials or roots. Raises UnsupportedError for a circuit that the arithmetic cannot run
    or that is too large.
    """
    text = emit_source(circuit, on_ranks)
    return check_text_of_this_process(
        circuit, text, symbols, seed, stored=stored, rational=rational
    )


def check_text_of_this_process(
    circuit: Circuit,
    text: str,
    symbols: Mapping[str, int] | None = None,
    seed: int = 0,
    *,
    stored: bool = False,
    rational: bool = False,
) -> EmittedResult:
    """As `check_emitted`, for text that the caller has just emitted or changed. It is executed."""
    sizes = dict(symbols or small_sizes(circuit))
    if operations(circuit, sizes) > _MOST_OPERATIONS:
        raise UnsupportedError(f"circuit {circuit.name!r} is too large to run on exact numbers")
    ring = _ring(circuit, rational, seed)
    learn_gains(ring, circuit, sizes)
    draw = random.Random(seed)
    parameters = random_parameters(circuit, sizes, ring, draw, stored)
    inputs = random_inputs(circuit, sizes, ring, draw)
    return compare_runs(circuit, text, inputs, parameters, sizes, ring)


def check_emitted_symbolically(
    circuit: Circuit, symbols: Mapping[str, int] | None = None
) -> EmittedResult:
    """The same on SymPy symbols, for every 0/1 input of the given sizes (by default 2).

    Every entry of input and weight is a symbol of its own. Only for very small circuits: for others
    the result says that it is too large.
    """
    return check_text_symbolically(circuit, emit_source(circuit), symbols)


def check_text_symbolically(
    circuit: Circuit, text: str, symbols: Mapping[str, int] | None = None
) -> EmittedResult:
    """The same for text that the caller has just emitted or changed. It is executed."""
    sizes = dict(symbols or dict.fromkeys(circuit.symbols, 2))
    ring = Formal()
    try:
        if operations(circuit, sizes) > MOST_OPERATIONS:
            raise TooManyTermsError
        learn_gains(ring, circuit, sizes)
        tensors = symbol_tensors(circuit, sizes, ring) | _different_tokens(circuit, sizes)
        inputs = with_every_mask(circuit, sizes, tensors)
        parameters = {name: a for name, a in tensors.items() if name not in inputs}
        return compare_runs(circuit, text, inputs, parameters, sizes, ring, same_expressions)
    except TooManyTermsError as error:
        return EmittedResult(False, sizes, ring.name, 0, str(error), 0.0, too_large=True)


def _different_tokens(circuit: Circuit, symbols: Mapping[str, int]) -> dict[str, np.ndarray]:
    """Of each input of tokens one example, in which neighbours differ: code reads tokens as whole numbers."""
    found = {}
    for tensor in circuit.inputs:
        if tensor.kind is InputKind.TOKEN:
            *given, count = (resolve(side, symbols) for side in tensor.shape)
            found[tensor.name] = (np.arange(math.prod(given)) % count).reshape(given)
    return found


def same_expressions(found: Sequence[Any], expected: Sequence[Number]) -> int | None:
    """Entry by entry, as functions of their symbols."""
    ring = expected[0].ring
    return first_difference(
        [(ring.payload(one), other.payload) for one, other in zip(found, expected, strict=True)]
    )


def compare_runs(
    circuit: Circuit,
    text: str,
    inputs: Exact,
    parameters: Exact,
    symbols: Mapping[str, int],
    ring: Ring,
    same: Same = same_numbers,
) -> EmittedResult:
    """Code and circuit on given numbers; `inputs` have one batch axis of the same length.

    `text` is of this process: it is executed.
    """
    expected = _batched_outputs(circuit, inputs, parameters, symbols, ring)
    entries = sum(array.size for array in expected.values())
    difference = None
    for how, run in RUNS.items():
        try:
            shaped = {name: run.shaped(array) for name, array in inputs.items()}
            found = run_emitted(text, circuit, shaped, parameters, ring, run)
        except CorticoError:
            raise
        except Exception as error:
            difference = f"{how}the code stops with {type(error).__name__}: {error}"
            break
        wanted = {name: run.shaped(array) for name, array in expected.items()}
        place = _difference(found, wanted, same)
        if place is not None:
            difference = f"{how}{place}"
            break
    return EmittedResult(
        difference is None, dict(symbols), ring.name, entries, difference, ring.largest_rounding
    )


def small_sizes(circuit: Circuit) -> dict[str, int]:
    """Different small sizes for the symbols, where every bound of a domain excludes something.

    Where a bound reaches further than seven tokens it is not seen to act.
    """
    reach = max((_reach(b) for domain in domains_of(circuit) for b in domain), default=0)
    fixed = {axis.extent for axis in circuit.axes}
    sizes = sorted(range(max(3, min(reach, 7)), 20), key=lambda size: (size in fixed, size))
    return within_tables(circuit, dict(zip(circuit.symbols, sizes, strict=False)))


def _reach(bound: Bound) -> int:
    """The least size at which `left - right <= offset` and not `… <= offset + 1` excludes a pair."""
    return abs(bound.offset) + 2


def random_parameters(
    circuit: Circuit, symbols: Mapping[str, int], ring: Ring, draw: random.Random, stored: bool
) -> dict[str, np.ndarray]:
    """Every parameter without formula: exactly as stored if asked and there is a value, else random."""

    def values(parameter: Parameter) -> np.ndarray:
        if stored and parameter.values is not None:
            return ring.array(parameter.values)
        return _random(parameter.shape, symbols, ring, draw)

    return {p.name: values(p) for p in circuit.parameters if p.formula is None}


def random_inputs(
    circuit: Circuit, symbols: Mapping[str, int], ring: Ring, draw: random.Random
) -> dict[str, np.ndarray]:
    """Every input with one batch axis. In its last example nothing exists that a 0/1 input can deny."""
    gated = any(tensor.kind is InputKind.MASK for tensor in circuit.inputs)
    arrays = {}
    for tensor in circuit.inputs:
        shape = (_BATCH + gated, *(resolve(side, symbols) for side in tensor.shape))
        if tensor.kind is InputKind.MASK:
            live = np.array([draw.random() < 0.7 for _ in range(math.prod(shape))], bool)
            live[:1], live[1:2] = False, True  # under a causal mask the first query sees nothing
            arrays[tensor.name] = live.reshape(shape)
            arrays[tensor.name][-1] = False
        elif tensor.kind is InputKind.TOKEN:
            *given, count = shape
            ids = [draw.randrange(count) for _ in range(math.prod(given))]
            arrays[tensor.name] = np.array(ids).reshape(given)
        else:
            arrays[tensor.name] = _random(shape, symbols, ring, draw)
    return arrays


def _random(
    shape: tuple[int | str, ...], symbols: Mapping[str, int], ring: Ring, draw: random.Random
) -> np.ndarray:
    array = np.empty([resolve(side, symbols) for side in shape], object)
    for index in np.ndindex(array.shape):
        array[index] = ring.random(draw)
    return array


def _is_power(population: Population) -> bool:
    return TRANSFERS[population.transfer].exact is ExactRule.POWER


def _ring(circuit: Circuit, rational: bool, seed: int) -> Ring:
    if not rational:
        return PrimeField(longest_chain(at_rest(circuit), _is_power), seed)
    if not is_rational(circuit):
        raise UnsupportedError(f"circuit {circuit.name!r} has functions that rationals lack")
    return Rationals(seed)


def _batched_outputs(
    circuit: Circuit, inputs: Exact, parameters: Exact, symbols: Mapping[str, int], ring: Ring
) -> dict[str, np.ndarray]:
    """The circuit's outputs for each example of a batch."""
    results = []
    for example in range(max(map(len, inputs.values()), default=1)):
        one = as_rates(circuit, {name: a[example] for name, a in inputs.items()})
        whole = [name for name, a in inputs.items() if a.dtype != object]
        one |= {name: ring.array(one[name] != 0) for name in whole}
        results.append(exact_outputs(circuit, {**parameters, **one}, symbols, ring))
    return {name: np.stack([result[name] for result in results]) for name in results[0]}


def _difference(found: Exact, expected: Exact, same: Same) -> str | None:
    for name, wanted in expected.items():
        # an output without axes is a bare number
        array, wanted = (np.asarray(each, dtype=object) for each in (found[name], wanted))
        if array.ndim < wanted.ndim and array.shape == wanted.shape[wanted.ndim - array.ndim :]:
            # what depends on no input has no batch axes
            array = np.broadcast_to(array, wanted.shape)
        if array.shape != wanted.shape:
            return f"{name} has shape {array.shape}, expected {wanted.shape}"
        place = same(list(array.flat), list(wanted.flat))
        if place is not None:
            index = (int(k) for k in np.unravel_index(place, wanted.shape))
            return f"first in {name}[{', '.join(map(str, index))}]"
    return None
