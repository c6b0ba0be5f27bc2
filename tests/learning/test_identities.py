"""What any right gradient of attention obeys, and what learning by it therefore keeps.

Scores see queries and keys in products k_jᵀ q_i only. Let G be invertible: with G W_Q in place of
W_Q, and G⁻ᵀ W_K in place of W_K, no score changes, and so no loss. At G = 1 + εX this says

    0 = ⟨∂W_Q, X W_Q⟩ - ⟨∂W_K, Xᵀ W_K⟩ = tr Xᵀ (∂W_Q W_Qᵀ - W_K ∂W_Kᵀ)      for every X

and in the same way with G W_V and W_O G⁻¹, which leave every W_O v_j as it was:

    ∂W_Q W_Qᵀ = (∂W_K W_Kᵀ)ᵀ        W_Oᵀ ∂W_O = ∂W_V W_Vᵀ                    for every head

A bias is one more column of its matrix, with an input of one, and so is an extra key or value. Query heads that share keys are
summed. Rotations do not commute with G, so that rotated queries and keys are left out.

A step W → W - η ∂W moves C = W_Q W_Qᵀ - W_K W_Kᵀ by

    - η (∂W_Q W_Qᵀ + W_Q ∂W_Qᵀ - ∂W_K W_Kᵀ - W_K ∂W_Kᵀ) + η² (∂W_Q ∂W_Qᵀ - ∂W_K ∂W_Kᵀ)

where the first bracket is zero by the identity and its transpose: C moves by η² per step, so that
over the same time, at half the rate with twice the steps, it drifts half as far. D = W_Oᵀ W_O - W_V W_Vᵀ
likewise.
"""

import numpy as np
import pytest

from cortico.backends.numpy import compile_source
from cortico.backends.numpy.emitter import emit_source
from cortico.learning import differentiate, gradient_circuit
from cortico.lowering import lower
from cortico.spec import AttentionSpec, Kernel, Mask, Microcircuit
from cortico.spec.weights import random_weights
from tests.cases import CASES
from tests.covering import every_case, first
from tests.learning.numbers import gradients_of, target_of

UNROTATED = [case for case in CASES if not case.spec.rotary and not case.spec.qk_norm]


def matrices(spec, arrays):
    """W_Q, W_K, W_V (head, feature, model) and W_O (head, feature, output) with biases as columns.

    Query heads of a group are side by side, as further columns.
    """
    columns = {}
    for letter in "QKV":
        parts = [arrays[f"W_{letter}"]]
        if f"b_{letter}" in arrays:
            parts.append(arrays[f"b_{letter}"][..., None])
        if f"extra_{letter}" in arrays:
            parts.append(arrays[f"extra_{letter}"][..., None])
        columns[letter] = np.concatenate(parts, axis=-1)
    columns["O"] = np.swapaxes(arrays["W_O"], -1, -2)
    for letter in "QO" if spec.members > 1 else "":
        columns[letter] = np.concatenate(list(np.moveaxis(columns[letter], 1, 0)), axis=-1)
    return columns


def outer(first, second):
    """first secondᵀ for each head."""
    return first @ np.swapaxes(second, -1, -2)


def relative(difference, *terms):
    return np.abs(difference).max() / max(np.abs(term).max() for term in terms)


@pytest.mark.parametrize("case", every_case(UNROTATED))
def test_identities(case):
    circuit = lower(case.spec, case.weights)
    weights = matrices(
        case.spec, {p.name: p.values for p in circuit.parameters if p.values is not None}
    )
    inputs = {**case.inputs, "target": target_of(case)}
    for example in range(2):
        one = {name: array[example] for name, array in inputs.items()}
        found = gradients_of(gradient_circuit(differentiate(circuit)), one)
        found = matrices(case.spec, found)
        query, key = outer(found["Q"], weights["Q"]), outer(weights["K"], found["K"])
        assert relative(query - key, query, key) <= 1e-12
        output, value = outer(weights["O"], found["O"]), outer(found["V"], weights["V"])
        assert relative(output - value, output, value) <= 1e-12


# ---- along a run -----------------------------------------------------------------------------------


RUNS = {
    f"{kernel}-{mask}-{circuit}": AttentionSpec(
        model=6, heads=2, kernel=kernel, mask=mask, microcircuit=circuit
    )
    for kernel, circuit in (
        (Kernel.LINEAR, Microcircuit.MASK),
        (Kernel.LINEAR, Microcircuit.MEMORY),
        (Kernel.SOFTMAX, Microcircuit.MASK),
    )
    for mask in (Mask.NONE, Mask.CAUSAL)
}
_TIME = 0.1  #: rate times steps


def descent(spec, rate):
    """The weights before and after gradient descent, and Σ of ∂W ∂Wᵀ over its steps by letter."""
    start = random_weights(spec, seed=3)
    step = compile_source(emit_source(gradient_circuit(differentiate(lower(spec, start)))))
    x, target = 0.5 * np.random.default_rng(4).standard_normal((2, 5, 6))
    weights, squares, losses = {n: a.copy() for n, a in start.items()}, {}, []
    for _ in range(round(_TIME / rate)):
        y, _, *found = step(x, target=target, weights=weights)
        losses.append(0.5 * ((y - target) ** 2).sum())
        gradients = dict(zip(weights, found, strict=True))
        for letter, each in matrices(spec, gradients).items():
            squares[letter] = squares.get(letter, 0.0) + outer(each, each)
        weights = {n: a - rate * gradients[n] for n, a in weights.items()}
    assert losses[-1] < 0.9 * losses[0]  # it went somewhere
    return matrices(spec, start), matrices(spec, weights), squares


def conserved(weights):
    """C and D of the head of this file."""
    square = {letter: outer(each, each) for letter, each in weights.items()}
    return square["Q"] - square["K"], square["O"] - square["V"]


def drifts(spec, rate):
    """How far C and D went, and how far the sum of the second terms says that they go."""
    before, after, squares = descent(spec, rate)
    expected = rate**2 * (squares["Q"] - squares["K"]), rate**2 * (squares["O"] - squares["V"])
    moved = [b - a for a, b in zip(conserved(before), conserved(after), strict=True)]
    travelled = [
        np.abs(outer(after[n], after[n]) - outer(before[n], before[n])).max() for n in "QO"
    ]
    return moved, expected, travelled


@pytest.mark.slow
@pytest.mark.parametrize("spec", first(2, RUNS.values()), ids=RUNS)
def test_conserved_quantities_drift_by_the_square_of_the_rate(spec):
    coarse, expected, _ = drifts(spec, 1e-4)
    half, _, travelled = drifts(spec, 5e-5)
    for k in range(2):
        np.testing.assert_allclose(coarse[k], expected[k], rtol=0, atol=1e-13)
        ratio = np.abs(coarse[k]).max() / np.abs(half[k]).max()
        assert 1.95 < ratio < 2.05
        assert np.abs(half[k]).max() < 2e-2 * travelled[k]  # tiny beside what the weights do
