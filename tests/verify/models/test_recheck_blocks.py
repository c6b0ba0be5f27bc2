"""The re-check's own textbook of the blocks around attention, and its reading of a model spec."""

import dataclasses
import itertools
import json

import pytest

from cortico.frontends.spec_file import spec_to_json
from cortico.ir import TRANSFERS
from cortico.ir.options import to_mapping
from cortico.lowering import lower, lower_model
from cortico.passes import parse_passes, run_passes
from cortico.spec import Branch, Dense, Embedding, FeedForward, Norm, Pooling, Residual, Stack, Step
from cortico.spec.blocks import Site, Way
from cortico.spec.wiring import wiring
from cortico.verify.recheck.blocks import BOOKS
from cortico.verify.recheck.chain import Chain, Once, computes
from cortico.verify.recheck.model_spec import DEFAULTS, FORM, Model
from cortico.verify.recheck.model_spec import TRANSFERS as KNOWN
from cortico.verify.recheck.networks import check_wires, parse_network
from cortico.verify.recheck.text import parse
from cortico.verify.recheck.world import Chance
from tests.verify.models.block_specs import called, every_block, some_blocks
from tests.verify.models.networks import MODELS

KINDS = {Norm: "norm", FeedForward: "feed_forward", Dense: "dense", Embedding: "embedding"}
KINDS |= {Pooling: "pooling", Residual: "residual"}
CHANCE = Chance(10**11)


def found(spec, circuit):
    """What is wrong with a circuit of a block, nothing when nothing is."""
    kind = KINDS[type(spec)]
    given = vars(spec) if kind == "residual" else {**DEFAULTS[kind], **to_mapping(spec)}
    try:
        computes(BOOKS[kind](given, parse(circuit)), CHANCE)
    except ValueError as error:
        return str(error)
    return ""


def meaning(spec):
    """What a block computes, whatever cells it is of."""
    plain = {"site": Site.DEEP} if hasattr(spec, "site") else {}
    plain |= {"way": Way.DEEP} if hasattr(spec, "way") else {}
    if isinstance(spec, FeedForward):
        plain["output"] = spec.d_output
    if isinstance(spec, Pooling):
        plain["padded"] = spec.takes_keep
    return dataclasses.replace(spec, **plain)


@pytest.mark.parametrize("spec", some_blocks()[::9], ids=called)
def test_blocks_are_accepted(spec):
    assert not found(spec, str(lower(spec)))


@pytest.mark.full
@pytest.mark.parametrize("made", KINDS)
def test_every_block_is_accepted_also_after_passes(made):
    for spec in (each for each in every_block() if type(each) is made):
        circuit = lower(spec)
        assert not found(spec, str(circuit)), spec
        _, steps = run_passes(circuit, parse_passes("aggressive"))
        steps = [{"after": str(s.after), "facts": [], "pass": s.name} for s in steps if s.changed]
        chain = Chain(str(circuit), steps, CHANCE, lambda: (None, None), Once())
        assert all(chain.step(k) for k in range(len(steps))), spec


@pytest.mark.parametrize(
    "made", [m if m is Norm else pytest.param(m, marks=pytest.mark.full) for m in KINDS]
)
def test_a_block_is_no_other(made):
    """Of each two blocks of a kind, one's circuit is accepted for the other's spec only if both compute the same."""
    specs = [each for each in some_blocks() if type(each) is made]
    if made is FeedForward:
        specs = [each for each in specs if each.output in (None, 6)]
    texts = [str(lower(each)) for each in specs]
    for (one, _), (other, circuit) in itertools.product(zip(specs, texts, strict=True), repeat=2):
        accepted = not found(one, circuit)
        assert accepted == (meaning(one) == meaning(other)), (one, other)


@pytest.mark.full
@pytest.mark.parametrize("transfer", TRANSFERS)
def test_every_transfer_function_is_told_from_every_other(transfer):
    for spec in (
        FeedForward(6, 4, transfer, bias_in=True),
        FeedForward(6, 4, transfer, gated=True),
        Dense(6, 3, transfer),
    ):
        circuit = str(lower(spec))
        for other in TRANSFERS:
            wrong = found(dataclasses.replace(spec, transfer=other), circuit)
            assert bool(wrong) == (other != transfer), (spec, other)


