"""The re-check of whole models: true certificates hold, what is changed in one or in its folder does not."""

import json
import re

import pytest

from cortico.ir.text import save_network
from cortico.lowering import lower_model
from cortico.verify.certificate import model_certificate_text
from cortico.verify.recheck import examine
from tests.verify.certificates import status
from tests.verify.models.certificates import (
    certificate,
    claim_of,
    compiled,
    rehashed,
    some,
    weights,
    written,
)
from tests.verify.models.networks import MODELS
from tests.verify.models.test_wrong_networks import BLOCK, NUMBER, WIRE, WRONG

COMPUTES, WIRES = "layer[0].attention and 1 more: the circuit computes", "the wires spell"
LEFT, NUMBERS, STORED = "the compiled network is", "every number of", "the stored numbers"

#: What no re-check looks at.
BELIEVED = {
    "the flat circuit",
    "again, modulo",
    "the network's outputs",
    "model.py",
    "file model.py",
}
BELIEVED |= {"file report.md"}

NAMES = {id(spec): name for name, spec in MODELS.items()}


def unchecked(report):
    return {f.what for f in report.findings if f.status != "re-checked"}


@pytest.mark.parametrize("name", some(MODELS, "gpt"))
def test_true_certificates_hold(name, tmp_path):
    found = written(tmp_path, name)
    report = examine(found, tmp_path, weights(name))
    assert all(any(what.startswith(b) for b in BELIEVED) for what in unchecked(report))
    assert report.code == 3 and report.wrong == []
    without = examine(found, tmp_path)
    assert without.wrong == [] and status(without, WIRES) == "re-checked"
    assert {status(without, each) for each in (LEFT, NUMBERS, STORED)} == {"not re-checked"}


def test_without_numbers_each_block_and_pass_is_re_checked_once():
    report = examine(certificate("gptj", numbers=False))
    shared = "share-relays keeps the output of layer[0].attention and 1 more"
    assert status(report, shared) == "re-checked" and report.wrong == []


@pytest.mark.full
@pytest.mark.parametrize("name", MODELS)
def test_more_passes_are_accepted(name, tmp_path):
    compiled(name, "aggressive").write(tmp_path)
    found = json.loads((tmp_path / "certificate.json").read_text())
    report = examine(found, tmp_path, weights(name))
    assert report.wrong == [] and status(report, STORED) == "re-checked"


def test_approximate_passes_are_believed(tmp_path):
    compiled("gptj", "prune-small(budget=0.3)").write(tmp_path)
    found = json.loads((tmp_path / "certificate.json").read_text())
    report = examine(found, tmp_path)
    changes = [f for f in report.findings if " changes the output of layer[1].feed" in f.what]
    assert [f.status for f in changes] == ["not re-checked"] and report.wrong == []


def test_passes_across_wires_are_not_looked_at():
    """Nothing of such a certificate is said to hold."""
    found = json.loads(model_certificate_text(compiled("gpt", "fold-norm").verification, {}))
    assert found["across"] == ["fold-norm"]
    report = examine(found, None, weights("gpt"))
    assert report.code == 3 and [f.status for f in report.findings] == ["not re-checked"]


def test_files_of_a_certificate_that_is_not_looked_at_are_its_own(tmp_path):
    found = written(tmp_path, "gpt", "fold-norm")
    assert examine(found, tmp_path).code == 3
    with (tmp_path / "network.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x00")
    assert examine(found, tmp_path).wrong == ["file network.safetensors: has changed"]


# ---- wrong networks --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", some(WRONG, "another eps", "a residual missing"))
def test_wrong_networks_do_not_hold(name, tmp_path):
    """Those that the prover refutes, under a true certificate; where only numbers are wrong, with the weights."""
    spec, change, expected = WRONG[name]
    model = NAMES[id(spec)]
    network = change(lower_model(spec, weights(model)))
    compiled(model, "none").write(tmp_path)
    save_network(network, tmp_path / "network.cortico", force=True)
    found = json.loads((tmp_path / "certificate.json").read_text())
    found["lowered"] = str(network)
    report = examine(rehashed(found, tmp_path), tmp_path, weights(model))
    wrong = {f.what for f in report.findings if f.status == "WRONG"}
    if expected <= NUMBER or "numbers" in expected:
        assert {w for w in wrong if w.startswith((NUMBERS, STORED))} and len(wrong) == 2
    if expected & (BLOCK - NUMBER):
        assert any(": the circuit computes" in w for w in wrong)
    if expected & (WIRE - NUMBER):
        assert any(w.startswith(WIRES) for w in wrong)


