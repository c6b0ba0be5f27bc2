"""The spec of a whole model in a certificate: which block stands at which path, and what feeds it.

What is left out of a block is as `compiler/spec/blocks.py` has it. A layer is steps, and a step is

    x <- norm(x + scale · Σ_b after_b(block_b(before_b(x))))
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

from cortico.verify.recheck.forms import Each, Either, Maybe, Table, fit, printable
from cortico.verify.recheck.spec import require_size, require_tokens
from cortico.verify.recheck.text import require

Spec = Mapping[str, Any]

#: Transfer functions, as `ir/transfer.py` has them.
TRANSFERS = (
    *("identity", "exp", "relu", "tanh", "sqrt", "erf", "sigmoid", "gaussian", "log", "softplus"),
    *("gelu", "gelu_tanh", "silu", "relu_squared"),
)

_SITES = ("superficial", "granular", "deep")
_ANY = {"tokens?": Either(int, str)}

#: Fields of each kind of block. `attention` is read by `read_spec`.
FORMS = {
    "attention": dict,
    "norm": Table(
        {
            "model": int,
            "kind?": ("rms", "layer"),
            "eps?": float,
            "gain?": bool,
            "shift?": bool,
            "site?": _SITES,
            **_ANY,
        }
    ),
    "feed_forward": Table(
        {
            "model": int,
            "hidden": int,
            "transfer?": TRANSFERS,
            "gated?": bool,
            "bias_in?": bool,
            "bias_out?": bool,
            "output?": Maybe(int),
            "site?": _SITES,
            **_ANY,
        }
    ),
    "dense": Table(
        {
            "model": int,
            "output": int,
            "transfer?": TRANSFERS,
            "bias?": bool,
            "scale?": float,
            "soft_cap?": Maybe(float),
            "pooled?": bool,
            "site?": _SITES,
            **_ANY,
        }
    ),
    "embedding": Table(
        {
            "vocabulary": int,
            "model": int,
            "types?": Maybe(int),
            "positions?": Maybe(int),
            "scale?": float,
            "site?": _SITES,
            **_ANY,
        }
    ),
    "pooling": Table(
        {
            "model": int,
            "pool?": ("mean", "first"),
            "unit?": bool,
            "padded?": bool,
            "site?": _SITES,
            **_ANY,
        }
    ),
}

#: What a block has that its spec leaves out.
DEFAULTS: dict[str, dict[str, Any]] = {
    "attention": {},
    "norm": {"kind": "layer", "eps": 1e-5, "gain": True, "shift": False, "tokens": "n"},
    "feed_forward": {
        "transfer": "gelu",
        "gated": False,
        "bias_in": False,
        "bias_out": False,
        "output": None,
        "tokens": "n",
    },
    "dense": {
        "transfer": "identity",
        "bias": False,
        "scale": 1.0,
        "soft_cap": None,
        "pooled": False,
        "tokens": "n",
    },
    "embedding": {"types": None, "positions": None, "scale": 1.0, "tokens": "n"},
    "pooling": {"pool": "mean", "unit": False, "padded": True, "tokens": "n"},
}

_BRANCH = Table(
    {
        "attention?": FORMS["attention"],
        "feed_forward?": FORMS["feed_forward"],
        "before?": FORMS["norm"],
        "after?": FORMS["norm"],
    }
)
_STEP = Table(
    {
        "branches": Each(_BRANCH),
        "before?": FORMS["norm"],
        "norm?": FORMS["norm"],
        "scale?": float,
        "way?": ("deep", "relay"),
    }
)
_STACK = Table(
    {
        "model": int,
        "layers": Each(Table({"steps": Each(_STEP), "times?": int})),
        "embedding?": FORMS["embedding"],
        "embedding_norm?": FORMS["norm"],
        "embedding_dense?": FORMS["dense"],
        "norm?": FORMS["norm"],
    }
)
FORM = Table(
    {
        "stack": _STACK,
        "encoder?": _STACK,
        "readout?": Table(
            {
                "logits": FORMS["dense"],
                "dense?": FORMS["dense"],
                "norm?": FORMS["norm"],
                "tied?": bool,
            }
        ),
        "sentence?": Table({"pooling": FORMS["pooling"], "dense?": FORMS["dense"]}),
        "name?": str,
    }
)

#: Most blocks of a model.
MOST = 10**4


class Block(NamedTuple):
    """A block of a model: its kind, its spec with all fields, and what feeds each of its inputs.

    Sources are inputs of the model, or `path.y`.
    """

    kind: str
    spec: Spec
    heard: Mapping[str, str]

    @property
    def key(self) -> str:
        """The same for blocks that compute the same."""
        spec = {name: value for name, value in self.spec.items() if name != "name"}
        return f"{self.kind} {json.dumps(spec, sort_keys=True)}"


class Model:
    """The blocks of a model by path, and its outputs. ValueError for a spec that is none."""

    def __init__(self, given: Any) -> None:
        fit(given, FORM, "the spec")
        self.given: Spec = given
        self.blocks: dict[str, Block] = {}
        self.outputs: dict[str, str] = {}
        encoder, before, within = given.get("encoder"), "", ""
        context, heard = "context", "context_keep"
        if encoder is not None:
            context, heard = self.stack(encoder, "encoder.", "", None), "keep"
            before, within = "decoder_", "decoder."
        states = self.stack(given["stack"], within, before, (context, heard))
        self.outputs["states"] = states
        crossed = [b for b in self.blocks.values() if b.kind == "attention" and b.spec.get("cross")]
        require(encoder is None or crossed, "the encoder is heard by nothing")
        self.ends(states, before)
        #: Of a tied readout, the path of the table that it shares.
        self.table = f"{within}embedding" if given.get("readout", {}).get("tied") else None
        if self.table is not None:
            table = self.blocks.get(self.table)
            sides = table and [str(table.spec[side]) for side in ("vocabulary", "model")]
            matrix = [str(self.blocks["readout"].spec[side]) for side in ("output", "model")]
            require(sides == matrix, "the readout is tied to a table of other sizes")

    def add(self, path: str, kind: str, spec: Spec, **heard: str) -> str:
        """Put a block at a path; what it gives."""
        require(len(self.blocks) < MOST, f"it has more than {MOST} blocks")
        filled = {**DEFAULTS.get(kind, {}), **spec}
        check_block(kind, filled, path)
        self.blocks[path] = Block(kind, filled, heard)
        return f"{path}.y"

    def normed(self, norm: Spec | None, path: str, x: str) -> str:
        """`norm(x)`, or x where there is none."""
        return x if norm is None else self.add(path, "norm", norm, x=x)

    def stack(self, stack: Spec, within: str, own: str, context: tuple[str, str] | None) -> str:
        """The blocks of a stack; what it gives."""
        require(stack["layers"], "a stack has no layers")
        x, embedding = f"{own}x", stack.get("embedding")
        if embedding is not None:
            heard = {"tokens": f"{own}tokens"}
            heard |= {"types": f"{own}types"} if embedding.get("types") else {}
            x = self.add(f"{within}embedding", "embedding", embedding, **heard)
        x = self.normed(stack.get("embedding_norm"), f"{within}embedding_norm", x)
        if stack.get("embedding_dense") is not None:
            x = self.add(f"{within}embedding_dense", "dense", stack["embedding_dense"], x=x)
        level = 0
        for layer in stack["layers"]:
            require_size(layer.get("times", 1), "times")
            require(layer["steps"], "a layer has no steps")
            for _ in range(layer.get("times", 1)):
                names = Names(f"{within}layer[{level}].")
                for step in layer["steps"]:
                    x = self.step(step, names, x, f"{own}keep", context, stack["model"])
                level += 1
        return self.normed(stack.get("norm"), f"{within}norm", x)

    def step(
        self,
        step: Spec,
        names: Names,
        x: str,
        keep: str,
        context: tuple[str, str] | None,
        width: int,
    ) -> str:
        """`norm(x + scale · Σ after(block(before(x))))`."""
        branches = step["branches"]
        require(branches, "a step has no branches")
        own = [names.next(kind_of(branch, context)) for branch in branches]
        whole = own[0] if len(own) == 1 else names.next("parallel")
        heard = self.normed(step.get("before"), f"{names.level}pre_{whole}_norm", x)
        one_norm = not any(step.get("before") and b.get("before") for b in branches)
        require(one_norm, "a norm before is given of a step and of its branch")
        added = [
            self.branch(branch, name, names.level, heard, keep, context)
            for branch, name in zip(branches, own, strict=True)
        ]
        keys = ["branch"] if len(added) == 1 else [f"branch_{k}" for k in range(len(added))]
        first = branches[0].get("attention") or branches[0]["feed_forward"]
        residual = {"model": width, "branches": len(added), "tokens": first.get("tokens", "n")}
        residual["scale"] = step.get("scale", 1.0)
        sources = dict(zip(keys, added, strict=True))
        y = self.add(f"{names.level}{whole}_residual", "residual", residual, x=x, **sources)
        return self.normed(step.get("norm"), f"{names.level}{whole}_norm", y)

    def branch(
        self,
        branch: Spec,
        name: str,
        level: str,
        x: str,
        keep: str,
        context: tuple[str, str] | None,
    ) -> str:
        """`after(block(before(x)))`."""
        heard = {"x": self.normed(branch.get("before"), f"{level}pre_{name}_norm", x)}
        kind = "feed_forward" if branch.get("attention") is None else "attention"
        block = branch[kind]
        if kind == "attention":
            cross = block.get("cross") and context is not None
            heard |= {"context": context[0]} if cross and context else {}
            whose = context[1] if cross and context else keep
            heard |= {"keep": whose} if block.get("key_padding") else {}
        y = self.add(f"{level}{name}", kind, block, **heard)
        return self.normed(branch.get("after"), f"{level}post_{name}_norm", y)

    def ends(self, states: str, own: str) -> None:
        """Readout and sentence."""
        readout, sentence, y = self.given.get("readout"), self.given.get("sentence"), states
        if readout is not None:
            if readout.get("dense") is not None:
                y = self.add("readout_dense", "dense", readout["dense"], x=y)
            y = self.normed(readout.get("norm"), "readout_norm", y)
            self.outputs["logits"] = self.add("readout", "dense", readout["logits"], x=y)
        if sentence is not None:
            pooling = {**DEFAULTS["pooling"], **sentence["pooling"]}
            keep = {"keep": f"{own}keep"} if heard_keep(pooling) else {}
            y = self.add("pooling", "pooling", pooling, x=states, **keep)
            if sentence.get("dense") is not None:
                y = self.add("pooler", "dense", sentence["dense"], x=y)
            self.outputs["sentence"] = y

    @property
    def wires(self) -> dict[str, str]:
        """Every input of a block, `path.name`, and what feeds it."""
        found = ((path, block.heard) for path, block in self.blocks.items())
        return {f"{path}.{name}": source for path, heard in found for name, source in heard.items()}


class Names:
    """Names of the blocks of a level: the second attention of one is `attention_2`."""

    def __init__(self, level: str) -> None:
        self.level, self.met = level, Counter[str]()

    def next(self, name: str) -> str:
        self.met[name] += 1
        return name if self.met[name] == 1 else f"{name}_{self.met[name]}"


def kind_of(branch: Spec, context: object) -> str:
    """What a branch is called; it has one block, of a kind that can stand there."""
    attention, feed_forward = branch.get("attention"), branch.get("feed_forward")
    require((attention is None) != (feed_forward is None), "a branch has one block")
    if attention is None:
        return "feed_forward"
    require(
        attention.get("position_bias") != "input", "position_bias = input has no place in a model"
    )
    require(attention.get("values") is None, "values has no place in a model")
    require(context is not None or not attention.get("cross"), "an encoder has no cross attention")
    return "cross_attention" if attention.get("cross") else "attention"


def heard_keep(pooling: Spec) -> bool:
    """Whether a pooling hears which tokens exist."""
    return bool(pooling["padded"] and pooling["pool"] != "first")


def check_block(kind: str, spec: Spec, path: str) -> None:
    """ValueError for values that a block cannot have; `read_spec` looks at those of attention."""
    if kind == "attention":
        return
    for name in ("model", "hidden", "output", "vocabulary", "types", "positions", "branches"):
        require_size(spec.get(name), f"{path}: {name}")
    require_tokens(spec["tokens"], f"{path}: tokens")
    eps, cap = spec.get("eps", 0.0), spec.get("soft_cap")
    require(eps >= 0, f"{path}: eps is negative, {printable(eps)}")
    plain = spec.get("transfer", "identity") == "identity"
    require(cap is None or (cap > 0 and plain), f"{path}: a soft cap does not fit")
