"""`cortico diff`: equal circuits, circuits that differ in one thing, and circuits of two kinds."""

from dataclasses import replace

import numpy as np
import pytest

from cortico.ir import Bound, Gain, Weight
from cortico.ir.text import save_circuit
from cortico.lowering import lower
from cortico.passes.reassociate import Reassociate
from cortico.passes.share_relays import ShareRelays
from cortico.report import difference
from cortico.report.difference import circuit_differences, count_table
from cortico.spec import AttentionSpec, Kernel, Mask
from cortico.spec.weights import random_weights
from tests.covering import every_case

SPEC = AttentionSpec(model=8, heads=2, mask=Mask.CAUSAL)


def told(first, second):
    return [(d.kind, d.name, d.what, d.first, d.second) for d in circuit_differences(first, second)]


def change_projection(circuit, name, **fields):
    changed = (replace(p, **fields) if p.name == name else p for p in circuit.projections)
    return replace(circuit, projections=tuple(changed))


def change_population(circuit, name, **fields):
    changed = (replace(p, **fields) if p.name == name else p for p in circuit.populations)
    return replace(circuit, populations=tuple(changed))


# ---- as a function ---------------------------------------------------------------------------------


@pytest.mark.parametrize("case", every_case())
def test_a_circuit_equals_itself(case):
    circuit = lower(case.spec, case.weights)
    assert circuit_differences(circuit, lower(case.spec, case.weights)) == []


def test_the_order_of_parts_does_not_count():
    circuit = lower(SPEC)
    mirrored = replace(
        circuit,
        populations=circuit.populations[::-1],
        projections=circuit.projections[::-1],
        parameters=circuit.parameters[::-1],
    )
    assert circuit_differences(circuit, mirrored) == []


def test_a_gain_a_domain_and_a_transfer():
    circuit = lower(SPEC)
    gain = change_projection(circuit, "score", weight=Weight(gain=Gain(0.5)))
    assert told(circuit, gain) == [("projection", "score", "gain", "size(a)^-1/2", "0.5")]
    near = change_population(circuit, "mask", domain=(Bound("j", "i", 1),), transfer="relu")
    found = told(circuit, near)
    assert ("population", "mask", "where", "j - i <= 0", "j - i <= 1") in found
    assert ("population", "mask", "transfer", "exp", "relu") in found


def test_a_tensor_and_its_values():
    weights = random_weights(SPEC)
    one = lower(SPEC, weights)
    moved = {**weights, "W_V": weights["W_V"] + np.eye(4, 8) * 0.25}
    found = told(one, lower(SPEC, moved))
    apart = ("values", "", "at most 0.25 apart")
    assert found == [("parameter", "W_V", *apart), ("projection", "value", *apart)]
    assert ("parameter", "W_V", "values", "numbers", "symbolic") in told(one, lower(SPEC))


def test_what_only_one_has():
    before = lower(SPEC)
    after = ShareRelays().run(before)
    found = told(before, after)
    only = {(kind, name): what for kind, name, what, *_ in found if what.startswith("only")}
    assert only[("population", "query_relay")] == "only in B"
    assert "only in A" not in only.values()
    back = {(d.kind, d.name): d.what for d in circuit_differences(after, before)}
    assert back[("population", "query_relay")] == "only in A"
    assert ("projection", "query", "onto", "superficial.basal", "query_relay.basal") in found


def test_space_and_time():
    before = lower(replace(SPEC, kernel=Kernel.LINEAR))
    found = told(before, Reassociate().run(before))
    assert ("axis", "i", "in", "space", "time") in found
    assert ("population", "deep", "axes", "h, i, j, c", "h, i, c, a") in found


def test_counts():
    small, large = (lower(replace(SPEC, tokens=n)) for n in (2, 4))
    rows = {row[0]: row[1:] for row in count_table(small, large).rows}
    a, b = small.counts().neurons, large.counts().neurons
    assert rows["neurons"] == (str(a), str(b), f"+{b - a}")
    assert rows["parameters"] == ("256", "256", "0")
    symbolic = {row[0]: row for row in count_table(lower(SPEC), lower(SPEC)).rows}
    assert symbolic["neurons"][3] == "0"


def test_the_largest_difference():
    assert difference.largest_difference(np.array([1.0, -2.0]), np.array([1.5, 2.0])) == 4.0
    assert difference.largest_difference(np.zeros((0, 3)), np.zeros((0, 3))) == 0.0


# ---- on the command line ---------------------------------------------------------------------------


def test_equal_folders(cortico):
    code, out, err = cortico("diff", "out", "out/circuit.cortico")
    assert (code, err) == (0, "")
    assert "The circuits are equal." in out


def test_different_folders(cortico):
    code, out, err = cortico("diff", "bare", "out")
    assert (code, err) == (1, "")
    assert "symbolic" in out
    assert "The circuits are equal." not in out
    assert max(map(len, out.splitlines())) <= 80


def test_a_pass_before_and_after_fits_80_columns(cortico, home):
    save_circuit(lower(SPEC), home / "plain.cortico")
    save_circuit(ShareRelays().run(lower(SPEC)), home / "shared.cortico")
    code, out, _ = cortico("diff", "plain.cortico", "shared.cortico", "--bind", "n=16")
    assert code == 1
    for word in ("query_relay", "only in B", "neurons", "B - A"):
        assert word in out
    assert max(map(len, out.splitlines())) <= 80


def test_wrong_input_is_exit_2(cortico):
    code, out, err = cortico("diff", "bare", "missing.cortico")
    assert (code, out) == (2, "")
    assert "missing.cortico" in err
    code, _, err = cortico("diff", "bare", "out", "--bind", "k=3")
    assert code == 2
    assert "no symbolic size 'k'" in err
