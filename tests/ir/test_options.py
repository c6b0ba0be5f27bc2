"""Options: mapping to dataclass and back, every wrong kind, all problems at once."""

import math
import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Literal, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortico.backends.annarchy.options import Options as Annarchy
from cortico.backends.brian2.options import Options as Brian2
from cortico.backends.graphml import Options as Graphml
from cortico.backends.nengo.options import Options as Nengo
from cortico.backends.nest.options import Options as Nest
from cortico.backends.neuron.options import Options as Neuron
from cortico.backends.nir.options import Options as Nir
from cortico.backends.numpy.running import Options as Numpy
from cortico.backends.onnx import Options as Onnx
from cortico.backends.sonata import Options as Sonata
from cortico.ir import SpecError
from cortico.ir.fields import converted
from cortico.ir.limits import DIGITS, SIZE
from cortico.ir.options import (
    BELOW_ONE,
    LEAST,
    MOST,
    Help,
    Only,
    OptionSet,
    Rule,
    alternatives,
    build,
    choices_of,
    expected,
    from_text,
    hints,
    key_value,
    marks,
    number,
    plain_value,
    to_mapping,
    whole,
)
from cortico.learning.training import Settings
from cortico.passes import PASSES
from cortico.spec import AttentionSpec

SETS = (Annarchy, Brian2, Graphml, Nengo, Nest, Neuron, Nir, Numpy, Onnx, Sonata, *PASSES)


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True)
class Inner(OptionSet):
    owner = "inner"

    flag: bool = False
    part: Annotated[float, number(0, BELOW_ONE, "a part of 1")] = 0.5


@dataclass(frozen=True)
class Every(OptionSet):
    """One field of each kind."""

    owner = "engine every"

    name: str
    size: Annotated[int, whole(1, 9)] = 1
    count: int = 0
    time: Annotated[float, number(LEAST, MOST, "a positive number"), Help("in ms")] | None = None
    method: Annotated[Literal["euler", "rk4", "heun"], Help("how")] = "euler"
    cells: Literal["rate", "lif"] = "rate"
    seed: Annotated[int, whole(0, 9), Only("cells", "lif")] = 0
    colour: Colour = Colour.RED
    names: tuple[str, ...] | None = None
    extent: (
        Annotated[int, whole(1, 9, "a size")] | Annotated[str, Rule("a symbol", str.isidentifier)]
    ) = "n"
    inner: Inner = field(default_factory=Inner)


@st.composite
def every_mapping(draw):
    """Tables as TOML and JSON have them, that read as `Every`."""
    floats = st.floats(min_value=LEAST, max_value=MOST)
    values = {
        "size": st.integers(1, 9),
        "count": st.integers(-SIZE + 1, SIZE - 1),
        "time": st.none() | floats | st.integers(1, 2**53 - 1),
        "method": st.sampled_from(["euler", "rk4", "heun"]),
        "cells": st.sampled_from(["rate", "lif"]),
        "seed": st.integers(0, 9),
        "colour": st.sampled_from(["red", "blue"]),
        "extent": st.integers(1, 9) | st.sampled_from(["n", "tokens"]),
        "inner": st.fixed_dictionaries(
            {}, optional={"flag": st.booleans(), "part": st.floats(0, BELOW_ONE)}
        ),
    }
    return draw(st.fixed_dictionaries({"name": st.text(max_size=5)}, optional=values))


def built(kind, mapping):
    problems = []
    found = build(kind, mapping, problems)
    assert (found is None) == bool(problems)
    return found, problems


# ---- mapping, dataclass, mapping -------------------------------------------------------------------


@given(mapping=every_mapping())
def test_mapping_to_dataclass_to_mapping(mapping):
    found, problems = built(Every, mapping)
    assert not problems
    for name, value in mapping.items():
        if name != "inner":
            assert getattr(found, name) == value
    written = to_mapping(found)
    assert built(Every, written) == (found, [])
    assert to_mapping(built(Every, written)[0]) == written
    assert all(getattr(found, n) != getattr(Every(name=""), n) for n in written if n != "name")
    assert {type(value) for value in written.values()} <= {str, int, float, dict}


def test_kinds_of_a_file_become_those_of_the_field():
    found, _ = built(Every, {"name": "a", "time": 3, "colour": "blue", "inner": {"flag": True}})
    assert type(found.time) is float and found.colour is Colour.BLUE and found.inner.flag is True
    assert to_mapping(found, always=("size",)) == {
        "name": "a",
        "size": 1,
        "time": 3.0,
        "colour": "blue",
        "inner": {"flag": True},
    }


# ---- every wrong kind ------------------------------------------------------------------------------

