"""Checkers that share at most the textbook's equations with the prover: other arithmetic, other libraries.

Each takes the subject and says whether it found no difference, how well that is known, and a detail: at
which sizes, to which error bound or tolerance. An UnsupportedError means that it has nothing to say. What a
claim is called says what it looks at: the lowered circuit, the compiled one, or files.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cortico.backends import Backend
from cortico.backends.numpy import NumpyBackend
from cortico.ir import Circuit, Gain, UnsupportedError
from cortico.ir.analysis.rest import at_rest
from cortico.ir.rewrite import weights_of
from cortico.lowering import layouts, lower
from cortico.spec import (
    AttentionSpec,
    Dense,
    Embedding,
    FeedForward,
    Norm,
    Pooling,
    Residual,
)
from cortico.spec.weights import Weights
from cortico.spec.wiring import Block
from cortico.verify.emission import check as emission
from cortico.verify.equations.closed_forms import trained
from cortico.verify.equations.reference import book
from cortico.verify.exact import elementwise
from cortico.verify.identity import testing as identity
from cortico.verify.numbers import Numbers, both_sizes, difference

#: Numbers of tokens where the spec has symbols, for exact checks; at least, for gradients.
_TOKENS, _CONTEXT_TOKENS, _FEW = 24, 16, (11, 8)

#: How many times its measured change an approximate pass may change other outputs.
_ALLOWED = 10.0

#: Sizes of blocks without heads.
_SIZES = {"model", "hidden", "output", "tokens", "vocabulary", "types", "positions"}

EXACTLY, NUMERICALLY = "checked exactly", "compared numerically"


@dataclass(frozen=True)
class Subject:
    """What is checked: a spec and its weights, the circuit before and after all passes, what is written.

    Both circuits are those at rest; `living` is the one that `target` was given, where it lives in time.
    `change` is what approximate passes changed as measured (relative; None where it was not measured).
    `target` wrote `files`, if anything is written.
    """

    spec: Block
    weights: Weights | None
    lowered: Circuit
    circuit: Circuit
    change: float | None = 0.0
    target: Backend | None = None
    files: Mapping[str, str] = dataclasses.field(default_factory=dict)
    living: Circuit | None = None

    @property
    def written(self) -> Circuit:
        """The circuit of which `target` wrote files."""
        return self.living or self.circuit


@dataclass(frozen=True)
class Finding:
    """Whether no difference was found, the word for how that is known, and the detail."""

    holds: bool
    known: str
    detail: str


Check = Callable[[Subject], Finding]


# ---- the lowered circuit -------------------------------------------------------------------------


def identity_testing(subject: Subject) -> Finding:
    """The lowered circuit against the textbook, on random numbers modulo primes."""
    found = identity.check_spec(
        subject.spec,
        subject.lowered,
        _symbols(subject.spec),
        frequencies=_frequencies(subject),
    )
    return Finding(found.equal, EXACTLY, found.text)


def elementwise_sympy(subject: Subject) -> Finding:
    """The circuit of a tiny spec with the same options against the textbook, in SymPy symbols."""
    spec = tiny(subject.spec)
    found = elementwise.check_elementwise(spec, at_rest(lower(spec)))
    if found.too_large:
        raise UnsupportedError(found.text)
    size = f"{spec.tokens} tokens"
    if isinstance(spec, AttentionSpec):
        size += f", {spec.heads} heads of {spec.d_key} key features"
    detail = f"{found.entries} expressions; {size}" if found.equal else found.text
    return Finding(found.equal, EXACTLY, detail)


def lowered_gradients(subject: Subject) -> Finding:
    """The gradient equations of the lowered circuit on numbers against PyTorch's autograd."""
    numbers = Numbers(subject.spec, subject.weights, _FEW)
    numbers.soften()
    return _gradients_close(subject.lowered, trained(subject.spec), numbers)


# ---- the compiled circuit ------------------------------------------------------------------------


def compiled_output(subject: Subject) -> Finding:
    """The compiled circuit with what it stores, against attention by the spec's own weights.

    Exactly, modulo primes, where no number was rounded; in any case in float64 against PyTorch.
    """
    allowed, remark = _allowed(subject)
    exact = _exactly(subject)
    found = []
    for numbers in both_sizes(subject.spec, subject.weights):
        mine = {"y": numbers.output(subject.circuit)}
        found.append(_close(mine, {"y": numbers.torch.y}, numbers, allowed))
    wrong = [each for each in (*found, *([exact] if exact else [])) if not each.holds]
    if wrong:
        return wrong[0]
    whose = "random weights" if subject.weights is None else "the spec's weights"
    details = [each.detail for each in found] + ([exact.detail] if exact else [])
    known = EXACTLY if exact else NUMERICALLY
    return Finding(True, known, f"by {whose}: {'; '.join(details)}{remark}")


