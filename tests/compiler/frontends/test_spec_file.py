"""Spec files: the three formats, the round trip, and errors that help."""

import json
import re
import subprocess
import sys

import pytest
from hypothesis import given

from cortico.frontends import read_spec, spec_from_mapping, spec_to_json, spec_to_mapping
from cortico.frontends.spec_file import read_model_spec
from cortico.ir.errors import SpecError
from cortico.lowering import lower
from cortico.spec import (
    AttentionSpec,
    Bias,
    Mask,
    Nucleus,
    Rotary,
    Thalamus,
)
from tests.spec_strategies import specs

TEXTS = {
    "toml": 'model = 16\nheads = 4\nmask = "causal"\nscale = 1\n[rotary]\nbase = 500\n[bias]\nquery = true\n',
    "json": '{"model": 16, "heads": 4, "mask": "causal", "scale": 1,'
    ' "rotary": {"base": 500}, "bias": {"query": true}}',
    "yaml": "model: 16\nheads: 4\nmask: causal\nscale: 1\nrotary: {base: 500}\nbias:\n  query: true\n",
}
TEXTS["yml"] = TEXTS["yaml"]
EXPECTED = AttentionSpec(
    16, 4, mask=Mask.CAUSAL, scale=1.0, rotary=Rotary(500.0), bias=Bias(query=True)
)


def error_of(tmp_path, text, suffix="yaml"):
    file = tmp_path / f"spec.{suffix}"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(SpecError) as caught:
        read_spec(file)
    assert str(file) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("suffix", TEXTS)
def test_formats(tmp_path, suffix):
    file = tmp_path / f"spec.{suffix}"
    file.write_text(TEXTS[suffix])
    spec = read_spec(str(file))
    assert spec == EXPECTED
    assert isinstance(spec.scale, float) and isinstance(spec.mask, Mask)


@pytest.mark.slow
@given(spec=specs())
def test_round_trip(spec):
    mapping = spec_to_mapping(spec)
    assert spec_from_mapping(mapping) == spec
    assert spec_from_mapping(json.loads(spec_to_json(spec))) == spec
    assert {"model", "heads"} <= mapping.keys()


def test_only_what_differs_is_written():
    assert spec_to_mapping(AttentionSpec(8)) == {"model": 8, "heads": 1}
    spec = AttentionSpec(8, 2, rotary=Rotary(rotated=2), thalamus=Thalamus(key=Nucleus.MATRIX))
    expected = {"model": 8, "heads": 2, "rotary": {"rotated": 2}, "thalamus": {"key": "matrix"}}
    assert spec_to_mapping(spec) == expected
    assert spec_to_mapping(AttentionSpec(8, 2, rotary=Rotary()))["rotary"] == {}


def test_every_problem_in_one_error(tmp_path):
    text = error_of(
        tmp_path,
        "hedas: 4\nkernel: sofmax\nsink: 1\ntokens: 2.5\nrotary: {bas: 3, style: half-split}\nbias: 3\n",
    )
    assert text.splitlines()[1:] == [
        "  - 'hedas' is not a field (did you mean 'heads'?)",
        "  - model is missing, expected a positive integer",
        "  - tokens must be a positive integer or a symbol such as 'n', found 2.5",
        "  - kernel must be one of linear, softmax, found 'sofmax' (did you mean 'softmax'?)",
        "  - bias must be true or false or a table with query, key, value, output, found 3",
        "  - rotary.'bas' is not a field (did you mean 'base'?)",
        "  - rotary.style must be one of half_split, interleaved, found 'half-split' (did you mean 'half_split'?)",
        "  - sink must be true or false, found 1",
    ]


def test_problems_of_norms_and_caps_in_one_error(tmp_path):
    text = error_of(
        tmp_path,
        "model: 8\nqk_norm: {over: heads, eps: 0, gain: 1}\nsoft_cap: -30\nmicrocircuit: memory\n",
    )
    assert text.splitlines()[1:] == [
        "  - soft_cap must be a positive number, found -30",
        "  - qk_norm.'gain' is not a field (did you mean 'own_gains'?)",
        "  - qk_norm.over must be one of head, width, found 'heads' (did you mean 'head'?)",
        "  - qk_norm.eps must be a positive number, found 0",
    ]


