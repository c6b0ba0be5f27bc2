"""Synapses that learn in Brian2, against attention and its gradients written down in PyTorch.

Nothing of the oracle comes from the circuit: rates are einsums, errors come from autograd, and where
feedback has a tensor of its own the error of the heads is that tensor times the error of the output.
"""

import contextlib
import io
from dataclasses import replace

import numpy as np
import pytest
import torch

from cortico.ir import (
    CellClass,
    CircuitBuilder,
    Compartment,
    Gain,
    Region,
    Role,
    SpecError,
    TensorRef,
    UnsupportedError,
    Weight,
)
from cortico.learning import differentiate, draw_feedback, untie, untied_values
from cortico.learning.online import emit_online, starting_weights
from cortico.lowering import circuit_weights, lower
from cortico.spec import AttentionSpec, Bias, Kernel, Mask, Microcircuit
from cortico.spec.weights import random_weights
from tests.cases import CASES
from tests.covering import first
from tests.learning.numbers import autograd, largest, target_of

N, D, H, SAMPLES = 3, 4, 2, 3
RATE, DECAY = 2e-3, 0.1
#: One step of the network is one synchronous update of all cells, one step of the gate one change.
SYNCHRONOUS = {"method": "euler", "dt": 10.0, "tau": 10.0, "window": 10.0}
SPEC = AttentionSpec(model=D, heads=H, tokens=N, bias=Bias(True, True, True, True))
#: Tensors, and the sides that each has tied.
SIDES = {"W_Q": 3, "W_K": 3, "W_V": 3, "b_Q": 2, "b_K": 2, "b_V": 2, "W_O": 3, "b_O": 1}
INNER = ("W_Q", "W_K", "W_V", "b_Q", "b_K", "b_V")
OUTER = ("W_O", "b_O")


def learn(source, arrays, weights, **options):
    """Learned weights and losses; only ever called on text that cortico emitted."""
    script = {"__name__": "learn_brian2", "__file__": "learn_brian2.py"}
    exec(compile(source, "learn_brian2.py", "exec"), script)
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        return script["learn"](*arrays, weights=weights, **options)


def examples(seed=0, samples=SAMPLES):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((samples, N, D)), rng.standard_normal((samples, N, D))


# ---- the oracle --------------------------------------------------------------------------------------


def textbook(kernel, w, x, gains):
    """(heads, y): what each token i of each head hears from each token j, and the output.

    Weights are (head, feature, model, i, j), a number for each synapse; W_O is (head, model, feature, i,
    j), biases are (head, feature, i, j), and b_O is (model, i). `gains` are of the keys and queries.
    """
    k = gains[0] * torch.einsum("hamij,jm->hija", w["W_K"], x)
    q = gains[1] * torch.einsum("hamij,im->hija", w["W_Q"], x)
    v = torch.einsum("hcmij,jm->hijc", w["W_V"], x) + torch.einsum("hcij->hijc", w["b_V"])
    k, q = (r + torch.einsum("haij->hija", w[b]) for r, b in ((k, "b_K"), (q, "b_Q")))
    scores = (q * k).sum(-1)
    mask = scores if kernel is Kernel.LINEAR else torch.softmax(scores * q.shape[-1] ** -0.5, -1)
    heard = mask[..., None] * v
    return heard, torch.einsum("hmcij,hijc->im", w["W_O"], heard) + w["b_O"].T


def each_synapse(weights):
    """Tied tensors spread over all pairs of tokens, the bias of the output over all tokens."""
    spread = {}
    for name, array in weights.items():
        over = () if array.dim() > SIDES[name] else (N,) if name == "b_O" else (N, N)
        spread[name] = array[(..., *[None] * len(over))].expand(*array.shape, *over)
    return spread


def loss_and_changes(kernel, weights, feedback, x, target, gains=(1, 1)):
    """½ Σ (y - t)², and what each forward tensor changes by; the heads' errors come through `feedback`."""
    leaves = {name: torch.tensor(weights[name], requires_grad=True) for name in SIDES}
    heard, y = textbook(kernel, each_synapse(leaves), torch.tensor(x), gains)
    error = (y - torch.tensor(target)).detach()
    back = each_synapse({"W_O": torch.tensor(feedback)})["W_O"]
    inner, outer = ([leaves[name] for name in names] for names in (INNER, OUTER))
    errors = torch.einsum("hmcij,im->hijc", back, error)
    changes = torch.autograd.grad(heard, inner, errors, retain_graph=True)
    changes += torch.autograd.grad(y, outer, error)
    numbers = [change.numpy() for change in changes]
    return 0.5 * float((error**2).sum()), dict(zip(INNER + OUTER, numbers, strict=True))


