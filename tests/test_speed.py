"""docs/speed.md and the benchmarks of speed: what they say is what is so."""

import importlib
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.covering import first

ROOT = Path(__file__).parents[1]
DRAW = runpy.run_path(str(ROOT / "docs" / "draw_speed.py"))

KINDS = ("softmax", "causal", "window", "grouped", "linear", "linear causal")


@pytest.fixture
def benchmark(monkeypatch):
    """A function that imports a benchmark, which finds the files beside it."""
    pytest.importorskip("threadpoolctl")
    monkeypatch.setattr(sys, "path", [str(ROOT / "benchmarks"), *sys.path])
    return importlib.import_module


# ---- the page --------------------------------------------------------------------------------------


def test_tables_are_those_measured(golden):
    made = DRAW["page"](DRAW["PAGE"].read_text(encoding="utf-8"), DRAW["read"]())
    golden(made, "speed.md", ROOT / "docs")


def test_every_table_of_the_page_is_made():
    text = DRAW["PAGE"].read_text(encoding="utf-8")
    made = DRAW["page"](text, DRAW["read"]())
    for name, make in DRAW["SECTIONS"].items():
        assert f"{name}: `make golden` rewrites these lines -->\n\n" in text
        assert "\n\n".join(make(DRAW["read"]())) in made
    assert text.count("rewrites these lines -->") == len(DRAW["SECTIONS"])


@pytest.mark.slow
def test_pictures_are_drawn_and_small(tmp_path):
    pytest.importorskip("matplotlib")
    DRAW["draw"](DRAW["read"](), tmp_path)
    for name in DRAW["DRAWINGS"]:
        drawn = (tmp_path / f"{name}.svg").read_bytes()
        assert b"</svg>" in drawn
        assert len(drawn) < 100_000
        assert (DRAW["PICTURES"] / f"{name}.svg").exists()


def test_the_page_says_where_the_emitted_code_loses():
    ratios = {("causal", "onnxruntime"): [0.5, 0.9, 1.1], ("linear", "onnxruntime"): [0.9, 1.1]}
    (text,) = DRAW["losses"](ratios)
    assert "* causal: onnxruntime, at 2 of 3 sizes" in text
    assert "linear" not in text


def test_a_curve_is_the_fastest_of_its_family():
    rows = [
        {"kind": "window", "who": who, "batch": 1, "tokens": 64, "seconds": s, "ratio": s}
        for who, s in (("PyTorch SDPA", 3.0), ("PyTorch SDPA by blocks", 2.0), ("ORT MatMul", 1.0))
    ]
    (best,) = DRAW["best_of"](rows, "window", "PyTorch SDPA")
    assert best["who"] == "PyTorch SDPA by blocks"


# ---- who takes part ----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("kind", first(2, KINDS))
def test_all_compute_the_formula(benchmark, kind):
    """300 tokens: more than a window, and a tile, a block and a chunk that are not full."""
    players, kinds = benchmark("competitors"), benchmark("attention_kinds")
    spec, weights = kinds.layer(kind)
    x = kinds.tokens_to_attend(2, 300)
    every = np.arange(300)
    expected = np.stack([kinds.textbook(spec, weights, each, every) for each in x])
    names = []
    for player in players.taking_part(kind):
        if player.same and "einsum" not in player.name:
            players.assert_same(player.build(spec, weights, x)(), expected, player.name)
            names.append(player.name)
    assert names[0] == players.EMITTED
    assert len(names) > 2


@pytest.mark.parametrize("kind", KINDS)
def test_einsum_computes_the_formula(benchmark, kind):
    players, kinds = benchmark("competitors"), benchmark("attention_kinds")
    spec, weights = kinds.layer(kind)
    x = kinds.tokens_to_attend(1, 20)
    (player,) = (p for p in players.taking_part(kind) if p.name == "NumPy einsum")
    players.check(spec, weights, x, player.build(spec, weights, x)(), "einsum")


def test_the_formula_is_that_of_pytorch(benchmark):
    torch = pytest.importorskip("torch")
    kinds, by_hand = benchmark("attention_kinds"), benchmark("by_hand_torch")
    spec, weights = kinds.layer("causal")
    x = kinds.tokens_to_attend(1, 12)
    module = torch.nn.MultiheadAttention(768, 12, batch_first=True).eval()
    w, b, w_o, b_o = by_hand.packed(spec, weights)
    with torch.no_grad():
        module.in_proj_weight.copy_(w)
        module.in_proj_bias.copy_(b)
        module.out_proj.weight.copy_(w_o)
        module.out_proj.bias.copy_(b_o)
        token = torch.from_numpy(x)
        mask = torch.ones(12, 12).triu(1).bool()
        y, _ = module(token, token, token, attn_mask=mask, need_weights=False)
    found = kinds.textbook(spec, weights, x[0], np.arange(12))
    assert np.abs(found - y[0].numpy()).max() < 1e-5 * np.abs(found).max()