# ---- changed certificates --------------------------------------------------------------------------


def text(old, new, count=1):
    """A forgery of the network's text, in the certificate."""

    def forge(found):
        assert old in found["lowered"], old
        found["lowered"] = found["lowered"].replace(old, new, count)

    return forge


def spec(*path, value):
    """A forgery of a field of the spec."""

    def forge(found):
        inner = found["spec"]
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = value

    return forge


def chain(found, path="layer[0].attention"):
    """What passes did to a node."""
    return next(p for p in found["passes"] if p["nodes"] == [path])


def step(old, new, **more):
    """A forgery of the last step of an attention, the second of two that went through the same."""

    def forge(found):
        last = chain(found, "layer[1].attention")["steps"][-1]
        assert old in last["after"]
        last["after"] = last["after"].replace(old, new)
        last.update(more)

    return forge


def wider_norm(found):
    """A norm of 7 features at the end of a stream of 6, in the spec and in the network."""
    spec("stack", "norm", "model", value=7)(found)
    block = re.search(r"block norm\n(  .*\n|\n)+", found["lowered"])[0]
    wider = block.replace("block norm", "block wide").replace("6", "7")
    found["lowered"] = found["lowered"].replace("node norm : norm", "node norm : wide")
    found["lowered"] = found["lowered"].rstrip() + "\n\n" + wider


FIRST = ("stack", "layers", 0, "steps", 0)
FORGED = {
    "wire from the wrong level": (
        text("layer[1].attention.y -> layer[1]", "layer[0].attention.y -> layer[1]"),
        WIRES,
    ),
    "a level skipped": (
        text("wire layer[0].feed_forward_residual.y -> layer[1]", "wire embedding.y -> layer[1]"),
        WIRES,
    ),
    "levels swapped": (
        lambda found: found.update(
            lowered=found["lowered"]
            .replace("wire layer[0]", "wire layer[9]")
            .replace("wire layer[1]", "wire layer[0]")
            .replace("wire layer[9]", "wire layer[1]")
        ),
        WIRES,
    ),
    "an output of no node": (text("states = norm.y", "states = layer[0].norm.y"), WIRES),
    "another output": (text("states = norm.y", "states = layer[0].attention_residual.y"), WIRES),
    "tokens that are rates": (text("input tokens (n, 6) token", "input tokens (n, 6)"), WIRES),
    "one number of tokens": (text("input tokens (n, 6)", "input tokens (7, 6)"), WIRES),
    "another block at a node": (
        text("node norm : norm", "node norm : residual"),
        "norm: the circuit computes the norm",
    ),
    "no such block": (text("node norm : norm", "node norm : other"), "the certificate"),
    "a gain of a residual": (
        text("+ branch[i, m]", "+ 2.0 * branch[i, m]"),
        "layer[0].attention_residual and 3 more: the circuit computes the residual",
    ),
    "an input that is a mask": (
        text("input branch (n, 6)", "input branch (n, 6) mask"),
        "layer[0].attention_residual and 3 more: the circuit computes the residual",
    ),
    "another function": (
        text("pyramidal_it gelu", "pyramidal_it gelu_tanh"),
        "layer[0].feed_forward and 1 more: the circuit computes",
    ),
    "another eps": (
        text("soma multiplies 1e-05", "soma multiplies 1e-06"),
        "layer[0].pre_attention_norm and 4 more: the circuit computes the norm",
    ),
    "positions twice": (
        text("multiplies position[i, m]", "multiplies 2.0 * position[i, m]"),
        "embedding: the circuit computes",
    ),
    "norm of another kind": (spec("stack", "norm", "kind", value="rms"), "norm is not claimed"),
    "scale of a residual": (
        spec(*FIRST, "scale", value=0.5),
        ": the circuit computes the residual",
    ),
    "no mask": (
        spec(*FIRST, "branches", 0, "attention", "mask", value="none"),
        COMPUTES,
    ),
    "one level more": (spec("stack", "layers", 0, "times", value=3), WIRES),
    "no final norm": (lambda found: found["spec"]["stack"].pop("norm"), WIRES),
    "a norm that is wider than the stream": (wider_norm, WIRES),
    "a word of its own": (spec("stack", "depth", value=2), "the certificate"),
}

