"""Attention as exporters write it, from a spec's weights: one small graph per way of writing."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper

MICROSOFT = "com.microsoft"


class Writer:
    """Collects nodes; `constants` says whether stored arrays are initializers or Constant nodes."""

    def __init__(self, constants="initializer", opset=18):
        self.nodes, self.stored, self.inputs = [], [], []
        self.constants, self.opset, self.count = constants, opset, 0
        self.ir_version = 10

    def __call__(self, kind, *inputs, domain="", outputs=1, **attributes):
        names = [n if isinstance(n, str) else self.store(n) for n in inputs]
        self.count += 1
        made = [f"v{self.count}_{k}" for k in range(outputs)]
        self.nodes.append(helper.make_node(kind, names, made, domain=domain, **attributes))
        return made[0] if outputs == 1 else made

    def store(self, array):
        array = np.asarray(array)
        array = array.astype(np.float32) if array.dtype.kind == "f" else array
        name = f"c{len(self.stored)}_{len(self.nodes)}"
        if self.constants == "initializer":
            self.stored.append(numpy_helper.from_array(array, name))
        else:
            value = numpy_helper.from_array(array)
            self.nodes.append(helper.make_node("Constant", [], [name], value=value))
        return name

    def input(self, name, shape, kind=TensorProto.FLOAT):
        self.inputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def save(self, path, output, shape=("b", "n", None)):
        last = helper.make_tensor_value_info(output, TensorProto.FLOAT, shape)
        graph = helper.make_graph(self.nodes, "g", self.inputs, [last], self.stored)
        opsets = [helper.make_opsetid("", self.opset), helper.make_opsetid(MICROSOFT, 1)]
        from onnx import save_model

        save_model(helper.make_model(graph, opset_imports=opsets, ir_version=self.ir_version), path)
        return path


def flat(weights, name):
    """`W_Q` as (m, heads · features), and its bias, as linear layers store them."""
    matrix = weights[f"W_{name}"]
    bias = weights.get(f"b_{name}")
    return matrix.reshape(-1, matrix.shape[2]).T, None if bias is None else bias.reshape(-1)


def linear(write, x, weights, name):
    matrix, bias = flat(weights, name)
    found = write("MatMul", x, matrix)
    return found if bias is None else write("Add", bias, found)


def heads_first(write, x, heads, order=(0, 2, 1, 3)):
    return write("Transpose", write("Reshape", x, np.array([0, 0, heads, -1])), perm=list(order))


def map_out(write, found, weights):
    joined = write("Transpose", found, perm=[0, 2, 1, 3])
    return out(write, write("Reshape", joined, np.array([0, 0, -1])), weights)


def out(write, joined, weights):
    matrix = weights["W_O"].transpose(0, 2, 1).reshape(-1, weights["W_O"].shape[1])
    found = write("MatMul", joined, matrix)
    return write("Add", found, weights["b_O"]) if "b_O" in weights else found


def decomposed(write, weights, scale="scores", mask=None, context=None, width=None, tokens="n"):
    """MatMul, Softmax, MatMul. `scale` is where the factor stands; `mask(write, scores)` adds one."""
    heads, features, model = weights["W_Q"].shape
    x = write.input("x", ["b", tokens, model])
    source = write.input("context", ["b", "k", weights["W_K"].shape[2]]) if context else x
    groups = len(weights["W_K"])
    value = heads_first(write, linear(write, source, weights, "V"), groups)  # values first
    key = heads_first(write, linear(write, source, weights, "K"), groups, (0, 2, 3, 1))
    query = heads_first(write, linear(write, x, weights, "Q"), heads)
    if scale == "split":
        query = write("Mul", query, np.array(features**-0.25))
        key = write("Mul", np.array([features**-0.25]), key)
    elif scale == "query":
        query = write("Div", query, np.array(features**0.5))
    if groups != heads:
        key, value = (repeated(write, part, heads // groups) for part in (key, value))
    scores = write("MatMul", query, key)
    if scale == "scores":
        scores = write("Div", scores, np.array(features**0.5))
    scores = mask(write, scores) if mask else scores
    shares = write("Softmax", scores, axis=-1)
    return map_out(write, write("MatMul", shares, value), weights)


def repeated(write, part, times):
    """Each group's heads side by side, by Gather."""
    wide = write("Unsqueeze", part, np.array([2]))
    wide = write("Concat", *[wide] * times, axis=2)
    shape = write(
        "Concat",
        write("Shape", part, start=0, end=1),
        np.array([-1]),
        write("Shape", part, start=2),
        axis=0,
    )
    return write("Reshape", wide, shape)


def places(write, scores):
    """0, 1, … for the tokens of scores."""
    count = write("Squeeze", write("Shape", scores, start=3))
    return write("Range", np.array(0), count, np.array(1))


def causal(write, scores, window=None, least=-np.inf):
    """Positions compared when it runs, as exporters do for any number of tokens."""
    one = places(write, scores)
    ahead = write(
        "Sub", write("Unsqueeze", one, np.array([0])), write("Unsqueeze", one, np.array([1]))
    )
    hidden = write("Greater", ahead, np.array(0))
    if window:
        hidden = write("Or", hidden, write("LessOrEqual", ahead, np.array(-window)))
    return write("Where", hidden, np.array(least), scores)
