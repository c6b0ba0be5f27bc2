"""Attention of ONNX files: operators made for it, and softmax between two matrix products.

`graph` reads and evaluates, with `microsoft` and `fusions` writing operators of onnxruntime out in those of `internal`;
`operators` says what of them is read. `sites` finds attention, `probe` measures it with as many tokens as `lengths`
says and with the roles of other inputs that `inputs` finds. `rotation` and `masking` name what was
measured, `reading` makes the spec, `checking` compares it with the graph.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cortico.backends.extras import require_library
from cortico.frontends.family import Attention
from cortico.ir.errors import SpecError, clipped

SUFFIX = ".onnx"


def read_onnx(path: Path, layer: int = 0) -> Attention:
    """Spec and weights of attention number `layer` of a file. SpecError when it cannot be read."""
    _require_onnx()
    from cortico.frontends.onnx_file import reading

    with _understood(path):
        return reading.read_onnx(path, layer)


def count_onnx(path: Path) -> int:
    """How many attentions a file has. SpecError when it cannot be read."""
    _require_onnx()
    from cortico.frontends.onnx_file import reading

    with _understood(path):
        return reading.count_onnx(path)


@contextmanager
def _understood(path: Path) -> Iterator[None]:
    """A graph whose parts do not fit together breaks its reading somewhere: that is the file's fault."""
    try:
        yield
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        MemoryError,
        TypeError,
        ValueError,
    ) as error:
        reason = clipped(" ".join(str(error).split()), 200)
        kind = type(error).__name__
        raise SpecError(f"{str(path)!r} does not fit together: {kind}: {reason}") from error


def _require_onnx() -> None:
    require_library("an ONNX file", "onnx", "onnx")
