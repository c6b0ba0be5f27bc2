"""Proof: that circuits, passes, gradients and emitted code are right. `docs/what_is_proved.md` explains.

reference, circuit_equations     both sides as equations, for symbolic sizes
compare                          proved for all sizes, refuted, or not decided
gradients, closed_forms          the same for gradients
verify_compilation               every claim about a compilation
verify_model                     every claim about the network of a whole model
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cortico.verify.claims import Claim, Verification, verify_compilation
    from cortico.verify.equations.closed_forms import closed_forms, memory_forms
    from cortico.verify.equations.gradients import gradients
    from cortico.verify.equations.meaning import circuit_equations
    from cortico.verify.equations.reference import reference
    from cortico.verify.known import Known
    from cortico.verify.models import ModelVerification, verify_model
    from cortico.verify.normal.equivalence import Outcome, compare

_HOME = {
    "Claim": "claims",
    "Known": "known",
    "ModelVerification": "models",
    "Outcome": "normal.equivalence",
    "Verification": "claims",
    "circuit_equations": "equations.meaning",
    "closed_forms": "equations.closed_forms",
    "compare": "normal.equivalence",
    "gradients": "equations.gradients",
    "memory_forms": "equations.closed_forms",
    "reference": "equations.reference",
    "verify_compilation": "claims",
    "verify_model": "models",
}

__all__ = [
    "Claim",
    "Known",
    "ModelVerification",
    "Outcome",
    "Verification",
    "circuit_equations",
    "closed_forms",
    "compare",
    "gradients",
    "memory_forms",
    "reference",
    "verify_compilation",
    "verify_model",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'cortico.verify' has no attribute {name!r}")
    return getattr(import_module(f"cortico.verify.{_HOME[name]}"), name)
