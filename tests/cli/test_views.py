"""`cortico draw` and `cortico report` of whole models: from a spec, a checkpoint and a compiled folder."""

import json
import shutil
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import torch

from cortico.cli import main
from tests.cli.test_commands import ok
from tests.cli.test_models import WORDS, made, tiny  # noqa: F401
from tests.page.pages import data_of

MODEL = """
name = "model"
[stack]
model = 8
embedding = { vocabulary = 9, model = 8 }
[[stack.layers]]
times = 3
[[stack.layers.steps]]
branches = [{ attention = { model = 8, heads = 2, mask = "causal" }, before = { model = 8 } }]
[readout]
logits = { model = 8, output = 9 }
"""
NODE = ("--node", "layer[1].attention")


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """A spec of a model, that compiled, and tokens for it."""
    folder = tmp_path_factory.mktemp("views")
    (folder / "model.toml").write_text(MODEL)
    command = ("compile", folder / "model.toml", "--random-weights", 0, "-o", folder / "whole")
    assert main([str(word) for word in command]) == 0
    np.savez(folder / "tokens.npz", tokens=[3, 1, 4, 1])
    return folder


@pytest.fixture
def model(compiled, home):
    """A copy of them in the working folder."""
    shutil.copytree(compiled, home, dirs_exist_ok=True)
    return home


def ids(file):
    return {e.get("id") for e in ElementTree.parse(file).iter() if e.get("id")}


@pytest.mark.parametrize("source", ["model.toml", "whole"])
def test_the_hierarchy(cortico, model, source):
    assert ok(cortico("draw", source, "-o", "a.svg")) == "written to a.svg\n"
    found = ids("a.svg")
    assert {
        "block-embedding",
        "block-layer[0].attention",
        "level-layer[0]",
        "output-logits",
    } <= found
    assert "block-layer[1].attention" not in found
    text = (model / "a.svg").read_text()
    assert "3 equal levels" in text and "n^2" in text
    ok(cortico("draw", source, "--bind", "n=5", "-o", "b.svg"))
    assert "n^2" not in (model / "b.svg").read_text()


@pytest.mark.full
def test_of_a_checkpoint(cortico, home, tiny):  # noqa: F811
    ok(cortico("draw", "tiny", "-o", "a.svg"))
    assert {"block-layer[0].attention", "level-layer[0]"} <= ids("a.svg")
    assert "3 equal levels" in (home / "a.svg").read_text()
    ok(cortico("draw", "tiny", "--layers", "1-2", "-o", "b.svg"))
    assert "2 equal levels" in (home / "b.svg").read_text()
    ok(cortico("draw", "tiny", "--layer", 1, "-o", "c.svg"))  # one attention, as before
    assert "population-superficial" in ids("c.svg")
    ok(cortico("report", "tiny", "-o", "page.html"))
    assert list(data_of((home / "page.html").read_text())["levels"]) == [
        f"layer[{k}]" for k in (0, 1, 2)
    ]


@pytest.mark.parametrize("kind", ["laminar", "areas", "microcolumn", "matrix", "counts"])
def test_one_block(cortico, model, kind):
    ok(cortico("draw", "model.toml", *NODE, "--kind", kind, "-o", "a.svg"))
    text = (model / "a.svg").read_text()
    words = {"counts": "share-relays", "matrix": "superficial"}.get(kind, "population-superficial")
    assert "layer[1].attention" in text and words in text


def test_one_block_without_a_kind(cortico, model):
    for source in ("model.toml", "whole"):
        ok(cortico("draw", source, "--node", "readout", "-o", f"{source}.svg"))
        assert {"band-L5", "population-readout"} <= ids(f"{source}.svg")


@pytest.mark.full
def test_attention_is_that_of_transformers(cortico, home, tiny, monkeypatch):  # noqa: F811
    """What a block and all levels show of a text."""
    from cortico import pictures

    seen = {}
    monkeypatch.setattr(
        pictures, "draw", lambda *a, activity, tokens, **_: seen.update(one=activity, tokens=tokens)
    )
    monkeypatch.setattr(
        pictures, "draw_attention", lambda name, found, *_, **__: seen.update(all=list(found))
    )
    ok(cortico("compile", "tiny", "-o", "made"))
    text = ("--kind", "activity", "--sentence", "the cortex hears cells", "-o", "a.svg")
    ok(cortico("draw", "made", *NODE, *text))
    ok(cortico("draw", "made", *text))
    tiny.set_attn_implementation("eager")
    words = [WORDS.index(word) for word in ("the", "cortex", "hears", "cells")]
    with torch.inference_mode():
        expected = tiny(torch.tensor([words]), output_attentions=True).attentions
    assert seen["tokens"] == ["the", "cortex", "hears", "cells"]
    np.testing.assert_allclose(seen["one"].attention.gate, expected[1][0], atol=1e-5)
    assert seen["one"].circuit.name == "layer[1].attention"
    maps = {node.path: activity.attention for node, activity in seen["all"]}
    for layer in range(3):
        found = maps[f"layer[{layer}].attention"].gate
        np.testing.assert_allclose(found, expected[layer][0], atol=1e-5)


