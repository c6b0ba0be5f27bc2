"""Training code as one standalone NumPy file, `train.py`: loss, gradients, and steps down them.

The gradients are the NumPy backend's code of a gradient circuit, unchanged; what stands here is only
the small part around it.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from cortico.backends.arrays.backend import argument_names
from cortico.backends.arrays.file import ALL_ONES
from cortico.backends.linking import link
from cortico.backends.numpy.emitter import emit_source
from cortico.ir import Circuit, InputKind, SpecError
from cortico.learning.differentiate import differentiate
from cortico.learning.gradients import gradient_circuit, gradient_name
from cortico.lowering import lower
from cortico.passes import parse_passes, run_passes
from cortico.spec import AttentionSpec

_TEMPLATE = "cortico.learning.template"

_DOC = '''\
"""(loss, {weight name: gradient of the loss}), gradients shaped like their weights.

The loss is the sum ½ Σ (y - target)² over all features, tokens and batch axes; with
reduction="mean" it is that sum divided by the number of tokens in all of the batch.'''


def training_circuit(spec: AttentionSpec, trained: Sequence[str] | None = None) -> Circuit:
    """The gradient circuit of `spec` after the default passes, with gradients of the tensors `trained`.

    By default of all that act on the output. The passes see symbols, not numbers: its parameters
    are those of the lowered spec, but for those that do not matter. SpecError for tensors that are
    none of the spec's, or without gradient.
    """
    circuit, _ = run_passes(lower(spec), parse_passes("default"))
    learning = differentiate(circuit)
    able = [rule.parameter for rule in learning.rules]
    lost = [name for name in trained or () if name not in able]
    if lost:
        raise SpecError(
            f"cannot train {', '.join(lost)} of {spec.name!r}: tensors that act on its output are "
            f"{', '.join(able)}"
        )
    return gradient_circuit(learning, able if trained is None else tuple(dict.fromkeys(trained)))


def trained_parameters(gradients: Circuit) -> tuple[str, ...]:
    """The parameters whose gradients a gradient circuit gives, in the order of its outputs."""
    names = {gradient_name(p.name): p.name for p in gradients.parameters}
    return tuple(names[o.name] for o in gradients.outputs if o.name in names)


def training_source(gradients: Circuit) -> str:
    """The text of `train.py` for a gradient circuit: `loss_and_gradients` and `sgd_step`.

    Weights are called and shaped as the circuit's parameters.
    """
    source = emit_source(gradients)
    own = [source, _constants(gradients), *_gradients(gradients, source)]
    return link("\n".join(own), _TEMPLATE, offers=["sgd_step"])


def load_training_source(source: str) -> dict[str, Any]:
    """The functions of emitted training code. Only ever called on text that cortico emitted."""
    namespace: dict[str, Any] = {"__name__": "train", "__file__": "<emitted by cortico>"}
    exec(compile(source, "<emitted by cortico>", "exec"), namespace)
    return namespace


def constants(circuit: Circuit) -> Mapping[str, np.ndarray]:
    """Arrays that the circuit brings along: frequencies of rotary embedding, ones for distances."""
    plain = (p for p in circuit.parameters if p.formula is None)
    return {p.name: p.values for p in plain if p.values is not None}


def _constants(circuit: Circuit) -> str:
    """Numbers that are no weights, as text; they are as few as there are heads or planes."""
    lines = [
        f'    "{name}": np.array({array.tolist()!r}),' for name, array in constants(circuit).items()
    ]
    block = "\n".join(["{", *lines, "}"]) if lines else "{}"
    return f"\n#: Numbers of the circuit that are not trained; `weights` may hold others.\nCONSTANTS = {block}\n"


def _gradients(circuit: Circuit, source: str) -> Iterator[str]:
    """The function `loss_and_gradients`."""
    names = argument_names(circuit, source)
    rates = [names[t.name] for t in circuit.inputs if t.kind is InputKind.RATE]
    masks = [names[t.name] for t in circuit.inputs if t.kind is InputKind.MASK]
    ordered = [*(rate for rate in rates if rate != names["target"]), names["target"]]
    gates = [f"{name}=None" for name in masks]
    arguments = [*ordered, "weights", "*", *gates, 'reduction="sum"']
    yield f"def loss_and_gradients({', '.join(arguments)}):"
    doc = "\n\n".join([_DOC, *[ALL_ONES] * bool(masks)])
    call = ", ".join([*rates, *(f"{name}={name}" for name in masks)])
    outputs, trained = [output.name for output in circuit.outputs], trained_parameters(circuit)
    error, first = f"rates[{outputs.index('error')}]", len(outputs) - len(trained)
    body = [
        f'{doc}\n"""',
        "expect_reduction(reduction)",
        f"rates = attention({call}, weights={{**CONSTANTS, **weights}})",
        f"gradients = dict(zip({json.dumps(trained)}, rates[{first}:]))",
        f"return loss_of({error}, gradients, reduction, {len(circuit.outputs[0].source.axes)})",
    ]
    yield textwrap.indent("\n".join(body), "    ")
