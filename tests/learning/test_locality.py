"""What each rule needs is read off the circuit: labels, traces, transport, shared weights."""

import json
from dataclasses import replace

import pytest

from cortico.ir import Population, Projection, TensorRef, Unfold
from cortico.learning import Timing, differentiate, gradient_circuit, locality, untie
from cortico.learning.locality import TRANSPORT
from cortico.lowering import lower
from cortico.passes.serialize import Serialize
from cortico.spec import AttentionSpec, Kernel, Mask, Microcircuit, Rotary
from cortico.verify.equations.language import (
    Definition,
    Index,
    Read,
    Within,
    product,
    total,
)
from cortico.verify.known import Known
from cortico.verify.normal.equivalence import compare
from tests.covering import every_case
from tests.learning.systems import meaning

LOCAL, TRACE, NOT_LOCAL = (timing.value for timing in Timing)
SOFT = AttentionSpec(model=8, heads=2, mask=Mask.CAUSAL)
MEMORY = replace(SOFT, kernel=Kernel.LINEAR, microcircuit=Microcircuit.MEMORY)
SPECS = {"full": replace(MEMORY, mask=Mask.NONE), "causal": MEMORY}


def reports(circuit, **options):
    return {r.parameter.name: r for r in locality(differentiate(circuit, **options))}


def labels(circuit, **options):
    return {
        name.removesuffix("_untied"): r.labels for name, r in reports(circuit, **options).items()
    }


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_a_tied_memory_has_no_local_rule_for_keys_and_values(spec):
    assert labels(lower(spec)) == {
        "W_Q": (TRANSPORT,),
        "W_K": (NOT_LOCAL, TRANSPORT),
        "W_V": (NOT_LOCAL, TRANSPORT),
        "W_O": (LOCAL,),
    }


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
@pytest.mark.parametrize("feedback", ["random", "learned"])
def test_an_untied_memory_with_feedback_of_its_own_is_local_with_a_trace(spec, feedback):
    circuit = untie(lower(spec))
    found = labels(circuit, feedback=feedback)
    found.pop("W_O_untied_feedback", None)
    assert found == {"W_Q": (LOCAL,), "W_K": (TRACE,), "W_V": (TRACE,), "W_O": (LOCAL,)}
    by_name = reports(circuit, feedback=feedback)
    assert by_name["W_K_untied"].trace == ("j",) == by_name["W_V_untied"].trace
    assert by_name["W_Q_untied"].trace == ()


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_an_untied_memory_with_transposed_feedback_needs_transport_too(spec):
    found = labels(untie(lower(spec)))
    assert found["W_K"] == found["W_V"] == (TRACE, TRANSPORT)


def test_columns_side_by_side_need_no_trace_but_share_weights():
    found = reports(lower(SOFT))
    assert {r.timing for r in found.values()} == {Timing.LOCAL}
    assert found["W_K"].shared == ("i", "j")
    assert found["W_K"].transported == ("W_O",)
    assert found["W_K"].copied == ("W_Q", "W_V")
    assert found["W_V"].third == ("mask", "1/pool")
    assert found["W_V"].post == "deep.basal"
    assert found["W_O"].pre == TensorRef("deep", ("h", "i", "j", "c"))


def test_a_stream_of_tokens_makes_the_softmax_wait():
    """The pool's error is a sum over all source tokens, so that of a score comes later."""
    streamed = lower(replace(SOFT, mask=Mask.NONE))
    axes = tuple(replace(a, unfold=Unfold.TIME) if a.name == "j" else a for a in streamed.axes)
    found = reports(replace(streamed, axes=axes))
    assert found["W_K"].timing is Timing.NOT_LOCAL
    assert found["W_V"].timing is Timing.LOCAL
    assert found["W_V"].accumulated == ("j",) and found["W_V"].shared == ("i",)


def test_serial_queries_accumulate():
    circuit = Serialize().run(lower(SOFT))
    found = reports(circuit)
    assert {r.timing for r in found.values()} == {Timing.LOCAL}
    assert found["W_Q"].accumulated == ("i",)


