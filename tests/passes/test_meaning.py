"""The guard of the pass manager on circuits whose sizes it must choose."""

from dataclasses import replace

import pytest

from cortico.ir import Input, PassError
from cortico.ir.rewrite import map_weights
from cortico.lowering import lower
from cortico.passes import compare_meaning
from cortico.spec import AttentionSpec


def test_an_input_may_have_a_size_that_no_axis_has():
    circuit = lower(AttentionSpec(4))
    unread = Input("context", ("k", 2))
    before = replace(circuit, inputs=(*circuit.inputs, unread))
    compare_meaning(before, before)
    doubled = map_weights(
        before, lambda w: replace(w, gain=replace(w.gain, coefficient=2 * w.gain.coefficient))
    )
    with pytest.raises(PassError, match=r"changed its output .* k = "):
        compare_meaning(before, doubled)
