"""Attack on the check of emitted NumPy code: a random change of the code that the check does not see.

The oracle runs the changed code as users run it and holds it against the textbook: batches, both types,
threads, sizes, weights from the file, 0/1 inputs, one token at a time. It shares nothing with the check.
"""

from __future__ import annotations

import ast
import random
import tempfile
from pathlib import Path

import numpy as np

from cortico.backends.numpy import compile_source, emit_source
from cortico.ir.text import save_circuit
from cortico.pipeline import compile_attention
from cortico.spec import (
    AttentionSpec,
    Bias,
    Kernel,
    Mask,
    Microcircuit,
    NormOver,
    PositionBias,
    QueryKeyNorm,
    Rotary,
)
from cortico.spec.weights import random_weights
from cortico.verify.emission.check import text_of_this_process_holds
from tests.attack.sandbox import Sandbox, serve
from tests.attack.trial import Trial
from tests.oracle import textbook_attention

_SANDBOX = Sandbox("tests.attack.emitted", seconds=90.0)

#: Largest difference, relative to the largest number of the textbook's output.
_TOLERANCE = {np.float64: 1e-7, np.float32: 2e-3}


def trial(seed: int) -> Trial:
    """Change the code of a random circuit once, and ask the check and the oracle."""
    return _SANDBOX.attempt(seed)


def attempt(seed: int) -> Trial:
    """What `trial` says, in this process."""
    draw = random.Random(seed)
    spec = random_spec(draw)
    weights = random_weights(spec, seed)
    circuit = compile_attention(spec, weights, passes=draw.choice(["none", "default"])).circuit
    text = emit_source(circuit)
    changed, what = mutated(text, draw)
    if changed is None:
        return Trial("unchanged", False)
    detail = f"seed {seed}, {spec}: {what}"
    holds, why = text_of_this_process_holds(circuit, changed)
    if not holds:
        return Trial("refused", False, f"{detail}: {why}")
    found = misbehaviour(spec, weights, circuit, changed, draw)
    return Trial("accepted", found is not None, f"{detail}: {found or 'nothing found'}")


# ---- circuits ------------------------------------------------------------------------------------


def random_spec(draw: random.Random) -> AttentionSpec:
    """A small spec with options drawn freely, those that go together."""
    heads, groups = draw.choice([(1, 1), (2, 2), (2, 1), (4, 2)])
    mask = draw.choice(list(Mask))
    kernel, memory = draw.choice(list(Kernel)), draw.random() < 0.15
    rotary = Rotary(rotated=draw.choice([None, 2])) if draw.random() < 0.3 else None
    cross = mask is Mask.NONE and draw.random() < 0.3
    options = {
        "model": draw.choice([3, 4, 6]),
        "heads": heads,
        "kv_heads": groups,
        "key_features": 4 if rotary else draw.choice([1, 2, 3, 4]),
        "value_features": draw.choice([1, 2, 3]),
        "output": draw.choice([None, 2, 5]),
        "cross": cross,
        "context": draw.choice([None, 5]) if cross else None,
        "values": draw.choice([None, None, 2]) if cross else None,
        "kernel": kernel,
        "mask": mask,
        "window": draw.choice([1, 2, 3, 9]) if mask.has_window else None,
        "key_padding": draw.random() < 0.4,
        "scale": draw.choice([None, None, 0.3, -1.5]),
        "bias": Bias(*(draw.random() < 0.5 for _ in range(4))),
        "qk_norm": QueryKeyNorm(draw.choice(list(NormOver)), 0.1) if draw.random() < 0.2 else None,
    }
    if memory:
        mask = draw.choice([Mask.NONE, Mask.CAUSAL])
        options |= {"kernel": Kernel.LINEAR, "mask": mask, "window": None}
        return AttentionSpec(**options, microcircuit=Microcircuit.MEMORY)
    options |= {"soft_cap": draw.choice([None, None, None, 2.0])}
    alibi = rotary is None and draw.random() < 0.2
    sink = kernel is Kernel.SOFTMAX and draw.random() < 0.3
    bias = PositionBias.ALIBI if alibi else PositionBias.NONE
    return AttentionSpec(
        **options,
        rotary=None if cross else rotary,
        position_bias=bias,
        sink=sink,
        semi_saturation=draw.choice([0.0, 0.0, 0.7]) if kernel is Kernel.SOFTMAX else 0.0,
        extra_source=rotary is None and not alibi and draw.random() < 0.3,
    )


