"""Who takes part in the benchmarks of attention: emitted code, layers by hand, onnxruntime."""

from __future__ import annotations

import importlib.util
import inspect
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
from attention_kinds import THREADS, Array, Weights, textbook
from threadpoolctl import threadpool_limits

from cortico import AttentionSpec, backend_names, compile_attention

Run = Callable[[], Array]
Build = Callable[[AttentionSpec, Weights, Array], Run]

EMITTED = "emitted NumPy"  #: ratios are to this one

PACKAGES = ("numpy", "torch", "onnxruntime")  #: their versions are in the results

SOFTMAX = ("softmax", "causal", "window", "grouped")
LINEAR = ("linear", "linear causal")


@dataclass(frozen=True)
class Competitor:
    """`function` of `module` builds it; it takes part in `kinds`, when `needs` can be imported."""

    name: str
    module: str
    function: str
    kinds: tuple[str, ...]
    needs: tuple[str, ...] = ()
    options: Mapping[str, object] = field(default_factory=dict)
    same: bool = True  #: false: computes something else, and is there for scale

    def is_here(self) -> bool:
        """Whether its libraries are installed."""
        return all(importlib.util.find_spec(name) is not None for name in self.needs)

    def build(self, spec: AttentionSpec, weights: Weights, x: Array) -> Run:
        """What computes the layer for `x` when called; weights and inputs are in place by then."""
        return partial(getattr(import_module(self.module), self.function), **self.options)(
            spec, weights, x
        )


# ---- emitted code --------------------------------------------------------------------------------

#: Backend to its row, and the file that it emits.
BACKENDS = {
    "numpy": (EMITTED, "attention.py"),
    "torch": ("emitted PyTorch", "attention_torch.py"),
    "jax": ("emitted JAX", "attention_jax.py"),
}


def emitted_module(spec: AttentionSpec, weights: Weights, backend: str) -> ModuleType:
    """The file that cortico emits for `spec`, imported from a folder with its weights beside it.

    What it makes of the weights is `ready` in it: the folder is gone when this returns.
    """
    compiled = compile_attention(spec, weights, backend=backend)
    with tempfile.TemporaryDirectory() as folder:
        compiled.write(Path(folder) / "layer")
        path = Path(folder) / "layer" / BACKENDS[backend][1]
        found = importlib.util.spec_from_file_location(path.stem, path)
        assert found is not None
        assert found.loader is not None
        module = importlib.util.module_from_spec(found)
        found.loader.exec_module(module)
        make = {
            "numpy": lambda: module.stored(np.float32),  # packed, and kept by the module itself
            "torch": lambda: module.Attention().eval(),
            "jax": lambda: {name: np.array(a) for name, a in module.load_weights().items()},
        }
        vars(module)["ready"] = make[backend]()
    return module


def emitted(
    spec: AttentionSpec, weights: Weights, x: Array, backend: str, keep: bool = True
) -> Run:
    """The emitted function on `x`, on two threads where it takes a number of threads.

    The NumPy code may `keep` its memory from call to call.
    """
    module = emitted_module(spec, weights, backend)
    if backend == "numpy":
        return _numpy_run(module, x, {} if keep else None)
    return {"torch": _torch_run, "jax": _jax_run}[backend](module, x)


def _numpy_run(module: ModuleType, x: Array, work: dict[Any, Any] | None) -> Run:
    attention = module.attention
    taken = inspect.signature(attention).parameters
    options = {"threads": THREADS, "work": work}
    attention = partial(attention, **{k: v for k, v in options.items() if k in taken})
    return lambda: np.asarray(attention(x))


def _torch_run(module: ModuleType, x: Array) -> Run:
    import torch

    tokens = torch.as_tensor(x)

    def run() -> Array:
        with torch.inference_mode():
            return np.asarray(module.ready(tokens).numpy())

    return run


def _jax_run(module: ModuleType, x: Array) -> Run:
    import jax

    attention, weights = jax.jit(module.attention), jax.device_put(module.ready)
    tokens = jax.device_put(x)
    return lambda: np.asarray(attention(weights, tokens))


