"""Few cases of the table in which every pair of options is met: what tests run that cannot run them all.

    @pytest.mark.parametrize("case", every_case())      # all
    @pytest.mark.parametrize("case", every_pair())      # each two options that some case has together
    @pytest.mark.parametrize("case", every_option())    # each option by itself: for slow simulators

`make test` runs of each the cases in which every option is met, and those in which every pair is where a test is
thorough: lowering is proved, and run by backends, on them. `make rest` runs every pair of the others, `make cross`
all cases, `make quick` the first one.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Hashable, Iterable
from dataclasses import fields
from typing import Any

import pytest

from cortico.spec import AttentionSpec, NormKind
from tests.cases import CASES, Case

#: Fields that are numbers or hold some: `options` says what is particular about them.
NUMBERS = {
    *("name", "model", "heads", "kv_heads", "key_features", "value_features", "output", "context"),
    *("values", "tokens", "context_tokens", "window", "scale", "rotary", "qk_norm", "soft_cap"),
    "semi_saturation",
}


def options(spec: AttentionSpec) -> dict[str, Hashable]:
    """Option to its value in the spec."""
    chosen = {f.name: getattr(spec, f.name) for f in fields(spec) if f.name not in NUMBERS}
    return chosen | {
        "one head": spec.heads == 1,
        "grouped": spec.members > 1,
        "one feature": spec.d_key == 1,
        "other values than keys": spec.d_value != spec.d_key,
        "narrow": spec.d_output != spec.model,
        "numbered": isinstance(spec.tokens, int),
        "own values": spec.values is not None,
        "scale": spec.scale if spec.scale in (None, 1.0) else "given",
        "qk_norm": spec.qk_norm and spec.qk_norm.over,
        "layer norm": bool(spec.qk_norm and spec.qk_norm.kind is NormKind.LAYER),
        "soft_cap": spec.soft_cap is not None,
        "semi_saturation": spec.semi_saturation > 0,
        "rotary": spec.rotary and (spec.rotary.style, spec.rotary.rotated is None),
    }


@functools.cache
def together(case: Case, number: int) -> frozenset[tuple[tuple[str, Hashable], ...]]:
    """What the case has together: each choice of that many of its options, with their values."""
    return frozenset(itertools.combinations(sorted(options(case.spec).items(), key=str), number))


def covering(cases: Iterable[Case] = CASES, number: int = 2) -> list[Case]:
    """Cases that together have what any of `cases` has together; in the table's order.

    The case that adds most is taken first (greedy set cover), of two that add as much the earlier.
    """
    return list(_covering(tuple(cases), number))


@functools.cache
def _covering(cases: tuple[Case, ...], number: int) -> tuple[Case, ...]:
    left = {options for case in cases for options in together(case, number)}
    chosen: set[Case] = set()
    while left:
        best = max(cases, key=lambda case: len(together(case, number) & left))
        chosen.add(best)
        left -= together(best, number)
    return tuple(case for case in cases if case in chosen)


def every_option(cases: Iterable[Case] = CASES, *, long: bool = False) -> list:
    """Parameters of a test: cases in which every option of any case is met.

    Where a case takes `long`, `make test` runs the three that together have most options.
    """
    chosen = covering(covering(cases), 1)
    most = sorted(chosen, key=lambda case: -len(together(case, 1)))[:3] if long else chosen
    return [_parameter(case, None if case in most else "full") for case in chosen]


def every_pair(cases: Iterable[Case] = CASES, *, thorough: bool = False) -> list:
    """Parameters of a test: cases in which every pair of options is met.

    `full` beyond the options; only `slow` where the test is `thorough`: what each case is proved and run by.
    """
    quick = covering(covering(cases), 1)
    beyond = "slow" if thorough else "full"
    return [_parameter(case, None if case in quick else beyond) for case in covering(cases)]


def every_case(cases: Iterable[Case] = CASES, *, thorough: bool = False) -> list:
    """Parameters of a test: all cases; as `every_pair`, and `cross` beyond the pairs."""
    cases = list(cases)
    pairs = {parameter.id: parameter for parameter in every_pair(cases, thorough=thorough)}
    return [pairs.get(case.name) or _parameter(case, "cross") for case in cases]


def _parameter(case: Case, mark: str | None) -> Any:
    return pytest.param(case, id=case.name, marks=getattr(pytest.mark, mark) if mark else ())


def first(number: int, values: Iterable[object]) -> list:
    """Parameters of a test that takes long: the first ones, and `full` beyond them. A tuple is several values."""
    return [
        value if k < number else pytest.param(*_as_tuple(value), marks=pytest.mark.full)
        for k, value in enumerate(values)
    ]


def _as_tuple(value: object) -> tuple:
    return value if isinstance(value, tuple) else (value,)