WRONG = {
    "name": [
        (3, "a text, found 3"),
        (None, "a text, found nothing"),
        ("\ud800", "half a character"),
    ],
    "size": [
        (0, "a whole number from 1 to 9, found 0"),
        (10, "found 10"),
        (True, "found True"),
        (2.0, "found 2.0"),
        ("2", "found '2'"),
        (None, "found nothing"),
        ([2], r"found \[2\]"),
        (math.nan, "found nan"),
        (10**400, "too large"),
    ],
    "count": [
        (SIZE, r"an integer, found .* \(it is too large\)"),
        (-SIZE, "too large"),
        (False, "False"),
    ],
    "time": [
        (0, "a positive number, found 0"),
        (-1.0, "found -1.0"),
        (math.inf, "found inf"),
        (math.nan, "found nan"),
        ("1e4", r"found '1e4' \(write 10000.0\)"),
        ("fast", "found 'fast'$"),
        (True, "found True"),
    ],
    "method": [
        ("rk", r"one of euler, rk4, heun, found 'rk' \(did you mean 'rk4'\?\)"),
        (3, "found 3$"),
        (None, "found nothing"),
    ],
    "cells": [("lfi", r"rate or lif, found 'lfi' \(did you mean 'lif'\?\)")],
    "colour": [("rot", "one of red, blue, found 'rot'"), ("bleu", "did you mean 'blue'")],
    "extent": [(0, "a size or a symbol, found 0"), ("2 n", "found '2 n'"), (1.0, "found 1.0")],
    "inner": [(True, "a table with flag, part, found True"), ([], "found")],
}
CASES = [(name, value, text) for name, cases in WRONG.items() for value, text in cases]


@pytest.mark.parametrize(("name", "value", "text"), CASES)
def test_every_wrong_kind(name, value, text):
    """The same words from a file, by name, and from the constructor."""
    message = f"^option {name} of engine every must be .*{text}"
    with pytest.raises(SpecError, match=message):
        Every.of({"name": "a", name: value})
    with pytest.raises(SpecError, match=message):
        Every(**{"name": "a", name: value})
    _, problems = built(Every, {"name": "a", name: value})
    (problem,) = problems
    assert re.search(f"^{name} must be .*{text}", problem)


def test_tables_in_tables():
    _, problems = built(Every, {"name": "a", "inner": {"part": 1, "flg": True, "flag": 0}})
    assert problems == [
        "inner.'flg' is not a field (did you mean 'flag'?)",
        "inner.flag must be true or false, found 0",
        "inner.part must be a part of 1, found 1",
    ]


def test_a_whole_number_may_stand_for_a_float():
    for made in (Every.of({"name": "a", "time": 3}), Every(name="a", time=3)):
        assert type(made.time) is float
    assert type(built(Every, {"name": "a", "time": 2**53 - 1})[0].time) is float
    assert built(Every, {"name": "a", "time": 2**53})[1]


def test_choices_become_members():
    for colour in ("blue", np.str_("blue"), Colour.BLUE):
        assert Every(name="a", colour=colour).colour is Colour.BLUE


class Paint(StrEnum):
    BLUE = "blue"


def test_a_choice_of_another_kind_is_none_of_this():
    with pytest.raises(SpecError, match="colour of engine every must be one of red, blue, found"):
        Every(name="a", colour=Paint.BLUE)


NUMPYS = {
    "size": (np.int64(3), np.uint8(3), np.array(3)),
    "time": (np.float32(3), np.float64(3), np.int16(3)),
    "method": (np.str_("rk4"),),
    "inner": ({"flag": np.bool_(True), "part": np.float16(0.25)},),
}


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, vs in NUMPYS.items() for v in vs])
def test_scalars_of_numpy_become_those_of_python(name, value):
    found = getattr(Every(**{"name": "a", name: value}), name)
    expected_ = {"size": 3, "time": 3.0, "method": "rk4", "inner": Inner(True, 0.25)}[name]
    assert found == expected_ and type(found) is type(expected_)
    assert (type(found), found) == (
        type(getattr(Every.of({"name": "a", name: value}), name)),
        expected_,
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("size", v) for v in (np.bool_(True), np.float64(3), np.array([3]), np.complex128(3))),
        *(("time", v) for v in (np.bool_(True), np.complex128(3), np.float32("nan"))),
        *(("count", v) for v in (np.uint64(SIZE), np.timedelta64(3, "D"))),
        ("inner", {"flag": np.int64(1)}),
    ],
)
def test_scalars_of_another_kind_are_refused(name, value):
    with pytest.raises(SpecError, match=f"option {name}.* of engine every must be"):
        Every(**{"name": "a", name: value})


def test_lists_have_members_of_one_kind():
    assert Every(name="a", names=("x", "y")).names == ("x", "y")
    assert Every(name="a", names=["x", "y"]).names == ("x", "y")
    for wrong in (["x", None], ("x", 3), "x", {"x"}):
        with pytest.raises(SpecError, match=r"names .* must be a list, each a text, found"):
            Every(name="a", names=wrong)


# ---- all at once -----------------------------------------------------------------------------------


