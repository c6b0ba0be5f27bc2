"""`cortico show`, `synapses`, `audit` and `diff` of whole models: compiled before, and from a model spec."""

import itertools
import json
from pathlib import Path

import pyarrow.parquet
import pytest

from cortico.cli import synapses
from cortico.frontends.spec_file import spec_to_json
from cortico.ir.text import save_network
from cortico.lowering import lower_model
from cortico.spec.model_weights import random_model
from tests.backends.networks.models import SPECS, network
from tests.cli.conftest import tree
from tests.cli.test_commands import ok

TOKENS = 4
SIZES = ("--bind", f"n={TOKENS}")


@pytest.fixture
def llama(home):
    """A folder of a compiled model with keys shared by two heads, and its spec beside it."""
    Path("llama").mkdir()
    save_network(network("llama"), "llama/network.cortico")
    Path("llama.json").write_text(spec_to_json(SPECS["llama"]))
    return network("llama")


# ---- show ------------------------------------------------------------------------------------------


def test_show_tells_of_levels_and_of_distinct_blocks(cortico, llama):
    printed = ok(cortico("show", "llama"))
    assert "layer[0] … layer[1], 2 levels alike" in printed
    assert "attention: attention, 4 areas" in printed
    assert "6 distinct blocks" in printed and "norm: 5 nodes, each" in printed
    counts = llama.bind(n=TOKENS).counts()
    printed = ok(cortico("show", "llama", *SIZES))
    (total,) = (line.split() for line in printed.splitlines() if line.startswith("all "))
    expected = (counts.neurons, counts.synapses, counts.parameters)
    assert total[2:] == [f"{number:,}" for number in expected]


def test_levels_that_differ_are_shown_apart(cortico, home):
    Path("parallel").mkdir()
    save_network(network("parallel"), "parallel/network.cortico")
    printed = ok(cortico("show", "parallel"))
    assert "alike" not in printed
    assert all(f"layer[{k}]" in printed for k in range(3))


def test_show_one_block(cortico, llama):
    printed = ok(cortico("show", "llama", "--node", "layer[1].attention", *SIZES))
    assert printed.startswith("layer[1].attention\n")
    assert "cortex: 4 areas (heads), each with" in printed and "deep[" in printed
    text = ok(cortico("show", "llama", "--node", "norm", "--text"))
    assert text.startswith('cortico circuit 1\nname "norm"\n')
    assert ok(cortico("show", "llama", "--text")) == str(llama)


def test_show_a_population_with_its_wires(cortico, llama):
    node = ("--node", "layer[1].attention_residual")
    printed = ok(cortico("show", "llama", *node, "--population", "carry"))
    assert "+ 1.0 · layer_1_attention_relay[i, m]   (carry_branch: 16·n synapses)" in printed
    assert "to stream.driver by carry: 16·n synapses" in printed
    name = "layer_1_attention_residual_carry"
    assert name in ok(cortico("show", "llama", "--population", name))


def test_show_a_neuron_and_what_feeds_it(cortico, llama, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    place = "layer[1].attention_residual.column[2].L5.carry[3]"
    printed = ok(cortico("show", "llama", *SIZES, "--neuron", place))
    assert "layer[1].attention.thalamus.higher_order.relay[2,3]  weight 1" in printed
    assert "layer[0].feed_forward_residual.thalamus.higher_order.stream[2,3]  weight 1" in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--node", "layer[2].attention"), "no node at 'layer[2].attention' (did you mean"),
        (("--bind", "k=3"), "no symbolic size 'k'"),
        (("--node", "norm", "--neuron", "a"), "--node does not apply to --neuron"),
        (("--neuron", "a"), "--neuron needs a number for each size of the circuit: add --bind n"),
        ((*SIZES, "--neuron", "norm.L5.x"), "no neuron is called 'norm.L5.x'"),
        ((*SIZES, "--neuron", "norm.column[4].L5.normed_content[0]"), "needs i < 4, m < 16"),
        (("--node", "norm", "--population", "pol"), "no population called 'pol'"),
    ],
)
def test_show_refuses(cortico, llama, arguments, message):
    code, printed, errors = cortico("show", "llama", *arguments)
    assert (code, printed) == (2, "")
    assert message in errors and len(errors.splitlines()) == 1


def test_node_is_of_models(cortico, home):
    code, _, errors = cortico("show", "out", "--node", "layer[0]")
    assert (code, errors) == (2, "cortico: --node does not apply to one circuit\n")


# ---- synapses --------------------------------------------------------------------------------------


