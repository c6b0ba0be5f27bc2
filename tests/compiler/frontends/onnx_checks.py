"""What tests of ONNX files share: exports by torch, and a file compared with a spec."""

import contextlib
import dataclasses
import io
import warnings

import numpy as np
import onnxruntime
import pytest

from cortico import SpecError, get_runner, lower
from cortico.frontends import read_checkpoint
from cortico.spec import AttentionSpec, Bias, PositionBias
from cortico.spec.weights import random_weights
from tests.oracle import textbook_attention


def export(module, arguments, path, **options):
    import torch

    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        torch.onnx.export(module.eval(), arguments, str(path), verbose=False, **options)
    return path


def spec_and_weights(**options):
    spec = AttentionSpec(8, 2, bias=Bias(True, True, True, True), **options)
    return spec, random_weights(spec, 1)


def check_file(path, spec, weights, **inputs):
    """The file means the spec, by the textbook and by onnxruntime."""
    found, read = read_checkpoint(path)
    assert dataclasses.replace(found, name=spec.name) == spec
    for name, array in weights.items():
        if name == "position_bias":  # softmax sees no number that a whole row has
            array = array - array[..., :1]
        np.testing.assert_allclose(read[name], array, rtol=1e-5, atol=1e-6)
    assert read.keys() == weights.keys()
    feeds = {n: a if a.dtype != np.float64 else a.astype(np.float32) for n, a in inputs.items()}
    session = onnxruntime.InferenceSession(str(path))
    given = {value.name for value in session.get_inputs()}
    (y,) = session.run(None, {n: a for n, a in feeds.items() if n in given})
    for k in range(len(y)):
        one = {n: (a[k] if a.ndim > 1 else a) for n, a in inputs.items() if n != "mask"}
        if "mask" in inputs:
            one["keep"] = inputs["mask"][k].astype(bool)
        expected = textbook_attention(spec, weights, **one)
        np.testing.assert_allclose(y[k], expected, rtol=0, atol=1e-5 * abs(expected).max())


def agrees(path, feeds, keep=None, tolerance=1e-5, bias=None):
    """The spec of a file, which computes what onnxruntime does; `keep` is what its padding says, `bias` its bias."""
    spec, weights = read_checkpoint(path)
    session = onnxruntime.InferenceSession(str(path))
    given = {value.name for value in session.get_inputs()}
    y = session.run(None, {name: array for name, array in feeds.items() if name in given})[0]
    inputs = {"x": feeds["x"], **({"context": feeds["context"]} if spec.cross else {})}
    assert spec.key_padding == (keep is not None)
    if keep is not None:
        inputs["keep"] = keep
    assert (spec.position_bias is PositionBias.INPUT) == (bias is not None)
    if bias is not None:
        inputs["score_bias"] = bias
    mine = get_runner("numpy").run(lower(spec, weights), inputs)["y"]
    np.testing.assert_allclose(mine, y, rtol=0, atol=tolerance * abs(y).max())
    return spec


def refused(path, message):
    """The file is refused in one line that says this."""
    with pytest.raises(SpecError, match=message) as caught:
        read_checkpoint(path)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


X = np.random.default_rng(3).standard_normal((2, 5, 8))
