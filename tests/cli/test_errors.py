"""What goes wrong for a user ends in one readable message; what was there before stays whole.

The messages are golden files: `make golden` rewrites them, and a person reads them.
"""

import os
import pickle
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from cortico import load_circuit
from cortico.ir import CircuitError
from tests.cli.broken import (
    HALF_WRITTEN,
    NAN,
    TRAIN,
    XS,
    X,
    archive,
    array,
    corrupt_npz,
    cut,
    edited,
    huge,
    lying_header,
    lying_npy,
    raw,
    raw_member,
    text,
    trained,
    weights,
)
from tests.cli.conftest import tree

ERRORS = Path(__file__).parent.parent / "golden" / "errors"


@dataclass(frozen=True)
class Case:
    """A command, and what is wrong with the folder that it runs in."""

    name: str
    command: str
    prepare: Callable[[Path], object] = lambda folder: None


CASES = [
    Case("verify-nothing", "verify"),
    Case("verify-two-things", "verify ok.toml --check c.json"),
    Case("verify-no-such-file", "verify none.toml"),
    Case("verify-unknown-pass", "verify ok.toml --passes share-relay"),
    Case("certificate-lost", "verify --check none.json"),
    Case("certificate-junk", "verify --check c.json", raw("c.json", bytes(range(256)))),
    Case("certificate-deep", "verify --check c.json", text("c.json", "[" * 100_000)),
    Case("certificate-not-in-folder", "verify out"),
    Case("derivation-below-file", "verify ok.toml --latex ok.toml/p.tex"),
    # a spec
    Case("misspelt-field", "compile bad.toml -o out", text("bad.toml", "model = 8\nheds = 2\n")),
    Case("missing-field", "compile bad.toml -o out", text("bad.toml", "heads = 2\n")),
    Case("does-not-divide", "compile bad.toml -o out", text("bad.toml", "model = 9\nheads = 2\n")),
    Case("wrong-type", "compile bad.toml -o out", text("bad.toml", 'model = "8"\nsink = 1\n')),
    Case("misspelt-choice", "compile bad.toml", text("bad.toml", 'model = 8\nmask = "casual"\n')),
    Case("half-written", "compile bad.toml -o out", text("bad.toml", HALF_WRITTEN)),
    Case("empty-toml", "compile bad.toml -o out", text("bad.toml", "")),
    Case("empty-json", "compile bad.json -o out", text("bad.json", "")),
    Case("empty-yaml", "compile bad.yaml -o out", text("bad.yaml", "")),
    Case("junk-toml", "compile bad.toml -o out", raw("bad.toml", bytes(range(256)))),
    Case("junk-json", "compile bad.json -o out", raw("bad.json", bytes(range(256)))),
    Case("junk-yaml", "compile bad.yaml -o out", raw("bad.yaml", bytes(range(256)))),
    Case("not-a-spec", "compile bad.txt -o out", text("bad.txt", "model = 8\n")),
    Case("no-such-file", "compile lost.toml -o out"),
    Case("symlink-loop", "compile a.toml -o out", lambda f: (f / "a.toml").symlink_to("a.toml")),
    Case("fifo", "compile a.toml -o out", lambda f: os.mkfifo(f / "a.toml")),
    Case("too-large-integer", "compile bad.toml", text("bad.toml", f"model = 1{'0' * 30}\n")),
    Case("half-a-character", "compile bad.json", text("bad.json", '{"model":8,"name":"\\ud800"}')),
    Case("no-memory", "compile big.toml --random-weights 1", text("big.toml", f"model = {10**9}")),
    Case("escape-in-field", "compile bad.json", text("bad.json", '{"model":8,"\\u001b[31m":1}')),
    # options
    Case("unknown-backend", "compile ok.toml -o out --backend nump"),
    Case("unknown-pass", "compile ok.toml -o out --passes share-relay"),
    Case("option-for-checkpoint", "compile ok.toml -o out --layer 1"),
    Case("option-for-spec", "compile bert -o out --random-weights 1"),
    Case("no-tokens", "compile ok.toml -o out --tokens 0"),
    Case("tokens-no-number", "compile ok.toml -o out --tokens many"),
    Case("negative-seed", "compile ok.toml -o out --random-weights -1"),
    # weights of a spec
    Case(
        "weights-shape",
        "compile ok.toml -o out --weights w.safetensors",
        weights(W_Q=np.ones((2, 8, 4)), W_X=np.ones(3)),
    ),
    Case(
        "weights-type",
        "compile ok.toml -o out --weights w.safetensors",
        weights(W_K=np.ones((2, 4, 8), np.int64)),
    ),
    Case("weights-nan", "compile ok.toml -o out --weights w.safetensors", weights(W_V=NAN)),
    Case("weights-lost", "compile ok.toml -o out --weights w.safetensors"),
    Case("weights-cut", "compile ok.toml -o out --weights bert/w", raw("bert/w", b"\x10")),
    Case("weights-lie", "compile ok.toml -o out --weights w.safetensors", lying_header),
    # a checkpoint
    Case(
        "unknown-family",
        "compile bert -o out",
        edited("bert/config.json", '"bert"', '"fnet"'),
    ),
    Case("no-such-layer", "compile bert -o out --layer 7"),
    Case("negative-layer", "compile bert -o out --layer -1"),
    Case("other-heads", "compile bert -o out --heads 4"),
    Case("checkpoint-cut", "compile bert -o out", cut("bert/model.safetensors", 500)),
    Case(
        "config-does-not-divide",
        "compile bert --layer 0 -o out",
        edited("bert/config.json", '"num_attention_heads": 2', '"num_attention_heads": 3'),
    ),
    Case(
        "config-wrong-width",
        "compile bert --layer 0 -o out",
        edited("bert/config.json", '"hidden_size": 8', '"hidden_size": 16'),
    ),
    Case("empty-folder", "compile empty -o out", lambda f: (f / "empty").mkdir()),
    Case("no-such-folder", "compile lost -o out"),
    Case("folder-loop", "compile a -o out", lambda f: (f / "a").symlink_to("a")),
    # where to write
    Case("output-below-file", "compile ok.toml -o ok.toml/out"),
    Case("output-is-file", "compile ok.toml -o ok.toml"),
    Case("output-in-proc", "compile ok.toml -o /proc/out"),
    Case(
        "output-file-is-folder",
        "compile ok.toml -o full --tokens 3",
        lambda f: (f / "full" / "report.md").mkdir(parents=True),
    ),
    Case("array-below-file", "run out -i x.npy -o ok.toml/y.npy"),
    Case("array-is-folder", "run out -i x.npy -o y.npy", lambda f: (f / "y.npy").mkdir()),
    Case("array-suffix", "run out -i x.npy -o y.txt"),
    # inputs of a run
    Case("wrong-shape", "run out -i bad.npy -o x.npy", array("bad.npy", np.ones((5, 7)))),
    Case("no-axes", "run out -i bad.npy -o x.npy", array("bad.npy", np.float64(1))),
    Case("empty-array", "run out -i bad.npy -o x.npy", array("bad.npy", np.ones((0, 5, 8)))),
    Case("complex-array", "run out -i bad.npy -o x.npy", array("bad.npy", X * 1j)),
    Case("text-array", "run out -i bad.npy -o x.npy", array("bad.npy", np.array(["a"]))),
    Case(
        "object-array",
        "run out -i bad.npy -o x.npy",
        lambda f: np.save(f / "bad.npy", np.array([None]), allow_pickle=True),
    ),
    Case("pickle", "run out -i bad.npy -o x.npy", raw("bad.npy", pickle.dumps([1.0]))),
    Case("lying-npy", "run out -i bad.npy -o x.npy", lying_npy),
    Case("empty-npy", "run out -i bad.npy -o x.npy", raw("bad.npy", b"")),
    Case("wrong-names", "run out -i bad.npz -o x.npy", archive("bad.npz", X=X, **{"a\x1b\n": X})),
    Case("empty-npz", "run out -i bad.npz -o x.npy", archive("bad.npz")),
    Case(
        "npz-cut",
        "run out -i bad.npz -o x.npy",
        lambda f: (archive("bad.npz", x=X)(f), cut("bad.npz", 200)(f)),
    ),
    Case("npz-corrupt", "run out -i bad.npz -o x.npy", corrupt_npz),
    Case("npz-raw-member", "run out -i bad.npz -o x.npy", raw_member),
    Case("input-lost", "run out -i lost.npy -o x.npy"),
    Case("input-is-folder", "run out -i bert -o x.npy"),
    Case("input-fifo", "run out -i a.npy -o x.npy", lambda f: os.mkfifo(f / "a.npy")),
    Case("run-without-weights", "run bare -i x.npy -o x.npy"),
    Case("run-other-weights", "run bare -i x.npy --weights w.safetensors", weights(W_R=X)),
    Case("run-unknown-backend", "run out -i x.npy -o x.npy --backend referense"),
    # a compiled circuit
    Case("no-circuit", "show lost"),
    Case("no-circuit-in-folder", "show bert"),
    Case("circuit-loop", "show a", lambda f: (f / "a").symlink_to("a")),
    Case("circuit-is-spec", "show ok.toml"),
    Case("circuit-cut", "show out", cut("out/circuit.cortico", 400)),
    Case("circuit-junk", "show out", raw("out/circuit.cortico", bytes(range(256)))),
    Case(
        "circuit-misspelt",
        "show out",
        edited("out/circuit.cortico", "-> mask.basal", "-> msk.basal"),
    ),
    Case(
        "circuit-weights-outside",
        "show out",
        edited("out/circuit.cortico", "circuit.safetensors", "../../etc/passwd"),
    ),
    Case("circuit-weights-lost", "show out", lambda f: (f / "out/circuit.safetensors").unlink()),
    Case("circuit-weights-cut", "show out", cut("out/circuit.safetensors", 900)),
    Case(
        "circuit-weights-other",
        "show out",
        lambda f: save_file({"W_Q": X, "W_K": X}, f / "out" / "circuit.safetensors"),
    ),
    Case(
        "circuit-weights-shape",
        "run out -i x.npy -o x.npy",
        lambda f: (weights(W_Q=X)(f), (f / "w.safetensors").replace(f / "out/circuit.safetensors")),
    ),
    # views of a circuit
    Case("unknown-population", "show bare --population dep"),
    Case("no-population", "show bare --population ''"),
    Case("neuron-unbound", "show bare --neuron 'cortex.area[0].column[1,0].L5.deep[3]'"),
    Case("neuron-near", "show bare --bind n=4 --neuron 'cortex.area[0].column[1,0].L5.dep[3]'"),
    Case("neuron-no-index", "show bare --bind n=4 --neuron deep"),
    Case("neuron-outside", "show bare --bind n=4 --neuron 'cortex.area[0].column[0,1].L5.deep[3]'"),
    Case("neuron-huge", "show huge --neuron 'cortex.area[0].column[1,0].L5.deep[3]'", huge),
    Case("bind-nonsense", "show bare --bind nonsense"),
    Case("bind-no-number", "show bare --bind n="),
    Case("bind-zero", "show bare --bind n=0"),
    Case("bind-negative", "show bare --bind n=-4"),
    Case("bind-too-large", f"show bare --bind n={'9' * 5000}"),
    Case("bind-unknown", "show bare --bind m=4"),
    # training
    Case("train-no-data", f"{TRAIN} --data lost.npz --random-weights 1"),
    Case("train-npy", f"{TRAIN} --data x.npy --random-weights 1"),
    Case("train-junk", f"{TRAIN} --data d.npz --random-weights 1", raw("d.npz", b"PK junk")),
    Case("train-no-weights", f"{TRAIN} --data d.npz", archive("d.npz", x=XS, target=XS)),
    Case(
        "train-wrong-data",
        f"{TRAIN} --data d.npz --random-weights 1",
        archive("d.npz", x=np.full_like(XS, np.inf), targets=XS, target=XS[:, :2], keep=XS),
    ),
    Case(
        "train-other-samples",
        f"{TRAIN} --data d.npz --random-weights 1",
        archive("d.npz", x=XS, target=XS[:2]),
    ),
    Case(
        "train-settings",
        f"{TRAIN} --data d.npz --random-weights 1 --epochs 0 --batch-size -3 --learning-rate nan "
        "--momentum 1 --seed -1 --validation 1 --train ,",
    ),
    Case("train-no-number", f"{TRAIN} --data d.npz --learning-rate fast"),
    Case("train-no-integer", f"{TRAIN} --data d.npz --epochs 2.5"),
    Case("train-reduction", f"{TRAIN} --data d.npz --reduction max"),
    Case(
        "train-unknown-tensor",
        f"{TRAIN} --data d.npz --random-weights 1 --train W_Q,W_X",
        archive("d.npz", x=XS, target=XS),
    ),
    Case(
        "train-validation",
        f"{TRAIN} --data d.npz --random-weights 1 --validation 0.01",
        archive("d.npz", x=XS, target=XS),
    ),
    Case(
        "train-nothing-to-resume",
        f"{TRAIN} --data d.npz --random-weights 1 --resume",
        archive("d.npz", x=XS, target=XS),
    ),
    Case("train-over-another", f"{TRAIN} --data d.npz --random-weights 1", trained()),
    Case(
        "train-resume-other-settings",
        f"{TRAIN} --data d.npz --random-weights 2 --momentum 0.5 --seed 3 --resume",
        trained(),
    ),
    Case(
        "train-resume-other-data",
        f"{TRAIN} --data d.npz --random-weights 1 --resume",
        trained(archive("d.npz", x=XS, target=-XS)),
    ),
    Case(
        "train-resume-fewer", f"{TRAIN} --data d.npz --random-weights 1 --resume", trained(epochs=2)
    ),
    Case(
        "train-resume-cut",
        f"{TRAIN} --data d.npz --random-weights 1 --resume",
        trained(cut("t/checkpoint.safetensors", 900)),
    ),
    Case(
        "train-resume-no-checkpoint",
        f"{TRAIN} --data d.npz --random-weights 1 --resume",
        trained(lambda f: save_file({"W_Q": X}, f / "t" / "checkpoint.safetensors")),
    ),
    Case(
        "train-below-file",
        "train ok.toml -o ok.toml/t --data d.npz --random-weights 1",
        archive("d.npz", x=XS, target=XS),
    ),
]

