"""What a lesion changes on given input: outputs, and in each area its cells and its attention.

Changes are relative, ‖r' - r‖ / ‖r‖ in the Euclidean norm over all cells, tokens and examples: 0 is no
change, 1 is what silencing does. None where cells were silent that fire after the lesion. Circuits run in
float64 here: the exponentials of scores, which mask cells fire, are too large for less.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cortico.backends import Backend, Runner, get_runner, require_support
from cortico.ir import Circuit, Output, Population, Role, TensorRef
from cortico.ir.analysis.axes import output_axes
from cortico.ir.analysis.inputs import Arrays, token_inputs
from cortico.ir.arrays import require_arrays

Change = float | None


@dataclass(frozen=True)
class AreaChange:
    """The changes in one area: of its populations, and of where it attends to."""

    area: int
    attention: Change  #: of the shares that mask cells have in their sum; None without such cells
    populations: Mapping[str, Change]


@dataclass(frozen=True)
class Effects:
    """What a lesion changed, and what the lesioned circuit gave."""

    outputs: Mapping[str, Change]
    areas: tuple[AreaChange, ...]
    shared: Mapping[str, Change]  #: populations that belong to no single area, such as relay cells
    given: Mapping[str, np.ndarray]  #: the lesioned circuit's outputs

    def record(self) -> dict[str, Any]:
        """The same as JSON has it, without the arrays."""
        return {
            "outputs": _json(self.outputs),
            "areas": [
                {
                    "area": a.area,
                    **_json({"attention": a.attention}),
                    "populations": _json(a.populations),
                }
                for a in self.areas
            ],
            "shared": _json(self.shared),
        }


def effects(
    circuit: Circuit,
    lesioned: Circuit,
    inputs: Arrays,
    parameters: Arrays | None = None,
    backend: Backend | str = "reference",
) -> Effects:
    """What differs between a circuit and its lesion on `inputs`; both are run by `backend`."""
    runner = get_runner(backend)
    names = [population.name for population in circuit.populations]
    before, after = (_observed(c, names, inputs, parameters, runner) for c in (circuit, lesioned))
    rates = {name: (before[k], after[k]) for k, name in enumerate(names)}
    outputs = [output.name for output in circuit.outputs]
    own = [p for p in circuit.populations if set(circuit.areas.axes) <= set(p.axes)]
    mask = _mask_cells(circuit)
    return Effects(
        {name: change(before[name], after[name]) for name in outputs},
        tuple(
            AreaChange(
                number,
                _attention(circuit, mask, rates, area.index) if mask else None,
                {p.name: change(*_in_area(circuit, p, rates[p.name], area.index)) for p in own},
            )
            for number, area in enumerate(circuit.areas)
            if circuit.areas.axes
        ),
        {p.name: change(*rates[p.name]) for p in circuit.populations if p not in own},
        {name: after[name] for name in outputs},
    )


def change(before: np.ndarray, after: np.ndarray) -> Change:
    """`‖after - before‖ / ‖before‖`; 0 when both are 0, None when only `before` is."""
    largest = max(np.abs(before).max(initial=0), np.abs(after).max(initial=0)) or 1.0
    one, other = before / largest, after / largest  # squares of large rates would overflow
    moved, size = float(np.linalg.norm(other - one)), float(np.linalg.norm(one))
    if size:
        return moved / size
    return None if moved else 0.0


def _json(changes: Mapping[str, Change]) -> dict[str, float | str | None]:
    """JSON has no NaN and no infinity: these become texts."""
    return {
        name: value if value is None or math.isfinite(value) else str(value)
        for name, value in changes.items()
    }


def _observed(
    circuit: Circuit,
    names: list[str],
    inputs: Arrays,
    parameters: Arrays | None,
    runner: Runner,
) -> dict[Any, np.ndarray]:
    """Outputs by name, and rates by the number of their population in `names`."""
    prefix = "rate_"
    while any(output.name.startswith(prefix) for output in circuit.outputs):
        prefix += "_"
    probes = {f"{prefix}{k}": k for k in range(len(names))}
    read = (
        Output(probe, TensorRef(names[k], circuit.population(names[k]).axes))
        for probe, k in probes.items()
    )
    probed = replace(circuit, outputs=(*circuit.outputs, *read))
    require_support(runner, probed)
    ids = token_inputs(circuit)
    arrays = require_arrays(inputs, "input", circuit.name, whole=ids)
    doubled = {n: a if n in ids else a.astype(np.float64, copy=False) for n, a in arrays.items()}
    found = runner.run(probed, doubled, parameters)
    return {probes.get(name, name): array for name, array in found.items()}


# ---- areas ---------------------------------------------------------------------------------------


def _in_area(
    circuit: Circuit,
    population: Population,
    rates: tuple[np.ndarray, np.ndarray],
    index: tuple[int, ...],
) -> Iterator[np.ndarray]:
    """The rates before and after in one area; axes of a batch come first."""
    at = dict(zip(circuit.areas.axes, index, strict=True))
    where = tuple(at.get(axis, slice(None)) for axis in population.axes)
    yield from (array[(..., *where)] for array in rates)


def _mask_cells(circuit: Circuit) -> Population | None:
    """The last population with one cell for each area, query and source token: it holds attention."""
    columns = {axis.name for axis in circuit.axes if axis.role is Role.COLUMN}
    pairs = set(circuit.areas.axes) | columns
    if len(columns) != 2:
        return None
    found = [p for p in circuit.order if set(p.axes) == pairs and p.region.in_cortex]
    return found[-1] if found else None


def _attention(
    circuit: Circuit,
    mask: Population,
    rates: Mapping[str, tuple[np.ndarray, np.ndarray]],
    index: tuple[int, ...],
) -> Change:
    """The change of the shares of mask cells in their sum over source tokens."""
    read = output_axes(circuit)
    left = [axis for axis in mask.axes if axis not in circuit.areas.axes]
    source = next((k for k, axis in enumerate(left) if axis not in read), None)
    if source is None:
        return None
    pair = _in_area(circuit, mask, rates[mask.name], index)
    return change(*(_shares(array, source - len(left)) for array in pair))


def _shares(rates: np.ndarray, axis: int) -> np.ndarray:
    total = rates.sum(axis=axis, keepdims=True)
    return np.asarray(np.divide(rates, total, out=np.zeros_like(rates), where=total != 0))
