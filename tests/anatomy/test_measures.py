"""Numbers of circuits, against counting single neurons and synapses."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from cortico import lower, random_weights
from cortico.anatomy import Verdict, audit
from cortico.anatomy.links import Link
from cortico.anatomy.measures import _probabilities
from cortico.ir import Role
from cortico.passes import parse_passes, run_passes
from cortico.spec import AttentionSpec, Kernel, Mask, Microcircuit
from tests.anatomy.circuits import joined

SOFTMAX = AttentionSpec(6, heads=3, tokens=4)
CIRCUITS = {
    "softmax": SOFTMAX,
    "causal": replace(SOFTMAX, mask=Mask.CAUSAL),
    "window": replace(SOFTMAX, mask=Mask.WINDOW, window=2),
    "linear": replace(SOFTMAX, kernel=Kernel.LINEAR),
    "grouped": replace(SOFTMAX, heads=4, kv_heads=2, key_features=3),
}


def measures(found, rule):
    return {m.subject: m for m in found.measures if m.rule == rule}


def neurons(circuit, population):
    """Every neuron of a population as a dictionary of its indices."""
    ranges = [range(circuit.axis(axis).extent) for axis in population.axes]
    every = (dict(zip(population.axes, index, strict=True)) for index in itertools.product(*ranges))
    return [n for n in every if all(b.holds(n) for b in population.domain)]


def counted(circuit, projection):
    """The shares of connected pairs, by going through all pairs of neurons of all areas."""
    pre, post = (circuit.population(name) for name in (projection.pre, projection.post))
    role = {axis.name: axis.role for axis in circuit.axes}
    shared = set(pre.axes) & set(post.axes)
    places = (
        {a for a in shared if role[a] is Role.AREA},
        {a for a in shared if role[a] in (Role.AREA, Role.COLUMN)},
    )
    pairs = list(itertools.product(neurons(circuit, pre), neurons(circuit, post)))
    synapses = sum(all(one[a] == other[a] for a in shared) for one, other in pairs)
    in_area, in_column = (
        sum(all(one[a] == other[a] for a in place) for one, other in pairs) for place in places
    )
    return synapses / in_column, synapses / in_area


@pytest.mark.parametrize("name", CIRCUITS)
def test_probabilities(name):
    circuit = lower(CIRCUITS[name])
    for projection in circuit.projections:
        found = _probabilities(Link(circuit, projection))
        np.testing.assert_allclose(found, counted(circuit, projection), err_msg=projection.name)


def test_zeros_are_no_synapses():
    circuit = lower(SOFTMAX, random_weights(SOFTMAX))
    (value,) = (p for p in circuit.projections if p.name == "value")
    column, area = _probabilities(Link(circuit, value))
    (pruned, _) = run_passes(circuit, parse_passes("prune-small(budget=0.5, scope=projection)"))
    (value,) = (p for p in pruned.projections if p.name == "value")
    assert _probabilities(Link(pruned, value)) == (column / 2, area / 2)


@pytest.mark.parametrize(("tokens", "verdict"), [(14, Verdict.SUPPORTED), (100, Verdict.CONTESTED)])
def test_verdicts_on_probability(tokens, verdict):
    """P02 gives 0.0512 for values; all pairs of a microcolumn are connected, 1/n of an area."""
    found = audit(lower(replace(SOFTMAX, tokens=tokens)))
    assert measures(found, "connection_probability")["value"].verdict is verdict


def test_too_few_synapses():
    """With 1 weight in 100 left, neither a microcolumn nor an area is dense enough."""
    spec = replace(SOFTMAX, model=60)
    circuit, _ = run_passes(
        lower(spec, random_weights(spec)), parse_passes("prune-small(budget=0.99)")
    )
    found = measures(audit(circuit), "connection_probability")["value"]
    assert found.verdict is Verdict.UNSUPPORTED


def test_symbols_are_not_decided():
    found = audit(lower(AttentionSpec(6, heads=3)))
    value = measures(found, "connection_probability")["value"]
    assert (value.verdict, value.found) == (None, "1 in a microcolumn, 1/n in an area")
    assert "--tokens" in value.statement
    column = measures(found, "neurons_per_column")["a column"]
    assert (column.verdict, column.found) == (None, "5·n + 1")
    key = measures(found, "cells_have_one_sign")["key"]
    assert (key.verdict, key.statement) == (None, "Not decided without weights.")


def test_long_formulas_are_not_shown():
    """Counts under a window are no polynomials; the audit does not take seconds to simplify them."""
    spec = AttentionSpec(6, heads=3, mask=Mask.WINDOW, window=2)
    value = measures(audit(lower(spec)), "connection_probability")["gate"]
    assert (value.verdict, value.found) == (
        None,
        "1 in a microcolumn, depends on the sizes in an area",
    )


def test_signs():
    weights = random_weights(SOFTMAX)
    weights["W_K"] = np.abs(weights["W_K"])
    weights["W_V"] = np.where(np.arange(weights["W_V"].size) % 4, 1.0, -1.0).reshape(3, 2, 6)
    found = measures(audit(lower(SOFTMAX, weights)), "cells_have_one_sign")
    assert (found["key"].found, found["key"].verdict) == ("0% inhibit", Verdict.SUPPORTED)
    assert (found["value"].found, found["value"].verdict) == ("25% inhibit", Verdict.CONTRADICTED)
    assert "gate" not in found  # a constant of one sign


def test_inhibitory_cells_do_not_excite():
    found = measures(audit(joined("L5:pv > L5:pyramidal_pt.soma")), "cells_have_one_sign")
    assert (found["p0"].found, found["p0"].verdict) == ("100% excite", Verdict.CONTRADICTED)
    assert not measures(audit(joined("L5:pv > L5:pyramidal_pt./shunt")), "cells_have_one_sign")


def test_excitatory_cells_do_not_divide():
    found = measures(
        audit(joined("L5:pyramidal_it > L5:pyramidal_pt./shunt")), "cells_have_one_sign"
    )
    assert (found["p0"].found, found["p0"].verdict) == ("100% inhibit", Verdict.CONTRADICTED)


def test_split_sign_conforms():
    circuit = lower(SOFTMAX, random_weights(SOFTMAX))
    before, after = audit(circuit), audit(run_passes(circuit, parse_passes("split-sign"))[0])
    assert measures(before, "rates_are_not_negative")["rates"].verdict is Verdict.CONTRADICTED
    assert measures(after, "rates_are_not_negative")["rates"].verdict is Verdict.SUPPORTED
    signs = measures(after, "cells_have_one_sign").values()
    assert {m.verdict for m in signs} <= {Verdict.SUPPORTED}
    # one interneuron for each cell that it follows: many more than there are
    assert (
        measures(before, "interneurons_per_neuron")["inhibitory share"].verdict is Verdict.SUPPORTED
    )
    assert (
        measures(after, "interneurons_per_neuron")["inhibitory share"].verdict
        is Verdict.UNSUPPORTED
    )


@pytest.mark.parametrize(
    ("keys", "verdict"),
    [(49, Verdict.SUPPORTED), (70, Verdict.CONTESTED), (71, Verdict.UNSUPPORTED)],
)
def test_cells_of_a_microcolumn(keys, verdict):
    """Key features, as many value features, and a mask cell: at most 100, or 142, in a minicolumn."""
    found = measures(audit(lower(AttentionSpec(4, key_features=keys))), "neurons_per_microcolumn")
    assert found["a microcolumn"].found == str(2 * keys + 1)
    assert found["a microcolumn"].verdict is verdict


@pytest.mark.parametrize(
    ("tokens", "verdict"), [(63, Verdict.SUPPORTED), (67, Verdict.UNSUPPORTED)]
)
def test_cells_of_an_area(tokens, verdict):
    """n² microcolumns of 65 cells and n pools, against 280,491 in an average area."""
    spec = AttentionSpec(384, heads=12, tokens=tokens)
    found = measures(audit(lower(spec)), "neurons_per_area")["an area"]
    assert found.found == f"{65 * tokens**2 + tokens:,}"
    assert found.verdict is verdict


def test_cells_of_a_column():
    """The microcolumns of one query token and their pool; on average under a causal mask."""
    spec = replace(SOFTMAX, mask=Mask.CAUSAL)
    found = measures(audit(lower(spec)), "neurons_per_column")["a column"]
    assert found.found == f"{5 * 10 / 4 + 1:,.0f}"


def test_a_memory_has_no_columns():
    spec = replace(SOFTMAX, kernel=Kernel.LINEAR, microcircuit=Microcircuit.MEMORY)
    found = audit(lower(spec))
    assert not measures(found, "neurons_per_microcolumn")
    assert measures(found, "neurons_per_area")["an area"].found == "12"  # 3 populations of 2 × 2