def _exactly(subject: Subject) -> Finding | None:
    """The comparison modulo primes; None where a difference may be the rounding of new numbers."""
    tensors = subject.weights and {
        name: np.asarray(array, np.float64) for name, array in subject.weights.items()
    }
    try:
        found = identity.check_spec(
            subject.spec,
            subject.circuit,
            _symbols(subject.spec),
            tensors=tensors,
            frequencies=_frequencies(subject),
        )
    except identity.NotCheckableError:
        return None
    if not found.equal and not _only_moved(subject):
        return None
    return Finding(found.equal, EXACTLY, f"modulo primes at {found.text}")


def compiled_gradients(subject: Subject) -> Finding:
    """The compiled circuit's gradients by its inputs, on what it stores, against PyTorch's autograd."""
    allowed, remark = _allowed(subject)
    numbers = Numbers(subject.spec, subject.weights, _FEW)
    numbers.soften()
    if not numbers.rates:
        raise UnsupportedError("it hears no rates")
    found = _gradients_close(subject.circuit, tuple(numbers.rates), numbers, allowed)
    return dataclasses.replace(found, detail=found.detail + remark)


def _allowed(subject: Subject) -> tuple[float, str]:
    """The relative difference that approximate passes may make, and a remark where some ran."""
    if subject.change is None:
        raise UnsupportedError("an approximate pass ran, whose change was not measured")
    if subject.change == 0.0:
        return 0.0, ""
    remark = (
        f"; approximate passes changed it by {subject.change:.1e}, allowed {_ALLOWED:.0f} times"
    )
    return _ALLOWED * subject.change, remark


def _only_moved(subject: Subject) -> bool:
    """Whether the compiled circuit has no numbers but those of the lowered one: nothing was rounded."""
    known = {p.name: p for p in subject.lowered.parameters}
    old, new = (
        {w.gain for w in weights_of(circuit)} for circuit in (subject.lowered, subject.circuit)
    )
    extents = {axis.name: axis.extent for axis in subject.lowered.axes}
    return (
        all(known.get(p.name) == p for p in subject.circuit.parameters)
        and new <= old | {Gain()}
        and all(extents.get(axis.name) == axis.extent for axis in subject.circuit.axes)
    )


# ---- what is written -----------------------------------------------------------------------------


def numpy_exactly(subject: Subject) -> Finding:
    """The emitted NumPy text on exact numbers."""
    assert isinstance(subject.target, NumpyBackend)
    holds, detail = emission.exactly(subject.written, subject.target)
    return Finding(holds, EXACTLY, detail)


def numpy_called(subject: Subject) -> Finding:
    """The emitted NumPy text in floats, in every way that users call it."""
    assert isinstance(subject.target, NumpyBackend)
    holds, detail = emission.in_all_calls(subject.written, subject.target)
    return Finding(holds, NUMERICALLY, detail)


def written(subject: Subject) -> Finding:
    """What another backend writes, run by that backend."""
    assert subject.target is not None
    found = emission.beside_the_reference(subject.written, subject.target, subject.files)
    return Finding(found[0], NUMERICALLY, found[1])


def called(spec: Block) -> str:
    """What a circuit of that spec computes, in claims."""
    return _CALLED[type(spec)]


_CALLED: Mapping[type, str] = {
    AttentionSpec: "attention",
    Norm: "the norm",
    FeedForward: "the feed-forward block",
    Dense: "the dense block",
    Embedding: "the embedding",
    Residual: "the residual",
    Pooling: "the pooling",
}