def test_activity_on_arrays(cortico, model):
    ok(cortico("draw", "whole", "--kind", "activity", "-i", "tokens.npz", "-o", "all.svg"))
    assert {f"layer[{k}].attention-area-{h}" for k in range(3) for h in (0, 1)} <= ids("all.svg")
    ok(cortico("draw", "whole", *NODE, "--kind", "activity", "-i", "tokens.npz", "-o", "one.svg"))
    assert {"attention", "population-superficial"} <= ids("one.svg")


@pytest.mark.parametrize("source", ["model.toml", "whole"])
def test_a_page(cortico, model, source):
    printed = ok(cortico("report", source, "--bind", "n=5", "-o", "page.html"))
    assert printed.startswith("written to page.html: ")
    html = (model / "page.html").read_text()
    assert len(data_of(html)["nodes"]) == 11
    assert ("does not say what its passes did" in html) == (source == "whole")


def test_the_claims_of_a_certificate(cortico, model):
    claim = {"claim": "wires <spell> it", "verdict": "checked exactly", "detail": "d", "given": []}
    (model / "whole" / "certificate.json").write_text(json.dumps({"claims": [claim], "files": {}}))
    ok(cortico("report", "whole", "-o", "page.html"))
    assert "wires &lt;spell&gt; it" in (model / "page.html").read_text()


@pytest.mark.full
def test_proofs(cortico, model):
    ok(cortico("report", "model.toml", "--random-weights", 0, "--verify", "-o", "page.html"))
    assert "the wires spell the model spec" in (model / "page.html").read_text()
    ok(cortico("compile", "model.toml", "--random-weights", 0, "--verify", "-o", "proved"))
    ok(cortico("report", "proved", "-o", "again.html"))
    assert "the wires spell the model spec" in (model / "again.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["draw", "whole", "--kind", "laminar"],
            "add --node PATH, such as --node 'layer[0].attention'",
        ),
        (["draw", "whole", "--kind", "hierarchy", *NODE], "give one of them"),
        (["draw", "whole", "--node", "layer[1].atention"], "did you mean 'layer[1].attention'?"),
        (["draw", "whole", "--node", "layer[7].attention"], "no node at 'layer[7].attention'"),
        (["draw", "whole", "--learning"], "give one block by --node"),
        (["draw", "whole", "--bind", "k=3"], "no symbolic size 'k'"),
        (["draw", "whole", "--layers", "0-1"], "--layers does not apply to a compiled model"),
        (["draw", "whole", "--passes", "none"], "--passes does not apply to a compiled model"),
        (["draw", "whole", "--layer", "1"], "--layer does not apply to a compiled model"),
        (["draw", "model.toml", "--layer", "1"], "--layer does not apply to a model spec"),
        (["draw", "model.toml", "--layers", "2-5"], "layers 2-5 of 'model' do not exist"),
        (["draw", "whole", *NODE, "--kind", "counts"], "'whole' is compiled"),
        (["draw", "whole", "--kind", "activity"], "needs an input: add --input FILE"),
        (["draw", "whole", "-i", "tokens.npz"], "an input is for --kind activity"),
        (["draw", "whole", "--kind", "activity", "--sentence", "hm"], "has no tokenizer.json"),
        (["draw", "whole", "--kind", "activity", "-i", "x.npy"], "tokens"),
        (["draw", "model.toml", "--kind", "activity", "-i", "tokens.npz"], "has no values"),
        (["report", "whole", "--verify"], "`cortico verify` checks a folder"),
        (
            ["report", "whole", "--sentence", "hm"],
            "--sentence does not apply to the page of a whole",
        ),
        (["report", "whole", "--bind", "n=0"], "must be a positive integer"),
    ],
)
def test_what_is_refused(cortico, model, arguments, message):
    before = {path.name for path in model.iterdir()}
    code, printed, errors = cortico(
        *arguments, "-o", {"draw": "a.svg", "report": "a.html"}[arguments[0]]
    )
    assert code == 2 and printed == "" and message in errors, errors
    assert {path.name for path in model.iterdir()} == before
