import os
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from cortico.ir import CircuitError, Parameter
from cortico.ir.rewrite import with_values
from cortico.ir.text import load_circuit, parse_circuit, print_circuit, save_circuit
from tests.ir.circuits import attention, sampler
from tests.strategies import circuits


def stored(circuit):
    return {p.name: p.values for p in circuit.parameters if p.values is not None}


# ---- round trips ---------------------------------------------------------------------------------


@pytest.mark.slow
@settings(max_examples=60)
@given(circuits() | circuits(living=True))
def test_what_is_printed_parses_to_an_equal_circuit(circuit):
    text = print_circuit(circuit)
    again = parse_circuit(text, stored(circuit))
    assert again == circuit
    assert print_circuit(again) == text


@given(circuit=circuits() | circuits(living=True))
def test_what_is_saved_loads_as_an_equal_circuit(circuit, tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "circuit.cortico"
    save_circuit(circuit, path)
    assert load_circuit(path) == circuit
    beside = {"circuit.cortico"} | ({"circuit.safetensors"} if stored(circuit) else set())
    assert {entry.name for entry in path.parent.iterdir()} == beside


def test_golden_text(golden):
    text = print_circuit(sampler(), "sampler.safetensors")
    golden(text, "sampler.cortico")
    assert parse_circuit(text, stored(sampler())) == sampler()


def test_str_of_a_circuit_is_its_text():
    assert str(sampler()) == print_circuit(sampler())


def test_comments_blank_lines_and_spaces_do_not_matter():
    text = str(sampler())
    loose = text.replace("\n", '   # a remark, "quoted\n\n').replace(", ", " ,").replace(" * ", "*")
    assert (
        parse_circuit("# first\n\n" + loose.replace("\n", "\r\n"), stored(sampler())) == sampler()
    )


@settings(max_examples=60)
@given(st.data())
def test_damaged_text_raises_nothing_but_circuit_errors(data):
    text = print_circuit(sampler(), "w.safetensors")
    at = data.draw(st.integers(0, len(text)))
    until = data.draw(st.integers(at, min(len(text), at + 5)))
    filling = data.draw(
        st.one_of(st.text(max_size=4), st.sampled_from(list('"[](),.->=#0123456789')))
    )
    try:
        parse_circuit(text[:at] + filling + text[until:], stored(sampler()))
    except CircuitError as error:
        assert str(error)


def test_titles_stay_readable_and_on_one_line():
    title = 'é 皮質 "x" \\ \n \r \t \x85 \u2028 \x00'
    text = print_circuit(replace(attention(weights=False), name=title))
    assert text.splitlines()[1] == 'name "é 皮質 \\"x\\" \\\\ \\n \\r \\t \\u0085 \\u2028 \\u0000"'
    assert parse_circuit(text).name == title


# ---- errors --------------------------------------------------------------------------------------

ERRORS = [
    ("thalamus.core", "thalamus.cor", "found 'thalamus.cor' (did you mean 'thalamus.core'?)"),
    (" relay\n", " rely\n", "(did you mean 'relay'?)"),
    ("population core", "popluation core", "(did you mean 'population'?)"),
    ("multiplies", "multiples", "(did you mean 'multiplies'?)"),
    ("axis h : area 3", "axis h : area", "expected a size: a number or a name, found the end"),
    ("axis h : area 3", "axis h : area 2.5", "expected a size: a number or a name, found '2.5'"),
    ("axis h : area 3", "axis h : area 3 4", "expected the end of the line, found '4'"),
    ("axis h : area 3", "axis h : area " + "9" * 5000, "expected a size"),
    ("in time", "in tmie", "(did you mean 'time'?)"),
    ("circuit 1", "circuit 2", "text form 2, but this cortico reads 1"),
    ("size(p)^-1/2", "size(p)^-1/0", "expected an exponent such as -1/2"),
    ("stored float32", "stored int8", "expected a floating-point type"),
    ("stored float32", "stored float64", "declared float64 (2, 3, 4), but its values are float32"),
    ("where t - i <= -1", "where t - i <= x", "expected a whole number, found 'x'"),
    ("where t - i <= -1", "where t + i <= 1", "expected '-', found '+'"),
    ("W[g, h, p]", "W[g h, p]", "expected ']', found 'h'"),
    ("W[g, h, p]", "__import__('os').getcwd()", "expected '['"),
    ("-> cell.apical", "-> cell", "expected '.', found 'weight'"),
    ('name "', "name ", "expected a text in quotes"),
    ("output y = sum[p]", 'name "again"', "has a name already"),
    ("w.safetensors", "../w.safetensors", "must be a plain file name"),
    ("output y = sum[p]", 'weights "w"', "has a weights file already"),
]


@pytest.mark.parametrize(("old", "new", "message"), ERRORS)
def test_parse_error_tells_line_and_expectation(old, new, message):
    text = print_circuit(sampler(), "w.safetensors")
    assert old in text
    damaged = text.replace(old, new, 1)
    with pytest.raises(CircuitError) as caught:
        parse_circuit(damaged, stored(sampler()))
    number = text[: text.index(old)].count("\n") + 1
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"line {number}: ")
    assert damaged.split("\n")[number - 1].strip()[:60] in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the text is empty"),
        ("# nothing", "the text is empty"),
        ("hello", "expected 'cortico'"),
        ("cortico circuit 1", "no title"),
        ('cortico circuit 1\nname "x"\n  c multiplies', "must follow the line of its population"),
        ('cortico circuit 1\nname "x"', "the circuit has no output"),
    ],
)
def test_unfinished_text(text, message):
    with pytest.raises(CircuitError, match=message):
        parse_circuit(text)