def checks(subject: Subject) -> dict[str, Check]:
    """What each check is called in a report, in the order in which they run."""
    weights = "random weights" if subject.weights is None else "the spec's weights"
    what = called(subject.spec)
    found: dict[str, Check] = {
        f"again, modulo primes: the lowered circuit computes {what}": identity_testing,
        f"again, in SymPy entry by entry: a tiny lowered circuit computes {what}": elementwise_sympy,
        "again, against PyTorch's autograd: the gradients of the lowered circuit": lowered_gradients,
        f"the compiled circuit computes {what} by {weights}, against PyTorch": compiled_output,
        "the compiled circuit's gradients by its inputs, against PyTorch's autograd": (
            compiled_gradients
        ),
    }
    if isinstance(subject.target, NumpyBackend):
        file = subject.target.file
        found[f"{file}, as emitted, is the compiled circuit"] = numpy_exactly
        found[f"{file}, called in every way, gives what the compiled circuit gives"] = numpy_called
    elif subject.target is not None:
        what = ", ".join(subject.files) or f"what backend {subject.target.name} writes"
        found[f"{what}, as emitted, gives what the compiled circuit gives"] = written
    return found


# ---- subjects ------------------------------------------------------------------------------------


def _symbols(spec: Block) -> dict[str, int]:
    sizes = {getattr(spec, "source_tokens", spec.tokens): _CONTEXT_TOKENS, spec.tokens: _TOKENS}
    most = getattr(spec, "positions", None) or _TOKENS
    return {symbol: min(size, most) for symbol, size in sizes.items() if isinstance(symbol, str)}


def tiny(spec: Block) -> Block:
    """A spec with the same options, as small as shows them: two tokens, two features."""
    if isinstance(spec, AttentionSpec):
        return _tiny_attention(spec)
    fields = {f.name for f in dataclasses.fields(spec)}
    found: dict[str, Any] = {n: 2 for n in _SIZES & fields if getattr(spec, n) is not None}
    return dataclasses.replace(spec, **found)


def _tiny_attention(spec: AttentionSpec) -> AttentionSpec:
    heads = 2 if spec.heads > 1 else 1
    model = 2 if spec.qk_norm is None else 1  # squares have many terms
    rotary = spec.rotary and dataclasses.replace(spec.rotary, rotated=None)
    return dataclasses.replace(
        spec,
        model=model,
        heads=heads,
        kv_heads=None if spec.members == 1 else 1,
        key_features=2,
        value_features=1,
        output=model if spec.d_output == spec.model else 3 - model,
        context=spec.context and 1,
        values=spec.values and 1,
        tokens=2,
        context_tokens=2 if spec.cross else None,
        rotary=rotary,
    )


def misplaced(spec: Block, weights: Weights | None, lowered: Circuit) -> str | None:
    """Which tensor of the spec has numbers that do not stand in the circuit where they belong; or None.

    The layout is held against the textbook's, entry by entry, and so is what the circuit stores.
    """
    page = book(spec)
    for name, layout in layouts(spec).items():
        sides = [int(extent) for extent in layout.shape]
        entries = np.arange(math.prod(sides)).reshape(sides)
        moved = not np.array_equal(layout.to_circuit(entries), page.arranged(name, entries))
        stored = next(p.values for p in lowered.parameters if p.name == name)
        if weights is not None and stored is not None:
            moved |= not np.array_equal(stored, page.arranged(name, np.asarray(weights[name])))
        if moved:
            return f"{name} stands elsewhere"
    return None


def _frequencies(subject: Subject) -> np.ndarray | None:
    """The rotary frequencies among the spec's weights."""
    return (subject.weights or {}).get("rotary_frequencies")


def _gradients_close(
    circuit: Circuit, wanted: tuple[str, ...], numbers: Numbers, allowed: float = 0.0
) -> Finding:
    """Whether gradients agree but for rounding, of PyTorch's or, where that is more, of their own."""
    mine = numbers.gradients(circuit, wanted)
    expected = {name: numbers.expected(name) for name in wanted}
    found = _close(mine, expected, numbers, allowed)
    if found.holds:
        return found
    return _close(mine, expected, numbers, allowed + numbers.tolerance_of(circuit, mine, expected))


def _close(
    found: Mapping[str, np.ndarray],
    expected: Mapping[str, np.ndarray],
    numbers: Numbers,
    allowed: float = 0.0,
) -> Finding:
    """Whether arrays agree but for rounding, and but for what is allowed."""
    error, worst = difference(found, expected)
    tolerance = numbers.tolerance(list(expected)) + allowed
    sizes = [f"{tokens} {name}" for name, tokens in numbers.sizes.items()]
    where = f"differs by at most {error:.1e} (relative, in {worst})"
    detail = f"{', '.join(['float64', *sizes])}: {where}; tolerance {tolerance:.0e}"
    return Finding(bool(error <= tolerance), NUMERICALLY, detail)