# ---- changes of code -------------------------------------------------------------------------------

_OPERATORS = [ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.MatMult, ast.Pow]
_COMPARISONS = [ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq]
_TWINS = {
    "max": "min", "min": "max", "sum": "max", "maximum": "minimum", "zeros": "ones", "ones": "zeros",
    "empty": "zeros", "cos": "sin", "sin": "cos", "exp": "tanh", "float32": "float64", "all": "any",
    "float64": "float32", "divide": "multiply", "start": "stop", "stop": "start", "shape": "size",
}  # fmt: skip


def mutated(text: str, draw: random.Random) -> tuple[str | None, str]:
    """The text after one random change, and what it was; None when nothing came of a hundred tries."""
    for _ in range(100):
        tree = ast.parse(text)
        function = draw.choice([node for node in tree.body if not isinstance(node, ast.Import)])
        node = draw.choice(list(ast.walk(function)))
        before = ast.unparse(node) if isinstance(node, ast.expr | ast.stmt) else type(node).__name__
        if not _change(node, function, draw):
            continue
        try:
            changed = ast.unparse(ast.fix_missing_locations(tree))
            compile(changed, "changed", "exec")
        except (SyntaxError, ValueError, TypeError, AttributeError):
            continue
        if changed != ast.unparse(ast.parse(text)):
            after = ast.unparse(node) if isinstance(node, ast.expr | ast.stmt) else "changed"
            line = getattr(node, "lineno", 0)
            return changed, f"line {line}: {before[:200]!r} -> {after[:200]!r}"
    return None, ""


def _change(node: ast.AST, around: ast.AST, draw: random.Random) -> bool:
    """Change a node in its place; whether there was something to change. Names are those `around`."""
    match node:
        case ast.BinOp():
            if draw.random() < 0.3:
                node.left, node.right = node.right, node.left
            else:
                node.op = draw.choice(_OPERATORS)()
        case ast.AugAssign():
            node.op = draw.choice(_OPERATORS)()
        case ast.Compare() if type(node.ops[0]) in _COMPARISONS:
            node.ops[0] = draw.choice(_COMPARISONS)()
        case ast.Compare() if isinstance(node.ops[0], ast.Is | ast.IsNot):
            other = ast.IsNot if isinstance(node.ops[0], ast.Is) else ast.Is
            node.ops[0] = other()
        case ast.BoolOp():
            node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        case ast.UnaryOp():
            node.op = ast.UAdd() if isinstance(node.op, ast.USub | ast.Invert) else ast.USub()
        case ast.Constant():
            return _other_constant(node, draw)
        case ast.Name(ctx=ast.Load()):
            node.id = draw.choice(_names(around))
        case ast.Attribute() if node.attr in _TWINS:
            node.attr = _TWINS[node.attr]
        case ast.Call():
            return _other_call(node, draw)
        case ast.Slice():
            part = draw.choice(["lower", "upper"])
            side = getattr(node, part)
            step = ast.Constant(draw.choice([1, -1]))
            new = ast.BinOp(side, ast.Add(), step) if side and draw.random() < 0.6 else None
            setattr(node, part, new)
        case ast.Tuple() | ast.List() if len(node.elts) > 1:
            i, j = draw.sample(range(len(node.elts)), 2)
            node.elts[i], node.elts[j] = node.elts[j], node.elts[i]
        case ast.IfExp():
            _negate_or_drop(node, draw)
        case ast.If():
            node.test = ast.UnaryOp(ast.Not(), node.test)
        case ast.FunctionDef():
            return _other_body(node, draw)
        case ast.arguments():
            return _other_default(node, draw)
        case ast.Return() if node.value is not None:
            scale = ast.Constant(draw.choice([2, 0, -1, 1.001]))
            node.value = ast.BinOp(node.value, ast.Mult(), scale)
        case ast.Assign() if not isinstance(node.value, ast.Constant):
            node.value = ast.UnaryOp(ast.USub(), node.value)
        case _:
            return False
    return True


