"""Proof: that circuits, passes, gradients and emitted code are right. `docs/what_is_proved.md` explains.

reference, circuit_equations     both sides as equations, for symbolic sizes
compare                          proved for all sizes, refuted, or not decided
gradients, closed_forms          the same for gradients
verify_compilation               every claim about a compilation
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cortico.verify.claims import Claim, Known, Verification, verify_compilation
    from cortico.verify.closed_forms import closed_forms, memory_forms
    from cortico.verify.equivalence import Outcome, Verdict, compare
    from cortico.verify.gradients import gradients
    from cortico.verify.meaning import circuit_equations
    from cortico.verify.reference import reference

_HOME = {
    "Claim": "claims",
    "Known": "claims",
    "Outcome": "equivalence",
    "Verdict": "equivalence",
    "Verification": "claims",
    "circuit_equations": "meaning",
    "closed_forms": "closed_forms",
    "compare": "equivalence",
    "gradients": "gradients",
    "memory_forms": "closed_forms",
    "reference": "reference",
    "verify_compilation": "claims",
}
