"""Ways in which tokens are read, each with what it means by hand: through a table, or as one-hot cells."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from cortico.ir import Circuit
from cortico.ir.text import parse_circuit

Arrays = Mapping[str, np.ndarray]

HEAD = """\
cortico circuit 1
name "a reading"
axis h : area 3
axis i : column n
axis j : column n
axis p : feature 4
axis q : feature 2
axis v : feature 7
axis m : model 5
axis a : feature 2
input tokens (n, 7) token
"""

IDENTITY = """\
population identity [i, v] thalamus.core relay
  driver multiplies tokens[i, v]
"""


@dataclass(frozen=True)
class Reading:
    """A circuit with an output y, and `meaning(one-hot tokens, tensors)` for one example."""

    text: str
    meaning: Callable[[np.ndarray, Arrays], np.ndarray]
    gathers: bool = True  #: no one-hot array is made

    @property
    def circuit(self) -> Circuit:
        return parse_circuit(HEAD + self.text)


def _onto(axes: str, weight: str, shape: str, identity: str = IDENTITY, more: str = "") -> str:
    return (
        f"parameter W ({shape})\n{identity}population y [{axes}] thalamus.core relay\n"
        f"  driver multiplies\n"
        f"projection embed identity -> y.driver weight {weight}{more}\noutput y = y[{axes}]\n"
    )


READINGS = {
    "table": Reading(_onto("i, m", "W[v, m]", "7, 5"), lambda t, g: t @ g["W"]),
    "table with a gain": Reading(
        _onto("i, m", "-2.0 * size(m)^-1/2 * W[v, m]", "7, 5"),
        lambda t, g: -2 / np.sqrt(5) * t @ g["W"],
    ),
    "table on its side": Reading(_onto("i, m", "W[m, v]", "5, 7"), lambda t, g: t @ g["W"].T),
    "result on its side": Reading(_onto("m, i", "W[v, m]", "7, 5"), lambda t, g: (t @ g["W"]).T),
    "table of areas": Reading(
        _onto("h, i, a", "W[h, v, a]", "3, 7, 2"),
        lambda t, g: np.einsum("iv,hva->hia", t, g["W"]),
    ),
    "one number per token": Reading(_onto("i", "W[v]", "7"), lambda t, g: t @ g["W"]),
    "bag of words": Reading(_onto("m", "W[v, m]", "7, 5"), lambda t, g: (t @ g["W"]).sum(0)),
    "at other axes": Reading(
        _onto("j, m", "W[v, m]", "7, 5").replace("embed identity ->", "embed identity[j, v] ->"),
        lambda t, g: t @ g["W"],
    ),
    "gated": Reading(
        "input keep (n) mask\n"
        + _onto("i, m", "W[v, m]", "7, 5", IDENTITY + "  gate multiplies keep[i]\n"),
        lambda t, g: t * g["keep"][:, None] @ g["W"],
    ),
    "past tokens": Reading(
        _onto("j, m", "W[v, m]", "7, 5", more=" where i - j <= 0"),
        lambda t, g: np.cumsum(t @ g["W"], 0),
    ),
    "one-hot cells": Reading(
        IDENTITY + "output y = identity[v, i]\n", lambda t, g: t.T, gathers=False
    ),
    "counts": Reading(
        _onto("v", "2.0", "7"), lambda t, g: 2 * t.sum(0), gathers=False
    ),
    "all weights alike": Reading(
        _onto("i", "2.0", "7"), lambda t, g: 2 * t.sum(-1), gathers=False
    ),
    "exponential cells": Reading(
        _onto("i, m", "W[v, m]", "7, 5", IDENTITY.replace("relay\n", "relay exp\n")),
        lambda t, g: np.exp(t) @ g["W"],
        gathers=False,
    ),
    "bounded": Reading(
        _onto("i, m", "W[v, m]", "7, 5", more=" where v - i <= 1"),
        lambda t, g: t * (np.arange(7) - np.arange(len(t))[:, None] <= 1) @ g["W"],
        gathers=False,
    ),
    "two compartments": Reading(
        _onto("i, m", "W[v, m]", "7, 5", IDENTITY + "  apical multiplies bias[v] + tokens[i, v]\n")
        .replace("parameter", "parameter bias (7)\nparameter"),
        lambda t, g: t * (t + g["bias"]) @ g["W"],
        gathers=False,
    ),
    "table of each position": Reading(
        "input four (4, 7) token\n"
        + _onto("p, m", "W[p, v, m]", "4, 7, 5", IDENTITY.replace("i, v", "p, v").replace("tokens[", "four[")),
        lambda t, g: np.einsum("pv,pvm->pm", g["four"], g["W"]),
        gathers=False,
    ),
    "numbers over two axes": Reading(
        "input pairs (n, 2, 7) token\n"
        + _onto("q, i, m", "W[m, v]", "5, 7", IDENTITY.replace("i, v", "i, q, v").replace("tokens[", "pairs[")),
        lambda t, g: np.einsum("iqv,mv->qim", g["pairs"], g["W"]),
    ),
}  # fmt: skip
