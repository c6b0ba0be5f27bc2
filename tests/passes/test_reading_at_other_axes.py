"""Passes on circuits that read a population at other axes: what they make is the same, and proved to be."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from cortico.ir import Circuit
from cortico.ir.rewrite import with_values
from cortico.ir.text import parse_circuit
from cortico.lowering import lower
from cortico.passes import parse_passes, run_passes
from cortico.passes.meaning import compare_meaning
from cortico.passes.registry import PASSES
from cortico.spec.weights import random_weights
from cortico.verify.known import Known
from cortico.verify.steps.validation import prove_steps
from tests.cases import CASES
from tests.circuit_edits import are_twins, joined
from tests.covering import every_option
from tests.ir.test_reading_at_other_axes import SPECS, attention, numbers

EXACT = [kind.name for kind in PASSES if kind.exact]
EVERY = ",".join(name for name in EXACT if name not in ("split-sign", "serialize"))


def twins(circuit: Circuit) -> Circuit | None:
    """The circuit with one of its first pair of twins in the place of both."""
    pairs = itertools.permutations(circuit.populations, 2)
    found = next((pair for pair in pairs if are_twins(circuit, *pair)), None)
    return joined(circuit, found[0].name, found[1].name) if found else None


#: Cases whose keys and values have source cells of their own, which may be the same.
WITH_TWINS = [case for case in CASES if twins(lower(case.spec)) is not None]


@pytest.mark.parametrize("text", [*EXACT, EVERY, "reassociate,serialize(axis=tokens)"])
def test_exact_passes_keep_attention_and_are_proved(text):
    """Each step is validated, as `verify=True` does."""
    for spec in SPECS:
        _proved(with_values(attention(spec), numbers(2)[1]), text)


def _proved(circuit: Circuit, text: str) -> Circuit:
    passes = parse_passes(text)
    found, steps = run_passes(circuit, passes, compare_meaning)
    verdicts = {proof.verdict for proof in prove_steps(passes, steps, lambda words: None)}
    assert verdicts <= {Known.PROVED}
    return found


@pytest.mark.parametrize("case", every_option(WITH_TWINS, long=True))
@pytest.mark.parametrize("text", ["default", "aggressive", "split-sign"])
def test_cases_with_one_source_population(case, text):
    circuit = twins(lower(case.spec, random_weights(case.spec, 1)))
    assert circuit is not None
    _proved(circuit, text)


def test_keys_of_shared_cells_still_get_relays_and_memories():
    """What is known of reading at other axes is not that nothing can be done."""
    softmax, _, linear, _ = (with_values(attention(s), numbers(2)[1]) for s in SPECS)
    found = _proved(softmax, "default")
    assert {"key_relay", "value_relay"} <= {p.name for p in found.populations}
    assert "memory" in {p.name for p in _proved(linear, "reassociate").populations}


# ---- circuits in which each pass would go wrong by names alone -------------------------------------------

AXES = """cortico circuit 1
name "by hand"
axis h : area 4
axis g : area 4
axis a : feature 4
axis b : feature 4
axis i : column 3
axis j : column 3
axis k : column 3
input x (3)
input z (3, 3)
"""

#: Pass, parameters with their numbers, and the rest of the text.
BY_HAND = {
    "heads are dead where they are written": (
        "prune-dead",
        {"w": [1, 0, 0, 2]},
        """
parameter w (4)
population cells [h, i] cortex.L5 pyramidal_pt
  basal multiplies w[h]
  apical multiplies x[i]
population copies [g, i] cortex.L5 pyramidal_pt
  basal multiplies
projection copy cells[g, i] -> copies.basal
output y = copies[g, i]
""",
    ),
    "features of all heads are renumbered": (
        "prune-dead",
        {"w": [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [1, 0, 0, 0]]},
        """
parameter w (4, 4)
population cells [h, a, i] cortex.L5 pyramidal_pt
  basal multiplies w[h, a]
  apical multiplies x[i]
population both [h, a, i] cortex.L5 pyramidal_pt
  basal multiplies
  apical multiplies
population all [i] cortex.L5 pyramidal_pt
  basal multiplies
