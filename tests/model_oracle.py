"""The independent oracle of whole models: every block straight from its equation, in NumPy and float64.

    Norm         y = gain · (x - mean) / √(mean of (x - mean)² + eps) + shift       the mean left out for RMS
    FeedForward  y = W_out φ(W_in x + b_in) + b_out         gated: W_out [φ(W_gate x + b_gate) · (W_in x + b_in)]
    Dense        y = φ(scale · W x + b), or c · tanh(that / c)
    Embedding    y = scale · W_token[id] + W_type[type] + W_position[place]
    a step       x <- norm(x + scale · Σ after(block(before(x))))
    Pooling      y = mean of x over the tokens that exist, or x of the first one; of length 1 if `unit`

It imports the words of the specs and nothing else of cortico; attention is `tests.oracle`'s. Weights come by
path, as `cortico.spec.wiring` names them, and these names are written down here anew.
"""

import math
from collections import Counter

import numpy as np

from cortico.spec import NormKind, Pool
from tests.oracle import textbook_attention

_ERF = np.vectorize(math.erf, otypes=[float])

TRANSFERS = {
    "identity": lambda x: x,
    "relu": lambda x: np.where(x > 0, x, 0.0),
    "relu_squared": lambda x: np.where(x > 0, x, 0.0) ** 2,
    "tanh": np.tanh,
    "sigmoid": lambda x: 0.5 * (1 + np.tanh(x / 2)),
    "silu": lambda x: x * 0.5 * (1 + np.tanh(x / 2)),
    "gelu": lambda x: x * 0.5 * (1 + _ERF(x / math.sqrt(2))),
    "gelu_tanh": lambda x: x * 0.5 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
}


def forward(spec, weights, tokens=None, keep=None, types=None, x=None, decoder=None, context=None):
    """Outputs by name, `states` (n, m), `logits` (n, v), `sentence`, of one sequence.

    tokens (n,) of whole numbers, or x (n, m) where a stack has no embedding; keep (n,) bool, of the encoder
    where there is one; decoder: tokens of the stack beside an encoder; context (n_c, m) without one.
    """
    run = _Run(spec, weights)
    heard = None if context is None else np.asarray(context, float)
    if spec.encoder is not None:
        heard = run.stack(spec.encoder, "encoder.", tokens, types, keep, None, None, x)
        states = run.stack(spec.stack, "decoder.", decoder, None, None, heard, keep, None)
        keep = None
    else:
        states = run.stack(spec.stack, "", tokens, types, keep, heard, None, x)
    found = {"states": states}
    if spec.readout is not None:
        y = states
        if spec.readout.dense is not None:
            y = run.dense(spec.readout.dense, "readout_dense", y)
        if spec.readout.norm is not None:
            y = run.norm(spec.readout.norm, "readout_norm", y)
        found["logits"] = run.dense(spec.readout.logits, "readout", y)
    if spec.sentence is not None:
        y = pooled(spec.sentence.pooling, states, keep)
        if spec.sentence.dense is not None:
            y = run.dense(spec.sentence.dense, "pooler", y)
        found["sentence"] = y
    return found


class _Run:
    def __init__(self, spec, weights):
        self.weights = {path: dict(own) for path, own in weights.items()}
        if spec.readout is not None and spec.readout.tied:
            table = "decoder.embedding" if spec.encoder else "embedding"
            self.weights.setdefault("readout", {})["W"] = self.weights[table]["W_token"]

    def weight(self, path, name):
        return np.asarray(self.weights[path][name], dtype=np.float64)

    def norm(self, norm, path, x):
        if norm.kind is NormKind.LAYER:
            x = x - x.mean(axis=-1, keepdims=True)
        y = x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + norm.eps)
        y = y * self.weight(path, "gain") if norm.gain else y
        return y + self.weight(path, "shift") if norm.shift else y

    def feed_forward(self, block, path, x):
        def hidden(side):
            y = x @ self.weight(path, f"W_{side}").T
            return y + self.weight(path, f"b_{side}") if block.bias_in else y

        act = TRANSFERS[block.transfer]
        inner = act(hidden("gate")) * hidden("in") if block.gated else act(hidden("in"))
        y = inner @ self.weight(path, "W_out").T
        return y + self.weight(path, "b_out") if block.bias_out else y

    def dense(self, block, path, x):
        y = block.scale * (x @ self.weight(path, "W").T)
        y = TRANSFERS[block.transfer](y + self.weight(path, "b") if block.bias else y)
        return y if block.soft_cap is None else block.soft_cap * np.tanh(y / block.soft_cap)

    def embedding(self, block, path, tokens, types):
        x = block.scale * self.weight(path, "W_token")[tokens]
        if block.types is not None:
            kinds = np.zeros(len(tokens), int) if types is None else types
            x = x + self.weight(path, "W_type")[kinds]
        return x if block.positions is None else x + self.weight(path, "W_position")[: len(tokens)]

    def stack(self, stack, prefix, tokens, types, keep, context, context_keep, x):
        if stack.embedding is not None:
            x = self.embedding(stack.embedding, f"{prefix}embedding", np.asarray(tokens), types)
        if stack.embedding_norm is not None:
            x = self.norm(stack.embedding_norm, f"{prefix}embedding_norm", x)
        if stack.embedding_dense is not None:
            x = self.dense(stack.embedding_dense, f"{prefix}embedding_dense", x)
        number = 0
        for layer in stack.layers:
            for _ in range(layer.times):
                self.met = Counter()
                for step in layer.steps:
                    where = f"{prefix}layer[{number}]."
                    x = self.step(step, where, x, keep, context, context_keep)
                number += 1
        return x if stack.norm is None else self.norm(stack.norm, f"{prefix}norm", x)

    def numbered(self, name):
        """A name, with a number from its second time in a layer on."""
        self.met[name] += 1
        return name if self.met[name] == 1 else f"{name}_{self.met[name]}"

    def step(self, step, where, x, keep, context, context_keep):
        names = [self.numbered(branch.name) for branch in step.branches]
        name = names[0] if len(names) == 1 else self.numbered("parallel")
        heard = self.norm(step.before, f"{where}pre_{name}_norm", x) if step.before else x
        added = sum(
            self.branch(branch, own, where, heard, keep, context, context_keep)
            for branch, own in zip(step.branches, names, strict=True)
        )
        y = x + step.scale * added
        return self.norm(step.norm, f"{where}{name}_norm", y) if step.norm else y

    def branch(self, branch, name, where, x, keep, context, context_keep):
        if branch.before is not None:
            x = self.norm(branch.before, f"{where}pre_{name}_norm", x)
        path = where + name
        if branch.feed_forward is not None:
            y = self.feed_forward(branch.feed_forward, path, x)
        else:
            attention = branch.attention
            seen = context_keep if attention.cross else keep
            seen = seen if attention.key_padding else None
            y = textbook_attention(attention, self.weights[path], x, context, seen)
        return y if branch.after is None else self.norm(branch.after, f"{where}post_{name}_norm", y)


def pooled(pooling, x, keep):
    y = x[0]
    if pooling.pool is Pool.MEAN:
        y = (x if keep is None or not pooling.padded else x[np.asarray(keep, bool)]).mean(axis=0)
    return y / np.sqrt((y * y).sum()) if pooling.unit else y
