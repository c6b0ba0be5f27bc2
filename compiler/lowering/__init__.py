"""Lowering: from a spec and its weights to a circuit; from a model spec to a network of circuits.

One file per microcircuit of the paper; `blocks` and `ends` for what stands around attention; `model` for all.
"""

from cortico.lowering.block import LOWERINGS, lower
from cortico.lowering.layout import circuit_weights, layouts
from cortico.lowering.model import lower_model

__all__ = ["LOWERINGS", "circuit_weights", "layouts", "lower", "lower_model"]
