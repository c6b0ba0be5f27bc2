"""Valid ONNX graphs, changed so that most stay valid: what is read of them is what onnxruntime computes.

A trial writes attention in one of many ways, changes nodes, attributes, stored numbers, inputs and sizes at random, and
reads it. Where onnxruntime runs the file and it is read, its tokens and output are taken out of
onnxruntime at a number of tokens that reading does not use. It is wrong when these differ from the
textbook, when anything but one line comes out, and when reading takes more than five seconds of work.
"""

from __future__ import annotations

import tempfile
import time
import warnings
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

from cortico.frontends import read_checkpoint
from cortico.frontends.onnx_file.graph import load
from cortico.frontends.onnx_file.inputs import UNSEEN, Role
from cortico.frontends.onnx_file.reading import Reading
from cortico.frontends.onnx_file.sites import all_sites
from cortico.ir.errors import CorticoError
from cortico.spec import AttentionSpec, Bias
from cortico.spec.weights import random_weights
from tests.attack.bounded import (
    BYTES,
    CHARACTERS,
    SECONDS,
    TooSlow,
    alarm,
    forget_most,
    most_resident,
)
from tests.attack.onnx_changes import CHANGES
from tests.attack.trial import Trial
from tests.compiler.frontends import onnx_graphs
from tests.compiler.frontends.onnx_graphs import MICROSOFT, Writer, linear, out
from tests.oracle import textbook_attention

#: Largest difference from onnxruntime in float32, relative to the largest number.
TOLERANCE = 1e-3
#: Numbers of tokens of which one is tried, where any number is taken.
TOKENS = (2, 5, 9, 37, 280)
#: Trials that pytest makes.
IN_TESTS = 40
REGRESSIONS: tuple[int, ...] = ()

SPEC = AttentionSpec(8, 2, bias=Bias(True, True, True, True))
WIDE = AttentionSpec(32, 2, kv_heads=1)


def trial(seed: int) -> Trial:
    """One graph, what is read of it, and what onnxruntime makes of it."""
    random = Random(seed)
    onnxruntime.set_default_logger_severity(4)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(folder) / "a.onnx"
        kind = random.choice(KINDS)
        kind(path, random)
        model = onnx.load(path)
        done = [kind.__name__]
        for _ in range(random.choice((0, 1, 1, 1, 2, 3))):
            change = random.choice(CHANGES)
            done.append(f"{change.__name__} {change(model, random)}")
        onnx.save_model(model, path)
        started, before = time.process_time(), forget_most()
        said, wrong, read = _read(path)
        seconds, grown = time.process_time() - started, most_resident() - before
        if grown > BYTES:
            wrong = f"{grown:,} bytes"
        if read is not None and not wrong:
            said, wrong = _compared(path, model, read, random, seed)
    return Trial(said, bool(wrong), f"{'; '.join(done)}: {wrong}", kind.__name__, seconds)


def _read(path: Path) -> tuple[str, str, Any]:
    """The word for what happened, what is wrong with it, and what was read."""
    try:
        with alarm():
            return "read", "", read_checkpoint(path)
    except CorticoError as error:
        text = str(error)
        is_short = "\n" not in text and len(text) < CHARACTERS
        return "refused", "" if is_short else f"error: {text[:300]}", None
    except TooSlow:
        return "hung", f"more than {SECONDS} s", None
    except Exception as error:
        return "broke", f"{type(error).__name__}: {error}"[:300], None