def test_a_wrong_layer_is_not_timed(benchmark):
    players, kinds = benchmark("competitors"), benchmark("attention_kinds")
    spec, weights = kinds.layer("causal")
    x = kinds.tokens_to_attend(1, 20)
    softmax = benchmark("by_hand_numpy").matmul_softmax(kinds.layer("softmax")[0], weights, x)
    with pytest.raises(AssertionError, match="matmul and the formula at 20 tokens differ"):
        players.check(spec, weights, x, softmax(), "matmul")
    with pytest.raises(AssertionError, match="differ"):
        players.assert_same(np.full(3, np.nan), np.ones(3), "these")


def test_steps_compute_the_formula(benchmark):
    stream, kinds = benchmark("attention_stream"), benchmark("attention_kinds")
    spec, weights = kinds.layer("linear causal")
    steps = stream.steppers(spec, weights)
    tokens = kinds.tokens_to_attend(1, 6)[0]
    assert {"NumPy by hand", "PyTorch by hand"} <= set(steps)
    for token in tokens[:5]:
        for step in steps.values():
            step(token)
    stream.check(spec, weights, tokens, steps)
    with pytest.raises(AssertionError, match="after 6 tokens differ"):
        stream.check(spec, weights, tokens, steps)  # they have seen the sixth already


# ---- what is measured, and goals -----------------------------------------------------------------------


@pytest.mark.slow
def test_rows_of_one_size(benchmark):
    bench = benchmark("attention_speed")
    rows = list(bench.measure_kind("softmax", [(1, 16)], "tiles", 0.05))
    assert [row["who"] for row in rows] == ["emitted NumPy", "NumPy tiles"]
    assert all(row["seconds"] > 0 and row["turns"] >= 3 for row in rows)
    assert rows[0]["ratio"] == 1


def test_who_is_left_out(benchmark):
    bench = benchmark("attention_speed")
    row = {"who": "NumPy einsum", "batch": 1, "tokens": 64, "least": 1.0}
    assert bench.predict([row], "NumPy einsum", (2, 128)) == 8
    assert bench.predict([row], "NumPy tiles", (2, 128)) == 0
    assert bench.worth_a_run("NumPy einsum", 1.9, 0.1)
    assert not bench.worth_a_run("NumPy einsum", 2.1, 0.1)
    assert bench.worth_a_run("emitted NumPy", 2.1, 0.1)
    assert not bench.worth_a_run("emitted NumPy", 11, 11)


def row(kind, who, tokens, seconds, ratio):
    names = ("kind", "who", "batch", "tokens", "seconds", "ratio")
    return dict(zip(names, (kind, who, 1, tokens, seconds, ratio), strict=True))


def test_missed_goals(benchmark):
    goals = benchmark("attention_goals")
    rows = [
        row("causal", "NumPy matmul", 64, 3, 0.5),  # slower than the best by hand: no matter
        row("causal", "NumPy tiles", 64, 2, 1.1),
        row("causal", "PyTorch SDPA", 512, 1, 0.95),
        row("causal", "PyTorch SDPA", 1024, 1, 0.95),
        row("window", "NumPy tiles", 64, 1, 0.9),
        row("linear", "PyTorch linear", 64, 1, 0.9),
        row("linear", "PyTorch SDPA (softmax)", 8192, 1, 19),
        row("linear", "NumPy einsum", 8192, None, None),
    ]
    steps = [{"who": "emitted NumPy", "position": p, "seconds": s} for p, s in ((0, 1), (9, 1.3))]
    missed = list(goals.missed_goals({"rows": rows, "stream": steps}))
    assert [text.partition(" beside")[0] for text in missed[:-1]] == [
        "causal, 1 × 512 tokens: 0.95",
        "window, 1 × 64 tokens: 0.90",
        "linear, 1 × 64 tokens: 0.90",
        "linear, 1 × 8192 tokens: 19.00",
    ]
    assert missed[-1] == "a step takes 1.30 times the first, wanted 1.2"
    assert not list(goals.missed_goals({"rows": rows[:2], "stream": steps[:1]}))


def test_the_peak_is_that_of_the_run(benchmark):
    """200 MB before it do not count, 100 MB in it do."""
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("needs Linux")
    bench, common = benchmark("attention_memory"), benchmark("common")
    np.ones(25_000_000).sum()
    before = bench.restart_peak()
    np.ones(12_500_000).sum()
    assert 90e6 < common.resident("VmHWM") - before < 130e6


@pytest.mark.full
def test_memory_of_one_layer(benchmark):
    bench = benchmark("attention_memory")
    found = bench.in_a_process("softmax", 512, "NumPy matmul")
    scores = 12 * 512 * 512 * 4 / 1e6
    assert scores < found["MB"] < 5 * scores


def test_start_up_is_measured(benchmark):
    bench = benchmark("startup")
    found = {"wall": 0.7, "processor": 0.5, "beyond": 0.6}
    assert bench.summary([(2.0, 1.0)], [(0.5, 0.1)]) == {
        "wall": 2.0,
        "processor": 1.0,
        "beyond": 1.5,
    }
    rows = {bench.IMPORT: {**found, "beyond": 0.1}, bench.COMPILE: found}
    assert list(bench.missed_goals(rows)) == [
        "cortico compile spec.yaml: 0.60 s beyond NumPy, wanted 0.5 s"
    ]
    wall, used = bench.seconds_of([sys.executable, "-c", "sum(range(10**6))"], {})
    assert 0 < used < wall + 0.1