def _other_constant(node: ast.Constant, draw: random.Random) -> bool:
    match node.value:
        case bool():
            node.value = not node.value
        case int():
            node.value += draw.choice([1, -1, 2, node.value, 7])
        case float():
            node.value *= draw.choice([1.5, -1.0, 0.0, 1.0001, 2.0])
        case str() if "->" in node.value:
            letters = list(node.value)
            places = [k for k, letter in enumerate(letters) if letter.isalpha()]
            i, j = draw.sample(places, 2)
            letters[i], letters[j] = letters[j], letters[i]
            node.value = "".join(letters)
        case None:
            node.value = draw.choice([0, 1, True])
        case _:
            return False
    return True


def _other_call(node: ast.Call, draw: random.Random) -> bool:
    kinds = ["swap"] * (len(node.args) > 1) + ["keyword"] * bool(node.keywords)
    kinds += ["argument"] * bool(node.args) + ["negative"] * bool(node.args)
    if not kinds:
        return False
    kind = draw.choice(kinds)
    if kind == "swap":
        i, j = draw.sample(range(len(node.args)), 2)
        node.args[i], node.args[j] = node.args[j], node.args[i]
    elif kind == "keyword":
        node.keywords.remove(draw.choice(node.keywords))
    elif kind == "argument":
        node.args.remove(draw.choice(node.args))
    else:
        k = draw.randrange(len(node.args))
        node.args[k] = ast.UnaryOp(ast.USub(), node.args[k])
    return True


def _negate_or_drop(node: ast.IfExp, draw: random.Random) -> None:
    if draw.random() < 0.5:
        node.test = ast.UnaryOp(ast.Not(), node.test)
    else:
        node.orelse = node.body


def _other_body(node: ast.FunctionDef, draw: random.Random) -> bool:
    """A statement less, or two in another order."""
    body = node.body[1:] if isinstance(node.body[0], ast.Expr) else node.body
    if len(body) < 2:
        return False
    place = draw.randrange(len(body))
    if draw.random() < 0.6 or place + 1 == len(body):
        node.body.remove(body[place])
    else:
        i = node.body.index(body[place])
        node.body[i], node.body[i + 1] = node.body[i + 1], node.body[i]
    return True


def _other_default(node: ast.arguments, draw: random.Random) -> bool:
    defaults = [d for d in (*node.defaults, *node.kw_defaults) if isinstance(d, ast.Constant)]
    return bool(defaults) and _other_constant(draw.choice(defaults), draw)


def _names(tree: ast.AST) -> list[str]:
    return sorted({node.id for node in ast.walk(tree) if isinstance(node, ast.Name)})


# ---- the oracle ----------------------------------------------------------------------------------

_TOKENS = [1, 2, 3, 4, 6, 11, 31, 64, 65, 129, 140]
_BATCHES = [(), (), (1,), (2,), (3,), (5,), (2, 2), (3, 1)]


def misbehaviour(spec, weights, circuit, text, draw):
    """The first call in which the code differs from the textbook, in words; None if none was found."""
    with tempfile.TemporaryDirectory() as folder, np.errstate(all="ignore"):
        save_circuit(circuit, Path(folder) / "circuit.cortico")
        entry = compile_source(text, str(Path(folder) / "attention.py"))
        code = _Code(spec, weights, circuit, entry.__globals__, draw)
        try:
            return code.first_wrong()
        except Exception as error:
            return f"{type(error).__name__}: {error} in {code.said}"


