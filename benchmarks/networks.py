"""A whole model as emitted code, beside the same model in transformers: MiniLM, forward passes in float32.

    python benchmarks/networks.py [--repeats 15] [--threads 2]

all-MiniLM-L6-v2 with emitted NumPy and PyTorch, at 16, 64 and 256 tokens. All take turns; reported are medians,
and the median of the ratios of a turn: seconds of transformers over ours. Outputs must be equal. Writes
results/networks.json.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
import torch
from common import SMOKE, machine, say_if_busy, sized, verdict, write_results
from rich.console import Console
from rich.table import Table

from cortico.backends import get_backend
from cortico.ir.network import Network
from cortico.ir.text.networks import stored_arrays
from cortico.lowering import lower_model

TOKENS = sized((16, 64, 256), (8,))
MOST_ERROR = 1e-4  #: of states, which are about 1
THEIRS = "transformers"

Run = Callable[[np.ndarray], np.ndarray]


def minilm() -> tuple[Network, Any]:
    """The network, and the model of transformers; in a run that only shows that it runs, one with random weights."""
    from transformers import BertConfig, BertModel

    from cortico.frontends import read_model

    if not SMOKE:
        from cortico.demo.weights import model_folder

        spec, weights = read_model(model_folder())
        return lower_model(spec, weights), BertModel.from_pretrained(model_folder()).eval()
    import tempfile

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=64,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=16,
    )
    with tempfile.TemporaryDirectory() as folder:
        BertModel(config, add_pooling_layer=False).save_pretrained(folder)
        spec, weights = read_model(folder)
        return lower_model(spec, weights), BertModel.from_pretrained(folder).eval()


def models(threads: int) -> tuple[dict[str, Run], int]:
    """Token ids to states, by whom; and how many tokens there are."""
    network, theirs = minilm()
    weights, vocabulary = stored_arrays(network), theirs.config.vocab_size
    numpy = loaded("numpy", network)
    packed, work = numpy["pack"](weights, np.float32), {}
    module = loaded("torch", network)["Model"](weights, dtype=torch.float32)

    @torch.inference_mode()
    def of_transformers(ids: np.ndarray) -> np.ndarray:
        keep = torch.ones(ids.shape, dtype=torch.long)
        states: np.ndarray = theirs(
            torch.tensor(ids), attention_mask=keep
        ).last_hidden_state.numpy()
        return states

    def of_numpy(ids: np.ndarray) -> np.ndarray:
        given = numpy["model"](ids, np.zeros_like(ids), weights=packed, work=work, threads=threads)
        return _states(given)

    @torch.inference_mode()
    def of_torch(ids: np.ndarray) -> np.ndarray:
        states: np.ndarray = _states(
            module(torch.tensor(ids), torch.zeros(ids.shape, dtype=int))
        ).numpy()
        return states

    return {THEIRS: of_transformers, "numpy": of_numpy, "torch": of_torch}, vocabulary


def loaded(backend: str, network: Network) -> Mapping[str, Any]:
    """What the emitted file of a network defines."""
    (source,) = get_backend(backend).emit_network(network).values()  # type: ignore[attr-defined]
    namespace: dict[str, Any] = {"__name__": "model", "__file__": "model.py"}
    exec(compile(source, "model.py", "exec"), namespace)
    return namespace


def _states(given: Any) -> Any:
    """The first output, where there are several."""
    return given[0] if isinstance(given, tuple) else given


def measure(repeats: int, threads: int) -> Iterator[dict[str, Any]]:
    """Medians for each number of tokens."""
    runs, vocabulary = models(threads)
    rng = np.random.default_rng(0)
    for tokens in TOKENS:
        ids = rng.integers(1, vocabulary, (1, tokens))
        expected = runs[THEIRS](ids)
        errors = {name: float(np.abs(run(ids) - expected).max()) for name, run in runs.items()}
        turns = [{name: seconds_of(run, ids) for name, run in runs.items()} for _ in range(repeats)]
        for name in runs:
            yield {
                "tokens": tokens,
                "who": name,
                "seconds": statistics.median(turn[name] for turn in turns),
                "ratio": statistics.median(turn[THEIRS] / turn[name] for turn in turns),
                "error": errors[name],
            }


def seconds_of(run: Run, ids: np.ndarray) -> float:
    """Seconds of the wall."""
    start = time.perf_counter()
    run(ids)
    return time.perf_counter() - start


def missed_goals(rows: list[dict[str, Any]]) -> Iterator[str]:
    """What is not as it should be, in words."""
    for row in rows:
        if row["error"] > MOST_ERROR:
            yield f"{row['who']}, {row['tokens']} tokens: other states, by {row['error']:.1e}"


def print_table(rows: list[dict[str, Any]]) -> None:
    """Milliseconds, and ratios."""
    table = Table("tokens", "who", "ms", "transformers / ours", "error", title="MiniLM, forward")
    for row in rows:
        numbers = (f"{1e3 * row['seconds']:.2f}", f"{row['ratio']:.2f}", f"{row['error']:.1e}")
        table.add_row(str(row["tokens"]), row["who"], *numbers)
    Console().print(table)


def main() -> int:
    """Measure, print, write; 0 when all goals are met."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=sized(15, 1))
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    say_if_busy()
    results: dict[str, Any] = {"machine": machine(("numpy", "torch", "transformers"))}
    results["threads"] = arguments.threads
    results["rows"] = rows = list(measure(arguments.repeats, arguments.threads))
    results["machine"]["load at the end"] = round(os.getloadavg()[0], 1)
    print_table(rows)
    write_results("networks", results)
    return verdict(missed_goals(rows))


if __name__ == "__main__":
    raise SystemExit(main())
