"""Running emitted source, its text unchanged, on object arrays of exact numbers.

This executes Python. It is no sandbox, and none could be made of it: it is only ever given text that this
process has just emitted, or that a test wrote. What stands in a file is compared with such text, as bytes,
and never comes here.

`import numpy` in that text gives a stand-in. It has the functions that the emitter uses and no others.
Those that only move entries, add or multiply are NumPy's own. `float64` makes exact numbers; functions
of one number, `maximum` and `divide` are those of the ring, and so are transfer functions that the text defines or
imports from SciPy. Three parts of an emitted file do not run:
reading the weights file, float32, and threads; `cortico.verify.emission.calls` runs them on floats.

Exact numbers have no size. So whether a softmax must be shifted (`in_range`) is not asked: the text runs
with both answers. It also runs in tiles of two tokens and chunks of one, as few tokens would fit in one tile,
and there on three MPI ranks, if it can: one after another, each up to where they meet.
"""

from __future__ import annotations

import builtins
import contextlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

from cortico.backends.arrays.backend import argument_names
from cortico.ir import TRANSFERS, Circuit
from cortico.verify.exact.circuit import Exact
from cortico.verify.exact.ring import LEAST, Infinity, Ring

#: NumPy's own functions: on object arrays they use the numbers' operators only.
_PLAIN = (
    "all",
    "arange",
    "ascontiguousarray",
    "broadcast_shapes",
    "broadcast_to",
    "concatenate",
    "copyto",
    "dtype",
    "einsum",
    "empty",
    "errstate",
    "float32",
    "matmul",
    "moveaxis",
    "ndindex",
    "prod",
    "stack",
    "subtract",
    "tensordot",
    "tri",
    "tril",
    "where",
    "zeros",
)

#: Functions of one number that the ring knows, and NumPy: opaque ones must be called on the very same numbers.
_FUNCTIONS = (
    "cos",
    "sin",
    *(t.name for t in TRANSFERS.values() if t.numpy == f"np.{t.name}({{x}})"),
)

#: Transfer functions that emitted text defines, and all that it imports for them from SciPy.
_DEFINED = tuple(t.name for t in TRANSFERS.values() if t.scipy or t.numpy_body)
_SCIPY = tuple(t.scipy for t in TRANSFERS.values() if t.scipy)


@dataclass(frozen=True)
class Run:
    """With which batch axes, on how many ranks if it can, and what is put in the place of its names.

    `shaped` takes an array over examples and makes the batch axes of a call.
    """

    shaped: Callable[[np.ndarray], np.ndarray]
    ranks: int
    replaced: Mapping[str, Any]


_SMALL = {"in_range": lambda rates: False, "TILE": (2, 2), "TOGETHER": 1, "CHUNK": 1}

RUNS: Mapping[str, Run] = {
    "": Run(lambda array: array, 1, {"in_range": lambda rates: True}),
    "without batch, with softmax shifted, ": Run(
        lambda array: array[0], 1, {"in_range": lambda rates: False}
    ),
    "in small tiles, with softmax shifted, two batch axes and on three ranks if it takes them, ": Run(
        lambda array: array[:, None], 3, _SMALL
    ),
}


def run_emitted(
    text: str,
    circuit: Circuit,
    inputs: Exact,
    parameters: Exact,
    ring: Ring,
    run: Run,
) -> dict[str, np.ndarray]:
    """Output name to array, by `text`, which this process emitted for `circuit`, on exact numbers.

    `inputs` may have batch axes; those of kind `mask` are bool. Raises whatever the text raises.
    """
    attention = load_emitted(text, ring)
    names = argument_names(circuit, text)
    arguments: dict[str, Any] = {names[name]: array for name, array in inputs.items()}
    names_there = attention.__globals__
    names_there.update({name: v for name, v in run.replaced.items() if name in names_there})
    takes = inspect.signature(attention).parameters
    arguments |= {"threads": 1} if "threads" in takes else {}
    arguments["weights"] = parameters
    many = run.ranks > 1 and "comm" in takes
    result = on_ranks(run.ranks, attention, **arguments) if many else attention(**arguments)
    outputs = result if isinstance(result, tuple) else (result,)
    return dict(zip((o.name for o in circuit.outputs), map(np.asarray, outputs), strict=True))


