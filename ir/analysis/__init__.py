"""What can be known of a circuit without running it, a module for each kind of knowledge."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TypeVar

from cortico.ir.circuit import Circuit

Found = TypeVar("Found")


def once(analysis: Callable[[Circuit], Found]) -> Callable[[Circuit], Found]:
    """The analysis, which looks at each circuit once, as a circuit does not change; nor must what is found."""
    key = f"{analysis.__module__}.{analysis.__qualname__}"

    @wraps(analysis)
    def remembered(circuit: Circuit) -> Found:
        memory = vars(circuit)
        if key not in memory:
            memory[key] = analysis(circuit)
        found: Found = memory[key]
        return found

    return remembered
