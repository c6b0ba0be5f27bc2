"""Whether what a backend writes is the compiled circuit: exactly where it can be, else in floats.

Each check says whether it found no difference, and a detail. UnsupportedError when it has nothing to say.
Text is emitted here, from the circuit; a file is compared with it as bytes, and never run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cortico.backends import (
    Backend,
    Emitter,
    NetworkEmitter,
    Runner,
    get_runner,
    goes_by_blocks,
    require_network_support,
    require_support,
)
from cortico.backends.arrays.backend import ArrayBackend
from cortico.backends.numpy import NumpyBackend
from cortico.backends.onnx import OnnxBackend
from cortico.ir import Circuit, Input, InputKind, UnsupportedError
from cortico.ir.analysis.inputs import within_tables
from cortico.ir.circuit import resolve
from cortico.ir.network import Network
from cortico.verify.emission.calls import TOLERANCE, check_calls
from cortico.verify.emission.shrink import redrawn, same_program, shrunk
from cortico.verify.exact.circuit import operations
from cortico.verify.exact.emitted import check_text_of_this_process, small_sizes

Outcome = tuple[bool, str]
Files = Mapping[str, str]

#: Multiplications of a circuit from which on one with smaller extents stands in for it.
_SMALL = 30_000

#: Multiplications above which exact numbers take too long, and floats.
_MOST_EXACT, _MOST = 300_000, 30_000_000

#: How a smaller circuit is sought: the space between its extents, and its fixed numbers of tokens. Where
#: these are few the emitter takes no tiles.
_ATTEMPTS = ((1, 0), (2, 0), (1, 91), (2, 91))

#: Largest difference of a simulation, which ends when nothing moves any more; relative.
_SETTLED = 1e-5

#: Synapses of a circuit that a simulator runs here.
_MOST_SYNAPSES = 20_000

#: Numbers of tokens, in both without a common factor.
_SIZES = ((7, 5, 6, 8, 9), (12, 11, 13, 17, 19))


# ---- NumPy ---------------------------------------------------------------------------------------


class _StandIn(NamedTuple):
    """The circuit to check, its text, and what it is if not the compiled one."""

    circuit: Circuit
    text: str
    words: str


def exactly(circuit: Circuit, target: NumpyBackend) -> Outcome:
    """The emitted NumPy text on exact numbers, beside the exact interpreter."""
    small = _stand_in(circuit, target, _MOST_EXACT)
    found = check_text_of_this_process(small.circuit, small.text)
    if not found.equal:
        return False, found.text
    at = "".join(f"{symbol} = {size}, " for symbol, size in found.sizes.items())
    return True, f"{found.entries} numbers; {at}{found.arithmetic}{small.words}"


def in_all_calls(circuit: Circuit, target: NumpyBackend) -> Outcome:
    """The emitted NumPy text in floats, in every way that users call it, beside the reference."""
    small = _stand_in(circuit, target, _MOST)
    found = check_calls(small.circuit, small.text)
    if found.difference is not None:
        return False, found.difference
    if found.unreached:  # numbers decide it, such as that no exponent is ever large
        lines = ", ".join(map(str, found.unreached))
        raise UnsupportedError(
            f"{found.calls} calls agree, but none reaches a branch in line {lines}"
        )
    return True, (
        f"{found.calls} calls (batches, types, threads, weights on disk and packed, up to "
        f"{found.tokens} tokens, rates up to {found.rates:.0f}), every branch: differ by at most {found.error:.1e} in float64 "
        f"(relative); tolerance {TOLERANCE['float64']:.0e}, in float32 {TOLERANCE['float32']:.0e}"
        f"{small.words}"
    )


def text_of_this_process_holds(circuit: Circuit, text: str) -> Outcome:
    """Both checks of `text`, which this process emitted or changed: it is executed. For tests of the checks."""
    circuit = redrawn(circuit)
    found = check_text_of_this_process(circuit, text)
    if not found.equal:
        return False, found.text
    calls = check_calls(circuit, text)
    holds = calls.difference is None and not calls.unreached
    return holds, calls.difference or f"{calls.calls} calls, lines not reached: {calls.unreached}"


def _stand_in(circuit: Circuit, target: NumpyBackend, most: int) -> _StandIn:
    """The circuit with other numbers, and smaller ones if it is large; the same program in any case.

    UnsupportedError when it takes more than `most` multiplications.
    """

    def text_of(each: Circuit) -> str:
        return target.source(each)

    text = text_of(circuit)
    found = _StandIn(redrawn(circuit), text, "")
    if operations(circuit, small_sizes(circuit)) > _SMALL:
        for spread, tokens in _ATTEMPTS:
            small = shrunk(circuit, spread, tokens)
            emitted = text_of(small)
            if same_program(text, emitted):
                sizes = {a.name: a.extent for a in small.axes if isinstance(a.extent, int)}
                shown = " ".join(f"{axis}={size}" for axis, size in sizes.items())
                found = _StandIn(small, emitted, f"; of the same program with {shown}")
                break
    count = operations(found.circuit, small_sizes(found.circuit))
    if count > most:
        raise UnsupportedError(f"too large for it: {count:,} multiplications, at most {most:,}")
    return found


# ---- other backends ------------------------------------------------------------------------------


def beside_the_reference(circuit: Circuit, target: Backend, files: Files) -> Outcome:
    """What the backend's own runner gives for the circuit, beside the reference interpreter."""
    if not isinstance(target, Runner):
        raise UnsupportedError(f"backend {target.name!r} does not run circuits")
    if isinstance(target, Emitter) and dict(target.emit(circuit)) != dict(files):
        return False, "emitted again, the text differs"
    arrays = isinstance(target, ArrayBackend | OnnxBackend)
    if not arrays:
        _require_small_rates(circuit, target)
    tolerance, worst, most = TOLERANCE["float64"] if arrays else _SETTLED, 0.0, 0
    for inputs, weights in _examples(circuit, (2,) if arrays else ()):
        wanted = get_runner("reference").run(circuit, inputs, weights)
        found = _run(target, circuit, inputs, weights)
        scale = max(float(np.abs(array).max()) for array in wanted.values()) or 1.0
        errors = [float(np.abs(found[name] - wanted[name]).max()) / scale for name in wanted]
        worst, most = float(np.max([worst, *errors])), most + 1
        if not worst <= tolerance or not arrays:
            break
    detail = f"{most} runs in float64: differ by at most {worst:.1e} (relative)"
    return bool(worst <= tolerance), f"{detail}; tolerance {tolerance:.0e}"


