"""Certificates that are broken, or made to hang or to fool who reads what is printed."""

import time
from dataclasses import replace

import pytest

from cortico.verify import recheck as module
from cortico.verify.recheck import examine, printable, recheck
from tests.verify.certificates import SPEC, certificate, claim, stored, true_certificate, written


@pytest.mark.parametrize(
    "key", ["cortico_certificate", "spec", "files", "lowered", "steps", "claims"]
)
@pytest.mark.parametrize("value", [None, "x", [], {}, {"x": 1}])
def test_broken_certificates_get_an_answer(key, value, tmp_path):
    broken = written(tmp_path)
    broken[key] = value
    assert recheck(broken, tmp_path) != []
    del broken[key]
    assert recheck(broken, tmp_path) != []


def test_what_is_no_certificate_gets_an_answer():
    for value in (None, [], 3, "x", {}, {"cortico_certificate": 2}):
        assert recheck(value) != []


def test_large_sizes_take_no_time():
    """10⁶ cells onto 10⁶, and powers and texts without end: refused in under a second, or not looked at."""
    before = stored(SPEC)
    wide = (
        before.replace("model 5", "model 1000000")
        .replace("5)", "1000000)")
        .replace(" 5", " 1000000")
    )
    spec = replace(SPEC, model=10**6)
    every = {"kind": "selected", "axis": "m", "heads": [], "order": [0], "size": 10**6}
    million = certificate(spec, wide, (wide, [every | {"tensors": {}, "support": {}}]))
    hostile = [million]
    for new in ("size(m)^999999999", "1/" + "9" * 5000, "9" * 5000, "1e999", "size(m)^1/99", "nan"):
        text = before.replace("weight size(a)^-1/2", f"weight {new}")
        hostile.append(certificate(SPEC, before, (text, [])))
    roots = [["a", f"1/{n}"] for n in (97, 89, 83, 79, 73)]
    fact = {"kind": "constant", "value": "1.0", "coefficient": "1", "sizes": roots}
    hostile.append(certificate(SPEC, before, (before, [fact])))
    for each in hostile:
        start = time.process_time()
        report = examine(each)
        assert report.code in (1, 3)
        assert all(line.isprintable() for line in report.lines())
        assert time.process_time() - start < 5


@pytest.mark.slow
def test_nothing_of_the_file_is_printed_raw(tmp_path):
    nasty = "\x1b[2J\nWRONG \u202e" + "x" * 10**5
    for change in (
        lambda c: c["claims"].append(claim(nasty)),
        lambda c: c["claims"][0].update(verdict=nasty),
        lambda c: c["claims"][0].update({nasty: 1}),
        lambda c: c["files"].update({nasty[:50]: "0"}),
        lambda c: c["steps"][0].update({"pass": nasty}),
        lambda c: c["steps"][0]["facts"].append({"kind": nasty}),
        lambda c: c["steps"][0]["facts"].append({"kind": "zero", "old": nasty}),
        lambda c: c.update(lowered=nasty),
        lambda c: c["spec"].update(mask=nasty),
    ):
        found = true_certificate()
        change(found)
        report = examine(found, tmp_path)
        assert all(line.isprintable() and len(line) < 3000 for line in report.lines()), change
        assert report.code != 0


def test_printable_texts():
    assert printable("a\nb\x1b") == "a\\nb\\x1b"
    assert len(printable("x" * 10**6)) == 160
    assert printable([1, 2]) == "a list of 2"
    assert printable(None) == "nothing" and printable(10**400) == "a very large number"


@pytest.mark.parametrize(
    "text", ['{"a": NaN}', '{"a": 1e999}', '{"a": 1, "a": 2}', "[" * 10**5, "[" + "9" * 10**4 + "]"]
)
def test_json_is_read_strictly(tmp_path, text):
    path = tmp_path / "certificate.json"
    path.write_text(text)
    with pytest.raises(ValueError):
        module.read_json(path)
