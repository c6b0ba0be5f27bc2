"""Changes of ONNX graphs after which most are still valid: each takes a model and says what it did to it."""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

_UNARY = ("Identity", "Neg", "Abs", "Relu", "Tanh", "Sigmoid", "Exp", "Floor", "Softsign", "Not")
_BINARY = ("Add", "Mul", "Sub", "Div", "Max", "Min", "Pow")
_NUMBERS = (0.0, 1.0, -1.0, 2.0, 0.5, 1e-3, 10.0, 50.0, 300.0, -1e4)


def inserted(model: onnx.ModelProto, random: Random) -> str:
    """An operator between a value and one that reads it."""
    node, place = _edge(model, random)
    name = node.input[place]
    if random.random() < 0.5:
        kind, names = random.choice(_UNARY), [name]
    else:
        kind, names = random.choice(_BINARY), [name, "added_number"]
        array = np.array(random.choice(_NUMBERS), np.float32)
        if random.random() < 0.3:
            array = np.random.default_rng(0).standard_normal(random.choice((8, 5, 2))).astype("f")
        model.graph.initializer.append(numpy_helper.from_array(array, f"added_{_fresh(model)}"))
        names[1] = model.graph.initializer[-1].name
    made = f"made_{_fresh(model)}"
    _before(model, node, helper.make_node(kind, names, [made]))
    node.input[place] = made
    return f"{kind}({', '.join(names)}) before {node.op_type}[{place}]"


def bypassed(model: onnx.ModelProto, random: Random) -> str:
    """A node goes; what reads it reads what it read."""
    node = random.choice(model.graph.node)
    if not node.input or len(model.graph.node) < 3:
        return "nothing"
    old, new = node.output[0], random.choice(list(node.input))
    model.graph.node.remove(node)
    for other in model.graph.node:
        for place, name in enumerate(other.input):
            if name == old:
                other.input[place] = new
    return f"{node.op_type} for {new}"


def rewired(model: onnx.ModelProto, random: Random) -> str:
    """A node reads another value that is there before it, or its operands in another order."""
    node, place = _edge(model, random)
    nodes = list(model.graph.node)
    before = [n for other in nodes[: nodes.index(node)] for n in other.output]
    names = [*before, *(v.name for v in model.graph.input), *node.input]
    node.input[place] = random.choice(names)
    return f"{node.op_type}[{place}] reads {node.input[place]}"


def attribute(model: onnx.ModelProto, random: Random) -> str:
    """A number of an attribute changes, or one goes."""
    having = [node for node in model.graph.node if node.attribute]
    if not having:
        return number(model, random)
    node = random.choice(having)
    chosen = random.choice(list(node.attribute))
    if random.random() < 0.15:
        node.attribute.remove(chosen)
        return f"{node.op_type} without {chosen.name}"
    if chosen.type == chosen.INT:
        chosen.i = random.choice((0, 1, 2, -1, 3, 4, chosen.i + 1, 1 - chosen.i))
    elif chosen.type == chosen.FLOAT:
        chosen.f = random.choice(_NUMBERS)
    elif chosen.type == chosen.INTS and chosen.ints:
        numbers = list(chosen.ints)
        random.shuffle(numbers)
        chosen.ints[:] = numbers
    return f"{node.op_type}.{chosen.name}"


def option(model: onnx.ModelProto, random: Random) -> str:
    """An operator for attention gets an attribute more."""
    having = [node for node in model.graph.node if "Attention" in node.op_type]
    if not having:
        return attribute(model, random)
    node = random.choice(having)
    name, value = random.choice(_OPTIONS)
    for old in [a for a in node.attribute if a.name == name]:
        node.attribute.remove(old)
    node.attribute.append(helper.make_attribute(name, value))
    return f"{node.op_type}.{name} = {value}"


_OPTIONS: tuple[tuple[str, Any], ...] = (
    *(("scale", number) for number in (0.0, 0.3, -0.5, 2.0)),
    *(("softcap", number) for number in (0.0, 5.0)),
    *(("mask_filter_value", number) for number in (-1.0, -1e9, 0.0)),
    *(("smooth_softmax", number) for number in (0, 1, -1)),
    *(("local_window_size", number) for number in (-1, 1, 2, 290)),
    *(("left_window_size", number) for number in (0, 1, 30)),
    *(("right_window_size", number) for number in (0, 1, 30)),
    *(("is_causal", number) for number in (0, 1)),
    *(("causal", number) for number in (0, 1)),
    *(("unidirectional", number) for number in (0, 1)),
    *(("qk_matmul_output_mode", number) for number in (0, 2)),
    *(("softmax_precision", number) for number in (1, 10, 11)),
)


def number(model: onnx.ModelProto, random: Random) -> str:
    """A stored number is another, or all of an array are."""
    arrays = list(model.graph.initializer)
    for node in model.graph.node:
        arrays += [a.t for a in node.attribute if node.op_type == "Constant" and a.name == "value"]
    if not arrays:
        return "nothing"
    tensor = random.choice(arrays)
    array = numpy_helper.to_array(tensor).copy()
    if array.dtype.kind == "b":
        array = ~array
    elif array.size:
        place = random.randrange(array.size)
        choices = (0, 1, 2, -1, 3, 17, 290) if array.dtype.kind in "iu" else _NUMBERS
        if array.dtype.kind == "f" and random.random() < 0.3:
            array = array * array.dtype.type(random.choice(_NUMBERS))
        else:
            array.flat[place] = random.choice(choices)
    tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    return f"in {tensor.name or 'a Constant'} {array.shape}"


def size(model: onnx.ModelProto, random: Random) -> str:
    """A size of an input is fixed, or free."""
    value = random.choice(model.graph.input)
    if not value.type.tensor_type.shape.dim:
        return "nothing"
    dim = random.choice(list(value.type.tensor_type.shape.dim))
    if random.random() < 0.5:
        dim.dim_value = random.choice((1, 2, 3, 5, 8))
    else:
        dim.dim_param = random.choice(("b", "n", "k"))
    return f"of {value.name}"


def another_input(model: onnx.ModelProto, random: Random) -> str:
    """An input of the graph is added to, or multiplied with, a value."""
    node, place = _edge(model, random)
    shape = random.choice(([], [1], ["b", 1, 1, "n"], ["n"], ["b", "n", 1], ["b", 1, 1, 1], [8]))
    name, made = f"other_{_fresh(model)}", f"made_{_fresh(model)}"
    model.graph.input.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
    kind = random.choice(("Add", "Mul"))
    _before(model, node, helper.make_node(kind, [node.input[place], name], [made]))
    node.input[place] = made
    return f"{kind} {shape} before {node.op_type}[{place}]"


def _edge(model: onnx.ModelProto, random: Random) -> tuple[onnx.NodeProto, int]:
    having = [node for node in model.graph.node if any(node.input)]
    node = random.choice(having)
    return node, random.choice([k for k, name in enumerate(node.input) if name])


def _before(model: onnx.ModelProto, node: onnx.NodeProto, made: onnx.NodeProto) -> None:
    model.graph.node.insert(list(model.graph.node).index(node), made)


def _fresh(model: onnx.ModelProto) -> int:
    return len(model.graph.node) * 100 + len(model.graph.initializer)


CHANGES = (
    *(inserted, inserted, inserted, bypassed, rewired, rewired, attribute, attribute),
    *(option, option, number, number, size, another_input),
)
