"""The outputs of a whole network on numbers, beside PyTorch's and beside those of files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from cortico.backends import Backend, NetworkEmitter, NetworkRunner, get_runner
from cortico.ir import Circuit, Input, InputKind, UnsupportedError
from cortico.ir.analysis.inputs import within_tables
from cortico.ir.circuit import resolve
from cortico.ir.rewrite import domains_of
from cortico.spec import ModelSpec
from cortico.verify.composition.subject import Subject
from cortico.verify.emission.check import beside_the_reference
from cortico.verify.numbers import difference, nudged, tolerance_by
from cortico.verify.pytorch import torch_model

Arrays = Mapping[str, np.ndarray]

#: Numbers of tokens of the first input and of others, without common factor; and how much a window adds at most.
_SIZES, _MOST_WINDOW = ((11, 7), (16, 9)), 64

#: How many tokens exist where not all do.
_EXIST = 0.7

#: How far files may be from the interpreter, relative to the largest output.
_OF_FILES = 1e-9


def beside_pytorch(subject: Subject) -> tuple[bool, str]:
    """Whether the compiled network gives what PyTorch makes of the spec and its weights; a detail.

    At two numbers of tokens, as one circuit, by the interpreter. UnsupportedError where it has other inputs or
    outputs than the model, where floats say nothing, and for a difference that approximate passes may make.
    """
    details, flat = [], subject.what_runs
    for sizes, inputs in _examples(flat):
        found = get_runner("reference").run(flat, inputs, {})
        expected = _expected(subject.spec, subject.weights, inputs)
        if found.keys() != expected.keys():
            raise UnsupportedError(
                f"outputs are {', '.join(found)}, expected {', '.join(expected)}"
            )
        holds, detail = _close(subject.spec, subject.weights, inputs, found, expected)
        details.append(f"{_text(sizes)}: {detail}")
        if not holds and subject.is_approximate:
            raise UnsupportedError(f"approximate passes ran; {details[-1]}")
        if not holds:
            return False, details[-1]
    return True, "; ".join(details)


def beside_files(subject: Subject, target: Backend) -> tuple[bool, str]:
    """Whether what a backend wrote gives what the interpreter gives for the compiled network; a detail."""
    if not isinstance(target, NetworkEmitter | NetworkRunner):
        return beside_the_reference(subject.what_runs, target, subject.files)
    if isinstance(target, NetworkEmitter):
        again = target.emit_network(subject.compiled)
        if dict(again) != dict(subject.files):
            return False, "emitted again, the text differs"
    if not isinstance(target, NetworkRunner):
        raise UnsupportedError(f"backend {target.name!r} does not run networks")
    worst, several = 0.0, list[str]()
    for sizes, inputs in _examples(subject.what_runs):
        wanted = get_runner("reference").run(subject.what_runs, inputs, {})
        found = target.run_network(subject.filled.in_float64(), inputs)
        error, _ = difference(found, wanted)
        worst = float(np.maximum(worst, error))
        several.append(_text(sizes))
    detail = f"{' and '.join(several)}: differs by at most {worst:.1e} (relative)"
    return bool(worst <= _OF_FILES), f"{detail}; tolerance {_OF_FILES:.0e}"


def _text(sizes: Mapping[str, int]) -> str:
    return ", ".join(["float64", *(f"{symbol} = {size}" for symbol, size in sizes.items())])


def _expected(
    spec: ModelSpec, weights: Mapping[str, Arrays], inputs: Arrays
) -> dict[str, np.ndarray]:
    try:
        return torch_model(spec, weights, inputs)
    except KeyError as error:
        raise UnsupportedError(f"the network has no input {error}") from None


def _close(
    spec: ModelSpec, weights: Mapping[str, Arrays], inputs: Arrays, found: Arrays, expected: Arrays
) -> tuple[bool, str]:
    """Whether outputs agree but for rounding, which nudges of all weights show."""

    def other(rng: np.random.Generator) -> dict[str, np.ndarray]:
        moved = {path: nudged(own, rng) for path, own in weights.items()}
        return torch_model(spec, moved, inputs)

    error, worst = difference(found, expected)
    allowed = tolerance_by(other, expected)
    detail = f"differs by at most {error:.1e} (relative, in {worst}); tolerance {allowed:.0e}"
    return bool(error <= allowed), detail


def _examples(flat: Circuit) -> Iterator[tuple[dict[str, int], dict[str, np.ndarray]]]:
    """Numbers of tokens, and inputs of them."""
    bounds = [b.offset for domain in domains_of(flat) for b in domain]
    more = min(max([0, *bounds]), _MOST_WINDOW)
    for fewer, (first, others) in enumerate(_SIZES if flat.symbols else _SIZES[:1]):
        given = [first + more, *[others + more] * len(flat.symbols)]
        known = within_tables(flat, dict(zip(flat.symbols, given, strict=False)))
        sizes = {symbol: max(size - fewer, 1) for symbol, size in known.items()}
        rng = np.random.default_rng(0)
        yield sizes, {tensor.name: _drawn(tensor, sizes, rng) for tensor in flat.inputs}


def _drawn(tensor: Input, sizes: Mapping[str, int], rng: np.random.Generator) -> np.ndarray:
    """Random numbers for an input. Of tokens some do not exist, of each input others; the first does."""
    shape = [resolve(side, sizes) for side in tensor.given]
    if tensor.kind is InputKind.TOKEN:
        return rng.integers(0, resolve(tensor.shape[-1], sizes), shape)
    if tensor.kind is InputKind.MASK:
        exist = rng.random(shape) < _EXIST
        exist[..., 0] = True
        return exist
    return rng.standard_normal(shape)