def test_problems_of_layer_norms(tmp_path):
    text = error_of(tmp_path, "model: 8\nqk_norm: {kind: batch, own_gains: 1, bias: key}\n")
    assert text.splitlines()[1:] == [
        "  - qk_norm.kind must be one of rms, layer, found 'batch'",
        "  - qk_norm.own_gains must be true or false, found 1",
        "  - qk_norm.bias must be true or false, found 'key'",
    ]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ("mask: bidirectional_window", "window = None does not fit mask = bidirectional_window"),
        ("mask: none\nwindow: 3", "window = 3 does not fit mask = none"),
        (
            "mask: bidirectional_window\nwindow: 3\ncross: true",
            "mask = bidirectional_window needs queries and keys on the same tokens",
        ),
        (
            "mask: bidirectional_window\nwindow: 3\nkernel: linear\nmicrocircuit: memory",
            "never forgets: mask must be none or causal, found bidirectional_window",
        ),
        ("mask: bidirectional\nwindow: 3", "did you mean 'bidirectional_window'?"),
    ],
)
def test_problems_of_windows(tmp_path, fields, message):
    assert message in error_of(tmp_path, f"model: 8\n{fields}\n")


def test_problems_of_the_spec_itself_are_listed(tmp_path):
    text = error_of(tmp_path, "model: 10\nheads: 3\nwindow: 2\n")
    assert "model = 10 does not divide into heads = 3" in text
    assert "window = 2 does not fit" in text
    assert text.count("\n") == 2


def test_problems_of_a_block_of_a_model_say_where_it_is(tmp_path):
    attention = {"attention": {"model": 10, "heads": 3}}
    layers = [{"steps": [{"branches": [attention]}]}]
    file = tmp_path / "model.json"
    file.write_text(json.dumps({"stack": {"model": 10, "layers": layers}}))
    where = "stack.layers[0].steps[0].branches[0].attention: model = 10 does not divide into heads"
    with pytest.raises(SpecError, match=re.escape(where)):
        read_model_spec(file)


@pytest.mark.parametrize("value", ["true", "'8'", "8.0", "[8]", "null", "1.5e3"])
def test_a_size_is_an_integer(tmp_path, value):
    assert "model must be a positive integer" in error_of(tmp_path, f"model: {value}\n")


def test_yaml_reads_1e4_as_text(tmp_path):
    text = error_of(tmp_path, "model: 8\nrotary: {base: 1e4}\n")
    assert "rotary.base must be a positive number, found '1e4' (write 10000.0)" in text


@pytest.mark.parametrize("suffix", ["toml", "json", "yaml"])
@pytest.mark.parametrize("text", [b"\xff\xfe\x00", b"{", b"[1, 2", b"model: : 3", b"[" * 100_000])
def test_text_that_is_no_mapping(tmp_path, suffix, text):
    assert len(error_of(tmp_path, text, suffix)) < 2000


def test_empty_file_says_what_is_missing(tmp_path):
    assert "model is missing" in error_of(tmp_path, "")
    assert "model is missing" in error_of(tmp_path, "", "toml")


def test_key_that_stands_twice(tmp_path):
    assert "'model' stands twice" in error_of(tmp_path, '{"model": 8, "model": 9}', "json")


def test_hostile_yaml_is_not_built_and_not_printed(tmp_path):
    assert "YAML" in error_of(tmp_path, "!!python/object/apply:os.getcwd []\n")
    lines = ["a0: &a0 [x, x]"] + [f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 40)]
    text = error_of(tmp_path, "\n".join([*lines, "model: *a39"]))
    assert len(text) < 10_000


def test_unknown_suffix_and_missing_file(tmp_path):
    with pytest.raises(SpecError, match=r"expected \.toml, \.json, \.yaml, \.yml"):
        read_spec(tmp_path / "spec.txt")
    with pytest.raises(SpecError, match="No such file"):
        read_spec(tmp_path / "spec.toml")
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(SpecError, match="it is a directory"):
        read_spec(tmp_path / "folder.toml")


@pytest.mark.parametrize("symbol", ["self", "symbols", "lambda"])
def test_a_symbol_may_have_any_name(tmp_path, symbol):
    (tmp_path / "spec.toml").write_text(f'model = 8\nheads = 2\ntokens = "{symbol}"\n')
    circuit = lower(read_spec(tmp_path / "spec.toml"))
    assert circuit.symbols == (symbol,) and circuit.bind(**{symbol: 3}).symbols == ()


def test_import_is_light():
    code = (
        "import sys, cortico.frontends; "
        "sys.exit(str([m for m in ('torch', 'yaml', 'safetensors') if m in sys.modules] or ''))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""