def _run(target: Runner, circuit: Circuit, inputs: Any, weights: Any) -> dict[str, np.ndarray]:
    try:
        return target.run(circuit, inputs, weights)
    except OSError as error:
        raise UnsupportedError(f"backend {target.name!r} cannot run: {error}") from None


def _require_small_rates(circuit: Circuit, target: Runner) -> None:
    """UnsupportedError for spiking cells, and for what a simulator would run for minutes."""
    if "lif" in vars(getattr(target, "options", None) or object).values():
        raise UnsupportedError("spiking cells only come near the rates: see `cortico run`")
    sizes = within_tables(circuit, dict(zip(circuit.symbols, _SIZES[0], strict=False)))
    count = circuit.bind(**sizes).counts().synapses
    if not isinstance(count, int) or count > _MOST_SYNAPSES:
        raise UnsupportedError(f"{count:,} synapses, simulated up to {_MOST_SYNAPSES:,}")


def _examples(
    circuit: Circuit, batch: tuple[int, ...]
) -> Iterator[tuple[dict[str, np.ndarray], dict[str, np.ndarray]]]:
    """Inputs at two sizes, without batch and with one, and numbers for symbolic parameters."""
    rng = np.random.default_rng(0)
    for sizes in _SIZES:
        symbols = within_tables(circuit, dict(zip(circuit.symbols, sizes, strict=False)))
        weights = {
            p.name: rng.standard_normal([resolve(side, symbols) for side in p.shape]) / 2
            for p in circuit.parameters
            if p.values is None and p.formula is None
        }
        for shape in {(), batch}:
            inputs = {}
            for tensor in circuit.inputs:
                sides = [*shape, *(resolve(side, symbols) for side in tensor.given)]
                inputs[tensor.name] = _drawn(tensor, sides, rng)
            yield inputs, weights


def _drawn(tensor: Input, shape: list[int], rng: np.random.Generator) -> np.ndarray:
    """Random numbers for an input."""
    if tensor.kind is InputKind.TOKEN:
        (count,) = [side for side in tensor.shape[-1:] if isinstance(side, int)]
        return rng.integers(0, count, shape)
    drawn = rng.standard_normal(shape)
    return drawn < 0.5 if tensor.kind is InputKind.MASK else drawn


# ---- files ---------------------------------------------------------------------------------------


def emitted_files(what: Circuit | Network, target: Backend) -> Files:
    """The text files that `target` writes of a circuit or network. UnsupportedError when it cannot."""
    if isinstance(what, Network) and goes_by_blocks(target):
        require_network_support(target, what)
        return target.emit_network(what) if isinstance(target, NetworkEmitter) else {}
    circuit = what.flatten() if isinstance(what, Network) else what
    require_support(target, circuit)
    return target.emit(circuit) if isinstance(target, Emitter) else {}


def differing_files(emitted: Files, folder: Path) -> list[str]:
    """The text files of `folder` that are not, byte by byte, those that were emitted."""
    return [name for name, text in emitted.items() if not _holds(folder / name, text)]


def claims_of_files(circuit: Circuit, target: Backend) -> tuple[list[str], bool]:
    """A line for each check of what `target` emits for `circuit`, and whether all hold."""
    files = emitted_files(circuit, target)
    what, lines, right = ", ".join(files) or f"what backend {target.name} writes", [], True
    if files:
        lines.append(f"{what}: byte by byte what cortico emits for this circuit")
    for word, check in _checks(circuit, target, files):
        try:
            holds, detail = check()
        except UnsupportedError as error:
            lines.append(f"{what}: not run, {str(error).splitlines()[0]}")
            continue
        right = right and holds
        lines.append(f"{what}: {word if holds else 'refuted'}, {detail}")
    return lines, right


def _checks(
    circuit: Circuit, target: Backend, files: Files
) -> Iterator[tuple[str, Callable[[], Outcome]]]:
    """Each check of what a backend writes, with the word for one that finds no difference."""
    if isinstance(target, NumpyBackend):
        yield "checked exactly", lambda: exactly(circuit, target)
        yield "compared numerically", lambda: in_all_calls(circuit, target)
    else:
        yield "compared numerically", lambda: beside_the_reference(circuit, target, files)


def _holds(path: Path, text: str) -> bool:
    try:
        return path.stat().st_size == len(text.encode()) and path.read_bytes() == text.encode()
    except OSError:
        return False