def by_hand(made, level):
    """Some synapses onto a level's attention, from its weights: pre, post and weight, by projection."""
    path = f"layer[{level}].attention"
    weights = made[path].values  # keys and values of two heads each
    values, outputs = weights["W_V"], weights["W_O"]
    groups, members = outputs.shape[:2]
    heads = [*itertools.product(range(groups), range(members))]
    pairs = [(i, j) for i in range(TOKENS) for j in range(i + 1)]
    cells, model = values.shape[-2], values.shape[-1]

    def deep(head, i, j, c):
        return f"{path}.area[{head[0]},{head[1]}].column[{i},{j}].L5.deep[{c}]"

    return {
        "value": {
            (f"{path}.thalamus.core.core_source[{j},{m}]", deep(head, i, j, c)): values[
                head[0], c, m
            ]
            for head in heads
            for i, j in pairs
            for c in range(cells)
            for m in range(model)
        },
        "output": {
            (deep(head, i, j, c), f"{path}.thalamus.higher_order.relay[{i},{m}]"): outputs[
                *head, m, c
            ]
            for head in heads
            for i, j in pairs
            for c in range(cells)
            for m in range(model)
        },
        "core_source_x": {
            (
                f"layer[{level}].pre_attention_norm.column[{j}].L5.normed_content[{m}]",
                f"{path}.thalamus.core.core_source[{j},{m}]",
            ): 1.0
            for j in range(TOKENS)
            for m in range(model)
        },
    }


def written(path, made):
    """What a file says: pre and post by name, weight."""
    view = made.bind(n=TOKENS).flatten().neurons()
    rows = pyarrow.parquet.read_table(path).to_pydict()
    ends = zip(rows["pre"], rows["post"], strict=True)
    names = [tuple(map(view.name_of, each)) for each in ends]
    assert len(names) == len(set(names))  # of one projection
    return dict(zip(names, rows["weight"], strict=True))


@pytest.mark.parametrize("name", ["value", "output", "core_source_x"])
def test_synapses_of_a_block_are_its_weights(cortico, llama, name):
    ok(
        cortico(
            *("synapses", "llama", *SIZES, "--node", "layer[1].attention"),
            *("--projection", name, "-o", "some.parquet"),
        )
    )
    found, expected = written("some.parquet", llama), by_hand(llama, 1)[name]
    assert found == pytest.approx(expected, rel=1e-12)


def test_synapses_of_levels_and_of_all(cortico, llama):
    made = llama.bind(n=TOKENS)
    for chosen, count in (
        ((), made.counts().synapses),
        (("--levels", "1"), made.levels[1].synapses),
        (("--levels", "0-1"), sum(level.synapses for level in made.levels)),
        (
            ("--node", "norm", "--levels", "0"),
            5 * 16 * TOKENS + TOKENS * 16 + made.levels[0].synapses,
        ),
    ):
        printed = ok(cortico("synapses", "llama", *SIZES, *chosen, "-o", "a.parquet", "--force"))
        assert printed == f"{count:,} synapses written to a.parquet\n"
        assert pyarrow.parquet.read_metadata("a.parquet").num_rows == count
    about = json.loads(pyarrow.parquet.read_schema("a.parquet").metadata[b"cortico"])
    paths = {each["path"] for each in about["populations"]}
    assert paths == {node.path for node in llama.nodes}


def test_synapses_of_a_model_spec(cortico, llama):
    drawn = ("llama.json", "--random-weights", "1", "--tokens", str(TOKENS), "--passes", "none")
    chosen = ("--node", "layer[0].attention", "--projection", "value")
    ok(cortico("synapses", *drawn, *chosen, "-o", "drawn.parquet"))
    assert written("drawn.parquet", llama) == pytest.approx(by_hand(llama, 0)["value"])


def test_a_model_spec_takes_passes_across_wires(cortico, home):
    Path("gpt.json").write_text(spec_to_json(SPECS["gpt"]))
    given = ("gpt.json", "--random-weights", "0", *SIZES, "-o", "s.parquet", "--force")
    found = []
    for passes in ("default", "fold-norm,default"):
        ok(cortico("synapses", *given, "--passes", passes))
        found.append(pyarrow.parquet.read_table("s.parquet")["weight"].to_numpy())
    assert len(found[0]) == len(found[1]) and (found[0] != found[1]).any()  # gains are in weights
    assert "fold-norm" in cortico("audit", "gpt.json", "--passes", "default,fold-norm")[2]


