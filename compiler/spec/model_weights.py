"""The weights of a whole model: those of each block, by its path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from cortico.ir.arguments import kind
from cortico.ir.errors import SpecError, bullet_list, near_name
from cortico.spec.model import ModelSpec
from cortico.spec.weights import Seed, Shapes, given_weights, random_weights, required_shapes
from cortico.spec.wiring import wiring

#: Path to the tensors of the block there.
ModelWeights = Mapping[str, Mapping[str, np.ndarray]]
#: The same as users give them.
GivenModel = Mapping[str, Any]

#: Where a tied readout takes its matrix from, and where it has it.
TABLE, MATRIX = "W_token", "W"


@kind
def model_shapes(spec: ModelSpec) -> dict[str, Shapes]:
    """Path to the shapes that its block must be given; blocks without weights are left out.

    A tied readout is not given the matrix that it shares with the embedding.
    """
    shapes = {path: required_shapes(block) for path, block in wiring(spec).blocks.items()}
    if spec.readout is not None and spec.readout.tied:
        del shapes["readout"][MATRIX]
    return {path: own for path, own in shapes.items() if own}


def given_model(spec: ModelSpec, given: GivenModel) -> dict[str, dict[str, np.ndarray]]:
    """What a user gives as weights, as arrays, for each block; a tied readout has the table of tokens.

    One SpecError lists all that is missing, unknown, of another shape or not finite, by path.
    """
    plan, shapes = wiring(spec), model_shapes(spec)
    problems = [
        f"{path!r} is no block with weights of this model{near_name(str(path), shapes)}"
        for path in given
        if path not in shapes
    ]
    tables = _with_table(spec, given)
    found: dict[str, dict[str, np.ndarray]] = {}
    for path, block in plan.blocks.items():
        try:
            found[path] = given_weights(block, tables.get(path, {}), path)
        except SpecError as error:
            lines = str(error).split("\n")[1:]
            problems += [f"{path}: {line.removeprefix('  - ')}" for line in lines]
    if problems:
        raise SpecError(f"weights of {spec.name!r} are wrong:{bullet_list(problems)}")
    return found


def table_path(spec: ModelSpec) -> str:
    """Where the table of tokens is that a tied readout shares: that of the stack whose states it hears."""
    return "embedding" if spec.encoder is None else "decoder.embedding"


def _with_table(spec: ModelSpec, given: GivenModel) -> dict[str, Any]:
    """The same with the table of tokens for a tied readout."""
    if spec.readout is None or not spec.readout.tied:
        return dict(given)
    embedding = table_path(spec)
    table = given.get(embedding, {}).get(TABLE)
    own = dict(given.get("readout", {}))
    return {**given, "readout": own if table is None else own | {MATRIX: table}}


def by_path(tensors: Mapping[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
    """Tensors called `layer[0].attention.W_Q`, as a weights file has them, by path and name."""
    found: dict[str, dict[str, np.ndarray]] = {}
    for name, array in tensors.items():
        path, _, own = name.rpartition(".")
        found.setdefault(path, {})[own] = array
    return found


@kind
def random_model(
    spec: ModelSpec, seed: Seed = 0, dtype: Any = np.float64
) -> dict[str, dict[str, np.ndarray]]:
    """Random weights for every block of a model, for tests and examples; `dtype` as `random_weights` has it."""
    return {path: dict(drawn) for path, drawn in _drawn(spec, seed, dtype)}


def _drawn(spec: ModelSpec, seed: int, dtype: Any) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    blocks, shapes = wiring(spec).blocks, model_shapes(spec)
    for k, (path, own) in enumerate(shapes.items()):
        drawn = random_weights(blocks[path], seed + k, dtype)
        yield path, {name: drawn[name] for name in own}
