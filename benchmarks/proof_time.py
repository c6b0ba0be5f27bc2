"""How long a proof takes, beside SymPy on entries as sizes grow, and for the whole case table.

    python benchmarks/proof_time.py

Writes results/proof_time.json; docs/draw_proof_time.py makes the tables and the picture of
docs/proof_time.md of it. Takes about six minutes on two free cores: where SymPy gives no answer within
`LIMIT` seconds, larger sizes are not tried. All seconds are processor time, so that what else runs on
the machine counts little. Exit code 1 when a claim of the case table is not proved, or when the time of
cortico's proof grows with the size.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import resource
import runpy
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

from common import ROOT, SMOKE, sized, verdict, write_results

DRAW = ROOT / "docs" / "draw_proof_time.py"

LIMIT = sized(60, 5)  #: seconds of processor time for one run of SymPy
MEMORY = 8 << 30  #: bytes for one run of SymPy
TURNS = sized(3, 1)
QUICK = 2.0  #: what takes fewer seconds is run `TURNS` times
MOST_GROWTH = 2.0  #: of the time of cortico's proof, from the smallest size to the largest

KERNELS = ("linear", "softmax")

#: tokens, model, heads, features of a head. The last two are GPT-2 small's and Llama 3.2 1B's.
SIZES = sized(
    (
        (1, 2, 1, 2),
        (2, 2, 1, 2),
        (2, 2, 2, 2),
        (2, 4, 2, 2),
        (3, 4, 2, 2),
        (4, 4, 2, 2),
        (4, 6, 2, 3),
        (16, 16, 4, 4),
        (128, 64, 4, 16),
        (1024, 768, 12, 64),
        (8192, 2048, 32, 64),
    ),
    ((1, 1, 1, 1),),
)

OURS = ("output", "gradients")
SYMPY = ("checker, output", "expand, output", "expand, gradients")

Size = Sequence[int]
Found = dict[str, Any]


# ---- one measurement, in a process of its own ----------------------------------------------------


def measure(method: str, kernel: str, size: Size) -> Found:
    """Seconds from the lowered circuit to the verdict, which must be that all is equal."""
    from cortico import AttentionSpec, lower
    from cortico.spec import Kernel

    tokens, model, heads, features = size
    spec = AttentionSpec(model, heads, tokens=tokens, key_features=features, kernel=Kernel(kernel))
    circuit = lower(spec)
    import_first(method)
    if method == "ours":
        seconds = {
            name: timed(lambda p=proof: p(spec, circuit)) for name, proof in proofs().items()
        }
        return {**seconds, "synapses": int(circuit.counts().synapses)}
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    most = LIMIT + math.ceil(time.process_time())
    resource.setrlimit(resource.RLIMIT_CPU, (most, most + 1))
    return {method: timed(lambda: by_sympy(method, spec, circuit))}


def import_first(method: str) -> None:
    """Import what is used, so that it does not count."""
    names = ["cortico.verify.claims", "cortico.verify.steps.validation"]
    if method != "ours":
        names = ["sympy", "cortico.verify.exact.elementwise"]
    for name in names:
        import_module(name)


def timed(equal: Callable[[], bool]) -> float:
    """Processor seconds until `equal` says that it is so."""
    start = time.process_time()
    assert equal(), "not equal"
    return time.process_time() - start


def proofs() -> dict[str, Callable[[Any, Any], bool]]:
    """The two proofs of cortico, for all sizes."""
    from cortico.verify import Known

    def all_proved(outcomes: Sequence[Any]) -> bool:
        return all(outcome.verdict is Known.PROVED for outcome in outcomes)

    return {
        "output": lambda spec, circuit: all_proved(output_outcomes(spec, circuit)),
        "gradients": lambda spec, circuit: all_proved(gradient_outcomes(spec, circuit)),
    }


def output_outcomes(spec: Any, circuit: Any) -> Sequence[Any]:
    """The circuit against the textbook."""
    from cortico.verify import circuit_equations, compare, reference

    return compare(reference(spec), circuit_equations(circuit))


def gradient_outcomes(spec: Any, circuit: Any) -> Sequence[Any]:
    """Every gradient of the circuit, by reverse mode, against its closed form."""
    from cortico.verify import circuit_equations, closed_forms, compare, gradients

    wanted = closed_forms(spec)
    names = [name.removeprefix("d.") for name in wanted.outputs]
    return compare(wanted, gradients(circuit_equations(circuit), names))


# ---- SymPy, entry by entry -----------------------------------------------------------------------


def by_sympy(method: str, spec: Any, circuit: Any) -> bool:
    """Whether all entries are equal: by cortico's element-wise checker, or as one would write it."""
    import numpy as np
    import sympy

    from cortico.verify.exact.elementwise import (
        check_elementwise,
        elementwise_meaning,
        spec_symbols,
    )
    from cortico.verify.exact.symbols import expanded, symbol_array

    for function in (
        check_elementwise,
        expanded,
    ):  # the checker refuses what takes over two seconds
        module = sys.modules[function.__module__]
        for name in ("MOST_TERMS", "MOST_WORK", "MOST_OPERATIONS"):
            setattr(module, name, sys.maxsize)
    if method == "checker, output":
        return check_elementwise(spec, circuit).equal
    x = symbol_array("x", (int(spec.tokens), spec.model))
    error = symbol_array("error", x.shape)
    weights = spec_symbols(spec)
    y, gradients = textbook(spec.kernel, weights, x, error)
    found = elementwise_meaning(circuit)["y"]
    if method == "expand, output":
        differences = found - y
    else:
        loss = (error * found).sum()
        symbols = np.concatenate([each.flatten() for each in (*weights.values(), x)])
        entries = np.concatenate([gradients[name].flatten() for name in (*weights, "x")])
        differences = np.array([loss.diff(s) for s in symbols], object) - entries
    return all(sympy.expand(difference) == 0 for difference in differences.flat)


