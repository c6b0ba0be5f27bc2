"""Attacks on the re-check of whole models: another network or another spec under a certificate's claims.

The oracle never reads texts with the re-check's reader, and draws no residues: it runs the network, and the one that
lowering makes of the spec, with cortico's interpreter in floating point, at two numbers of tokens.
"""

from __future__ import annotations

import copy
import json
import random
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from cortico.backends import get_runner
from cortico.ir import CircuitError, InputKind, SpecError
from cortico.ir.network import Network
from cortico.ir.options import build
from cortico.ir.text import parse_network
from cortico.lowering import lower_model
from cortico.spec import ModelSpec
from cortico.verify.recheck import examine
from tests.attack.forgeries import EDITS
from tests.attack.trial import Trial
from tests.verify.models.certificates import certificate
from tests.verify.models.networks import MODELS

#: Trials that pytest makes.
IN_TESTS = 12

WIRES, COMPUTES = "the wires spell", ": the circuit computes"

Forged = dict[str, Any]


def trial(seed: int) -> Trial:
    """One certificate with another network or spec, re-checked."""
    rng, attack = random.Random(seed), None
    while attack is None:  # not every attack has something to change
        name, make = rng.choice(sorted(MODELS)), rng.choice(ATTACKS)
        found = certificate(name, "none", numbers=False)
        forged = copy.deepcopy(found)
        attack = make(rng, forged)
    report = examine(forged)
    own = [f for f in report.findings if f.what.startswith(WIRES) or COMPUTES in f.what]
    holds = report.code != 1 and all(f.status == "re-checked" for f in own)
    same = not _differs(forged)
    said = "holds" if holds else "does not hold"
    kind = "true" if same else "false"
    detail = f"seed {seed}, {name}, {make.__name__}: {attack}; {report.wrong[:2]}"
    return Trial(said, holds and not same, detail, kind)


# ---- attacks ---------------------------------------------------------------------------------------


def line(rng: random.Random, found: Forged) -> str | None:
    """One line of a block is another."""
    pattern, change = rng.choice(EDITS)
    text = found["lowered"]
    begin = text.index("\nblock")
    places = list(re.finditer(pattern, text[begin:], re.MULTILINE))
    if not places:
        return None
    place = rng.choice(places)
    new = change(rng, place)
    found["lowered"] = text[: begin + place.start()] + new + text[begin + place.end() :]
    return None if found["lowered"] == text else f"{place[0]!r} -> {new!r}"


def wire(rng: random.Random, found: Forged) -> str | None:
    """One wire begins elsewhere, or two are exchanged."""
    lines = found["lowered"].split("\n")
    places = [k for k, each in enumerate(lines) if each.startswith(("wire ", "output "))]
    one, other = (lines[k] for k in rng.sample([k for k in places if "wire" in lines[k]], 2))
    sources = [each.split()[1] for each in (one, other)]
    changed = {one: one.replace(sources[0], sources[1], 1)}
    if rng.random() < 0.5:
        changed[other] = other.replace(sources[1], sources[0], 1)
    found["lowered"] = "\n".join(changed.get(each, each) for each in lines)
    return None if sources[0] == sources[1] else f"{one} as {other}"


def node(rng: random.Random, found: Forged) -> str | None:
    """A node is another block."""
    nodes = re.findall(r"^node (\S+) : (\w+)", found["lowered"], re.MULTILINE)
    (path, old), (_, new) = rng.sample(nodes, 2)
    text = found["lowered"].replace(f"node {path} : {old}", f"node {path} : {new}")
    if old == new or text.count(f" : {old}") == 0:
        return None
    found["lowered"] = text
    return f"{path} is {new}"


def spec(rng: random.Random, found: Forged) -> str | None:
    """A value of the spec is another, or left out."""
    path = rng.choice(list(_leaves(found["spec"])))
    *front, last = path
    inner = found["spec"]
    for key in front:
        inner = inner[key]
    old = inner[last]
    if rng.random() < 0.2 and isinstance(inner, dict):
        del inner[last]
    else:
        words = ["rms", "layer", "causal", "none", "gelu", "silu", "first", "mean", "n", "tanh"]
        others = {bool: not old, int: rng.choice([1, 2, 3, 6, 7]), float: rng.choice([0.5, 2.0])}
        inner[last] = others.get(type(old), rng.choice(words))
    return f"{'.'.join(map(str, path))}: {old!r} -> {inner.get(last) if front else None!r}"


FIELDS: tuple[tuple[str, object], ...] = (
    *(("kind", "rms"), ("eps", 0.1), ("gain", False), ("shift", True), ("bias_in", True)),
    *(("gated", True), ("scale", 0.5), ("unit", True), ("mask", "causal"), ("padded", False)),
    *(("pool", "first"), ("soft_cap", 2.0), ("transfer", "silu"), ("sink", True)),
    *(("site", "deep"), ("tokens", 5), ("bias", {"key": True}), ("rotary", {})),
)


def field(rng: random.Random, found: Forged) -> str | None:
    """A field of a block of the spec that was left out is given."""
    blocks = [b for b in _blocks(found["spec"]) if "model" in b]
    block = rng.choice(blocks)
    name, value = rng.choice(FIELDS)
    block[name] = value
    return f"{name} = {value!r}"


ATTACKS: tuple[Callable[[random.Random, Forged], str | None], ...] = (line, wire, node, spec, field)


def _leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _leaves(inner, (*path, key))
    else:
        yield path


def _blocks(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value:
        if isinstance(inner, dict | list):
            yield from _blocks(inner)


# ---- the oracle ------------------------------------------------------------------------------------


def _differs(found: Forged) -> bool:
    """Whether the network of a certificate gives other numbers than its spec; True where one is none."""
    given = json.loads(json.dumps(found["spec"]))
    try:
        made = build(ModelSpec, given, [])
        if made is None:
            return True
        texts = (
            found["lowered"],
            str(lower_model(made)),
        )  # numbers of rotary embedding are drawn, too
        one, two = (parse_network(text.replace(" stored float64", "")) for text in texts)
        return any(_apart((one, two), tokens) for tokens in (5, 7))
    except (CircuitError, SpecError, ValueError, KeyError):
        return True


def _apart(networks: tuple[Network, Network], tokens: int) -> bool:
    """Whether two networks give other outputs on the same random inputs and numbers."""
    rng = np.random.default_rng(tokens)
    inputs: dict[str, np.ndarray] = {}
    numbers: dict[str, np.ndarray] = {}
    found = []
    for network in reversed(networks):  # that of the spec first
        flat = network.flatten()
        for tensor in flat.inputs:
            sides = [tokens if isinstance(side, str) else side for side in tensor.given]
            if tensor.kind is InputKind.TOKEN:
                drawn: np.ndarray = rng.integers(0, tensor.shape[-1], sides)
            else:
                drawn = rng.standard_normal(sides)
            drawn = (drawn > -0.5) * 1 if tensor.kind is InputKind.MASK else drawn
            inputs.setdefault(tensor.name, drawn)
        for p in flat.parameters:
            if p.formula is None:
                sides = [tokens if isinstance(side, str) else side for side in p.shape]
                numbers.setdefault(p.name, rng.standard_normal(sides))
        own = {p.name: numbers[p.name] for p in flat.parameters if p.formula is None}
        asked = {tensor.name: inputs[tensor.name] for tensor in flat.inputs}
        found.append(get_runner("reference").run(flat, asked, own))
    one, two = found
    return one.keys() != two.keys() or any(
        one[n].shape != two[n].shape or not np.allclose(one[n], two[n], rtol=1e-6, atol=1e-9)
        for n in one
    )