def test_all_problems_at_once():
    with pytest.raises(SpecError) as caught:
        Every.of({"name": "a", "sise": 3, "size": 0, "method": "eular", "seed": 1})
    assert str(caught.value).splitlines() == [
        "options of engine every are wrong:",
        "  - engine every has no option 'sise' (did you mean 'size'?); it has: name, size, count, time, "
        "method, cells, seed, colour, names, extent, inner",
        "  - option size of engine every must be a whole number from 1 to 9, found 0",
        "  - option method of engine every must be one of euler, rk4, heun, found 'eular' "
        "(did you mean 'euler'?)",
        "  - option seed of engine every is for cells=lif only",
    ]


def test_all_problems_of_a_table_at_once():
    _, problems = built(Every, {"sise": 3, "size": 0, None: 1, "inner": {"part": 2}})
    assert problems == [
        "'sise' is not a field (did you mean 'size'?)",
        "nothing is not a field",
        "name is missing, expected a text",
        "size must be a whole number from 1 to 9, found 0",
        "inner.part must be a part of 1, found 2",
    ]
    _, problems = built(Every, dict.fromkeys(map(str, range(1000))))
    assert problems[0] == "the spec has 1,000 fields, expected at most 11"


def test_an_option_of_a_choice_that_was_not_made():
    assert Every.of({"name": "a", "seed": 3, "cells": "lif"}).seed == 3
    for given_ in ({"seed": 3}, {"seed": 0, "cells": "rate"}):
        with pytest.raises(SpecError, match="option seed of engine every is for cells=lif only"):
            Every.of({"name": "a", **given_})


# ---- texts -----------------------------------------------------------------------------------------


@given(mapping=every_mapping())
def test_texts_say_the_same_as_values(mapping):
    known = hints(Every)
    for name, value in mapping.items():
        if name not in ("inner", "name", "colour") and len(str(value).strip("-")) <= DIGITS:
            assert from_text(known[name], str(value)) == value


@pytest.mark.parametrize(
    ("hint", "text", "value"),
    [
        (bool, "True", True),
        (bool, "yes", "yes"),
        (int, "3", 3),
        (int, "3.5", "3.5"),
        (float, "3", 3.0),
        (str, "3", "3"),
        (str, "none", "none"),
        (float | None, "None", None),
        (int, "9" * 400, "9" * 400),
    ],
)
def test_a_text_is_read_as_its_field_is(hint, text, value):
    assert from_text(hint, text) == value
    assert type(from_text(hint, text)) is type(value)


def test_key_value():
    assert key_value("dt = 0.5") == ("dt", "0.5")
    assert key_value("a=b=c") == ("a", "b=c")
    assert key_value("a=") == ("a", "")
    for text in ("dt", "=3", ""):
        with pytest.raises(SpecError, match="expected KEY=VALUE, found"):
            key_value(text)
    assert [plain_value(t) for t in ("3", "3.5", "none", "x", "9" * 99)] == [
        3,
        3.5,
        None,
        "x",
        "9" * 99,
    ]


def test_options_from_texts():
    found = Every.from_text(["name=3", "size= 2", "time=1e3", "method=rk4"])
    assert found == Every(name="3", size=2, time=1000.0, method="rk4")
    with pytest.raises(SpecError, match=r"size of engine every must be .*, found 'many'"):
        Every.from_text(["name=3", "size=many"])
    with pytest.raises(SpecError, match="no option 'siz'"):
        Every.from_text(["name=3", "siz=2"])


# ---- what is declared --------------------------------------------------------------------------------


def test_marks():
    assert {name: mark.text for name, mark in marks(Every, Help).items()} == {
        "time": "in ms",
        "method": "how",
    }
    assert set(marks(Every, Only)) == {"seed"}
    assert choices_of(hints(Every)["method"]) == ("euler", "rk4", "heun")
    assert expected(hints(Every)["time"]) == "a positive number"
    outside = Annotated[Annotated[int, whole(1, 2)] | None, Help("of both")]
    assert expected(outside) == "a whole number from 1 to 2"


@pytest.mark.parametrize("kind", [*SETS, Settings, AttentionSpec], ids=lambda kind: kind.__module__)
def test_every_option_of_ours(kind):
    """Defaults are allowed, a value of no kind is not, and what is expected can be said."""
    made = AttentionSpec(8) if kind is AttentionSpec else kind()
    copied = {name: float(repr(v)) if type(v) is float else v for name, v in vars(made).items()}
    assert converted(kind, copied) == (copied, [])
    for name, hint in hints(kind).items():
        assert expected(hint)
        ((found, what),) = converted(kind, {name: object()})[1]
        assert found == name and what.startswith(f"must be {expected(hint)}, found ")


def test_choices_name_no_value_twice():
    for kind in SETS:
        for hint in hints(kind).values():
            assert len(set(choices_of(hint))) == len(choices_of(hint))
            assert all(isinstance(k, type) or get_args(k) for k, _ in alternatives(hint))
