"""What a backend is, and how backends are found."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Protocol

import numpy as np

from cortico.ir import Circuit, SpecError, UnsupportedError
from cortico.ir.errors import bullet_list, near_name


class Backend(Protocol):
    """A target that runs circuits, or emits files that do.

    A backend first says what it cannot express; `emit` and `run` may then rely on it.
    """

    name: str
    summary: str  #: one line for `--list-backends`

    def unsupported(self, circuit: Circuit) -> list[str]:
        """Everything in `circuit` that this backend cannot express; empty when it can."""
        ...

    def emit(self, circuit: Circuit) -> Mapping[str, str]:
        """File name to text of what runs the circuit. Empty for a backend that only runs."""
        ...

    def run(
        self,
        circuit: Circuit,
        inputs: Mapping[str, np.ndarray],
        parameters: Mapping[str, np.ndarray] | None = None,
    ) -> dict[str, np.ndarray]:
        """Output name to array, for inputs with any leading batch axes.

        `parameters` gives arrays to symbolic parameters, or other ones to stored parameters.
        """
        ...


def backend_names() -> list[str]:
    """Names of the installed backends: the entry points of group `cortico.backends`."""
    return sorted(entry_points(group="cortico.backends").names)


def get_backend(name: str, **options: object) -> Backend:
    """The backend called `name`, with these options.

    SpecError when none is installed under that name, or it does not take an option.
    """
    found = entry_points(group="cortico.backends", name=name)
    if not found:
        names = backend_names()
        raise SpecError(
            f"no backend called {name!r}{near_name(name, names)}; there are: {', '.join(names)}"
        )
    make = next(iter(found)).load()
    if options and inspect.signature(make).parameters == {}:
        raise SpecError(f"backend {name!r} has no options, found {', '.join(options)}")
    backend: Backend = make(**options)
    return backend


def require_support(backend: Backend, circuit: Circuit) -> None:
    """Raise one UnsupportedError that lists everything `backend` cannot express."""
    problems = backend.unsupported(circuit)
    if problems:
        raise UnsupportedError(
            f"backend {backend.name!r} cannot express circuit {circuit.name!r}:{bullet_list(problems)}"
        )
