"""Time constants and rates: every cell class has them, and a number without a DOI says so."""

import pytest

from cortico.ir import CellClass, Region
from cortico.ir.physiology import cell_type, cell_types

PLACES = [
    (region, cell)
    for region in Region
    for cell in CellClass
    if region.in_cortex != cell.in_thalamus
]


@pytest.mark.parametrize(("region", "cell_class"), PLACES)
def test_every_class_has_a_time_constant(region, cell_class):
    found = cell_type(region, cell_class)
    assert found.cell_class is cell_class
    assert 1 < found.membrane_time.value < 100 and found.membrane_time.unit == "ms"
    assert 0 < found.rate.value < 200 and found.rate.unit == "Hz"


def test_layers_have_their_own():
    """Tanaka et al. 2011, Table 3: 11.5 ms in layer 2/3, 7.5 in layer 4, 9.8 in layer 6."""
    by_layer = {
        (Region.L23, CellClass.IT): 12.0,
        (Region.L4, CellClass.STELLATE): 8.0,
        (Region.L6, CellClass.CT): 10.0,
    }
    for place, value in by_layer.items():
        time = cell_type(*place).membrane_time
        assert time.value == value and abs(time.value - float(time.reported.split()[0])) <= 0.5
        assert time.doi == "10.1523/JNEUROSCI.3139-11.2011"


@pytest.mark.parametrize("row", cell_types(), ids=lambda row: f"{row.region} {row.cell_class}")
def test_numbers_have_a_doi_or_are_placeholders(row):
    for number in (row.membrane_time, row.rate):
        assert number.is_placeholder == (number.doi == "")
        assert number.source.startswith("placeholder") == number.is_placeholder
        assert number.is_placeholder or (number.doi.startswith("10.") and " " not in number.doi)
        assert number.checked


def test_thalamic_numbers_are_placeholders():
    assert cell_type(Region.CORE, CellClass.RELAY).membrane_time.source == "placeholder, no source"
