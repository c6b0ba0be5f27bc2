"""In-context linear regression, learned by the plasticity rules of a cortico-thalamic circuit.

    python examples/in_context_regression.py

Every example is a task of its own: y = w·x for a new random w, shown as ten context tokens (x_j, y_j);
the layer is asked for the y of one more x. The query token (x, 0) is the only query of a linear
cross-attention layer with one output, so that nothing but the answer is compared with a target.
What such a layer can do best is one step of gradient descent on the context (von Oswald et al. 2023,
arXiv 2212.07677), from w = 0 with rate η:

    answer = η/N Σ_j y_j x_j·x        keys x_j, queries x, values y_j

The memory circuit learns it by its own rules: each weight changes by products of rates, summed over a
batch of tasks, with momentum and a rate that falls to zero. Too long gradients are shortened, which is a
factor that all synapses share. Four ways, from the same weights:

    tied      errors come back through the transposed weights; cells share keys' and values' synapses
    untied    a set of synapses for each cell, which starts with the same numbers
    random    errors come back through random weights that stay as they are: feedback alignment
    learned   through weights that start as random ones, and learn along: Kolen and Pollack

Printed are losses ½ (answer - y)² on new tasks: untrained, trained, and of the step of gradient descent
with the best η. The curves are drawn to in_context_regression.svg with `pip install 'cortico[plots]'`.
Exit code 1 when a trained loss is more than 5 % above that of gradient descent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from cortico import AttentionSpec, get_backend, lower, random_weights
from cortico.backends.numpy import compile_source
from cortico.learning import (
    Feedback,
    Learning,
    differentiate,
    draw_feedback,
    gradient_circuit,
    untie,
    untied_values,
)
from cortico.spec import Kernel, Microcircuit

FEATURES, TOKENS = 4, 10
BATCH, STEPS, RATE, MOMENTUM = 128, 2500, 0.04, 0.9
CLIP = 0.3  #: longest gradient, all parameters together
EVERY = 100  #: steps from one point of the loss curve to the next
MOST = 0.05  #: how much worse than gradient descent, relative to it
PICTURE = Path("in_context_regression.svg")

SPEC = AttentionSpec(
    model=FEATURES + 1,
    context=FEATURES + 1,
    output=1,
    cross=True,
    heads=1,
    kernel=Kernel.LINEAR,
    microcircuit=Microcircuit.MEMORY,
    name="in_context_regression",
)

Arrays = dict[str, np.ndarray]


def tasks(rng: np.random.Generator, count: int) -> Arrays:
    """`count` tasks: context (count, 10, 5), x (count, 1, 5) and target (count, 1, 1)."""
    w = rng.standard_normal((count, FEATURES, 1))
    x = rng.uniform(-1, 1, (count, TOKENS + 1, FEATURES))
    tokens = np.concatenate([x, x @ w], axis=-1)
    query = tokens[:, TOKENS:].copy()
    query[..., -1] = 0  # what is asked for
    return {"context": tokens[:, :TOKENS], "x": query, "target": tokens[:, TOKENS:, -1:]}


def loss(answer: np.ndarray, target: np.ndarray) -> float:
    """½ (answer - target)², its mean over tasks."""
    return float(0.5 * ((answer - target) ** 2).mean())


def gradient_descent(data: Arrays) -> np.ndarray:
    """What one step of gradient descent answers, with the best step size for these very tasks."""
    x, y = data["context"][..., :-1], data["context"][..., -1:]
    answer = (y * x).mean(axis=1, keepdims=True) @ data["x"][..., :-1].swapaxes(1, 2)
    best = (answer * data["target"]).sum() / (answer**2).sum()
    return np.asarray(best * answer)


def variants() -> Iterator[tuple[str, Learning, Arrays]]:
    """Name, circuit with rules, and small random weights to start from."""
    circuit = lower(SPEC)
    weights = {name: 0.5 * array for name, array in random_weights(SPEC, seed=1).items()}
    yield "tied", differentiate(circuit), weights
    yield "untied", differentiate(untie(circuit)), untied_values(circuit, weights)
    for feedback in (Feedback.RANDOM, Feedback.LEARNED):
        learning = differentiate(circuit, feedback=feedback)
        yield feedback, learning, weights | draw_feedback(learning, seed=2, like=weights)


def trained(learning: Learning, weights: Arrays, test: Arrays) -> Iterator[tuple[int, float]]:
    """Steps done and loss on the tasks of `test`, while the circuit learns by its rules."""
    circuit = gradient_circuit(learning)
    names = [output.name for output in circuit.outputs]
    run = compile_source(get_backend("numpy").emit(circuit)["attention.py"])
    rng, velocity = np.random.default_rng(0), {name: np.zeros(()) for name in weights}
    for step in range(STEPS + 1):
        if step % EVERY == 0:
            yield step, loss(run(**test, weights=weights)[0], test["target"])
        found = dict(zip(names, run(**tasks(rng, BATCH), weights=weights), strict=True))
        changes = shortened(
            {rule.parameter: found[f"d_{rule.parameter}"].mean(axis=0) for rule in learning.rules}
        )
        rate = RATE * (1 - step / STEPS)
        for rule in learning.rules:
            name = rule.parameter
            change = changes[name] + rule.decay * weights[name]
            velocity[name] = MOMENTUM * velocity[name] + change
            weights = {**weights, name: weights[name] - rate * velocity[name]}


def shortened(changes: Arrays) -> Arrays:
    """The same, scaled to length `CLIP` in all where it is longer."""
    length = np.sqrt(sum((change**2).sum() for change in changes.values()))
    return {name: change / max(1.0, length / CLIP) for name, change in changes.items()}


def draw(curves: Mapping[str, list[tuple[int, float]]], limit: float) -> None:
    """The loss curves, and the loss of gradient descent, to `PICTURE`; or a line that says why not."""
    if find_spec("matplotlib") is None:
        print("no picture: pip install 'cortico[plots]'")
        return
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.5, 3.3), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.add_subplot()
    styles = (("-", "#0072B2"), ("-.", "#CC79A7"), ("--", "#D55E00"), (":", "#009E73"))
    for (name, curve), (style, colour) in zip(curves.items(), styles, strict=True):
        axes.plot(*zip(*curve, strict=True), style, color=colour, label=name)
    axes.axhline(limit, color="0.5", linewidth=0.8, label="one step of gradient descent")
    axes.set(xlabel="step", ylabel="loss on new tasks", ylim=(0, None))
    axes.legend(frameon=False)
    figure.savefig(PICTURE, format="svg", metadata={"Date": None})
    print(f"loss curves: {PICTURE}")


def main() -> int:
    """Print the losses; 0 when all are within `MOST` of gradient descent, else 1."""
    test = tasks(np.random.default_rng(3), 2000)
    limit = loss(gradient_descent(test), test["target"])
    print(f"one step of gradient descent, best step size: {limit:.4f}\n")

    print("          untrained  trained  beside gradient descent")
    curves = {}
    for name, learning, weights in variants():
        curves[name] = list(trained(learning, weights, test))
        before, after = curves[name][0][1], curves[name][-1][1]
        print(f"{name:<9} {before:9.4f}  {after:7.4f}  {after / limit - 1:+.2%}")
    draw(curves, limit)
    return 0 if all(curve[-1][1] <= (1 + MOST) * limit for curve in curves.values()) else 1


if __name__ == "__main__":
    raise SystemExit(main())