def test_rotated_keys_are_not_local_even_untied():
    circuit = untie(lower(replace(MEMORY, rotary=Rotary())))
    assert labels(circuit)["W_K"] == (NOT_LOCAL, TRANSPORT)


def test_names_of_populations_do_not_matter():
    circuit = lower(MEMORY)
    names = {p.name: f"cells{k}" for k, p in enumerate(circuit.populations)}
    other = renamed(circuit, names)
    mine, theirs = locality(differentiate(circuit)), locality(differentiate(other))
    assert [r.labels for r in mine] == [r.labels for r in theirs]
    assert [r.shared for r in mine] == [r.shared for r in theirs]


def renamed(circuit, names):
    """The circuit with populations called by other names."""

    def population(p: Population):
        return replace(p, name=names[p.name])

    def projection(p: Projection):
        return replace(p, pre=names[p.pre], post=names[p.post])

    outputs = (
        replace(o, source=replace(o.source, name=names[o.source.name])) for o in circuit.outputs
    )
    return replace(
        circuit,
        populations=tuple(map(population, circuit.populations)),
        projections=tuple(map(projection, circuit.projections)),
        outputs=tuple(outputs),
    )


@pytest.mark.parametrize("case", every_case())
def test_every_rule_has_a_report_that_json_can_hold(case):
    learning = differentiate(lower(case.spec))
    found = locality(learning)
    assert len(found) == sum(len(rule.terms) for rule in learning.rules)
    for report in found:
        assert json.loads(json.dumps(report.record()))["labels"] == list(report.labels)
        assert str(report).endswith(".") and "  " not in str(report)
        assert not (LOCAL in report.labels and len(report.labels) > 1)


# ---- what the label says of traces is proved -------------------------------------------------------


def with_traces(equations, causal):
    """`d_W_K` and `d_W_V` by traces: of what a synapse heard so far, times the error of now."""
    at = {v.name: v for row in equations.definitions for v in row.indices}
    h, i, j, a, c, m = (at[name] for name in "hijacm")
    step = (i,) if causal else ()
    error = Read("memory_basal_error.rate", (h, *step, c, a))
    rate = Read("core_source.rate", (j, m))
    rows = []
    for name, other, one, two in (("K", "W_V_untied", c, a), ("V", "W_K_untied", a, c)):
        n = Index("n", m.sort)
        current = total(n, Read(other, (h, one, n, two)) * Read("core_source.rate", (j, n)))
        so_far = (Within(j, i, 0),) if causal else ()
        trace = total(j, product(rate, current, *so_far))
        rows.append(Definition(f"trace_{name}", (h, *step, c, a, m), trace))
        change = Read(f"trace_{name}", (h, *step, c, a, m)) * error
        rows.append(Definition(f"by_{name}", (h, two, m, one), total(step, change)))
    outputs = ("by_K", "by_V")
    return replace(equations, definitions=(*equations.definitions, *rows), outputs=outputs)


@pytest.mark.parametrize("causal", [False, True])
def test_a_trace_gives_the_gradient_for_every_size(causal):
    spec = SPECS["causal" if causal else "full"]
    equations = meaning(gradient_circuit(differentiate(untie(lower(spec)))))
    rows = [
        Definition(f"by_{name}", row.indices, Read(row.tensor, row.indices))
        for name in "KV"
        for row in (equations.definition(f"d_W_{name}_untied"),)
    ]
    whole = replace(
        equations,
        definitions=(*equations.definitions, *rows),
        outputs=tuple(row.tensor for row in rows),
    )
    outcomes = compare(whole, with_traces(equations, causal))
    assert [o.verdict for o in outcomes] == [Known.PROVED] * 2
    if causal:
        late = compare(whole, with_traces_of_everything(equations))
        assert [o.verdict for o in late] == [Known.REFUTED] * 2


def with_traces_of_everything(equations):
    """A trace that also holds tokens that are yet to come."""
    found = with_traces(equations, causal=True)
    rows = tuple(
        replace(row, body=without_bound(row.body)) if row.tensor.startswith("trace") else row
        for row in found.definitions
    )
    return replace(found, definitions=rows)


def without_bound(trace):
    factors = tuple(f for f in trace.body.factors if not isinstance(f, Within))
    return replace(trace, body=product(*factors))