LONG = re.compile(r"9{100,}")
MORE_PASSES = re.compile(r"(?<=there are: none, default, aggressive, ).*")  # there will be new ones
USAGE = re.compile(r"\Ausage: (?:.*\n)+?(?=cortico )")


def test_every_case_has_its_file():
    names = {f"{case.name}.expect" for case in CASES} | {"unwritable-folder.expect"}
    assert len(names) == len(CASES) + 1
    assert {path.name for path in ERRORS.iterdir()} == names


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_message(case, home, cortico, golden):
    case.prepare(home)
    before = tree(home)
    code, printed, errors = cortico(*shlex.split(case.command))
    compare(golden, case.name, f"cortico {case.command}", code, errors)
    assert code == 2
    assert printed == ""
    assert tree(home) == before


def test_unwritable_folder(home, cortico, golden, monkeypatch):
    monkeypatch.chdir("/proc")
    code, printed, errors = cortico("compile", home / "ok.toml")
    command = f"cd /proc; cortico compile {home}/ok.toml"
    compare(golden, "unwritable-folder", command.replace(str(home), "HOME"), code, errors)
    assert (code, printed) == (2, "")


def compare(golden, name, command, code, errors):
    message = MORE_PASSES.sub("…", USAGE.sub("", errors))
    assert "Traceback" not in message
    assert "internal error" not in message
    assert all(c.isprintable() or c == "\n" for c in message)
    golden(f"{LONG.sub('999…', command)}\n{code}\n{message}", f"{name}.expect", ERRORS)


