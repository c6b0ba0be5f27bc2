"""Folders of compiled models that were changed, with digests made anew, and certificates that are broken."""

import json
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from cortico.verify.recheck import examine, recheck
from tests.verify.certificates import claim, status
from tests.verify.models.certificates import certificate, rehashed, some, weights, written

COMPILED, NUMBERS = "the compiled network is", "every number of"
STORED, NETWORK = "the stored numbers", "file network.cortico"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    return folder, written(folder, "gpt")


@pytest.fixture
def folder(made, tmp_path):
    """A compiled folder, and its certificate."""
    shutil.copytree(made[0], tmp_path, dirs_exist_ok=True)
    return tmp_path, json.loads(json.dumps(made[1]))


def wrong(found, folder, given=None):
    return {f.what for f in examine(found, folder, given).findings if f.status == "WRONG"}


def begins(text, found):
    return any(each.startswith(text) for each in found)


def changed(folder, change):
    """The numbers of the folder, changed; each then stored under its own name."""
    path = folder / "network.safetensors"
    arrays = load_file(path)
    with safe_open(path, "np") as file:
        tied = json.loads((file.metadata() or {}).get("tied", "{}"))
    arrays |= {name: arrays[first] for name, first in tied.items()}
    change(arrays)
    save_file({name: np.ascontiguousarray(a) for name, a in arrays.items()}, path)


# ---- numbers ---------------------------------------------------------------------------------------


def exchange(one, other):
    def change(arrays):
        for name in [n for n in arrays if n.startswith(one)]:
            twin = name.replace(one, other)
            arrays[name], arrays[twin] = arrays[twin], arrays[name]

    return change


def alter(name, how):
    return lambda arrays: arrays.update({name: how(arrays[name])})


def nudge(array):
    array = array.copy()
    array.flat[3] += 1e-9
    return array


CHANGES = {
    "levels swapped": exchange("layer[0].", "layer[1]."),
    "one number": alter("layer[1].feed_forward.W_in", nudge),
    "one that a pass has made": alter("layer[1].attention.W_K_v2", nudge),
    "heads in another order": alter("layer[0].attention.W_O", lambda a: a[::-1]),
    "positions off by one": alter("embedding.W_position", lambda a: np.roll(a, 1, 0)),
    "all weights of a norm": alter("norm.gain", lambda a: 2 * a),
}


@pytest.mark.parametrize("name", some(CHANGES, "levels swapped", "one that a pass has made"))
def test_other_weights_are_seen_with_the_source_only(folder, name):
    path, found = folder
    changed(path, CHANGES[name])
    assert wrong(found, path) == {"file network.safetensors"}  # its digest
    rehashed(found, path)
    assert wrong(found, path) == set()
    report = examine(found, path)
    assert {status(report, each) for each in (STORED, NUMBERS, COMPILED)} == {"not re-checked"}
    said = wrong(found, path, weights("gpt"))
    assert all(begins(each, said) for each in (STORED, NUMBERS, COMPILED))


def test_a_tied_readout_that_is_another_needs_no_source(folder):
    path, found = folder
    changed(path, alter("readout.W", nudge))
    assert wrong(rehashed(found, path), path) == {STORED}


def without(name):
    return lambda arrays: arrays.pop(name)


UNFIT = {
    "one less": without("norm.gain"),
    "one more": lambda arrays: arrays.update(more=np.ones(3)),
    "fewer": alter("norm.gain", lambda a: a[:3]),
    "not finite": alter("norm.gain", lambda a: a * np.nan),
    "another type": alter("layer[0].attention.W_V", lambda a: a.astype(np.float32)),
}


@pytest.mark.parametrize("name", some(UNFIT, "one less", "not finite"))
def test_a_file_of_numbers_that_does_not_fit_is_refused(folder, name):
    path, found = folder
    changed(path, UNFIT[name])
    rehashed(found, path)
    assert "file network.safetensors" in wrong(found, path)
    report = examine(found, path, weights("gpt"))
    assert status(report, STORED) != "re-checked" and status(report, NUMBERS) != "re-checked"


def test_weights_of_another_model_are_not_these(folder):
    path, found = folder
    other = {**weights("gpt"), "norm": {"gain": np.ones(6), "shift": np.ones(6)}}
    assert begins(NUMBERS, wrong(found, path, other))
    strange = {**weights("gpt"), "layer[9].norm": {}}
    assert begins(NUMBERS, wrong(found, path, strange))
    lacking = {p: w for p, w in weights("gpt").items() if p != "embedding"}
    assert begins(NUMBERS, wrong(found, path, lacking))


# ---- the network and other files -------------------------------------------------------------------