def test_stored_parameters_need_weights():
    with pytest.raises(CircuitError, match="'W' has stored values, but no weights were given"):
        parse_circuit(str(sampler()))
    with pytest.raises(CircuitError, match="'W' has stored values, but the weights lack it"):
        parse_circuit(str(sampler()), {})


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "/etc/passwd", "a\\b", "C:x", "x\0y", "../x"]
)
def test_weights_file_must_be_a_plain_name(name):
    with pytest.raises(CircuitError, match="plain file name"):
        print_circuit(sampler(), name)


# ---- files ---------------------------------------------------------------------------------------


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "layer.cortico"
    save_circuit(sampler(), path)
    return path


def weights_of(path):
    return path.with_name("layer.safetensors")


def spoil_missing_text(path):
    path.unlink()


def spoil_directory(path):
    path.unlink()
    path.mkdir()


def spoil_bytes(path):
    path.write_bytes(b"\xff\xfe\x00 cortico")


def spoil_loop(path):
    path.unlink()
    path.symlink_to(path)


def spoil_fifo(path):
    path.unlink()
    os.mkfifo(path)


def spoil_missing_weights(path):
    weights_of(path).unlink()


def spoil_truncated(path):
    weights_of(path).write_bytes(weights_of(path).read_bytes()[:-3])


def spoil_weights_directory(path):
    weights_of(path).unlink()
    weights_of(path).mkdir()


def spoil_weights_loop(path):
    weights_of(path).unlink()
    weights_of(path).symlink_to(weights_of(path))


def spoil_not_safetensors(path):
    weights_of(path).write_bytes(b"PK\x03\x04 not tensors, whatever the name says")


def spoil_empty(path):
    weights_of(path).write_bytes(b"")


def spoil_shape(path):
    save_file({"W": np.zeros((2, 3, 5), "f4"), "b": np.zeros(())}, weights_of(path))


def spoil_dtype(path):
    save_file({"W": np.zeros((2, 3, 4), "f8"), "b": np.zeros(())}, weights_of(path))


def spoil_integers(path):
    save_file({"W": np.zeros((2, 3, 4), "i4"), "b": np.zeros(())}, weights_of(path))


def spoil_missing_tensor(path):
    save_file({"W": np.zeros((2, 3, 4), "f4")}, weights_of(path))


def spoil_no_weights_line(path):
    path.write_text(path.read_text("utf-8").replace("weights ", "# "), "utf-8")


