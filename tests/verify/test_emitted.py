"""Emitted code on exact numbers equals its circuit, and wrong code does not."""

import re
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cortico.backends import get_backend
from cortico.backends.numpy import emit_source
from cortico.ir import Gain, UnsupportedError
from cortico.ir.rewrite import map_projections
from cortico.ir.text import load_circuit
from cortico.lowering import lower
from cortico.passes import parse_passes, run_passes
from cortico.pipeline import compile_attention
from cortico.spec import AttentionSpec, Bias, Kernel, Mask, PositionBias, Rotary
from cortico.verify.emission.check import claims_of_files, differing_files, emitted_files
from cortico.verify.exact.circuit import gains
from cortico.verify.exact.emitted import (
    check_emitted,
    check_emitted_symbolically,
    check_text_of_this_process,
    check_text_symbolically,
    small_sizes,
)
from tests.cases import CASES
from tests.covering import covering, every_option, first
from tests.strategies import circuits

CASE = {case.name: case for case in CASES}
PIPELINES = ("none", "default", "aggressive")
SOME = covering(number=1)


def compiled(name, passes="none"):
    case = CASE[name]
    return run_passes(lower(case.spec, case.weights), parse_passes(passes))[0]


# ---- right code ------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("case", every_option(long=True))
def test_every_case_is_exact(case):
    lowered = lower(case.spec, case.weights)
    # all pipelines on some: each runs the code twice
    for passes in PIPELINES if case in SOME else ("default",):
        circuit, _ = run_passes(lowered, parse_passes(passes))
        result = check_emitted(circuit)
        assert result.equal, result.text
        assert result.entries >= 2 * case.spec.d_output
        assert result.rounding < 2e-16
    if case in SOME:
        result = check_emitted(lowered, on_ranks=True)
        assert result.equal, result.text


@pytest.mark.parametrize("name", ["everything", "bert", "memory_llama", "linear-mask_none"])
@pytest.mark.parametrize("passes", ["default", "aggressive"])
def test_stored_weights_are_taken_exactly(name, passes):
    assert check_emitted(compiled(name, passes), stored=True).equal


@pytest.mark.parametrize(
    "name", ["linear-mask_causal-padded-biased", "alibi_linear_padded", "rotary_linear_causal"]
)
def test_rationals(name):
    result = check_emitted(compiled(name), rational=True)
    assert result.equal
    assert result.arithmetic == "rationals"


def test_rationals_have_no_exponential():
    with pytest.raises(UnsupportedError, match="rationals lack"):
        check_emitted(compiled("bert"), rational=True)


@pytest.mark.slow
@given(circuit=circuits(), tokens=st.integers(1, 4), stored=st.booleans())
def test_any_circuit_is_exact(circuit, tokens, stored):
    # products of gains that underflow are not the rounding of anything
    known = gains(circuit)
    assume(all(g.coefficient == 0 or abs(g.coefficient) > 1e-30 for g in known))
    assume(len(known) <= 3)  # else there are products that are not learned
    result = check_emitted(circuit, symbols=dict.fromkeys(circuit.symbols, tokens), stored=stored)
    assert result.equal, result.text


def test_a_gain_near_one_is_not_taken_for_its_square():
    """3^1/2 times size(h)^-1/2 of three heads: 1 - 5e-17, whose square is nearer to the float."""
    gain = Gain(3**0.5, (("h", Fraction(-1, 2)),))
    circuit = map_projections(
        lower(AttentionSpec(model=3, heads=3)),
        lambda p: replace(p, weight=replace(p.weight, gain=gain)) if p.name == "query" else p,
    )
    assert check_emitted(circuit).equal


def test_sizes_differ_and_make_every_bound_matter():
    assert small_sizes(compiled("cross")) == {"n": 3, "n_context": 5}
    assert small_sizes(compiled("gpt_oss")) == {"n": 5}
    assert small_sizes(compiled("numbered_tokens")) == {}