projection one cells -> both.basal
projection other cells[g, a, i] -> both.apical
projection sum both -> all.basal
output y = all[i]
""",
    ),
    "heads are copies": (
        "merge-duplicates",
        {"w": [1, 1, 2, 2]},
        """
parameter w (4)
population cells [h, i] cortex.L5 pyramidal_pt
  basal multiplies w[h]
  apical multiplies x[i]
population more [h, i] cortex.L5 pyramidal_pt tanh
  basal multiplies
  apical multiplies x[i]
population copies [g, i] cortex.L5 pyramidal_pt
  basal multiplies
projection same cells -> more.basal
projection copy more[g, i] -> copies.basal
output y = copies[g, i]
""",
    ),
    "features are read as others": (
        "low-rank",
        {"v": np.eye(4), "w": np.ones((4, 3)), "u": np.arange(4)},
        """
parameter v (4, 4)
parameter w (4, 3)
parameter u (4)
population x_cells [b, i] cortex.L5 pyramidal_pt
  basal multiplies x[i]
population factors [b, i] cortex.L5 pyramidal_pt
  basal multiplies u[b]
population one [a, i] cortex.L5 pyramidal_pt
  basal multiplies
  apical multiplies
population sum [i, j] cortex.L5 pyramidal_pt
  basal multiplies
projection enter x_cells -> one.basal weight v[a, b]
projection times factors[a, i] -> one.apical
projection leave one -> sum.basal weight w[a, j]
output y = sum[i, j]
""",
    ),
    "a bound is on the axes that are read": (
        "restrict-domain",
        {},
        """
population pairs [i, j] cortex.L5 pyramidal_pt
  basal multiplies z[i, j]
population last [i] cortex.L5 pyramidal_pt
  basal multiplies
projection sum pairs[j, i] -> last.basal where j - i <= 0
output y = last[i]
""",
    ),
    "a bound of what is heard": (
        "restrict-domain",
        {},
        """
population pairs [i, j] cortex.L5 pyramidal_pt where j - i <= 0
  basal multiplies z[i, j]
population turned [i, j] cortex.L5 pyramidal_pt
  basal multiplies
  apical multiplies z[i, j]
projection turn pairs[j, i] -> turned.basal where i - j <= 0
output y = turned[i, j]
""",
    ),
    "a relay of a relay": (
        "fold-constants",
        {},
        """
population pairs [i, j] cortex.L5 pyramidal_pt where j - i <= 1
  basal multiplies z[i, j]
population relay [i, j] cortex.L4 stellate where i - j <= 1
  basal multiplies
population last [i] cortex.L5 pyramidal_pt
  basal multiplies
  apical multiplies
projection pass pairs[j, i] -> relay.basal weight 2.0
projection sum relay[i, k] -> last.basal
projection again relay[j, i] -> last.apical
output y = last[i]
""",
    ),
    "what is summed alike": (
        "share-relays",
        {},
        """
parameter w (4, 4, 4)
population cells [i, a] cortex.L5 pyramidal_pt
  basal multiplies x[i]
population last [h, g] cortex.L5 pyramidal_pt
  basal multiplies
projection sum cells[j, b] -> last.basal weight w[h, g, b]
output y = last[h, g]
""",
    ),
    "twins but for what they read": (
        "merge-duplicates",
        {},
        """
population pairs [i, j] cortex.L5 pyramidal_pt
  basal multiplies z[i, j]
population one [i, j] cortex.L5 pyramidal_pt tanh
  basal multiplies
population other [i, j] cortex.L5 pyramidal_pt tanh
  basal multiplies
population last [i, j] cortex.L5 pyramidal_pt
  basal multiplies
  apical multiplies
projection straight pairs -> one.basal
projection turned pairs[j, i] -> other.basal
projection first one -> last.basal
projection second other -> last.apical
output y = last[i, j]
""",
    ),
    "both ways onto one compartment": (
        "merge-duplicates",
        {},
        """
population pairs [i, j] cortex.L5 pyramidal_pt
  basal multiplies z[i, j]
population last [i, j] cortex.L5 pyramidal_pt
  basal multiplies
projection straight pairs -> last.basal
projection turned pairs[j, i] -> last.basal
output y = last[i, j]
""",
    ),
    "queries alone in time": (
        "serialize",
        {},
        """
