from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

from cortico.ir import Bound, CircuitError, Region
from tests.ir.circuits import attention, sampler
from tests.strategies import circuits


def test_areas_are_a_sequence():
    areas = attention(heads=3).areas
    assert len(areas) == 3
    assert [area.name for area in areas] == [f"cortex.area[{h}]" for h in range(3)]
    assert areas[-1] == areas[2] == areas[(2,)] == attention(heads=3).areas[2]
    assert [area.index for area in areas[1:]] == [(1,), (2,)]
    assert attention().area(1).index == (1,)


def test_grouped_areas_have_two_indices():
    areas = sampler().areas
    assert len(areas) == 6
    assert areas[4].index == (1, 1) == sampler().area(1, 1).index
    assert areas[4].name == "cortex.area[1,1]"


@pytest.mark.parametrize("index", [6, -7, (0,), (0, 3), (0, 0, 0), (-1, 0)])
def test_unknown_areas(index):
    with pytest.raises(CircuitError, match="area"):
        sampler().areas[index]
    with pytest.raises(IndexError):
        sampler().areas[index]


def test_layers_run_from_the_surface_down():
    layers = attention(softmax=True).area(0).layers
    assert list(layers) == [Region.L23, Region.L5]
    assert [p.name for p in layers[Region.L5]] == ["pool", "deep"]


def test_microcolumns_honour_a_mask_that_all_share():
    columns = attention(tokens=4, causal=True, softmax=True).area(1).microcolumns
    assert len(columns) == 10
    assert columns[3, 1].name == "cortex.area[1].column[3,1]"
    assert columns[-1].index == (3, 3)
    with pytest.raises(CircuitError, match="microcolumn"):
        columns[1, 3]
    assert len(attention(tokens=4).area(0).microcolumns) == 16


@pytest.mark.parametrize(("offsets", "count"), [((0, 1), 6 + 2), ((0, None), 9), ((-1, -1), 3)])
def test_microcolumns_take_the_loosest_bound_that_all_have(offsets, count):
    circuit = attention(tokens=3)
    for name, offset in zip(("superficial", "deep"), offsets, strict=True):
        domain = () if offset is None else (Bound("j", "i", offset),)
        parts = (replace(p, domain=domain) if p.name == name else p for p in circuit.populations)
        circuit = replace(circuit, populations=tuple(parts))
    assert len(circuit.area(0).microcolumns) == count


def test_heads_in_time_share_one_area():
    areas = attention(clock="h").areas
    assert [(area.index, area.name) for area in areas] == [((), "cortex.area")]


def test_cells_of_a_microcolumn():
    circuit = attention(softmax=True, causal=True)
    column = circuit.area(1).microcolumns[2, 1]
    view = circuit.neurons()
    names = [view.name_of(neuron) for neuron in column.neurons().tolist()]
    here = "cortex.area[1].column[2,1]"
    assert names == [
        f"{here}.L2/3.superficial[0]",
        f"{here}.L2/3.superficial[1]",
        f"{here}.L2/3.mask",
        "cortex.area[1].column[i=2].L5.pool",
        f"{here}.L5.deep[0]",
        f"{here}.L5.deep[1]",
    ]
    assert list(column.layers) == [Region.L23, Region.L5]


def test_areas_can_be_browsed_while_columns_are_symbolic():
    area = sampler().area(0, 2)
    assert [p.name for p in area.populations] == ["cell"]
    with pytest.raises(CircuitError, match=r"bind\(n=16\)"):
        len(area.microcolumns)
    assert len(sampler().bind(n=4).area(0, 2).microcolumns) == 4


def test_a_million_microcolumns_are_lazy():
    columns = attention(tokens=10**6, causal=True, weights=False).area(0).microcolumns
    assert len(columns) == 10**6 * (10**6 + 1) // 2
    assert columns[-1].index == (999_999, 999_999)
    assert len(columns[999_999, 5].neurons()) == 4


def test_nuclei():
    core, higher, *_ = attention().thalamus[0], attention().thalamus[2]
    assert (core.name, core.neurons) == ("thalamus.core", 9)
    assert (higher.region, [p.name for p in higher.populations]) == (Region.HIGHER_ORDER, ["relay"])
    assert str(sampler().thalamus[0].neurons) == "8"


@pytest.mark.slow
@settings(max_examples=25)
@given(circuits(symbolic=False))
def test_every_cortical_cell_of_a_column_is_found_by_browsing(circuit):
    found = set()
    for area in circuit.areas:
        for column in area.microcolumns:
            found.update(column.neurons().tolist())
    columns = circuit.areas[0].microcolumns
    if len(columns) == 0:
        return
    populations = columns[0].populations
    view = circuit.neurons()
    own = [b.ids for b in view.neurons() if b.population in populations]
    assert found == set(np.concatenate([np.zeros(0, int), *own]).tolist())
