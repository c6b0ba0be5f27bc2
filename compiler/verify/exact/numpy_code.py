"""Running emitted source, its text unchanged, on object arrays of exact numbers.

`import numpy` in that text gives a stand-in. It has the functions that the emitter uses and no others.
Those that only move entries, add or multiply are NumPy's own. `float64` makes exact numbers; functions
of one number, `maximum` and `divide` are those of the ring. Three parts of an emitted file do not run:
reading the weights file, float32, and threads.

Exact numbers have no size. So whether a softmax must be shifted (`in_range`) is not asked: the text runs
with both answers. It also runs in tiles of two tokens and chunks of one, as few tokens would fit in one tile,
and there on three MPI ranks, if it can: one after another, each up to where they meet.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

from cortico.backends.arrays.backend import argument_names
from cortico.ir import Circuit, SpecError
from cortico.ir.errors import bullet_list
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

#: Functions of one number that the ring knows.
_FUNCTIONS = ("exp", "sqrt", "tanh", "cos", "sin")

_BUILTINS = (
    *("ValueError", "ImportError", "all", "bool", "int", "isinstance", "iter", "len", "max", "min"),
    *("list", "map", "open", "range", "round", "set", "slice", "sorted", "str", "zip"),
)

#: Modules that emitted text imports, and what it takes of others.
_IMPORTS = ("contextlib", "functools", "json", "numpy")
_NAMES = {
    "collections": ("namedtuple",),
    "concurrent.futures": ("ThreadPoolExecutor",),
    "pathlib": ("Path",),
    "threading": ("Lock",),
    "threadpoolctl": ("ThreadpoolController",),
}


@dataclass(frozen=True)
class Run:
    """On how many ranks, if it can, and what is put in the place of names that the emitted file has."""

    ranks: int
    replaced: Mapping[str, Any]


RUNS: Mapping[str, Run] = {
    "": Run(1, {"in_range": lambda rates: True}),
    "in small tiles, with softmax shifted and on three ranks if it takes them, ": Run(
        3, {"in_range": lambda rates: False, "TILE": (2, 2), "TOGETHER": 1, "CHUNK": 1}
    ),
}


def run_emitted(
    source: str,
    circuit: Circuit,
    inputs: Exact,
    parameters: Exact,
    ring: Ring,
    run: Run,
) -> dict[str, np.ndarray]:
    """Output name to array, by the emitted `source` of `circuit` on exact numbers.

    `inputs` may have batch axes; those of kind `mask` are bool. Raises SpecError for text that cortico
    does not emit, and whatever the text raises.
    """
    attention = load_emitted(source, ring)
    names = argument_names(circuit, source)
    arguments: dict[str, Any] = {names[name]: array for name, array in inputs.items()}
    names_there = attention.__globals__
    names_there.update({name: v for name, v in run.replaced.items() if name in names_there})
    takes = inspect.signature(attention).parameters
    arguments |= {"threads": 1} if "threads" in takes else {}
    result = on_ranks(
        run.ranks if "comm" in takes else 1, attention, **arguments, weights=parameters
    )
    outputs = result if isinstance(result, tuple) else (result,)
    return dict(zip((o.name for o in circuit.outputs), map(np.asarray, outputs), strict=True))


def on_ranks(ranks: int, attention: Callable[..., Any], **arguments: Any) -> Any:
    """What the first of so many ranks returns; the others run before it, up to where they meet."""
    if ranks == 1:
        return attention(**arguments)
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


def load_emitted(source: str, ring: Ring) -> Callable[..., Any]:
    """The `attention` function of emitted source, on numbers of `ring`."""
    problems = list(_foreign(source))
    if problems:
        raise SpecError(f"this is not a file that cortico emits:{bullet_list(problems)}")
    library = exact_numpy(ring)

    def import_(name: str, *rest: Any) -> Any:
        return library if name == "numpy" else builtins.__import__(name, *rest)

    allowed = {name: getattr(builtins, name) for name in _BUILTINS}
    namespace: dict[str, Any] = {
        "__name__": "attention",
        "__file__": "attention.py",
        "__builtins__": {**allowed, "__import__": import_},
    }
    exec(compile(source, "<emitted by cortico>", "exec"), namespace)
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


def _foreign(source: str) -> Iterator[str]:
    """What the emitter never writes and that would reach beyond arithmetic, with its line."""
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        yield f"line {error.lineno}: {error.msg}"
        return
    for node in ast.walk(tree):
        for name in _suspicious(node):
            yield f"line {getattr(node, 'lineno', 0)}: {name}"


def _suspicious(node: ast.AST) -> list[str]:
    """Names that emitted text has no use for: other modules, and what begins with an underscore."""
    match node:
        case ast.Import(names=names):
            return [alias.name for alias in names if alias.name not in _IMPORTS]
        case ast.ImportFrom(module=module, names=names):
            known = _NAMES.get(str(module), ())
            return [] if all(alias.name in known for alias in names) else [str(module)]
        case ast.Attribute(attr=name):
            return [name] if name.startswith("_") or name in ("format", "format_map") else []
        case ast.Name(id=name):
            return [name] if name.startswith("__") and name != "__file__" else []
    return []
