"""Compilations whose certificates are attacked, and the oracle that says what became false."""

from __future__ import annotations

import random
import re
import tempfile
from collections.abc import Collection
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cortico.backends import get_runner
from cortico.ir import CircuitError, SpecError
from cortico.ir.text import parse_circuit
from cortico.pipeline import compile_attention
from cortico.spec import (
    AttentionSpec,
    Bias,
    Kernel,
    Mask,
    NormOver,
    PositionBias,
    QueryKeyNorm,
    Rotary,
    RotaryStyle,
)
from cortico.spec.weights import random_weights

#: How many compilations the trials share.
SUBJECTS = 24


class Subject(NamedTuple):
    """A compilation with its certificate: the spec, its weights, and the files of the folder."""

    spec: AttentionSpec
    weights: dict[str, np.ndarray] | None
    files: dict[str, bytes]


@cache
def compiled(number: int) -> Subject:
    """A random small compilation, some with weights that let passes use facts."""
    rng = random.Random(1000 + number)
    spec = _random_spec(rng)
    weights = None if number % 6 == 5 else _planted(rng, random_weights(spec, number))
    passes = rng.choice(["default", "default", "aggressive", "none"])
    result = compile_attention(spec, weights, passes, verify=True)
    with tempfile.TemporaryDirectory() as folder:
        result.write(folder)
        files = {path.name: path.read_bytes() for path in Path(folder).iterdir()}
    return Subject(spec, weights, files)


def _random_spec(rng: random.Random) -> AttentionSpec:
    while True:
        mask = rng.choice(list(Mask))
        kernel = rng.choice([Kernel.SOFTMAX, Kernel.SOFTMAX, Kernel.LINEAR])
        rotary = Rotary(rng.choice([10.0, 1e4]), rng.choice(list(RotaryStyle)))
        try:
            return AttentionSpec(
                model=rng.choice([4, 6, 8]),
                heads=rng.choice([1, 2, 4]),
                kv_heads=rng.choice([None, 1, 2]),
                key_features=rng.choice([None, 2, 4]),
                kernel=kernel,
                mask=mask,
                window=rng.choice([2, 3]) if mask.has_window else None,
                key_padding=rng.random() < 0.3,
                scale=rng.choice([None, None, 0.5]),
                soft_cap=rng.choice([None, None, None, 2.0]),
                qk_norm=rng.choice([None, None, None, QueryKeyNorm(rng.choice(list(NormOver)))]),
                bias=Bias(*(rng.random() < 0.6 for _ in range(4))),
                rotary=rotary if rng.random() < 0.25 else None,
                position_bias=rng.choice(
                    [PositionBias.NONE, PositionBias.NONE, PositionBias.ALIBI]
                ),
                sink=kernel is Kernel.SOFTMAX and rng.random() < 0.2,
                semi_saturation=rng.choice([0.0, 0.0, 0.0, 0.7])
                if kernel is Kernel.SOFTMAX
                else 0.0,
                extra_source=rng.random() < 0.2,
                tokens=rng.choice(["n", "n", 5]),
                name=f"attack {rng.randrange(100)}",
            )
        except SpecError:
            continue


def _planted(rng: random.Random, weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Weights of which some are zero, so that facts about them are used."""
    for array in weights.values():
        if rng.random() < 0.3:
            side = rng.randrange(array.ndim)
            np.moveaxis(array, side, 0)[rng.randrange(array.shape[side])] = 0.0
        if rng.random() < 0.1:
            array[:] = 0.0
    return weights


# ---- the oracle ------------------------------------------------------------------------------------


def differs(one: Any, other: Any, zeros: Collection[str] = ()) -> bool:
    """Whether two circuits give different numbers for some inputs.

    Tensors that both have get the same random numbers, but for `zeros`; True where one cannot be run.
    """
    for tokens in (3, 7):
        rng = np.random.default_rng(tokens)
        values: dict[str, np.ndarray] = {}
        results = []
        for circuit in (one, other):
            sizes = {s: tokens for t in circuit.inputs for s in t.shape if isinstance(s, str)}
            for tensor in (*circuit.inputs, *circuit.parameters):
                shape = tuple(sizes.get(s, s) for s in tensor.shape)
                if getattr(tensor, "formula", None) is None and tensor.name not in values:
                    values[tensor.name] = rng.standard_normal(shape) * (tensor.name not in zeros)
            inputs = {t.name: values[t.name] for t in circuit.inputs}
            if "keep" in inputs:
                inputs["keep"] = np.arange(len(inputs["keep"])) % 3 != 1
            own = {p.name: values[p.name] for p in circuit.parameters if p.formula is None}
            try:
                results.append(get_runner("reference").run(_with(circuit, own), inputs))
            except (CircuitError, SpecError, ValueError, KeyError):
                return True
        if set(results[0]) != set(results[1]):
            return True
        for name, array in results[0].items():
            there = results[1][name]
            if array.shape != there.shape or not np.allclose(array, there, rtol=1e-6, atol=1e-9):
                return True
    return False


def _with(circuit: Any, values: dict[str, np.ndarray]) -> Any:
    parameters = [
        replace(p, values=values[p.name]) if p.name in values else p for p in circuit.parameters
    ]
    return replace(circuit, parameters=tuple(parameters))


def parsed(text: str) -> Any | None:
    """A circuit, its stored numbers left out; None when cortico refuses it."""
    try:
        return parse_circuit(re.sub(r" stored \w+", "", text))
    except CircuitError:
        return None
