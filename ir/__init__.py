"""The intermediate representation: populations of neurons over named axes, and projections between them.

`docs/ir.md` explains what a circuit means. Everything here is importable without networkx or SymPy.
"""

from cortico.ir.axes import Axis, Extent, Role, Unfold
from cortico.ir.builder import CircuitBuilder
from cortico.ir.circuit import Circuit, Output
from cortico.ir.domain import Bound, Domain
from cortico.ir.errors import (
    CircuitError,
    CorticoError,
    PassError,
    SpecError,
    UnsupportedError,
)
from cortico.ir.invariants import check
from cortico.ir.population import (
    Compartment,
    Delay,
    DelayUnit,
    Effect,
    Integration,
    Population,
    Projection,
)
from cortico.ir.regions import CellClass, Region
from cortico.ir.tensors import (
    Formula,
    Gain,
    Input,
    InputKind,
    Parameter,
    TensorRef,
    Weight,
)
from cortico.ir.transfer import TRANSFERS, Transfer

__all__ = [
    "TRANSFERS",
    "Axis",
    "Bound",
    "CellClass",
    "Circuit",
    "CircuitBuilder",
    "CircuitError",
    "Compartment",
    "CorticoError",
    "Delay",
    "DelayUnit",
    "Domain",
    "Effect",
    "Extent",
    "Formula",
    "Gain",
    "Input",
    "InputKind",
    "Integration",
    "Output",
    "Parameter",
    "PassError",
    "Population",
    "Projection",
    "Region",
    "Role",
    "SpecError",
    "TensorRef",
    "Transfer",
    "Unfold",
    "UnsupportedError",
    "Weight",
    "check",
]