def steps(kernel, feedback, weights, arrays, epochs=2, gains=(1, 1)):
    """Weights and losses after steps down the changes, one example after another."""
    x, target = arrays
    weights = {name: np.array(array, np.float64) for name, array in weights.items()}
    losses, rng = [], np.random.default_rng(0)
    for k in np.concatenate([rng.permutation(len(x)) for _ in range(epochs)]):
        back = weights["W_O" if feedback == "transposed" else "B"]
        loss, changes = loss_and_changes(kernel, weights, back, x[k], target[k], gains)
        losses.append(loss)
        if feedback == "learned":  # Kolen and Pollack: both by the same product, both decay
            changes["B"] = changes["W_O"] + DECAY * weights["B"]
            changes["W_O"] = changes["W_O"] + DECAY * weights["W_O"]
        for name, change in changes.items():
            weights[name] = weights[name] - RATE * change
    return weights, np.array(losses)


def network(kernel, feedback="transposed", columns=False):
    """Learning circuit and weights by its names, and its names for those of the oracle."""
    spec = replace(SPEC, kernel=kernel)
    circuit, weights = lower(spec), random_weights(spec, 1)
    names = {name: name for name in SIDES}
    if columns:
        weights, circuit = (
            untied_values(circuit, weights, columns=True),
            untie(circuit, columns=True),
        )
        rng = np.random.default_rng(2)  # copies that are not equal
        weights = {n: a + 0.1 * rng.standard_normal(a.shape) for n, a in weights.items()}
        names = {name: f"{name}_untied" for name in SIDES}
    learning = differentiate(circuit, feedback=feedback, decay=DECAY)
    if feedback != "transposed":
        names["B"] = names["W_O"] + "_feedback"
    return learning, starting_weights(learning, weights), names


# ---- what weights change by ------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kernel", "feedback", "columns"),
    first(
        2,
        [
            (Kernel.SOFTMAX, "transposed", False),
            (Kernel.SOFTMAX, "learned", True),
            (Kernel.LINEAR, "transposed", False),
            (Kernel.LINEAR, "transposed", True),
            (Kernel.SOFTMAX, "learned", False),
            (Kernel.SOFTMAX, "random", True),
        ],
    ),
)
def test_each_presentation_is_a_step_down_the_gradient(kernel, feedback, columns):
    learning, weights, names = network(kernel, feedback, columns)
    compare(kernel, feedback, learning, weights, names)


def compare(kernel, feedback, learning, weights, names, gains=(1, 1)):
    """What the network learns in four presentations, and what PyTorch does."""
    arrays = examples()
    found, losses = learn(
        emit_online(learning), arrays, weights, epochs=2, learning_rate=RATE, **SYNCHRONOUS
    )
    expected, expected_losses = steps(
        kernel, feedback, {n: weights[name] for n, name in names.items()}, arrays, gains=gains
    )
    assert np.allclose(losses, expected_losses, rtol=1e-10, atol=0)
    moved = {n: np.abs(expected[n] - weights[mine]).max() for n, mine in names.items()}
    for name, mine in names.items():
        off = np.abs(found[mine] - expected[name]).max()
        assert off < 1e-10 * max(moved.values()), name
    still = {name for name in moved if moved[name] < 1e-12}
    # softmax does not see what all keys have in common, unless each column learns its own
    assert still - {"b_K"} == ({"B"} if feedback == "random" else set())
    assert found.keys() == weights.keys()


@pytest.mark.slow
def test_gains_of_synapses():
    """Synapses that carry a multiple of their weight change by that multiple of the product."""
    plain = lower(replace(SPEC, kernel=Kernel.LINEAR))
    gains = {"key": Gain(0.5), "query": Gain(-2.0)}
    projections = tuple(
        replace(p, weight=replace(p.weight, gain=gains.get(p.name, p.weight.gain)))
        for p in plain.projections
    )
    learning = differentiate(replace(plain, projections=projections))
    _, weights, names = network(Kernel.LINEAR)
    compare(Kernel.LINEAR, "transposed", learning, weights, names, (0.5, -2.0))