def _compared(
    path: Path, model: onnx.ModelProto, read: Any, random: Random, seed: int
) -> tuple[str, str]:
    spec, weights = read
    graph = load(path)
    reading = Reading(graph, all_sites(graph)[0])
    probe = reading.probe.at(2, random.choice(TOKENS))
    keep = np.ones(probe.sources.shape[:2], bool)
    bias = np.zeros((*probe.queries.shape[:2], probe.sources.tokens))
    for name, role in probe.roles.items():
        keep = keep & probe.some_exist(name) if role.pads else keep
        bias = probe.some_bias(name) if role.of_pairs else bias
    rng = np.random.default_rng(seed)
    feeds = probe.inputs(keep, bias=bias)
    for value in graph.inputs:  # those without a role do not matter: they get random numbers
        if value.name not in probe.roles:
            shape = feeds[value.name].shape
            whole = feeds[value.name].dtype.kind != "f"
            feeds[value.name] = np.ones(shape) if whole else rng.standard_normal(shape)
    try:
        x, context, y = _run(model, feeds, [probe.queries.name, probe.sources.name, reading.output])
    except Exception as error:
        return "no onnxruntime", "" if str(error) else "no reason"
    if not np.isfinite(y).all():
        return "no numbers", ""
    bias = bias[:, : x.shape[1]]  # where tokens are made of an input, these may be fewer
    for k in range(len(x)):
        given = {"context": context[k]} if spec.cross else {}
        expected = textbook_attention(
            spec, weights, x[k], keep=keep[k], score_bias=bias[k], **given
        )
        seeing = _seeing(spec, keep[k] & (bias[k] > UNSEEN))
        if Role.FIRST in probe.roles.values():  # GroupQueryAttention leaves the others open
            seeing = seeing & keep[k]
        off = np.abs(y.reshape(len(x), *expected.shape)[k] - expected)[seeing].max(initial=0)
        if not off <= TOLERANCE * max(np.abs(expected).max(), 1e-3):
            return "differs", f"{off / np.abs(expected).max():.1e} with {len(x[k])} tokens: {spec}"
    return "agrees", ""


def _seeing(spec: AttentionSpec, live: np.ndarray) -> np.ndarray:
    """Queries that see a token, of those that are live (i, j): what others get is not said by files."""
    queries, sources = live.shape
    ahead = np.arange(sources) - np.arange(queries)[:, None]
    if spec.mask != "none":
        live = live & (ahead <= 0) & (ahead > -(spec.window or sources))
    return np.asarray(live.any(1))


def _run(model: onnx.ModelProto, feeds: dict[str, Any], names: list[str]) -> list[np.ndarray]:
    """Values of a graph, by onnxruntime."""
    known = {value.name for value in model.graph.input}
    outputs = [name for name in dict.fromkeys(names) if name not in known]
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    del shown.graph.output[:]
    shown.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in outputs)
    session = onnxruntime.InferenceSession(shown.SerializeToString())
    typed = {}
    for value in session.get_inputs():
        kind = {"tensor(float)": np.float32, "tensor(float16)": np.float16}.get(value.type)
        typed[value.name] = feeds[value.name].astype(kind) if kind else feeds[value.name]
    found = dict(zip(outputs, session.run(outputs, typed), strict=True))
    return [np.asarray(found.get(name, feeds.get(name)), np.float64) for name in names]


# ---- ways to write attention ---------------------------------------------------------------------------


def written_out(path: Path, random: Random) -> None:
    """MatMul, Softmax, MatMul."""
    write = Writer(random.choice(("initializer", "Constant")))
    window = random.choice((None, None, 2, 3, 20, 270))

    def mask(write, scores):
        if capped:
            scores = write("Tanh", write("Div", scores, np.array(capped)))
            scores = write("Mul", scores, np.array(capped))
        if biased:
            scores = write("Add", scores, write.input("bias", ["b", 1, "n", "n"]))
        scores = onnx_graphs.causal(write, scores, window) if causal else scores
        if padded:
            keep = write.input("mask", ["b", "n"], TensorProto.INT64)
            live = write("Equal", write("Unsqueeze", keep, np.array([1, 2])), np.array(1))
            scores = write("Where", live, scores, np.array(-1e9))
        return scores

    causal, padded = random.random() < 0.5, random.random() < 0.3
    capped, biased = random.choice((0, 0, 0.5, 30.0)), random.random() < 0.2
    scale = random.choice(("scores", "split", "query"))
    context = None if causal or padded else random.choice((None, None, True))
    spec = AttentionSpec(8, 2, bias=SPEC.bias, cross=bool(context), context=6 if context else None)
    last = onnx_graphs.decomposed(write, random_weights(spec, 1), scale, mask, context)
    write.save(path, last)