SPOILS = {
    spoil_missing_text: "No such file",
    spoil_directory: "it is a directory",
    spoil_bytes: "codec can't decode",
    spoil_loop: "symbolic links",
    spoil_fifo: "no plain file",
    spoil_missing_weights: "layer.safetensors: No such file",
    spoil_truncated: "cannot read weights",
    spoil_weights_directory: "it is a directory",
    spoil_weights_loop: "symbolic links",
    spoil_not_safetensors: "cannot read weights",
    spoil_empty: "cannot read weights",
    spoil_shape: "hold 'W' as F32 (2, 3, 5), but line 15 says F32 (2, 3, 4)",
    spoil_dtype: "hold 'W' as F64 (2, 3, 4)",
    spoil_integers: "hold 'W' as I32",
    spoil_missing_tensor: "lack b",
    spoil_no_weights_line: "no line says",
}


@pytest.mark.parametrize("spoil", SPOILS)
def test_broken_files_give_one_readable_line(spoil, saved):
    spoil(saved)
    with pytest.raises(CircuitError) as caught:
        load_circuit(saved)
    assert SPOILS[spoil] in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(saved.parent) in str(caught.value)


def test_a_parse_error_in_a_file_names_the_file(saved):
    saved.write_text("cortico circuit 1\nnam", "utf-8")
    with pytest.raises(CircuitError, match=r"layer\.cortico: line 2: expected a declaration"):
        load_circuit(saved)


def test_saving_leaves_the_previous_files_whole_when_it_fails(saved, monkeypatch):
    before = {entry: entry.read_bytes() for entry in saved.parent.iterdir()}
    monkeypatch.setattr(os, "fdopen", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(CircuitError, match="disk full"):
        save_circuit(attention(), saved, force=True)
    assert {entry: entry.read_bytes() for entry in saved.parent.iterdir()} == before


def test_other_content_is_replaced_only_when_asked(saved):
    before = {entry: entry.read_bytes() for entry in saved.parent.iterdir()}
    save_circuit(sampler(), saved)  # the same is fine
    changed = replace(sampler(), name="another")
    with pytest.raises(
        CircuitError, match=r"layer\.cortico would be replaced by other content.*force"
    ):
        save_circuit(changed, saved)
    assert {entry: entry.read_bytes() for entry in saved.parent.iterdir()} == before
    save_circuit(changed, saved, force=True)
    assert load_circuit(saved) == changed


def test_other_weights_are_replaced_only_when_asked(saved):
    """The text alone may be the same: numbers are in the file beside it."""
    values = {p.name: p.values * 2 for p in sampler().parameters if p.values is not None}
    before = weights_of(saved).read_bytes()
    with pytest.raises(CircuitError, match=r"layer\.safetensors would be replaced"):
        save_circuit(with_values(sampler(), values), saved)
    assert weights_of(saved).read_bytes() == before


def test_saving_where_nothing_can_be_written(tmp_path):
    with pytest.raises(CircuitError, match="cannot write"):
        save_circuit(sampler(), tmp_path / "nowhere" / "x.cortico")
    (tmp_path / "folder.cortico").mkdir()
    with pytest.raises(CircuitError, match="directory"):
        save_circuit(sampler(), tmp_path / "folder.cortico")
    assert not (tmp_path / "folder.safetensors").exists()


def test_text_and_weights_never_share_a_name(tmp_path):
    save_circuit(sampler(), tmp_path / "x.safetensors")
    assert load_circuit(tmp_path / "x.safetensors") == sampler()


@pytest.mark.parametrize(
    "change",
    [
        lambda w: w.astype(">f4"),
        lambda w: np.asfortranarray(w),
        lambda w: np.repeat(w, 2, axis=0)[::2],
        lambda w: np.where(w > 5, np.nan, w),
    ],
    ids=["big-endian", "fortran", "strided", "nan"],
)
def test_arrays_of_any_layout_are_saved(change, tmp_path):

    circuit = sampler()
    parameters = tuple(
        replace(p, values=change(p.values)) if p.name == "W" else p for p in circuit.parameters
    )
    circuit = replace(circuit, parameters=parameters)
    save_circuit(circuit, tmp_path / "c.cortico")
    assert load_circuit(tmp_path / "c.cortico") == circuit


def test_other_types_cannot_be_saved(tmp_path):

    odd = replace(attention(weights=False), parameters=(Parameter("W", (1,), np.zeros(1, "i8")),))
    with pytest.raises(CircuitError, match="'W' is int64: only float16"):
        save_circuit(odd, tmp_path / "x")
    assert not list(tmp_path.iterdir())
