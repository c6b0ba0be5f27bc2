"""The program under construction: statements, and fresh names for their results."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from cortico.backends.arrays.operations import Operation
from cortico.backends.arrays.variables import Variable, is_batched
from cortico.backends.names import Names

#: Names that emitted files use themselves.
RESERVED = frozenset(
    [
        *("np", "torch", "jax", "jnp", "json", "functools", "os", "Path", "namedtuple"),
        *(
            "ThreadPoolExecutor",
            "ThreadpoolController",
            "Lock",
            "Packed",
            "TILE",
            "CHUNK",
            "ONE_CALL",
            "SMALL",
        ),
        *("attention", "load_weights", "weights", "pack", "packed", "stored", "step", "state"),
        *("sizes", "dtype", "threads", "batch", "index", "example", "rows", "columns"),
        *(
            "tile",
            "in_tiles",
            "product",
            "scratch",
            "one_thread_of_blas",
            "contextlib",
            "tile_rows",
            "default_threads",
            "thread_pool",
            "blas",
            "shifted",
            "comm",
            "rank",
            "ranks",
            "share",
            "cut",
            "sum_of_ranks",
            "here",
        ),
        *("checked", "divide", "finite", "in_range", "silence", "rotation", "distance"),
        *("merge_rows", "merge_columns", "split_columns", "past_product", "position"),
        *("nn", "F", "self", "Attention", "SHAPES", "device", "linear", "exact", "as_tensors"),
        *("attend", "attend_window", "attend_masked", "within", "score_mask"),
        *("merge_heads", "split_heads", "lax", "mesh", "AREAS", "BLOCK", "shard", "split_over"),
        *("Mesh", "NamedSharding", "PartitionSpec", "automatic", "by_query", "with_heads"),
        *("attend_blocks", "attend_rows", "pad_rows", "window_columns"),
    ]
)


def safe_names(names: Iterable[str]) -> dict[str, str]:
    """Name to a Python identifier that is neither a keyword nor a name of the emitted file."""
    return Names(RESERVED).of(names)


@dataclass(frozen=True)
class Statement:
    """`result = operation(operands)`, under comments that say what it is in the circuit."""

    result: Variable
    operation: Operation
    operands: tuple[Variable, ...] = ()
    comments: tuple[str, ...] = ()


@dataclass
class Program:
    """Statements in the order in which they run."""

    names: Names = field(default_factory=lambda: Names(RESERVED))
    statements: list[Statement] = field(default_factory=list)
    _comments: list[str] = field(default_factory=list)

    def comment(self, text: str) -> None:
        """A comment above the next statement."""
        self._comments.append(text)

    def assign(
        self,
        name: str,
        operation: Operation,
        axes: Iterable[str],
        operands: Sequence[Variable] = (),
    ) -> Variable:
        """Add a statement under a fresh name; returns its result."""
        result = Variable(self.names.fresh(name), tuple(axes), is_batched(operands))
        comments, self._comments = tuple(self._comments), []
        self.statements.append(Statement(result, operation, tuple(operands), comments))
        return result
