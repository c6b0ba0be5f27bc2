"""Checkpoints of every family, changed: what is read of them is what transformers computes, or they are refused.

A trial takes a model of `tests/compiler/frontends/families/cases.py` as `save_pretrained` writes it, in
safetensors or as `torch.save` does, and changes keys of its config, entries of the header, the way tensors
are stored, or bytes. Where it is read and transformers loads it as well, the attention of a layer is taken
out of transformers. It is wrong when that differs from the textbook on what was read, when anything but one
short error comes out, when reading takes more than five seconds of work, and when it takes more than a gigabyte.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
import transformers

from cortico.frontends import layers, read_checkpoint
from cortico.ir.errors import CorticoError
from cortico.spec.weights import rotary_frequencies
from tests.attack import family_changes, readers
from tests.attack.bounded import (
    BYTES,
    CHARACTERS,
    SECONDS,
    TooSlow,
    alarm,
    forget_most,
    most_resident,
)
from tests.attack.sandbox import Sandbox, serve
from tests.attack.trial import Trial
from tests.compiler.frontends.families.cases import CASES, PLAIN
from tests.compiler.frontends.families.models import (
    KEEP,
    Case,
    build,
    exact_positions,
    frequencies_of,
    run,
    title_of,
)
from tests.oracle import textbook_attention

#: Largest difference from transformers in float64, relative to the largest number.
TOLERANCE = 1e-6
#: Seconds of work that the oracle gets, which is not to be bounded.
_ORACLE = 20.0
IN_TESTS = 60

_SANDBOX = Sandbox("tests.attack.family_files", seconds=180.0)
_CONFIG, _SAFE, _PICKLED = "config.json", "model.safetensors", "pytorch_model.bin"


def trial(seed: int) -> Trial:
    """One checkpoint, changed by the seed; no reader may end its process."""
    return _SANDBOX.reading(seed)


def attempt(seed: int) -> Trial:
    """What `trial` says, in this process."""
    random = Random(seed)
    transformers.logging.set_verbosity(transformers.logging.CRITICAL)
    name = random.choice(list(CASES))
    with tempfile.TemporaryDirectory() as place, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kind, done, case = _changed(Path(place), random, name)
        found = read(Path(place), case, random)
        said, wrong = found.said, found.detail
        if said == "read" and not wrong:
            keep = KEEP if random.random() < 0.3 else None

            def oracle(keep: Any) -> tuple[Any, list[Any]]:
                return _run(Path(place), case, keep)

            said, wrong = compared(Path(place), case, int(found.kind), keep, oracle)
    return Trial(
        said, bool(wrong), f"{name}: {'; '.join(done)}: {wrong}"[:1500], kind, found.seconds
    )


# ---- files -------------------------------------------------------------------------------------------


@cache
def _saved(name: str) -> dict[str, bytes]:
    """The files of a case, as saved, with its weights once more as torch saves them."""
    folder = Path(tempfile.mkdtemp(prefix="cortico-family-"))
    try:
        model = build(CASES[name])
        model.save_pretrained(folder)
        torch.save(model.state_dict(), folder / _PICKLED)
        return {file: (folder / file).read_bytes() for file in (_CONFIG, _SAFE, _PICKLED)}
    finally:
        shutil.rmtree(folder)


def _changed(folder: Path, random: Random, name: str) -> tuple[str, list[str], Case]:
    """Write the changed files; what was changed, how, and the case that says where attention is."""
    files, case = dict(_saved(name)), CASES[name]
    weights = random.choice((_SAFE, _SAFE, _SAFE, _PICKLED))
    del files[_PICKLED if weights == _SAFE else _SAFE]
    kind = random.choice((_CONFIG, _CONFIG, _CONFIG, weights))
    blind = random.random() < 0.15
    done, times = [], random.choice((1, 1, 1, 2, 2, 3))
    if blind:
        changes = readers.TEXT_CHANGES if kind == _CONFIG else readers.BINARY_CHANGES
        for _ in range(times):
            change = random.choice(changes)
            files[kind] = change(files[kind], random)
            done.append(change.__name__.strip("_"))
    elif kind == _CONFIG:
        values = json.loads(files[kind])
        known = sorted({*case.family.keys.known, *case.config().to_dict()})
        types = sorted({each.model_type for each in PLAIN.values()})
        done = [family_changes.config(values, random, known, types) for _ in range(times)]
        files[kind] = json.dumps(values).encode()
        moved = title_of(str(values.get("model_type")), case.part)
        case = case if moved == case.title else PLAIN.get(moved, case)
    else:
        change = family_changes.header if kind == _SAFE else family_changes.state_dict
        for _ in range(times):
            files[kind], what = change(files[kind], random)
            done.append(what)
    for file, content in files.items():
        (folder / file).write_bytes(content)
    return f"{kind}{', bytes' if blind else ''}", done, case


# ---- what cortico says, and transformers ---------------------------------------------------------------


def read(folder: Path, case: Case, random: Random) -> Trial:
    """The word for what happened, what is wrong with it, and which layer was read."""
    started, before, number = time.process_time(), forget_most(), 0
    try:
        with alarm():
            number = random.randrange(min(layers(folder, part=case.part), 3))
            read_checkpoint(folder, number, **case.asked)
        said, wrong = "read", ""
    except CorticoError as error:
        said, length = "refused", len(str(error))
        wrong = "" if 0 < length <= CHARACTERS else f"error of {length} characters"
    except TooSlow:
        said, wrong = "hung", f"more than {SECONDS} s"
    except Exception as error:
        said, wrong = "broke", f"{type(error).__name__}: {error}"[:300]
    grown = most_resident() - before
    if grown > BYTES:
        wrong = f"{grown:,} bytes"
    return Trial(said, bool(wrong), wrong, str(number), time.process_time() - started)


def compared(
    folder: Path,
    case: Case,
    layer: int,
    keep: np.ndarray | None,
    oracle: Callable[[np.ndarray | None], tuple[Any, list[Any]]],
) -> tuple[str, str]:
    """Whether transformers computes what was read; `oracle` gives its model and what `run` catches of it."""
    spec, weights = read_checkpoint(folder, layer, **case.asked)
    keep = keep if spec.key_padding else None
    try:
        with alarm(_ORACLE, 120.0):
            model, caught = oracle(keep)
        x, context, y = caught[layer]
    except TooSlow:
        return "no transformers: too slow", ""
    except Exception as error:
        return f"no transformers: {type(error).__name__}", ""
    if not all(np.isfinite(array).all() for array in (x, y)):
        return "no numbers", ""
    if spec.rotary:
        frequencies = frequencies_of(model, layer)
        ours = weights.get("rotary_frequencies", rotary_frequencies(spec))
        if frequencies is None or frequencies.shape != ours.shape:
            return "differs", f"frequencies: {frequencies}, not {ours}"
        if not np.allclose(ours, frequencies.numpy(), rtol=1e-5, atol=1e-30):
            return "differs", f"frequencies: {frequencies.numpy()}, not {ours}"
        weights = {**weights, "rotary_frequencies": frequencies.numpy()}
    given = np.ones(len(x if context is None else context), bool) if keep is None else keep
    found = textbook_attention(spec, weights, x, context, given if spec.key_padding else None)
    largest = float(np.abs(y).max())
    off = float(np.abs(found - y).max())
    if not off <= TOLERANCE * max(largest, 1e-9):
        return "differs", f"{off / max(largest, 1e-9):.1e} in layer {layer}: {spec}"
    return "agrees", ""


def _run(folder: Path, case: Case, keep: Any) -> tuple[Any, list[Any]]:
    how = {k: v for k, v in case.options.items() if k == "experts_implementation"}
    auto = transformers.AutoModel.from_pretrained(folder, dtype=torch.float64, **how)
    model = auto.eval()
    exact_positions(model, case.turning)
    return model, run(model, case, keep)


if __name__ == "__main__":
    serve(attempt)