def test_debug_shows_where(cortico):
    for arguments in (("--debug", "show", "lost"), ("show", "lost", "--debug")):
        with pytest.raises(Exception, match="cannot read 'lost'"):
            cortico(*arguments)


def test_graph_of_too_many_neurons(home, capfd):
    huge(home)
    circuit = load_circuit(home / "huge" / "circuit.cortico")
    synapses = circuit.counts().synapses
    assert synapses > 10**25
    with pytest.raises(CircuitError, match=f"has {synapses} synapses, more than the limit of"):
        circuit.to_networkx("neuron")


def test_our_own_errors_ask_for_a_report(cortico, monkeypatch):
    def fail(*arguments, **options):
        raise KeyError("lost")

    monkeypatch.setattr("cortico.pipeline.compile_attention", fail)
    code, _, errors = cortico("compile", "ok.toml")
    assert code == 1
    assert errors == (
        "cortico: internal error, please report it: KeyError: 'lost' (--debug shows where)\n"
    )


def test_memory_error_is_one_line(cortico, home, monkeypatch):
    def fail(*arguments, **options):
        raise MemoryError("Unable to allocate 8 TiB")

    before = tree(home)
    monkeypatch.setattr("cortico.pipeline.save_circuit", fail)
    code, _, errors = cortico("compile", "ok.toml", "-o", "out")
    assert (code, errors) == (1, "cortico: out of memory: Unable to allocate 8 TiB\n")
    assert tree(home) == before


def test_full_disk_leaves_what_was_there(cortico, home, monkeypatch):
    def fail(*arguments, **options):
        raise OSError(28, "No space left on device")

    before = tree(home)
    monkeypatch.setattr("cortico.pipeline.save_circuit", fail)
    for folder in ("out", "new/folder"):
        code, _, errors = cortico("compile", "ok.toml", "-o", folder)
        assert (code, errors) == (
            1,
            f"cortico: cannot read or write {folder!r}: No space left on device\n",
        )
        assert tree(home) == before