TEXTS = {
    "a wire from another level": ("layer[1].attention.y -> ", "layer[0].attention.y -> "),
    "a weight": ("weight W_out[m, f]", "weight 2.0 * W_out[m, f]"),
    "another block at a node": ("node norm : ", "node norm : residual # "),
    "one input less": ("input tokens (n, 6) token\n", ""),
    "one number of tokens": ("input tokens (n, 6)", "input tokens (5, 6)"),
    "another file of numbers": ('"network.safetensors"', '"other.safetensors"'),
    "another output": ("states = norm.y", "states = embedding.y"),
    "numbers left out": (
        "node layer[1].attention : attention stored",
        "node layer[1].attention : attention",
    ),
}


@pytest.mark.parametrize("name", some(TEXTS, "a weight", "numbers left out"))
def test_another_network_in_the_folder_is_refused(folder, name):
    path, found = folder
    text = (path / "network.cortico").read_text()
    assert TEXTS[name][0] in text
    (path / "network.cortico").write_text(text.replace(*TEXTS[name], 1))
    assert NETWORK in wrong(found, path)
    said = wrong(rehashed(found, path), path, weights("gpt"))
    assert NETWORK in said and begins(COMPILED, said)


def test_the_network_before_the_passes_is_not_that_after_them(folder):
    path, found = folder
    (path / "network.cortico").write_text(found["lowered"])
    assert NETWORK in wrong(rehashed(found, path), path)


@pytest.mark.full
def test_digests_of_another_folder(folder, tmp_path_factory):
    path, found = folder
    other = written(tmp_path_factory.mktemp("other"), "bert")
    said = wrong({**found, "files": other["files"]}, path)
    assert {NETWORK, "file network.safetensors", "file spec.json"} <= said


def test_another_spec_beside_it(folder):
    path, found = folder
    (path / "spec.json").write_text((path / "spec.json").read_text().replace("causal", "none"))
    assert wrong(rehashed(found, path), path) == {"file spec.json"}


@pytest.mark.parametrize("name", ["network.cortico", "network.safetensors", "spec.json"])
def test_files_that_must_be_listed(folder, name):
    path, found = folder
    del found["files"][name]
    assert f"file {name}" in wrong(found, path)


def test_files_that_are_not_here_are_not_said_to_hold(folder):
    path, found = folder
    for name in ("network.cortico", "network.safetensors"):
        (path / name).unlink()
    report = examine(found, path, weights("gpt"))
    assert report.wrong == [] and status(report, STORED) == "not re-checked"
    assert status(report, COMPILED) == status(report, NUMBERS) == "not re-checked"


# ---- broken certificates ---------------------------------------------------------------------------


KEYS = (
    "cortico_model_certificate",
    "spec",
    "files",
    "emitted",
    "lowered",
    "across",
    "passes",
    "claims",
)


@pytest.mark.parametrize("key", some(KEYS, "spec", "passes"))
def test_broken_certificates_get_an_answer(key):
    for value in (None, "x", [], {}, {"x": 1}, 3, [None], [{}]):
        broken = certificate("gptj", "none")
        if broken[key] != value and not (key == "emitted" and value is None):
            refused = recheck({**broken, key: value}) != []
            assert refused or (key, value) in (("files", {}), ("across", ["x"])), value
    del broken[key]
    assert recheck(broken) != []


def test_nothing_of_the_file_is_printed_raw():
    nasty = "\x1b[2J\nWRONG \u202e" + "x" * 10**5
    for change in (
        lambda c: c["claims"].append(claim(nasty)),
        lambda c: c["files"].update({nasty[:50]: "0"}),
        lambda c: c.update(lowered=nasty),
        lambda c: c.update(lowered=c["lowered"] + nasty),
        lambda c: c["spec"].update(name=nasty, stack=nasty),
        lambda c: c["passes"].append({"nodes": [nasty], "before": nasty, "steps": []}),
    ):
        found = certificate("gptj", "none")
        change(found)
        report = examine(found)
        assert report.code != 0
        assert all(line.isprintable() and len(line) < 3000 for line in report.lines())


def test_large_sizes_take_no_time():
    found = certificate("gptj", "none")
    text = found["lowered"]
    start = time.process_time()
    for old, new in (
        ("feature 7", "feature 700000007"),
        ("size(m)^-1", "size(m)^99"),
        ("weight 1.0", f"weight {'9' * 4000}"),
        ("node norm", f"node norm{'.a' * 10**5}"),
        ("layer[0]", f"layer[{'9' * 5000}]"),
    ):
        assert old in text
        assert recheck({**found, "lowered": text.replace(old, new)}) != []
    assert recheck({**found, "lowered": text * 1000}) != []
    found["spec"]["stack"]["layers"][0]["times"] = 10**17
    assert recheck(found) != []
    assert time.process_time() - start < 5


@pytest.mark.slow
def test_the_command_line(folder):
    path, _ = folder
    command = [sys.executable, "-m", "cortico.verify.recheck", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (3, "")
    assert "re-checked      the wires spell the model spec" in done.stdout