@pytest.mark.slow
def test_the_file_in_a_folder_is_what_is_emitted_again(tmp_path):
    case = CASE["everything"]
    compilation = compile_attention(case.spec, case.weights)
    compilation.write(tmp_path)
    circuit = load_circuit(tmp_path / "circuit.cortico")
    assert differing_files(emitted_files(circuit, get_backend("numpy")), tmp_path) == []
    lines, right = claims_of_files(circuit, get_backend("numpy"))
    assert right
    assert lines[0] == "attention.py: byte by byte what cortico emits for this circuit"
    assert lines[1].startswith("attention.py: checked exactly, 120 numbers; n = 5, residues")
    (tmp_path / "attention.py").write_text(compilation.files["attention.py"] + "\n")
    assert differing_files(emitted_files(circuit, get_backend("numpy")), tmp_path) == [
        "attention.py"
    ]


def test_constants_are_read_as_what_they_round():
    circuit = compiled("rotary_partial")
    assert "0.408248290463863" in emit_source(circuit)
    result = check_emitted(circuit)
    assert result.equal
    assert 0 < result.rounding < 2e-16


# ---- wrong code ------------------------------------------------------------------------------------

MUTATIONS = {
    "an axis of another size taken out": ("everything", "key.swapaxes(-3, -2)", "key"),
    "two axes of one size swapped": ("everything", '"...igrpt->...giprt"', '"...igrpt->...ripgt"'),
    "a key transposed": ("bert", "key_tile.swapaxes(-2, -1)", "key_tile"),
    "a bias dropped": ("bert", "b_V.reshape(", "0 * b_V.reshape("),
    "a bias subtracted": ("gpt2", "W_O_matrix, W_O_matrix_bias, threads", "W_O_matrix, -W_O_matrix_bias, threads"),
    "a gain not given to a weight": ("bert", "0.5 * W_K", "W_K"),
    "queries read where keys are": ("bert", "projected[..., 8:16]", "projected[..., 16:24]"),
    "weights side by side in another order": ("bert", "W_V.transpose", "W_Q.transpose"),
    "a wrong constant": ("everything", "0.7 *", "0.71 *"),
    "a constant wrong in its last digits": ("everything", "0.7 *", "0.70000000000001 *"),
    "causal looks ahead": ("gpt2", "most=0", "most=1"),
    "causal misses itself": ("gpt2", "most=0", "most=-1"),
    "too few columns": ("gpt2", "columns = slice(0, rows.stop)", "columns = slice(0, rows.start)"),
    "columns from the wrong token": ("gpt_oss", "rows.start - 3", "rows.start - 2"),
    "a wider window": ("everything", "least=-2", "least=-3"),
    "a narrower window": ("gpt_oss", "least=-3", "least=-2"),
    "corners one token off": ("gpt2", "most + offset - start", "most + offset - start + 1"),
    "the other corner one token off": ("gpt_oss", "least + offset - 1", "least + offset"),
    "tiles that begin at the first column": ("gpt_oss", "rows.start - columns.start", "rows.start"),
    "rows of another tile": ("gpt2", "query_tile = query[*example, rows, h]", "query_tile = query[*example, :len(range(rows.start, rows.stop)), h]"),
    "another head": ("bert", "value[*example, :, h]", "value[*example, :, :1]"),
    "a tile forgotten": ("bert", "range(rows.start, rows.stop, height)[::-1]", "range(rows.start, rows.stop - height, height)[::-1]"),
    "padding ignored": ("bert", "keep_tile > 0", "keep_tile >= 0"),
    "padding reversed": ("bert", "keep_tile > 0", "keep_tile <= 0"),
    "not divided": ("bert", "return np.divide(", "return np.multiply("),
    "divided where it is zero": ("bert", "inhibition != 0", "inhibition == inhibition"),
    "not guarded where nothing is live": ("bert", "score -= finite(", "score -= ("),
    "no sink in the pool": ("sink", "pool_soma_part + sink_2", "pool_soma_part"),
    "a constant not shifted": ("semi_saturated", "0.5 * raised", "0.5"),
    "a constant shifted twice": ("semi_saturated", "0.5 * raised", "0.5 * raised * raised"),
    "a constant doubled": ("semi_saturated", "0.5 * raised", "1.0 * raised"),
    "the sink not shifted": ("sink", "np.exp(sink_tile[:, None] - peak)", "np.exp(sink_tile[:, None] + 0 * peak)"),
    "no extra source in the pool": ("torch_mha", "sink_2 + extra_mask", "sink_2"),
    "the extra source not shifted": ("torch_mha", "np.exp(extra_score_tile - peak)", "np.exp(extra_score_tile)"),
    "shifted along keys": ("bert", "finite(score.max(axis=-1))[:, :, None]", "finite(score.max(axis=-2))[:, None]"),
    "another function": ("bert", "np.exp(", "np.tanh("),
    "rotated backwards": ("llama", "[cos, -sin]", "[cos, sin]"),
    "rotated by another angle": ("llama", "rotation(np.arange(", "rotation(1 + np.arange("),
    "distance reversed": ("alibi", "= alibi_slopes_tile[", "= -alibi_slopes_tile["),
    "a memory that looks ahead": ("memory_causal", "np.tri(CHUNK, ", "np.tri(CHUNK, k=1, "),
    "a memory without what came before": ("memory_causal", " + q @ memory if start", " if start"),
    "a memory that forgets": ("memory_causal", "k @ v + memory", "k @ v"),
    "an output of another shape": ("bert", "return output", "return output[..., :1]"),
    "code that stops": ("bert", "return output", "return output @ 1"),
    "an unknown variable": ("bert", "return output", "return outputs"),
}  # fmt: skip

