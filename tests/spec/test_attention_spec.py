"""`AttentionSpec` in Python: what its fields take, what they then hold, and what is refused, all at once."""

import copy
import inspect
import pickle
import subprocess
import sys
from dataclasses import FrozenInstanceError, fields, is_dataclass, replace
from enum import StrEnum

import numpy as np
import pytest
import torch
from hypothesis import given

import cortico
from cortico import (
    AttentionSpec,
    Bias,
    Kernel,
    Mask,
    Microcircuit,
    NormOver,
    Nucleus,
    PositionBias,
    QueryKeyNorm,
    Rotary,
    RotaryStyle,
    SpecError,
    Thalamus,
)
from cortico.frontends import spec_from_mapping, spec_to_mapping
from tests.spec_strategies import specs

EXACT = AttentionSpec(
    8,
    4,
    kv_heads=2,
    key_features=6,
    tokens=5,
    kernel=Kernel.LINEAR,
    mask=Mask.WINDOW,
    window=3,
    scale=2.0,
    soft_cap=30.0,
    bias=Bias(query=True, key=True, value=True, output=True),
    qk_norm=QueryKeyNorm(NormOver.WIDTH, 1.0),
    rotary=Rotary(500.0, RotaryStyle.INTERLEAVED, 4),
    position_bias=PositionBias.ALIBI,
    key_padding=True,
    thalamus=Thalamus(key=Nucleus.MATRIX),
)
KIND = {
    "kv_heads": (2, np.int64(2), np.uint8(2), np.array(2), torch.tensor(2)),
    "tokens": (5, np.int32(5)),
    "kernel": ("linear", np.str_("linear"), Kernel.LINEAR),
    "mask": ("window",),
    "scale": (2, 2.0, np.float32(2), np.int64(2), torch.tensor(2.0)),
    "soft_cap": (30, np.float64(30)),
    "bias": (True, np.bool_(True), dict.fromkeys(("query", "key", "value", "output"), True)),
    "qk_norm": ({"over": "width", "eps": 1}, QueryKeyNorm("width", np.int8(1))),
    "rotary": (
        {"base": 500, "style": "interleaved", "rotated": 4},
        Rotary(500, "interleaved", np.int64(4)),
    ),
    "position_bias": ("alibi",),
    "key_padding": (np.bool_(True), np.array(True)),
    "thalamus": ({"key": "matrix"}, Thalamus(key="matrix"), {"key": Nucleus.MATRIX}),
}


def types_of(record):
    return {n: types_of(v) if is_dataclass(v) else type(v) for n, v in vars(record).items()}


@pytest.mark.parametrize(("field", "value"), [(f, v) for f, vs in KIND.items() for v in vs])
def test_a_field_holds_its_own_type(field, value):
    found = replace(EXACT, **{field: value})
    assert found == EXACT and hash(found) == hash(EXACT)
    assert types_of(found) == types_of(EXACT)


def test_as_one_would_write_it():
    spec = AttentionSpec(model=8, heads=2, mask="causal", kernel="linear", bias=True, rotary=True)
    everywhere = Bias(query=True, key=True, value=True, output=True)
    exact = AttentionSpec(
        8, 2, mask=Mask.CAUSAL, kernel=Kernel.LINEAR, bias=everywhere, rotary=Rotary()
    )
    assert spec == exact and types_of(spec) == types_of(exact)
    memory = AttentionSpec(8, 2, kernel="linear", microcircuit="memory", qk_norm=True)
    assert (memory.microcircuit, memory.qk_norm) == (Microcircuit.MEMORY, QueryKeyNorm())
    off = AttentionSpec(8, 2, bias=False, rotary=False, qk_norm=False, thalamus={})
    assert off == AttentionSpec(8, 2) and off.rotary is None and off.qk_norm is None


@pytest.mark.slow
@given(spec=specs())
def test_what_a_file_says_is_what_python_takes(spec):
    """Each field accepts what a spec file has for it: the conversion is one."""
    table = spec_to_mapping(spec)
    assert AttentionSpec(**table) == spec_from_mapping(table) == spec
    assert types_of(AttentionSpec(**table)) == types_of(spec)


def test_it_stays_a_value(tmp_path):
    spec = AttentionSpec(np.int64(8), 2, mask="causal", rotary=True, scale=np.float32(0.5))
    for same in (copy.copy(spec), copy.deepcopy(spec), pickle.loads(pickle.dumps(spec))):
        assert same == spec and hash(same) == hash(spec) and types_of(same) == types_of(spec)
    assert replace(spec, mask="none").mask is Mask.NONE
    assert repr(spec) == repr(AttentionSpec(8, 2, mask=Mask.CAUSAL, rotary=Rotary(), scale=0.5))
    with pytest.raises(FrozenInstanceError):
        spec.mask = "none"


# ---- what is refused ---------------------------------------------------------------------------------


class Paint(StrEnum):
    NONE = "none"


WRONG = {
    "model": (
        True,
        2.0,
        "8",
        None,
        0,
        -1,
        [8],
        np.float64(8),
        np.bool_(True),
        np.array([8]),
        2**70,
    ),
    "heads": (True, 2.0, np.float32(2), "2", None, 0, 1j, torch.tensor([2])),
    "tokens": (2.5, "2 n", True, None, ["n"], "ñ"),
    "kernel": ("sofmax", 1, None, True, Paint.NONE, ["linear"]),
    "mask": ("casual", "Causal", True, Paint.NONE, PositionBias.NONE, None),
    "scale": (True, "0.5", float("nan"), float("inf"), 1j, np.bool_(True), [1.0]),
    "soft_cap": (0, -1.0, False),
    "bias": (3, "query", None, 1.0, [True], {"query": 1}, {"qeury": True}, Rotary()),
    "qk_norm": (3, "width", {"over": "heads"}, Bias()),
    "rotary": (3, "interleaved", {"base": 0}, {"rotated": True}, Rotary),
    "sink": ("yes", 1, None, 0.0, np.int64(1)),
    "cross": ("no", 0),
    "key_padding": ("true",),
    "thalamus": (True, "core", {"query": "cortex"}, None),
    "microcircuit": ("memroy", 0),
    "name": (3, None, b"a"),
}