def operator(path: Path, random: Random) -> None:
    """The operator of ONNX."""
    write = Writer(opset=random.choice((23, 24, 25)))
    count = random.choice(("n", "n", 5))
    x = write.input("x", ["b", count, 8])
    parts = [linear(write, x, random_weights(SPEC, 1), name) for name in "QKV"]
    options: dict[str, Any] = {
        "q_num_heads": 2,
        "kv_num_heads": 2,
        "is_causal": random.choice((0, 1)),
    }
    if random.random() < 0.3:
        options["softcap"] = random.choice((0.0, 0.3, 50.0))
    rng = np.random.default_rng(random.randrange(9))
    if count == "n" and random.random() < 0.3:
        kind = random.choice((TensorProto.FLOAT, TensorProto.BOOL))
        parts.append(write.input("bias", ["b", 1, "n", "n"], kind))
    if count == 5 and random.random() < 0.6:
        mask = rng.standard_normal((2, 5, 5)) if random.random() < 0.5 else rng.random((5, 5)) < 0.8
        parts.append(write.store(mask))
    if write.opset == 25 and random.random() < 0.5:
        options["left_window_size"] = random.choice((0, 2, 30))
    write.save(path, out(write, write("Attention", *parts, **options), random_weights(SPEC, 1)))


def multihead(path: Path, random: Random) -> None:
    """`MultiHeadAttention` of onnxruntime, with a mask or a bias."""
    write, weights = Writer(), random_weights(SPEC, 1)
    count = random.choice(("n", "n", 5))
    x = write.input("x", ["b" if count == "n" else 2, count, 8])
    names = [linear(write, x, weights, name) for name in "QKV"]
    names += [write.store(np.ones(24) / 3) if random.random() < 0.5 else "", "", ""]
    if random.random() < 0.4:
        names[4] = write.input("mask", ["b" if count == "n" else 2, count], TensorProto.INT32)
    elif count == 5 and random.random() < 0.5:
        names[5] = write.store(np.random.default_rng(1).standard_normal((1, 2, 5, 5)))
    options = {"num_heads": 2, "unidirectional": random.choice((0, 1))}
    while not names[-1]:
        names.pop()
    joined = write("MultiHeadAttention", *names, domain=MICROSOFT, **options)
    write.save(path, out(write, joined, weights))


def packed(path: Path, random: Random) -> None:
    """`Attention` of onnxruntime, with its maps inside."""
    write, weights = Writer(), random_weights(SPEC, 1)
    x = write.input("x", ["b", "n", 8])
    parts = [onnx_graphs.flat(weights, name) for name in "QKV"]
    matrix, bias = (np.concatenate([part[k] for part in parts], -1) for k in (0, 1))
    names = [x, write.store(matrix), write.store(bias)]
    if random.random() < 0.4:
        names.append(write.input("mask", ["b", "n"], TensorProto.INT32))
    options = {"num_heads": 2, "unidirectional": random.choice((0, 1))}
    joined = write("Attention", *names, domain=MICROSOFT, **options)
    write.save(path, out(write, joined, weights))


def grouped(path: Path, random: Random) -> None:
    """`RotaryEmbedding` and `GroupQueryAttention` of onnxruntime, but for its cache."""
    write, weights = Writer(), random_weights(WIDE, 1)
    x = write.input("x", [1, "n", 32])
    total = write("Cast", write("Shape", x, start=1, end=2), to=TensorProto.INT32)
    count = total
    if random.random() < 0.4:  # as models do that generate text
        mask = write.input("mask", [1, "n"], TensorProto.INT32)
        count = write("ReduceSum", mask, np.array([1]), keepdims=0)
    lengths = write("Sub", count, np.array([1], np.int32))
    names = [linear(write, x, weights, name) for name in "QKV"] + ["", "", lengths, total]
    options = {"num_heads": 2, "kv_num_heads": 1, "causal": random.choice((0, 1, 1))}
    rows = random.choice((300, 400))
    angles = np.arange(rows)[:, None] * 100.0 ** -np.linspace(0, 0.9, 8)
    names += [write.store(np.cos(angles)), write.store(np.sin(angles))]
    options["do_rotary"] = random.choice((0, 1))
    options["rotary_interleaved"] = random.choice((0, 1))
    if options["causal"]:
        options["local_window_size"] = random.choice((-1, 3, 40))
    if random.random() < 0.3:
        names += ["", "", write.store(np.array([0.5, -1.0]))]
    joined = write("GroupQueryAttention", *names, domain=MICROSOFT, outputs=3, **options)[0]
    write.save(path, out(write, joined, weights))


KINDS = (written_out, written_out, written_out, operator, multihead, packed, grouped)