def test_names_within_a_block_are_those_of_all_blocks(cortico, llama):
    printed = ok(cortico("synapses", "llama", *SIZES, "--onto", "pool"))
    counts = llama.bind(n=TOKENS).counts().synapses_of
    total = sum(counts[f"layer_{k}_attention_pool_mask"] for k in (0, 1))
    assert f"10 synapses of {total:,}" in printed
    one = ("--node", "layer[1].attention", "--at", "g=1", "--at", "r=0")
    assert f"10 synapses of {total // 8:,}" in ok(
        cortico("synapses", "llama", *SIZES, "--onto", "pool", *one)
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "synapses need a number for each size of the circuit: add --bind n=16"),
        ((*SIZES, "--levels", "1-2"), "levels 1-2 do not exist: 'llama' has 2, from 0 on"),
        ((*SIZES, "--levels", "a"), "--levels must be a range such as 0-3, found 'a'"),
        ((*SIZES, "--node", "norms"), "no node at 'norms' (did you mean 'norm'?)"),
        ((*SIZES, "--at", "g=1"), "--at is an index in one block of a model: add --node PATH"),
        ((*SIZES, "--node", "norm", "--at", "g=1"), "no axis called 'norm_g'"),
        ((*SIZES, "--onto", "deeep"), "no population called 'deeep' (did you mean 'deep'?)"),
        ((*SIZES, "--node", "norm", "--onto", "deep"), "no population called 'deep'"),
        ((*SIZES, "--layers", "0"), "--layers does not apply to a compiled model"),
        ((*SIZES, "--random-weights", "1"), "--random-weights does not apply to a compiled model"),
        (("--bind", "n=99999", "-o", "a.h5"), "synapses would be written, up to "),
    ],
)
def test_synapses_refuse(cortico, llama, home, arguments, message):
    before = tree(home)
    code, printed, errors = cortico("synapses", "llama", *arguments)
    assert (code, printed) == (2, "")
    assert message in errors and len(errors.splitlines()) == 1
    assert tree(home) == before


def test_what_is_huge_is_written_when_its_number_is_said(cortico, llama, monkeypatch):
    total = llama.bind(n=TOKENS).counts().synapses
    monkeypatch.setattr(synapses, "_MOST", total - 1)
    code, _, errors = cortico("synapses", "llama", *SIZES, "-o", "a.parquet")
    assert code == 2
    assert f"{total:,} synapses would be written" in errors and f"--limit {total} for all" in errors
    ok(cortico("synapses", "llama", *SIZES, "-o", "a.parquet", "--limit", total))
    monkeypatch.setattr(synapses, "_MOST", total)
    ok(cortico("synapses", "llama", *SIZES, "-o", "b.parquet"))


# ---- audit -----------------------------------------------------------------------------------------


def test_audit_of_a_model(cortico, llama):
    files = ("--json", "a.json", "--markdown", "a.md")
    printed = " ".join(ok(cortico("audit", "llama", "--tokens", TOKENS, *files)).split())
    total = len(llama.flatten().projections)
    assert f"{total} projections: " in printed and "% of synapses)" in printed
    record = json.loads(Path("a.json").read_text())
    assert record["network"] == "llama"
    assert sum(len(each["nodes"]) for each in record["findings"]) == total
    assert Path("a.md").read_text().startswith("# Anatomy of llama\n")
    drawn = ("llama.json", "--random-weights", "1", "--tokens", TOKENS)
    ok(cortico("audit", *drawn, "--json", "b.json"))
    assert json.loads(Path("b.json").read_text()) == record


def test_strict_minds_one_block(cortico, llama):
    assert cortico("audit", "llama.json", "--strict")[0] == 0
    spec = json.loads(Path("llama.json").read_text())
    for step in spec["stack"]["layers"][0]["steps"]:
        step["way"] = "relay"
    Path("relay.json").write_text(json.dumps(spec))
    assert cortico("audit", "relay.json", "--strict")[0] == 1
    assert cortico("audit", "relay.json")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--suggest",),
            "--suggest does not apply to a whole model: settings and passes are tried",
        ),
        (("--passes", "none"), "--passes does not apply to a compiled model"),
        (("--layer", "0"), "--layer does not apply to a compiled model"),
    ],
)
def test_audit_refuses(cortico, llama, arguments, message):
    code, printed, errors = cortico("audit", "llama", *arguments)
    assert (code, printed) == (2, "")
    assert message in errors and len(errors.splitlines()) == 1


# ---- diff ------------------------------------------------------------------------------------------


def test_diff_of_models(cortico, llama):
    assert "The circuits are equal." in ok(cortico("diff", "llama", "llama"))
    weights = random_model(SPECS["llama"], 1)
    weights["norm"]["gain"] = weights["norm"]["gain"] + 0.25
    Path("other").mkdir()
    save_network(lower_model(SPECS["llama"], weights), "other/network.cortico")
    code, printed, _ = cortico("diff", "llama", "other")
    assert code == 1
    assert "norm_gain" in printed and "at most 0.25 apart" in " ".join(printed.split())
    assert "layer_" not in printed


# ---- passes ----------------------------------------------------------------------------------------


def test_passes_across_wires_run_before_a_table(cortico, llama):
    passes = ("--random-weights", 0, "--passes", "fold-norm,default")
    ok(cortico("compile", "llama.json", *passes, "-o", "folded"))
    for command in (("audit", "--json"), ("synapses", *SIZES, "-o")):
        ok(cortico(command[0], "llama.json", *passes, *command[1:], "here.parquet"))
        ok(cortico(command[0], "folded", *command[1:], "before.parquet"))
        assert Path("here.parquet").read_bytes() == Path("before.parquet").read_bytes()
        for name in ("here.parquet", "before.parquet"):
            Path(name).unlink()
