"""A flat circuit that is not its network is told by facts, which are taken without the code that flattens."""

from dataclasses import replace

import pytest

from cortico.ir import Gain, Input, Region, TensorRef, Weight
from cortico.ir.circuit import Output
from cortico.ir.rewrite import map_axes, map_parameters, map_populations, map_projections
from cortico.lowering import lower_model
from cortico.spec.model_weights import random_model
from cortico.verify.composition.flat import flat_faults
from tests.ir.network.networks import encoder_decoder, stack, with_other_symbols
from tests.verify.models.networks import GPT, GPTJ, MODELS

NETWORKS = {name: lower_model(spec, random_model(spec, 1)) for name, spec in MODELS.items()}
NETWORKS["open"] = lower_model(GPTJ)
NETWORKS["stack"], NETWORKS["other symbols"] = stack(), with_other_symbols(stack())
NETWORKS["encoder-decoder"] = encoder_decoder()


@pytest.mark.parametrize("name", NETWORKS)
def test_a_flat_network_has_its_facts(name):
    assert flat_faults(NETWORKS[name], NETWORKS[name].flatten()) == []


NETWORK = NETWORKS["gpt"]
WIRED = "layer_1_pre_feed_forward_norm_content_x"


def of_wire(flat):
    """The synapses that one wire became."""
    found = [p for p in flat.projections if p.name == WIRED]
    assert len(found) == 1
    return found[0]


def with_wire(**changes):
    def change(flat):
        old = of_wire(flat)
        return map_projections(flat, lambda p: replace(p, **changes) if p == old else p)

    return change


def without_wire(flat):
    old = of_wire(flat)
    return replace(flat, projections=tuple(p for p in flat.projections if p != old))


def twice_wired(flat):
    more = replace(of_wire(flat), name="again")
    return replace(flat, projections=(*flat.projections, more))


def of_population(name, **changes):
    def change(flat):
        assert name in [p.name for p in flat.populations]
        return map_populations(flat, lambda p: replace(p, **changes) if p.name == name else p)

    return change


def other_drive(flat):
    """A constant that drives one more compartment."""
    one = Weight(gain=Gain(0.5))

    def change(p):
        if p.name != "norm_content":
            return p
        return replace(
            p, compartments=tuple(replace(c, drive=(*c.drive, one)) for c in p.compartments)
        )

    return map_populations(flat, change)


def other_numbers(flat):
    def change(p):
        is_it = p.name == "layer_0_feed_forward_W_in"
        return replace(p, values=p.values * (1 + 1e-15)) if is_it else p

    return map_parameters(flat, change)


def other_position(flat):
    """Positions of the other table that is there."""
    changed = [p for p in flat.parameters if p.formula and p.formula.kind == "rows"]
    (old,) = changed
    new = replace(old, formula=replace(old.formula, arguments=("embedding_W_token",)))
    return map_parameters(flat, lambda p: new if p == old else p)


def read_elsewhere(flat):
    """A causal attention that hears sources at the axis of queries."""
    drives = "layer_0_attention_core_source"
    (old,) = [p for p in flat.projections if p.post == drives]
    return map_projections(flat, lambda p: replace(p, at=(old.at[0], old.at[0])) if p == old else p)


def other_output(flat):
    _, logits = flat.outputs
    return replace(flat, outputs=(Output("states", logits.source), logits))


CHANGES = {
    "a wire that is missing": (without_wire, "lacks synapses"),
    "a wire that is there twice": (twice_wired, "has no synapses"),
    "another gain of a wire": (with_wire(weight=Weight(gain=Gain(2.0))), "lacks synapses"),
    "a wire from elsewhere": (with_wire(pre="embedding_embedding"), "lacks synapses"),
    "a wire at other axes": (read_elsewhere, "lacks synapses"),
    "another transfer function": (
        of_population("layer_0_feed_forward_hidden", transfer="relu"),
        "lacks population",
    ),
    "another place": (of_population("norm_content", region=Region.L5), "lacks population"),
    "another path": (of_population("norm_content", path="readout"), "lacks population"),
    "no mask": (of_population("layer_0_attention_mask", domain=()), "lacks population"),
    "one more drive": (other_drive, "has no drive"),
    "other numbers": (other_numbers, "has other numbers for layer_0_feed_forward_W_in"),
    "another table": (other_position, "lacks parameter"),
    "another size": (
        lambda flat: map_axes(flat, lambda a: replace(a, extent=5) if a.name == "norm_i" else a),
        "lacks axis norm_i",
    ),
    "another input": (
        lambda flat: replace(flat, inputs=(*flat.inputs, Input("more", ("n",)))),
        "has no input more",
    ),
    "another output": (other_output, "lacks output states"),
    "an output at other axes": (
        lambda flat: replace(
            flat,
            outputs=tuple(
                replace(o, source=TensorRef(o.source.name, o.source.axes[::-1]))
                for o in flat.outputs
            ),
        ),
        "lacks output states",
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_another_flat_circuit_is_told(name):
    change, words = CHANGES[name]
    flat = NETWORK.flatten()
    changed = change(flat)
    assert changed != flat
    faults = flat_faults(NETWORK, changed)
    assert any(words in fault for fault in faults), faults


def test_a_network_with_another_gain_in_a_node_is_told():
    """The residual's drive has the gain 1/2: its synapses, too."""
    spec = replace(
        GPT,
        stack=replace(
            GPT.stack,
            layers=tuple(
                replace(layer, steps=tuple(replace(s, scale=0.5) for s in layer.steps))
                for layer in GPT.stack.layers
            ),
        ),
    )
    other = lower_model(spec, random_model(spec, 1))
    assert flat_faults(other, other.flatten()) == []
    faults = flat_faults(NETWORK, other.flatten())
    assert len(faults) == 8 and all("synapses" in fault for fault in faults)