def on_ranks(ranks: int, attention: Callable[..., Any], **arguments: Any) -> Any:
    """What the first of so many ranks returns; the others run before it, up to where they meet."""
    parts: list[np.ndarray] = []
    for rank in range(1, ranks):
        with contextlib.suppress(_MeetError):
            attention(**arguments, comm=_Rank(rank, ranks, parts))
    return attention(**arguments, comm=_Rank(0, ranks, parts))


class _MeetError(Exception):
    """A rank waits for others."""


class _Rank:
    """What emitted text calls of an MPI communicator."""

    def __init__(self, rank: int, ranks: int, parts: list[np.ndarray]) -> None:
        self._rank, self._ranks, self._parts = rank, ranks, parts

    def Get_rank(self) -> int:  # noqa: N802
        return self._rank

    def Get_size(self) -> int:  # noqa: N802
        return self._ranks

    def Allreduce(self, part: np.ndarray, total: np.ndarray) -> None:  # noqa: N802
        self._parts.append(part)
        if self._rank:
            raise _MeetError
        if len(self._parts) != self._ranks:
            raise ValueError("ranks do not meet once")
        total[...] = sum(self._parts)


def load_emitted(text: str, ring: Ring) -> Callable[..., Any]:
    """The `attention` function of `text`, which this process emitted, on numbers of `ring`."""
    defined = {name: np.frompyfunc(_applied(ring, name), 1, 1) for name in _DEFINED}
    special = {name: defined.get(name) for name in _SCIPY}
    libraries = {"numpy": exact_numpy(ring), "scipy.special": SimpleNamespace(**special)}

    def import_(name: str, *rest: Any) -> Any:
        return libraries[name] if name in libraries else builtins.__import__(name, *rest)

    namespace: dict[str, Any] = {
        "__name__": "attention",
        "__file__": "attention.py",
        "__builtins__": {**vars(builtins), "__import__": import_},
    }
    exec(compile(text, "<emitted by cortico>", "exec"), namespace)
    namespace |= {name: own for name, own in defined.items() if name in namespace}
    function: Callable[..., Any] = namespace["attention"]
    return function


def exact_numpy(ring: Ring) -> SimpleNamespace:
    """What emitted code sees as `np`."""

    class Float64:
        """As a type of arrays it is `object`; called, it gives exact numbers."""

        def __new__(cls, value: Any) -> Any:
            return ring.array(value) if isinstance(value, np.ndarray) else ring.number(value)

    class Bits(np.ndarray[Any, Any]):
        """A bool array that becomes exact numbers, not Python's, when it is cast."""

        def astype(self, dtype: Any, copy: bool = True) -> Any:  # type: ignore[override]
            return self if dtype is bool else ring.array(self)

    def asarray(values: Any, dtype: Any = None) -> np.ndarray:
        array = np.asarray(values)
        if dtype is Float64:
            return ring.array(array)
        return array.view(Bits) if array.dtype == bool else array

    own = {"float64": Float64, "asarray": asarray, "inf": Infinity()}
    functions = {name: np.frompyfunc(_applied(ring, name), 1, 1) for name in _FUNCTIONS}
    plain = {name: getattr(np, name) for name in _PLAIN}
    return SimpleNamespace(**plain, **own, **functions, **_own_functions(ring))


def _own_functions(ring: Ring) -> dict[str, Callable[..., Any]]:
    """Functions that are NumPy's in all but the numbers that they make, compare or divide."""

    def ones(shape: Any, dtype: Any) -> np.ndarray:
        return np.ones(shape, dtype) if dtype is bool else ring.array(np.ones(shape, np.int64))

    def isfinite(values: Any) -> np.ndarray:
        return np.asarray(np.frompyfunc(lambda value: value is not LEAST, 1, 1)(values), bool)

    def result_type(*values: Any) -> np.dtype:
        return np.result_type(*map(np.asarray, values))

    def larger(*values: Any) -> Any:
        return max(value if value is LEAST else ring.number(value) for value in values)

    return {
        "ones": ones,
        "isfinite": isfinite,
        "result_type": result_type,
        "maximum": np.frompyfunc(larger, 2, 1),
        "divide": np.frompyfunc(lambda first, second: ring.number(first) / second, 2, 1),
    }


def _applied(ring: Ring, function: str) -> Callable[[object], object]:
    return lambda value: ring.apply(function, value)