@pytest.mark.slow
@pytest.mark.parametrize("name", first(1, ["everything", "alibi"]))
def test_all_that_attention_has(name):
    """Slopes, sinks, rotations, groups, windows, padding: PyTorch's gradients of the table's cases."""
    (case,) = (case for case in CASES if case.name == name)
    learning = differentiate(lower(case.spec))
    weights = starting_weights(learning, circuit_weights(case.spec, case.weights))
    inputs = {n: array[1:] for n, array in (case.inputs | {"target": target_of(case)}).items()}
    arrays, rate = (inputs.pop("x"), inputs.pop("target")), 1e-3
    options = {"epochs": 1, "learning_rate": rate, **SYNCHRONOUS, **inputs}
    found, _ = learn(emit_online(learning), arrays, weights, **options)
    gradients = autograd(case)[0][1]
    assert {rule.parameter for rule in learning.rules} == gradients.keys()
    for tensor, gradient in gradients.items():
        change = (found[tensor] - weights[tensor]) / -rate
        assert np.abs(change - gradient).max() < 1e-9 * largest(gradients), tensor


@pytest.mark.slow
@pytest.mark.parametrize("kernel", first(1, Kernel))
def test_a_short_time_from_a_settled_network(kernel):
    """In time, with the cells' own time constants: change = -gradient · time / tau_w."""
    learning, weights, _ = network(kernel)
    arrays, rate = examples(samples=1), 1e-7
    found, losses = learn(
        emit_online(learning),
        arrays,
        weights,
        epochs=1,
        learning_rate=rate,
        tolerance=1e-7,
        dt=4.0,
        window=8.0,
    )
    loss, gradients = loss_and_changes(
        kernel, weights, weights["W_O"], *(array[0] for array in arrays)
    )
    assert losses == pytest.approx([loss], rel=1e-5)
    largest = max(np.abs(gradient).max() for gradient in gradients.values())
    for name, gradient in gradients.items():
        change = (found[name] - weights[name]) / -rate
        assert np.abs(change - gradient).max() < 1e-5 * largest, name


@pytest.mark.slow
def test_what_fades_divides_nothing():
    """A query loses all its keys from one example to the next: its attention is zero, not old over old."""
    spec = AttentionSpec(model=D, heads=H, tokens=N, mask=Mask.CAUSAL, key_padding=True)
    learning, weights = differentiate(lower(spec)), random_weights(spec, 4)
    x, target = examples(samples=2)
    keep = np.ones((2, N))
    order = np.random.default_rng(0).permutation(2)
    keep[order[1], 0] = 0
    options = {"epochs": 1, "learning_rate": 1e-9, "dt": 5.0, "tolerance": 1e-6}
    _, losses = learn(emit_online(learning), (x, target), weights, keep=keep, **options)
    expected = []
    for k in order:
        q, key, v = (
            np.einsum("ham,im->hia", weights[name], x[k]) for name in ("W_Q", "W_K", "W_V")
        )
        mask = np.exp(q @ key.swapaxes(1, 2) * 2**-0.5) * np.tri(N) * keep[k]
        pool = mask.sum(-1, keepdims=True)
        shares = np.divide(mask, pool, out=np.zeros_like(mask), where=pool != 0)
        y = np.einsum("hmc,hic->im", weights["W_O"], shares @ v)
        expected.append(0.5 * ((y - target[k]) ** 2).sum())
    assert np.allclose(losses, expected, rtol=1e-4)


# ---- what is local ----------------------------------------------------------------------------------------


def test_untied_columns_need_no_operation():
    """Every weight changes by its own equation; nothing adds up, nothing is handed over."""
    source = emit_online(network(Kernel.SOFTMAX, "learned", columns=True)[0])
    assert "Not local" not in source and " w : 1\n" not in source
    assert "timing.watch(groups, relay_error_cells, [])" in source
    shared = emit_online(network(Kernel.SOFTMAX, "learned")[0])
    assert "Local:" not in shared and " w : 1\n" in shared


