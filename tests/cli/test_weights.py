"""Weights given when a circuit runs: the spec's own tensors, whatever shapes the circuit wants."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from cortico.cli import main
from cortico.spec import AttentionSpec
from cortico.spec.weights import random_weights
from tests.oracle import textbook_attention

SPECS = {
    "plain": {"model": 8, "heads": 2},
    "grouped": {"model": 8, "heads": 4, "kv_heads": 2, "bias": {"query": True, "key": True}},
    "rotary": {"model": 8, "heads": 2, "rotary": {}},
    "normed": {"model": 8, "heads": 4, "kv_heads": 2, "qk_norm": {}, "soft_cap": 0.8},
    "normed width": {
        "model": 8,
        "heads": 4,
        "kv_heads": 2,
        "qk_norm": {"over": "width", "eps": 0.1},
        "rotary": {},
    },
    "memory": {"model": 8, "heads": 2, "kernel": "linear", "microcircuit": "memory"},
}


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("passes", ["none", "default"])
def test_run_with_weights(name, passes, tmp_path, monkeypatch, capsys):
    from cortico.frontends import spec_from_mapping

    monkeypatch.chdir(tmp_path)
    spec: AttentionSpec = spec_from_mapping(SPECS[name])
    weights = random_weights(spec)
    x = np.random.default_rng(0).standard_normal((5, 8))
    (tmp_path / "s.json").write_text(json.dumps(SPECS[name]))
    np.save("x.npy", x)
    save_file({key: np.ascontiguousarray(array) for key, array in weights.items()}, "w.safetensors")
    assert main(["compile", "s.json", "-o", "made", "--passes", passes]) == 0
    run = ["run", "made", "-i", "x.npy", "-o", "y.npy"]
    assert main([*run, "--weights", "w.safetensors"]) == 0
    np.testing.assert_allclose(np.load("y.npy"), textbook_attention(spec, weights, x), rtol=1e-9)
    assert main(["compile", "s.json", "-o", "own", "--weights", "w.safetensors"]) == 0
    capsys.readouterr()
    assert main(["run", "own", "-i", "x.npy", "--weights", "w.safetensors"]) == 2
    assert "'own' has weights of its own" in capsys.readouterr().err
