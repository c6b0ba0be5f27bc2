"""Claims about models that passes went through, and about the files that are written of them."""

from dataclasses import replace

import numpy as np
import pytest

from cortico.backends.numpy import NumpyBackend
from cortico.ir import Gain, SpecError
from cortico.ir.rewrite import map_projections
from cortico.model_pipeline import compile_model
from cortico.passes import parse_passes
from cortico.spec.model_weights import random_model
from cortico.verify.known import Known
from cortico.verify.models import COMPILED, NUMBERS, OUTPUTS, verify_model
from tests.verify.models.networks import GPT, GPTJ, with_numbers

WEIGHTS = random_model(GPTJ, 2)
FILE = "model.py, as emitted, gives what the network gives"


@pytest.fixture(scope="module")
def compilation():
    return compile_model(GPTJ, WEIGHTS, verify=True)


def verified(made, weights=WEIGHTS, passes="default", files=None, compiled=None):
    """The claims about a compilation, with other files or another network after passes."""
    given = (made.spec, weights, made.lowered, parse_passes(passes), made.steps)
    files = made.files if files is None else files
    return verify_model(*given, NumpyBackend(), files, compiled=compiled or made.network)


def refuted(verification):
    return {c.claim for c in verification.claims if c.verdict is Known.REFUTED}


def test_every_claim_holds(compilation):
    claims = {c.claim: c for c in compilation.verification.claims}
    assert compilation.verification.verdict == "every claim holds"
    assert claims[FILE].verdict is Known.COMPARED and "n = 11" in claims[FILE].detail
    assert claims[COMPILED].verdict is Known.CHECKED
    assert claims["share-relays keeps the output of layer[0].attention"].verdict is Known.PROVED


def test_without_weights_random_ones_stand_in():
    found = compile_model(GPTJ, verify=True).verification
    claims = {c.claim: c for c in found.claims}
    assert found.verdict == "every claim that was run holds; 1 not run"
    assert claims[NUMBERS].verdict is Known.SKIPPED
    assert claims[OUTPUTS.format(weights="random weights")].verdict is Known.COMPARED
    assert "share-relays keeps the output of layer[0].attention and 1 more" in claims


def test_a_node_that_no_pass_left_so_is_refuted(compilation):
    network = compilation.network
    other = with_numbers(network, "norm", gain=lambda values: values["gain"] * 1.25)
    found = refuted(verified(compilation, compiled=other))
    assert found == {COMPILED, OUTPUTS.format(weights="its weights")}


def test_steps_that_do_not_follow_each_other_are_refuted(compilation):
    """The first step of a block is not told: what the others began with is no circuit of the network."""
    path = "layer[0].attention"
    rest = [step for step in compilation.steps[path] if step.changed][1:]
    assert rest
    steps = {**compilation.steps, path: rest}
    assert refuted(verified(replace(compilation, steps=steps))) == {COMPILED}


def test_another_circuit_of_a_node_is_refuted(compilation):
    def changed(node):
        if node.path != "layer[0].feed_forward":
            return node
        twice = map_projections(
            node.circuit,
            lambda p: (
                replace(p, weight=replace(p.weight, gain=p.weight.gain * Gain(2.0)))
                if p.name == "outward"
                else p
            ),
        )
        return replace(node, circuit=twice)

    other = replace(compilation.network, nodes=tuple(map(changed, compilation.network.nodes)))
    assert COMPILED in refuted(verified(compilation, compiled=other))


def test_files_that_are_not_what_is_emitted_are_refuted(compilation):
    files = {name: text.replace("1e-05", "1e-06") for name, text in compilation.files.items()}
    assert files != dict(compilation.files)
    assert refuted(verified(compilation, files=files)) == {FILE}


def test_files_that_compute_something_else_are_refuted(compilation, monkeypatch):
    true = NumpyBackend.network_source

    def wrong(backend, network):
        text = true(backend, network)
        assert "1e-05" in text
        return text.replace("1e-05", "1e-01")

    monkeypatch.setattr(NumpyBackend, "network_source", wrong)
    files = NumpyBackend().emit_network(compilation.network)
    assert refuted(verified(compilation, files=files)) == {FILE}


def test_approximate_passes_leave_outputs_to_be_measured():
    found = compile_model(GPTJ, WEIGHTS, passes="prune-small(budget=0.3)", verify=True).verification
    (claim,) = [c for c in found.claims if c.claim.startswith(OUTPUTS.partition("{")[0])]
    assert claim.verdict is Known.SKIPPED and "approximate passes ran" in claim.detail
    measured = [
        c for c in found.claims if "changes the output of layer[1].feed_forward by" in c.claim
    ]
    assert [c.verdict for c in measured] == [Known.COMPARED]


def test_weights_that_do_not_fit_are_no_claim():
    network = compile_model(GPT, random_model(GPT, 1)).lowered
    wrong = random_model(GPT, 1)
    wrong["norm"]["gain"] = np.ones(3)
    with pytest.raises(SpecError, match=r"norm: gain has shape \(3,\)"):
        verify_model(GPT, wrong, network)
