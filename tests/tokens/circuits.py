"""Circuits with an input of tokens, as text, and what they mean in NumPy's one-hot words."""

import numpy as np

from cortico.ir.text import parse_circuit

VOCABULARY, MODEL, ROWS = 11, 4, 9

EMBEDDING = """\
cortico circuit 1
name "token and position"

axis i : column n
axis v : feature 11
axis m : model 4

input tokens (n, 11) token
parameter W_E (11, 4)
parameter position_table (9, 4)
parameter positions (n, 4) = rows(position_table)
parameter start (n) = first()

population identity [i, v] thalamus.core relay
  driver multiplies tokens[i, v]
population embedding [i, m] thalamus.core relay
  driver multiplies positions[i, m]
population opening [i] thalamus.core relay
  driver multiplies start[i]
population start_of_text [m] cortex.L5 pyramidal_pt tanh
  basal multiplies
population gated [i, m] cortex.L5 pyramidal_pt
  basal multiplies
  apical multiplies

projection embed identity -> embedding.driver weight 0.5 * W_E[v, m]
projection read embedding -> gated.basal weight 1.0
projection open opening -> gated.apical weight 1.0
projection sum gated -> start_of_text.basal weight 1.0

output y = embedding[i, m]
output first = start_of_text[m]
"""


def embedding():
    """Rows of W_E for tokens, plus those of a table for positions; and the first of them."""
    return parse_circuit(EMBEDDING)


def weights(rng, dtype=np.float64):
    return {
        "W_E": rng.standard_normal((VOCABULARY, MODEL)).astype(dtype),
        "position_table": rng.standard_normal((ROWS, MODEL)).astype(dtype),
    }


def expected(ids, given):
    """What `embedding` gives: one-hot tokens times the table, token by token."""
    one_hot = np.zeros((*ids.shape, VOCABULARY))
    np.put_along_axis(one_hot, ids[..., None], 1.0, -1)
    table, positions = (given[name].astype(float) for name in ("W_E", "position_table"))
    y = 0.5 * np.einsum("...iv,vm->...im", one_hot, table) + positions[: ids.shape[-1]]
    return {"y": y, "first": np.tanh(y[..., 0, :])}


TURNED = """\
cortico circuit 1
name "turned tokens"

axis i : column n
axis v : feature 7
axis p : feature 2
axis s : feature 2
axis t : feature 2

input tokens (n, 7) token
parameter W (7, 2, 2)
parameter frequencies (2)
parameter R (n, 2, 2, 2) = rotation(frequencies)

population identity [i, v] thalamus.core relay
  driver multiplies tokens[i, v]
population embedding [i, p, s] thalamus.core relay
  driver multiplies
population y [i, p, t] thalamus.core relay
  driver multiplies

projection embed identity -> embedding.driver weight W[v, p, s]
projection turn embedding -> y.driver weight R[i, p, t, s]

output y = y[i, p, t]
"""


def turned():
    """Rows of two planes, each turned by its frequency at every token."""
    return parse_circuit(TURNED)