#: Changes of one line of a circuit that change what it computes, and how often there is such a line.
EDITS = {
    "weight 1.0": "weight 1.5",
    "divides": "multiplies",
    "multiplies x[": "multiplies 2.0 * x[",
    " sqrt": "",
    "soma multiplies 1e-05": "soma multiplies",
    "^-1": "^-2",
    "weight W_out": "weight -1.0 * W_out",
    "weight W_token": "weight 2.0 * W_token",
    "+ branch": "+ 0.5 * branch",
    "multiplies b": "multiplies 3.0 * b",
    "multiplies shift": "multiplies 3.0 * shift",
    "weight -1.0": "weight 1.0",
    "apical multiplies": "apical divides",
    "tanh": "erf",
}


@pytest.mark.parametrize("made", [Norm, Pooling])
def test_edits_of_circuits_are_refused(made):
    edited, specs = 0, [each for each in some_blocks()[::2] if type(each) is made]
    for spec in specs:
        circuit = str(lower(spec))
        for old, new in EDITS.items():
            if old in circuit:
                edited += 1
                assert found(spec, circuit.replace(old, new, 1)), (spec, old)
    assert edited >= len(specs)


@pytest.mark.full
@pytest.mark.parametrize("made", [FeedForward, Dense, Embedding, Residual])
def test_edits_of_other_circuits_are_refused(made):
    test_edits_of_circuits_are_refused(made)


# ---- the spec --------------------------------------------------------------------------------------


def test_what_is_left_out_is_as_the_spec_has_it():
    assert set(KNOWN) == set(TRANSFERS)
    for made, kind in KINDS.items():
        own = {f.name: f.default for f in dataclasses.fields(made) if f.name not in ("site", "way")}
        given = {n: v for n, v in own.items() if v is not dataclasses.MISSING}
        assert kind == "residual" or DEFAULTS[kind] == given, kind
    forms = {Stack: FORM["stack"], Step: FORM["stack"]["layers"].form["steps"].form}
    forms[Branch] = forms[Step]["branches"].form
    for made, form in forms.items():
        assert {name.rstrip("?") for name in form} == {f.name for f in dataclasses.fields(made)}


@pytest.mark.parametrize("name", MODELS)
def test_paths_and_wires_are_those_of_the_spec(name):
    spec = MODELS[name]
    model, plan = Model(json.loads(spec_to_json(spec))), wiring(spec)
    assert list(model.blocks) == list(plan.blocks) and model.outputs == plan.outputs
    assert model.wires == {target: source for source, target in plan.wires}
    check_wires(parse_network(str(lower_model(spec))), model)


BROKEN = {
    "no stack": lambda s: s.pop("stack"),
    "a size of text": lambda s: s["stack"].update(model="6"),
    "a truth for a size": lambda s: s["stack"].update(model=True),
    "no layers": lambda s: s["stack"].update(layers=[]),
    "no steps": lambda s: s["stack"]["layers"][0].update(steps=[]),
    "no branches": lambda s: s["stack"]["layers"][0]["steps"][0].update(branches=[]),
    "two blocks": lambda s: s["stack"]["layers"][0]["steps"][0]["branches"][0].update(
        feed_forward={"model": 6, "hidden": 7}
    ),
    "no block": lambda s: s["stack"]["layers"][0]["steps"][0]["branches"].append({}),
    "never": lambda s: s["stack"]["layers"][0].update(times=0),
    "without end": lambda s: s["stack"]["layers"][0].update(times=10**9),
    "two norms before": lambda s: s["stack"]["layers"][0]["steps"][0].update(before={"model": 6}),
    "an eps below zero": lambda s: s["stack"]["norm"].update(eps=-1.0),
    "no such norm": lambda s: s["stack"]["norm"].update(kind="LAYER"),
    "a cap of a function": lambda s: s["readout"]["logits"].update(soft_cap=1.0, transfer="tanh"),
    "a cap of zero": lambda s: s["readout"]["logits"].update(soft_cap=0.0),
    "tied to another table": lambda s: s["stack"]["embedding"].update(vocabulary=9),
    "tied to no table": lambda s: s["stack"].pop("embedding"),
    "an encoder that nothing hears": lambda s: s.update(encoder=s["stack"]),
    "a bias that is given": lambda s: s["stack"]["layers"][0]["steps"][0]["branches"][0][
        "attention"
    ].update(position_bias="input"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_spec_that_is_none_is_refused(name):
    spec = json.loads(spec_to_json(MODELS["gpt"]))
    Model(spec)
    BROKEN[name](spec)
    with pytest.raises(ValueError, match=r"\w"):
        Model(spec)