def _emitted_rows() -> Iterator[Competitor]:
    for backend, (name, _) in BACKENDS.items():
        if backend in backend_names():
            options = {"backend": backend}
            yield Competitor(name, "competitors", "emitted", SOFTMAX + LINEAR, (backend,), options)


# ---- everybody -----------------------------------------------------------------------------------

_NUMPY, _TORCH, _ONNX = "by_hand_numpy", "by_hand_torch", "by_hand_onnx"
_CAUSAL = ("linear causal",)

COMPETITORS: tuple[Competitor, ...] = (
    *_emitted_rows(),
    Competitor("NumPy einsum", _NUMPY, "einsum_softmax", SOFTMAX),
    Competitor("NumPy matmul", _NUMPY, "matmul_softmax", SOFTMAX),
    Competitor("NumPy tiles", _NUMPY, "tiled_softmax", SOFTMAX),
    Competitor("NumPy einsum", _NUMPY, "einsum_linear", LINEAR),
    Competitor("NumPy matmul", _NUMPY, "matmul_linear", ("linear",)),
    Competitor("NumPy chunks", _NUMPY, "chunked_linear", _CAUSAL),
    Competitor("PyTorch SDPA", _TORCH, "sdpa", SOFTMAX, ("torch",)),
    Competitor("PyTorch SDPA by blocks", _TORCH, "sdpa_by_blocks", ("window",), ("torch",)),
    Competitor("nn.MultiheadAttention", _TORCH, "multihead_attention", SOFTMAX[:3], ("torch",)),
    Competitor("PyTorch linear", _TORCH, "linear_full", ("linear",), ("torch",)),
    Competitor("PyTorch cumsum", _TORCH, "linear_cumsum", _CAUSAL, ("torch",)),
    *(
        Competitor(
            f"PyTorch chunks of {chunk}",
            _TORCH,
            "linear_chunks",
            _CAUSAL,
            ("torch",),
            {"chunk": chunk},
        )
        for chunk in (64, 128, 256)
    ),
    Competitor("PyTorch SDPA (softmax)", _TORCH, "sdpa_instead", LINEAR, ("torch",), same=False),
    Competitor("ORT MatMul, Softmax", _ONNX, "matmul_graph", SOFTMAX, ("onnx", "onnxruntime")),
    Competitor("ORT Attention", _ONNX, "attention_node", SOFTMAX, ("onnx", "onnxruntime")),
    Competitor("ORT MatMul", _ONNX, "matmul_graph", ("linear",), ("onnx", "onnxruntime")),
)


def taking_part(kind: str) -> list[Competitor]:
    """Those that compute `kind` and are installed; the emitted NumPy code first."""
    return [each for each in COMPETITORS if kind in each.kinds and each.is_here()]


def limit_threads(count: int = THREADS) -> None:
    """Two cores and `count` threads for everybody in this process."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])
    if importlib.util.find_spec("torch") is not None:
        import torch

        torch.set_num_threads(count)
    threadpool_limits(limits=count)


# ---- all must compute the same -------------------------------------------------------------------

TOLERANCE = 1e-4  #: of the largest output


def check(spec: AttentionSpec, weights: Weights, x: Array, y: Array, who: str) -> None:
    """Raise AssertionError unless `y` is the layer's output, at rows spread over the last batch."""
    rows = np.unique(np.linspace(0, x.shape[1] - 1, 24).astype(int))
    expected = textbook(spec, weights, x[-1], rows)
    assert_same(y[-1, rows], expected, f"{who} and the formula at {x.shape[1]} tokens")


def assert_same(found: Any, expected: Array, what: str) -> None:
    """Raise AssertionError when arrays differ by more than the tolerance, or are NaN."""
    error = np.abs(found - expected).max() / np.abs(expected).max()
    assert error < TOLERANCE, f"{what} differ by {error:.2g} of the largest output"