@pytest.mark.parametrize(("field", "value"), [(f, v) for f, vs in WRONG.items() for v in vs])
def test_wrong_kinds(field, value):
    with pytest.raises(SpecError, match=rf"spec .* is wrong:\n  - {field}") as caught:
        AttentionSpec(**{"model": 8, field: value})
    assert str(caught.value).count("\n") == 1 and len(str(caught.value)) < 400


def test_a_residual_is_a_block_of_a_model():
    with pytest.raises(
        SpecError, match=r"'residual' is not a field: it is a block of a whole model"
    ):
        spec_from_mapping({"model": 8, "residual": True})


def test_all_problems_at_once_with_near_names():
    with pytest.raises(SpecError) as caught:
        AttentionSpec(
            8.0, True, kernel="sofmax", mask="casual", sink="yes", bias=3, rotary={"bas": 2}
        )
    assert str(caught.value).splitlines() == [
        "spec 'attention' is wrong:",
        "  - model must be a positive integer, found 8.0",
        "  - heads must be a positive integer, found True",
        "  - kernel must be one of linear, softmax, found 'sofmax' (did you mean 'softmax'?)",
        "  - mask must be one of none, causal, window, bidirectional_window, found 'casual' (did you mean 'causal'?)",
        "  - bias must be true or false or a table with query, key, value, output, found 3",
        "  - rotary.'bas' is not a field (did you mean 'base'?)",
        "  - sink must be true or false, found 'yes'",
    ]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Rotary(style="half-split"), "style must be one of half_split, interleaved, found"),
        (lambda: Rotary(base="1e4"), r"base must be a positive number, .* \(write 10000.0\)"),
        (lambda: QueryKeyNorm(over="heads"), "over must be one of head, width, found 'heads'"),
        (lambda: Bias(query=1), "query must be true or false, found 1"),
        (lambda: Thalamus(key="cor"), "key must be one of core, matrix, found 'cor'"),
    ],
)
def test_the_parts_refuse_by_themselves(make, said):
    with pytest.raises(SpecError, match=f" is wrong:\n  - {said}"):
        make()


# ---- what is declared --------------------------------------------------------------------------------

PARTS = (AttentionSpec, Bias, QueryKeyNorm, Rotary, Thalamus)

TYPED = """
from dataclasses import replace
import numpy as np
from cortico import AttentionSpec, Kernel, Mask, Rotary, Thalamus, compile_attention, get_runner
spec = AttentionSpec(model=np.int64(8), heads=2, mask="causal", kernel="linear", bias=True,
                     rotary=True, scale=1, thalamus={"key": "matrix"}, qk_norm={"eps": 1e-5})
AttentionSpec(8, 2, 1, mask=Mask.CAUSAL, rotary=Rotary(style="interleaved"), thalamus=Thalamus("core"))
mask: Mask = replace(spec, heads=4).mask
scale: float | None = spec.scale
compiled = compile_attention(spec, {"W_Q": [[[1.0]]]}, ["prune-dead"])
y: np.ndarray = get_runner("numpy").run(compiled.circuit, {"x": [[1.0]]})["y"]
"""
MISTYPED = {
    'AttentionSpec(model="8")': "arg-type",
    "AttentionSpec(8, mask=3)": "arg-type",
    "AttentionSpec(8, sink='yes')": "arg-type",
    "AttentionSpec(8, heads=2.0)": "arg-type",
    "spec.mask.window": "attr-defined",
}


def test_the_constructors_that_types_are_checked_by_are_those_there_are():
    """Each says in its signature for mypy the fields that it has, in their order."""
    for kind in PARTS:
        source = inspect.getsource(kind)
        declared = source.partition("def __init__(")[2].partition(") -> None")[0]
        names = [part.partition(":")[0].strip() for part in declared.split(",") if ":" in part]
        assert names == [field.name for field in fields(kind)]
        assert names == list(inspect.signature(kind).parameters)


def test_every_type_of_a_field_is_exported():
    """With the types of the fields of these."""
    types = {
        type(v)
        for part in (*PARTS, *map(type, [EXACT]))
        for v in vars(part(8) if part is AttentionSpec else part()).values()
    }
    own = {kind for kind in types if kind.__module__.startswith("cortico")} | {*PARTS}
    assert {kind.__name__ for kind in own} <= {*cortico.__all__}
    assert all(getattr(cortico, kind.__name__) is kind for kind in own)


@pytest.mark.full
def test_types(tmp_path):
    file = tmp_path / "typed.py"
    wrong = "".join(f"{line}  # line {k}\n" for k, line in enumerate(MISTYPED))
    file.write_text(TYPED + wrong)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", str(file)],
        capture_output=True,
        text=True,
        check=False,
    )
    found = [line for line in done.stdout.splitlines() if ": error:" in line]
    first = TYPED.count("\n") + 1
    assert [int(line.split(":")[1]) for line in found] == [
        first + k for k in range(len(MISTYPED))
    ], done.stdout
    assert all(f"[{code}]" in line for line, code in zip(found, MISTYPED.values(), strict=True))