def textbook(kernel: str, weights: Found, x: Any, error: Any) -> tuple[Any, Found]:
    """Attention and its gradients in closed form, as NumPy on arrays of symbols."""
    import numpy as np
    import sympy

    y, gradients = 0, {name: np.zeros_like(array) for name, array in {**weights, "x": x}.items()}
    for h, (w_q, w_k, w_v, w_o) in enumerate(zip(*weights.values(), strict=True)):
        q, k, v = x @ w_q.T, x @ w_k.T, x @ w_v.T
        scale = sympy.Integer(1) if kernel == "linear" else 1 / sympy.sqrt(len(w_q))
        mask = scale * (q @ k.T)
        delta = error @ w_o
        z = delta @ v.T
        if kernel == "softmax":
            weight = np.frompyfunc(sympy.exp, 1, 1)(mask)
            mask = weight / weight.sum(axis=1, keepdims=True)
            z = mask * (z - (mask * z).sum(axis=1, keepdims=True))
        d_q, d_k, d_v = scale * (z @ k), scale * (z.T @ q), mask.T @ delta
        y = y + mask @ v @ w_o.T
        for name, array in {"W_Q": d_q, "W_K": d_k, "W_V": d_v}.items():
            gradients[name][h] = array.T @ x
        gradients["W_O"][h] = error.T @ (mask @ v)
        gradients["x"] = gradients["x"] + d_q @ w_q + d_k @ w_k + d_v @ w_v
    return y, gradients


# ---- sizes ---------------------------------------------------------------------------------------


def measure_sizes() -> dict[str, list[Found]]:
    """Kernel to a row for each size: medians of fresh processes. The two kernels run side by side."""
    with ThreadPoolExecutor() as pool:
        return dict(zip(KERNELS, pool.map(rows_of, KERNELS), strict=True))


def rows_of(kernel: str) -> list[Found]:
    """Seconds of each method at each size; turns are taken among sizes, and by SymPy where it is quick."""
    turns = [[child("ours", kernel, size) for size in SIZES] for _ in range(TURNS)]
    rows = [{"size": size, **medians(found)} for size, *found in zip(SIZES, *turns, strict=True)]
    for method in SYMPY:
        tried = True
        for row in rows:
            row |= child(method, kernel, row["size"]) if tried else {method: "not tried"}
            print(f"{kernel}, {method}, {row['size']}: {row[method]}", file=sys.stderr)
            tried = isinstance(row[method], float)
    quick = [
        (row, m) for m in SYMPY for row in rows if isinstance(row[m], float) and row[m] < QUICK
    ]
    again = [[child(m, kernel, row["size"]) for row, m in quick] for _ in range(TURNS - 1)]
    for (row, m), *found in zip(quick, *again, strict=True):
        row |= medians([{m: row[m]}, *found])
    return rows


def medians(found: Sequence[Found]) -> Found:
    """The median of each figure."""
    return {name: statistics.median(sample[name] for sample in found) for name in found[0]}


