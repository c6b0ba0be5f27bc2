"""Circuits that read a population at other axes, before every judge but the prover's normal forms.

Those are in tests/ir/test_reading_at_other_axes.py.
"""

import numpy as np
import pytest

from cortico.ir.rewrite import with_values
from cortico.ir.text import parse_circuit
from cortico.lowering import lower
from cortico.verify.exact.emitted import check_emitted
from cortico.verify.identity.testing import check_equal, check_spec
from cortico.verify.recheck import recheck
from cortico.verify.steps.output_bound import output_bound
from tests.ir.test_reading_at_other_axes import (
    SPECS,
    attention,
    changed,
    each_spec,
    numbers,
    square,
)
from tests.verify.certificates import certificate
from tests.verify.test_output_bound import largest_move
from tests.verify.test_recheck import accepted

WRONG = [("key", ()), ("value", ()), ("query", ("j", "m"))]


@each_spec
def test_identity_testing_finds_attention(spec):
    sizes = {"n": 5}
    assert check_spec(spec, attention(spec), sizes).equal
    assert check_equal(lower(spec), attention(spec), sizes).equal
    for name, at in WRONG:
        assert not check_spec(spec, changed(attention(spec), name, at=at), sizes).equal


def test_identity_testing_knows_which_way_pairs_are_read():
    sizes = {"n": 5}
    assert check_equal(square(), square(), sizes).equal
    for name, at in [("across", ()), ("turn", ("j", "i")), ("sum", ()), ("end", ("k", "j"))]:
        assert not check_equal(square(), changed(square(), name, at=at), sizes).equal


@each_spec
def test_the_small_checker_reads_the_axes(spec):
    shared = str(attention(spec))
    assert accepted(certificate(spec, shared))
    assert accepted(certificate(spec, str(lower(spec)), (shared, [])))
    for name, at in WRONG:
        wrong = str(changed(attention(spec), name, at=at))
        assert not accepted(certificate(spec, wrong))
        assert not accepted(certificate(spec, shared, (wrong, [])))


@pytest.mark.parametrize("at", ["j", "j, j", "m, j", "j, a", "j, q", "j, m, i"])
def test_the_small_checker_refuses_axes_of_other_sizes(at):
    text = str(attention(SPECS[2])).replace("value core[j, m]", f"value core[{at}]")
    assert "axes at which core is read" in " ".join(recheck(certificate(SPECS[2], text)))


@pytest.mark.slow
@each_spec
def test_emitted_code_is_exact(spec):
    assert check_emitted(with_values(attention(spec), numbers(3)[1])).equal


def test_emitted_code_of_turned_pairs_is_exact():
    assert check_emitted(square()).equal


@each_spec
def test_outputs_move_no_further_than_the_bound(spec):
    circuit, apart = (with_values(c, numbers(4)[1]) for c in (attention(spec), lower(spec)))
    size = 1e-3
    off = {p.name: size for p in circuit.parameters}
    bound = output_bound(circuit, off, {}, 4)
    assert bound == pytest.approx(output_bound(apart, off, {}, 4))
    moves = {name: np.full(numbers()[1][name].shape, size) for name in off}
    assert 0 < largest_move(circuit, moves, 4) <= bound < np.inf


def test_a_bound_on_features_goes_where_they_are_read():
    """Of an axis read as another, the bound is the one of the same sum at its own axis."""
    text = """cortico circuit 1
name "features"
axis a : feature 3
axis b : feature 3
axis i : column n
input x (n)
parameter w (3)
parameter v (3)
population cells [a, i] cortex.L5 pyramidal_pt
  basal multiplies w[a]
  apical multiplies x[i]
population sum [i] cortex.L5 pyramidal_pt
  basal multiplies
projection all cells[b, i] -> sum.basal weight v[b]
output y = sum[i]
"""
    own = text.replace("cells[b, i]", "cells").replace("v[b]", "v[a]")
    values = {"w": np.array([1.0, 2.0, 4.0]), "v": np.array([8.0, 0.5, 1.0])}
    bounds = [
        output_bound(with_values(parse_circuit(each), values), {"w": 1e-3, "v": 1e-3}, {})
        for each in (text, own)
    ]
    assert bounds[0] == pytest.approx(bounds[1]) and 0 < bounds[0] < 0.02