#: Of files that take a communicator.
MUTATIONS_ON_RANKS = {
    "ranks that do not meet": ("bert", "comm.Allreduce(whole, total)", "total = whole"),
    "a bias of every rank": ("bert", "None if own_h.start else ", ""),
    "a bias of the first rank's tokens": ("bert", "None if own_h.start else ", "None if rank else "),
    "an area of another rank": ("bert", "cut(areas, team, teams)", "cut(areas, 0, teams)"),
    "query tokens of another rank": ("bert", "rank - first, last - first, power)", "0, last - first, power)"),
    "a rank's rows where all are": ("gpt2", "slice(rows.start - own_i.start, rows.stop - own_i.start)", "rows"),
    "rotated as the first tokens": ("llama", "R_Q[own_i]", "R_Q[: own_i.stop - own_i.start]"),
    "weights of the first areas": ("memory_causal", "dtype, own_h)", "dtype, slice(0, own_h.stop - own_h.start))"),
    "rows of another tile, on ranks": ("gpt2", "query[*example, here, h]", "query[*example, :len(range(rows.start, rows.stop)), h]"),
    "a rank's bias subtracted": ("gpt2", "else W_O_matrix_bias", "else -W_O_matrix_bias"),
    "queries made as keys are": ("bert", "project(x_own, W_Q_matrix,", "project(x_own, projection,"),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("what", first(26, [*MUTATIONS, *MUTATIONS_ON_RANKS]))
def test_wrong_code_is_refused(what):
    name, right, wrong = {**MUTATIONS, **MUTATIONS_ON_RANKS}[what]
    circuit = compiled(name)
    source = emit_source(circuit, on_ranks=what in MUTATIONS_ON_RANKS)
    assert right in source
    result = check_text_of_this_process(circuit, source.replace(right, wrong))
    assert not result.equal
    assert result.text.startswith("the emitted code is not the circuit")


HARMLESS = {
    "a larger shift": ("bert", r"score -= (finite\(.*\)\)\[:, :, None\])", r"score -= \1 + 1"),
    "three times the shift": (
        "bert",
        r"score -= (finite\(.*\)\)\[:, :, None\])",
        r"score -= 3 * \1",
    ),
    "no shift": ("gpt2", r"score -= .*", r"pass"),
    "the sink's shift too": ("sink", r"peak = (.*) if shifted", r"peak = 5 - \1 if shifted"),
    "a key bias, which softmax ignores": (
        "bert",
        r"0.5 \* b_K.reshape",
        "0.5 * b_V.reshape",
    ),
    "a gain of queries, not keys": (
        "bert",
        r"score = ",
        "query_tile = 2 * query_tile; key_tile = 0.5 * key_tile; score = ",
    ),
}


@pytest.mark.parametrize("what", HARMLESS)
def test_code_that_differs_and_means_the_same_is_not_refused(what):
    name, pattern, replacement = HARMLESS[what]
    circuit = compiled(name)
    source = emit_source(circuit)
    changed = re.sub(pattern, replacement, source)
    assert changed != source
    result = check_text_of_this_process(circuit, changed)
    assert result.equal, result.text


def test_the_code_of_another_circuit_is_refused():
    for name, other in (
        ("bert", "sink_causal_padded"),
        ("softmax-mask_none", "softmax-mask_causal"),
    ):
        assert not check_text_of_this_process(compiled(name), emit_source(compiled(other))).equal


def test_numpy_beyond_what_the_emitter_uses_is_refused():
    circuit = compiled("bert")
    source = emit_source(circuit).replace("return output", "return np.load(output)")
    assert "has no attribute 'load'" in check_text_of_this_process(circuit, source).text


def test_a_circuit_that_is_too_large():
    circuit = lower(AttentionSpec(model=4096, heads=32))
    with pytest.raises(UnsupportedError, match="too large"):
        check_emitted(circuit)


# ---- symbols ---------------------------------------------------------------------------------------

TINY = AttentionSpec(model=2)
TINY_SPECS = {
    "softmax": TINY,
    "linear": replace(TINY, kernel=Kernel.LINEAR, bias=Bias(True, True, True, True)),
    "causal": replace(TINY, heads=2, mask=Mask.CAUSAL, bias=Bias(True, True, True, True)),
    "padded": replace(TINY, mask=Mask.CAUSAL, key_padding=True),
    "sink": replace(TINY, sink=True),
    "saturated": replace(TINY, semi_saturation=0.5),
    "alibi": replace(TINY, heads=2, position_bias=PositionBias.ALIBI),
    "rotary": replace(TINY, rotary=Rotary()),
    "grouped": AttentionSpec(model=1, heads=2, kv_heads=1, key_features=1, scale=0.3),
}


@pytest.mark.parametrize("name", first(3, TINY_SPECS))
@pytest.mark.parametrize("passes", first(1, ["default", "none"]))
def test_symbols(name, passes):
    circuit, _ = run_passes(lower(TINY_SPECS[name]), parse_passes(passes))
    result = check_emitted_symbolically(circuit)
    assert result.equal, result.text
    assert result.arithmetic == "SymPy symbols"


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("softmax", "0.7071067811865476", "0.7071"),
        ("causal", "most=0", "most=1"),
        ("linear", "projection_bias, threads", "-projection_bias, threads"),
        ("rotary", "[cos, -sin]", "[cos, sin]"),
        ("padded", "keep_tile > 0", "keep_tile <= 0"),
    ],
)
def test_wrong_code_is_refused_on_symbols(name, right, wrong):
    circuit = lower(TINY_SPECS[name])
    source = emit_source(circuit)
    assert right in source
    assert not check_text_symbolically(circuit, source.replace(right, wrong)).equal


@pytest.mark.slow
def test_a_shift_cancels_on_symbols():
    circuit = lower(TINY)
    source = emit_source(circuit).replace("score -= finite(", "score -= 1 + 2 * finite(")
    assert check_text_symbolically(circuit, source).equal


@pytest.mark.parametrize("symbols", [None, {"n": 50}])
def test_too_large_for_symbols(symbols):
    result = check_emitted_symbolically(compiled("everything"), symbols=symbols)
    assert result.too_large
    assert not result.equal
    assert "not compared" in result.text
    assert "too large" in result.text