def child(method: str, kernel: str, size: Size) -> Found:
    """What `measure` finds in a fresh process, or words in place of seconds."""
    command = [sys.executable, __file__, "--child", method, kernel, *map(str, size)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode == -signal.SIGXCPU:
        return {method: f"no answer in {LIMIT} s"}
    if done.returncode and "MemoryError" in done.stderr:
        return {method: f"no answer in {MEMORY >> 30} GB"}
    if done.returncode:
        raise RuntimeError(done.stderr)
    found: Found = json.loads(done.stdout)
    return found


# ---- real layers and the case table --------------------------------------------------------------


def real_layers() -> list[Found]:
    """Seconds for layers of models as they are, with an unknown number of tokens."""
    from cortico import AttentionSpec, lower
    from cortico.spec import Bias, Mask, Rotary

    biased = Bias(query=True, key=True, value=True, output=True)
    causal = {"mask": Mask.CAUSAL}
    llama = {"kv_heads": 8, "rotary": Rotary(base=500_000.0)}
    oss = {"key_features": 64, "window": 128, "mask": Mask.WINDOW, "bias": biased, "sink": True}
    specs = {
        "BERT base": AttentionSpec(768, 12, bias=biased, key_padding=True),
        "GPT-2 small": AttentionSpec(768, 12, bias=biased, **causal),
        "Llama 3.2 1B": AttentionSpec(2048, 32, **llama, **causal),
        "gpt-oss 20B, sliding": AttentionSpec(2880, 64, **(oss | llama)),
    }
    specs = dict(sized([*specs.items()], [*specs.items()][:1]))
    rows = [{"layer": name} for name in specs]
    for row, spec in zip(rows, specs.values(), strict=True):
        circuit = lower(spec)
        for name, proof in proofs().items():
            turns = [timed(lambda p=proof, s=spec, c=circuit: p(s, c)) for _ in range(TURNS)]
            row[name] = statistics.median(turns)
    return rows


def case_table() -> list[Found]:
    """For each kind of claim: verdicts, and seconds by spec, over `tests/cases.py`."""
    from cortico import lower
    from tests.cases import CASES

    cases = sized(CASES, CASES[:1])
    kinds: dict[str, Callable[[Any], Sequence[Any]]] = {
        "output": lambda case: output_outcomes(case.spec, lower(case.spec)),
        "gradients": lambda case: gradient_outcomes(case.spec, lower(case.spec)),
    }
    rows = []
    for name, prove in kinds.items():
        print(f"case table: {name}", file=sys.stderr)
        rows.append(_row(name, [(case.name, *_with_seconds(prove, case)) for case in cases]))
    for pipeline in ("default", "aggressive"):
        for weights in ("symbols", "numbers"):
            name = f"passes of {pipeline}, weights are {weights}"
            print(f"case table: {name}", file=sys.stderr)
            rows.append(_row(name, [_passes(case, pipeline, weights) for case in cases]))
    return rows


def _with_seconds(prove: Callable[[Any], Sequence[Any]], case: Any) -> tuple[float, list[str]]:
    start = time.process_time()
    verdicts = [outcome.verdict.value for outcome in prove(case)]
    return time.process_time() - start, verdicts


def _passes(case: Any, pipeline: str, weights: str) -> tuple[str, float, list[str]]:
    """Every exact pass that changes the circuit of a case; the seconds are those of the proofs."""
    from cortico import lower
    from cortico.passes import parse_passes, run_passes
    from cortico.verify.steps.validation import prove_step

    passes = {str(each): each for each in parse_passes(pipeline) if each.exact}
    circuit = lower(case.spec, case.weights if weights == "numbers" else None)
    _, steps = run_passes(circuit, parse_passes(pipeline))
    changed = [step for step in steps if step.changed and step.name in passes]
    start = time.process_time()
    found = [prove_step(passes[s.name], s.before, s.after).verdict.value for s in changed]
    return case.name, time.process_time() - start, found


def _row(name: str, found: Sequence[tuple[str, float, list[str]]]) -> Found:
    verdicts = Counter(verdict for _, _, several in found for verdict in several)
    slowest, most, _ = max(found, key=lambda each: each[1])
    seconds = [each[1] for each in found]
    return {
        "kind": name,
        "specs": len(found),
        "claims": verdicts.total(),
        "proved": verdicts["proved for all sizes"],
        "undecided": verdicts["not decided"],
        "refuted": verdicts["refuted"],
        "seconds": sum(seconds),
        "median": statistics.median(seconds),
        "slowest": slowest,
        "most": most,
    }


# ---- output --------------------------------------------------------------------------------------


def machine() -> Found:
    """What the figures were measured on."""
    import numpy as np
    import sympy

    versions = {"numpy": np.__version__, "sympy": sympy.__version__}
    python = platform.python_version()
    return {"platform": platform.platform(), "cores": os.cpu_count(), "python": python, **versions}


def missed_goals(results: Found) -> list[str]:
    """What was not proved, or grows, in words."""
    missed = [
        f"{row['claims'] - row['proved']} claims about {row['kind']} are not proved"
        for row in results["cases"]
        if row["claims"] != row["proved"]
    ]
    for kernel, rows in results["sizes"].items():
        for name in OURS:
            first, last = rows[0][name], rows[-1][name]
            if last > MOST_GROWTH * first:
                missed.append(f"{kernel}, {name}: {first:.3f} s to {last:.3f} s")
    return missed


def main() -> int:
    """Measure, print, write; 0 when all goals are met."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--child", nargs=6, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        method, kernel, *size = arguments.child
        print(json.dumps(measure(method, kernel, [int(n) for n in size])))
        return 0
    sizes, layers, cases = measure_sizes(), real_layers(), case_table()
    results = {"machine": machine(), "limit": LIMIT}
    results |= {"sizes": sizes, "layers": layers, "cases": cases}
    write_results("proof_time", results)
    draw = runpy.run_path(str(DRAW))
    print("\n\n".join(draw["tables"](results)) if SMOKE else draw["draw"]())
    return verdict(missed_goals(results))


if __name__ == "__main__":
    raise SystemExit(main())