#: The same where passes ran.
FORGED_PASSES = {
    "a step that doubles": (step("W_O[h, m, c]", "2.0 * W_O[h, m, c]"), "fold-constants keeps"),
    "a step under a forged fact": (
        step("W_V[h, c, m]", "0.0 * W_V[h, c, m]", facts=[{"kind": "zero", "old": "W_V"}]),
        "fold-constants keeps",
    ),
    "a step without its fact": (
        step("W_K_v2", "W_K_v2", facts=[]),
        "fold-constants keeps the output of layer[1].attention",
    ),
    "a step that is called approximate": (
        lambda found: chain(found)["steps"][0].update(approximate=True),
        "passes that keep the output",
    ),
    "passes of another block": (
        lambda found: chain(found).update(nodes=["layer[0].feed_forward"]),
        "the certificate",
    ),
    "passes twice": (
        lambda found: found["passes"].append(chain(found)),
        "the certificate",
    ),
    "a chain that begins elsewhere": (
        lambda found: chain(found).update(
            before=chain(found)["before"].replace("j - i <= 0", "j - i <= 1")
        ),
        "the certificate",
    ),
    "a claim upgraded": (
        lambda found: claim_of(found, "the network's outputs").update(
            verdict="proved for all sizes"
        ),
        "the network's outputs",
    ),
    "numbers proved": (
        lambda found: claim_of(found, NUMBERS).update(verdict="proved for all sizes"),
        NUMBERS,
    ),
    "a claim refuted": (lambda found: claim_of(found, WIRES).update(verdict="refuted"), WIRES),
    "a claim of more nodes": (
        lambda found: claim_of(found, COMPUTES).update(
            claim="layer[0].attention and 2 more: the circuit computes attention"
        ),
        COMPUTES,
    ),
    "no claim of a block": (
        lambda found: found["claims"].remove(claim_of(found, COMPUTES)),
        COMPUTES,
    ),
    "no claim of wires": (lambda found: found["claims"].remove(claim_of(found, WIRES)), WIRES),
    "no claim of numbers": (
        lambda found: found["claims"].remove(claim_of(found, NUMBERS)),
        NUMBERS,
    ),
    "a claim twice": (lambda found: found["claims"].append(claim_of(found, WIRES)), WIRES),
    "a pass that did not run": (
        lambda found: found["claims"].append(
            {**claim_of(found, WIRES), "claim": "prune keeps the output of layer[0].attention"}
        ),
        "prune keeps",
    ),
    "another version": (lambda found: found.update(cortico_model_certificate=1), "the certificate"),
}


SAMPLE = (
    "wire from the wrong level",
    "levels swapped",
    "a step without its fact",
    "a claim upgraded",
)
SAMPLE += ("another block at a node", "no mask", "another eps")


@pytest.mark.parametrize("name", some({**FORGED, **FORGED_PASSES}, *SAMPLE))
def test_no_forgery_holds(name):
    forge, what = {**FORGED, **FORGED_PASSES}[name]
    found = certificate("gpt", "none" if name in FORGED else "default")
    forge(found)
    report = examine(found)
    assert any(what in f"{f.what} {f.detail}" for f in report.findings if f.status == "WRONG"), (
        report
    )


def test_a_claim_that_hides_its_conditions_is_not_said_to_hold(tmp_path):
    found = written(tmp_path, "gpt")
    kept = "fold-constants keeps the output of layer[1].attention"
    assert status(examine(found, tmp_path, weights("gpt")), kept) == "re-checked"
    claim_of(found, kept)["given"] = []
    assert status(examine(found, tmp_path, weights("gpt")), kept) == "not re-checked"
    found["claims"].append({**claim_of(found, kept), "claim": "it is fast"})
    assert status(examine(found, tmp_path), "it is fast") == "not re-checked"