def test_random_feedback_stays_as_it_is():
    source = emit_online(network(Kernel.SOFTMAX, "random")[0])
    assert "W_O_feedback[h, m, c]" in source and 'tensors["W_O_feedback"]' not in source


# ---- learning a task -----------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("columns", first(1, [True, False]))
def test_the_loss_falls(columns):
    """In-context regression: y = w·x for a w that eight examples show, asked for one more x."""
    spec = AttentionSpec(
        model=3, context=3, output=1, cross=True, heads=1, kernel=Kernel.LINEAR, tokens=1,
        context_tokens=8,
    )  # fmt: skip
    circuit, weights = lower(spec), random_weights(spec, 0)
    if columns:
        weights, circuit = untied_values(circuit, weights, columns), untie(circuit, columns)
    learning = differentiate(circuit, feedback="learned" if columns else "transposed")
    rng = np.random.default_rng(0)
    w, x = rng.standard_normal((40, 2, 1)), rng.uniform(-1, 1, (40, 9, 2))
    tokens = np.concatenate([x, x @ w], axis=-1)
    arrays = (tokens[:, 8:] * [1, 1, 0], tokens[:, :8], tokens[:, 8:, 2:])
    _, losses = learn(
        emit_online(learning),
        arrays,
        starting_weights(learning, weights),
        epochs=5,
        learning_rate=0.05 if columns else 0.03,
        **SYNCHRONOUS,
    )
    first, *_, last = losses.reshape(5, -1).mean(1)
    assert last < 0.6 * first


# ---- what is refused, and names -------------------------------------------------------------------------------


def test_tokens_in_time_are_refused():
    spec = AttentionSpec(model=D, kernel=Kernel.LINEAR, microcircuit=Microcircuit.MEMORY)
    with pytest.raises(UnsupportedError, match=r"i, j: in time, .* would need traces"):
        emit_online(differentiate(lower(spec)))


@pytest.mark.slow
@pytest.mark.parametrize(
    "names", [("entries", "rng", "order", "gate"), ("lambda", "partner", "w", "bias")]
)
def test_any_name_learns(names):
    """y = w x + b, each entry by itself; the names are those of the script, of Brian2 and of Python."""
    first, second, weight, bias = names
    builder = CircuitBuilder('""" \\ {x} %s')
    builder.axis("tensors", Role.FEATURE, 2)
    x = Weight(TensorRef(builder.input("t", (2,)), ("tensors",)))
    refs = [TensorRef(builder.parameter(name, (2,)), ("tensors",)) for name in (weight, bias)]
    cells = (("tensors",), Region.CORE, CellClass.RELAY)
    builder.population(first, *cells, [Compartment("dt", drive=(x,))])
    builder.population(second, *cells, [Compartment("i", drive=(Weight(refs[1]),))])
    builder.project("learned", first, second, "i", Weight(refs[0]))
    builder.output("y", second, ("tensors",))
    arrays = np.array([[2.0, -1.0]]), np.array([[0.5, 3.0]])
    start = {weight: np.array([1.5, 0.5]), bias: np.array([0.1, 0.2])}
    source = emit_online(differentiate(builder.build()))
    found, _ = learn(source, arrays, start, epochs=1, learning_rate=0.01, **SYNCHRONOUS)
    error = start[weight] * arrays[0][0] + start[bias] - arrays[1][0]
    assert np.allclose(found[weight], start[weight] - 0.01 * error * arrays[0][0], rtol=1e-12)
    assert np.allclose(found[bias], start[bias] - 0.01 * error, rtol=1e-12)


def test_missing_weights():
    learning = differentiate(lower(SPEC), feedback="random")
    with pytest.raises(SpecError, match="W_O_feedback is drawn like W_O, which has no numbers"):
        starting_weights(learning, {})
    weights = random_weights(SPEC, 0)
    del weights["W_K"]
    with pytest.raises(SpecError, match="W_K have no numbers"):
        starting_weights(learning, weights)
    drawn = draw_feedback(learning, like=weights)["W_O_feedback"]
    assert (
        starting_weights(learning, {**weights, "W_K": weights["W_Q"]})["W_O_feedback"] == drawn
    ).all()