class _Code:
    """Changed code, called at random."""

    def __init__(self, spec, weights, circuit, space, draw):
        self.spec, self.weights, self.space, self.draw = spec, weights, space, draw
        self.numbers = {p.name: p.values for p in circuit.parameters if p.values is not None}
        self.rng = np.random.default_rng(draw.getrandbits(32))
        self.work, self.said = {}, ""

    def first_wrong(self):
        for _ in range(25):
            wrong = self.call(self.draw.choice(_TOKENS), self.draw.choice(_BATCHES))
            if wrong:
                return wrong
        if self.draw.random() < 0.5:
            wrong = self.call(self.draw.choice([280, 400]), ())
        if not wrong and self.draw.random() < 0.3:
            wrong = self.call(6, (2**18 // 18 + 1,), plain=True)
        return wrong or ("step" in self.space and self.steps()) or None

    def call(self, tokens, batch, plain=False):
        dtype = self.draw.choice([np.float64, np.float64, np.float32])
        scale = 1.0 if dtype is np.float32 else self.draw.choice([1.0, 1.0, 8.0, 60.0])
        inputs = self.inputs(tokens, batch, scale)
        given = {n: a if a.dtype == bool else a.astype(dtype) for n, a in inputs.items()}
        pack = self.space["pack"]
        options = {
            "weights": self.draw.choice([None, self.numbers, pack(self.numbers, dtype)]),
            "threads": None if plain else self.draw.choice([None, 1, 2, 3]),
            "work": None if plain else self.draw.choice([None, {}, self.work]),
        }
        takes = self.space["attention"].__code__
        known = takes.co_varnames[: takes.co_argcount + takes.co_kwonlyargcount]
        shown = {n: v for n, v in options.items() if n != "weights"}
        self.said = f"{tokens} tokens, batch {batch}, {dtype.__name__}, scale {scale}, {shown}"
        options = {name: value for name, value in options.items() if name in known}
        found = self.space["attention"](**given, **options)
        wanted = self.textbook(inputs, batch, repeat=plain)
        return self.difference(np.asarray(found), wanted, dtype)

    def inputs(self, tokens, batch, scale):
        spec, source = self.spec, tokens
        inputs = {"x": scale * self.rng.standard_normal((*batch, tokens, spec.model))}
        if spec.cross:
            source = self.draw.choice(_TOKENS)
            shape = (*batch, source, spec.d_context)
            inputs["context"] = scale * self.rng.standard_normal(shape)
        if spec.values:
            inputs["values"] = scale * self.rng.standard_normal((*batch, source, spec.values))
        if spec.key_padding and self.draw.random() < 0.8:
            live = self.rng.random((*batch, source)) < self.draw.choice([0.7, 0.1])
            inputs["keep"] = live
        return inputs

    def textbook(self, inputs, batch, repeat=False):
        results = []
        for index in np.ndindex(*batch):
            one = {name: array[index] for name, array in inputs.items()}
            if repeat and len(results) == 40:  # the rest is not looked at
                break
            results.append(textbook_attention(self.spec, self.weights, **one))
        shape = (len(results),) if repeat else batch
        return np.reshape(results, (*shape, *results[0].shape))

    def difference(self, found, wanted, dtype):
        if found.ndim and len(found) > len(wanted):
            found = found[: len(wanted)]
        if found.shape != wanted.shape or found.dtype != dtype:
            return f"shape {found.shape}, {found.dtype} in {self.said}"
        error = np.abs(found - wanted).max() / (np.abs(wanted).max() or 1.0)
        return None if error <= _TOLERANCE[dtype] else f"{error:.1e} off in {self.said}"

    def steps(self):
        tokens, batch = self.draw.choice([1, 5, 9]), self.draw.choice([(), (2,)])
        self.said = f"{tokens} steps, batch {batch}"
        inputs, state, rows = self.inputs(tokens, batch, 1.0), None, []
        for t in range(tokens):
            places = {"x": -2, "keep": -1}
            some = {n: np.take(a, t, places[n]) for n, a in inputs.items()}
            weights = self.draw.choice([None, self.numbers])
            state, row = self.space["step"](state, **some, weights=weights)
            rows.append(row)
        found = np.stack(rows, -2)
        return self.difference(found, self.textbook(inputs, batch), np.float64)


if __name__ == "__main__":
    serve(attempt)
