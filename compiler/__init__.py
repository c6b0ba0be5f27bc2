"""cortico: a compiler from multihead attention to cortico-thalamic circuits of neurons and synapses.

    from cortico import AttentionSpec, compile_attention, compile_model, read_checkpoint, read_model

    compilation = compile_attention(AttentionSpec(model=384, heads=12))
    compilation.circuit.counts().neurons          # a formula in the number of tokens n
    spec, weights = read_checkpoint("all-MiniLM-L6-v2", layer=0)
    compile_attention(spec, weights).write("layer0")
    compile_model(*read_model("all-MiniLM-L6-v2")).write("whole")

Names are imported when they are first used, so that `import cortico` is quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cortico.backends import backend_names, get_backend, get_runner, run_network
    from cortico.backends.recordings import read_recording
    from cortico.experiment.freezing import freeze
    from cortico.files.synapse_table import write_synapses
    from cortico.frontends import (
        from_torch,
        from_transformers,
        read_checkpoint,
        read_model,
        read_spec,
    )
    from cortico.ir import Circuit, CircuitBuilder
    from cortico.ir.errors import (
        CircuitError,
        CorticoError,
        PassError,
        SpecError,
        UnsupportedError,
    )
    from cortico.ir.text import load_circuit, save_circuit
    from cortico.live import replace_attention
    from cortico.lowering import lower, lower_model
    from cortico.model_pipeline import compile_model
    from cortico.pipeline import Compilation, compile_attention, export_circuit
    from cortico.spec import (
        AttentionSpec,
        Bias,
        Feedback,
        Kernel,
        Mask,
        Microcircuit,
        ModelSpec,
        Normalisation,
        NormKind,
        NormOver,
        Nucleus,
        PositionBias,
        QueryKeyNorm,
        Rotary,
        RotaryStyle,
        Thalamus,
    )
    from cortico.spec.model_weights import random_model
    from cortico.spec.weights import random_weights, required_shapes

_HOME = {
    "AttentionSpec": "cortico.spec",
    "Bias": "cortico.spec",
    "Circuit": "cortico.ir",
    "CircuitBuilder": "cortico.ir",
    "CircuitError": "cortico.ir.errors",
    "Compilation": "cortico.pipeline",
    "CorticoError": "cortico.ir.errors",
    "Feedback": "cortico.spec",
    "Kernel": "cortico.spec",
    "Mask": "cortico.spec",
    "Microcircuit": "cortico.spec",
    "ModelSpec": "cortico.spec",
    "NormKind": "cortico.spec",
    "Normalisation": "cortico.spec",
    "NormOver": "cortico.spec",
    "Nucleus": "cortico.spec",
    "PassError": "cortico.ir.errors",
    "PositionBias": "cortico.spec",
    "QueryKeyNorm": "cortico.spec",
    "Rotary": "cortico.spec",
    "RotaryStyle": "cortico.spec",
    "SpecError": "cortico.ir.errors",
    "Thalamus": "cortico.spec",
    "UnsupportedError": "cortico.ir.errors",
    "backend_names": "cortico.backends",
    "compile_attention": "cortico.pipeline",
    "compile_model": "cortico.model_pipeline",
    "export_circuit": "cortico.pipeline",
    "freeze": "cortico.experiment.freezing",
    "from_torch": "cortico.frontends",
    "from_transformers": "cortico.frontends",
    "get_backend": "cortico.backends",
    "get_runner": "cortico.backends",
    "load_circuit": "cortico.ir.text",
    "lower": "cortico.lowering",
    "lower_model": "cortico.lowering",
    "random_model": "cortico.spec.model_weights",
    "random_weights": "cortico.spec.weights",
    "read_checkpoint": "cortico.frontends",
    "read_model": "cortico.frontends",
    "read_recording": "cortico.backends.recordings",
    "read_spec": "cortico.frontends",
    "replace_attention": "cortico.live",
    "required_shapes": "cortico.spec.weights",
    "run_network": "cortico.backends",
    "save_circuit": "cortico.ir.text",
    "write_synapses": "cortico.files.synapse_table",
}

__all__ = [
    "AttentionSpec",
    "Bias",
    "Circuit",
    "CircuitBuilder",
    "CircuitError",
    "Compilation",
    "CorticoError",
    "Feedback",
    "Kernel",
    "Mask",
    "Microcircuit",
    "ModelSpec",
    "NormKind",
    "NormOver",
    "Normalisation",
    "Nucleus",
    "PassError",
    "PositionBias",
    "QueryKeyNorm",
    "Rotary",
    "RotaryStyle",
    "SpecError",
    "Thalamus",
    "UnsupportedError",
    "backend_names",
    "compile_attention",
    "compile_model",
    "export_circuit",
    "freeze",
    "from_torch",
    "from_transformers",
    "get_backend",
    "get_runner",
    "load_circuit",
    "lower",
    "lower_model",
    "random_model",
    "random_weights",
    "read_checkpoint",
    "read_model",
    "read_recording",
    "read_spec",
    "replace_attention",
    "required_shapes",
    "run_network",
    "save_circuit",
    "write_synapses",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("cortico")
    if name not in _HOME:
        raise AttributeError(f"module 'cortico' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *_HOME]