population cells [i] cortex.L5 pyramidal_pt
  basal multiplies x[i]
population last [i] cortex.L5 pyramidal_pt
  basal multiplies
  apical multiplies
projection all cells[j] -> last.basal
projection own cells -> last.apical
output y = last[i]
""",
    ),
    "a bias that is no shift": (
        "drop-softmax-shift",
        {},
        """
parameter b (3)
population scores [i, j] cortex.L5 pyramidal_pt
  basal multiplies z[i, j] + b[i]
population mask [i, j] cortex.L2/3 pyramidal_it exp
  basal multiplies
population pool [i] cortex.L5 pv
  soma multiplies
population deep [i, j] cortex.L5 pyramidal_pt
  basal multiplies x[j]
  apical multiplies
  shunt divides
population last [i] cortex.L5 pyramidal_pt
  basal multiplies
projection score scores[j, i] -> mask.basal
projection pool mask -> pool.soma
projection gate mask -> deep.apical
projection shunt pool -> deep.shunt
projection sum deep -> last.basal
output y = last[i]
""",
    ),
    "exponentials that are read at another query": (
        "drop-softmax-shift",
        {},
        """
parameter b (3)
population mask [i, j] cortex.L2/3 pyramidal_it exp
  basal multiplies z[i, j] + b[i]
population pool [i] cortex.L5 pv
  soma multiplies
population deep [i, j] cortex.L5 pyramidal_pt
  apical multiplies
  shunt divides
projection pool mask -> pool.soma
projection gate mask[j, i] -> deep.apical
projection shunt pool -> deep.shunt
output y = deep[i, j]
""",
    ),
    "a bias that differs among values": (
        "move-value-bias",
        {"b": [1, 2, 3]},
        """
parameter b (3)
population mask [i, j] cortex.L2/3 pyramidal_it exp
  basal multiplies z[i, j]
population pool [i] cortex.L5 pv
  soma multiplies
population value [i] cortex.L5 pyramidal_pt
  basal multiplies x[i] + b[i]
population deep [i, j] cortex.L5 pyramidal_pt
  basal multiplies
  apical multiplies
  shunt divides
population last [i] cortex.L5 pyramidal_pt
  basal multiplies
projection pool mask -> pool.soma
projection value value[j] -> deep.basal
projection gate mask -> deep.apical
projection shunt pool -> deep.shunt
projection sum deep -> last.basal
output y = last[i]
""",
    ),
    "factors read one to one": (
        "split-sign",
        {},
        """
population cells [i] thalamus.core relay
  driver multiplies x[i]
population pairs [i, j] cortex.L2/3 pyramidal_it
  basal multiplies
  apical multiplies
population last [i] cortex.L5 pyramidal_pt
  basal multiplies
projection own cells -> pairs.basal
projection other cells[j] -> pairs.apical
projection sum pairs -> last.basal
output y = last[i]
""",
    ),
    "scores that gate turned": (
        "reassociate",
        {},
        """
population keys [j, a] thalamus.core relay tanh
  driver multiplies x[j]
population superficial [i, j, a] cortex.L2/3 pyramidal_it
  basal multiplies x[i]
  apical multiplies
population deep [i, j, h] cortex.L5 pyramidal_pt
  basal multiplies
  apical multiplies x[j]
population last [i, h] cortex.L5 pyramidal_pt
  basal multiplies
projection key keys -> superficial.apical
projection gate superficial[j, i, a] -> deep.basal
projection sum deep -> last.basal
output y = last[i, h]
""",
    ),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_circuits_by_hand(name):
    passes, values, text = BY_HAND[name]
    text = AXES + text.lstrip()
    if passes == "reassociate":  # of few tokens it is no use
        text = text.replace("column 3", "column n").replace(
            "input x (3)\ninput z (3, 3)", "input x (n)"
        )
    circuit = parse_circuit(text)
    circuit = with_values(circuit, {n: np.array(a, dtype=float) for n, a in values.items()})
    if passes == "low-rank":
        found, _ = run_passes(circuit, parse_passes(f"{passes}(tolerance=0.0)"))
        compare_meaning(circuit, found)
    else:
        _proved(circuit, passes)
