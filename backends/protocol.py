"""What a backend is, and how backends are found."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from cortico.backends.extras import plugins
from cortico.ir import Circuit, CircuitError, SpecError, UnsupportedError
from cortico.ir.analysis.rest import at_rest
from cortico.ir.arguments import kind
from cortico.ir.errors import bullet_list, near_name
from cortico.ir.network import Network

#: Called with a line about each stage of long work as it begins.
Progress = Callable[[str], None]


@runtime_checkable
class Backend(Protocol):
    """A target of circuits. It is an `Emitter`, an `Exporter` or a `Runner` as well, or several of them.

    A backend first says what it cannot express; its other methods may then rely on it. One that takes circuits
    that live in time has an attribute `in_time` that is true; one that computes what they are at rest, where that is
    known, has `at_rest`.
    """

    name: str
    summary: str  #: one line for `cortico backends`

    def unsupported(self, circuit: Circuit) -> list[str]:
        """Everything in `circuit` that this backend cannot express; empty when it can."""
        ...


@runtime_checkable
class Emitter(Backend, Protocol):
    """A backend that writes code or other text."""

    def emit(self, circuit: Circuit) -> Mapping[str, str]:
        """File name to text."""
        ...


@runtime_checkable
class Exporter(Backend, Protocol):
    """A backend that writes files that are no text, or too large to hold."""

    def write(self, circuit: Circuit, folder: Path, progress: Progress) -> Sequence[str]:
        """Write files into `folder`, which exists, and return their names.

        The caller moves them where they belong when all are written.
        """
        ...


@runtime_checkable
class Runner(Backend, Protocol):
    """A backend that computes what a circuit gives.

    It may keep `remarks`, lines about its last run such as a measured error; `cortico run` prints them.
    """

    def run(
        self,
        circuit: Circuit,
        inputs: Mapping[str, Any],
        parameters: Mapping[str, Any] | None = None,
    ) -> dict[str, np.ndarray]:
        """Output name to array, for inputs with any leading batch axes.

        `parameters` gives arrays to symbolic parameters, or other ones to stored parameters.
        """
        ...


@runtime_checkable
class NetworkEmitter(Backend, Protocol):
    """A backend that writes code of a network: each distinct block once, and what calls them.

    The code reads the arrays of nodes from `network.safetensors` beside it, which `save_network` writes.
    """

    def emit_network(self, network: Network) -> Mapping[str, str]:
        """File name to text."""
        ...


@runtime_checkable
class NetworkExporter(Backend, Protocol):
    """A backend that writes files of a network that are no text."""

    def write_network(self, network: Network, folder: Path, progress: Progress) -> Sequence[str]:
        """Write files into `folder`, which exists, and return their names."""
        ...


@runtime_checkable
class NetworkRunner(Backend, Protocol):
    """A backend that computes what a network gives block by block, without its flat circuit."""

    def run_network(self, network: Network, inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Output name to array, for inputs with any leading batch axes. All nodes must have their arrays."""
        ...


#: What backends can do: the protocol, in words, and as a heading.
ABILITIES: Mapping[type, tuple[str, str]] = {
    Runner: ("runs circuits", "runs"),
    Emitter: ("emits text files", "emits"),
    Exporter: ("exports data files", "exports"),
}


def backend_names() -> list[str]:
    """Names of the installed backends: the entry points of group `cortico.backends`."""
    return sorted(plugins("cortico.backends").names)


@kind
def get_backend(name: str, /, **options: object) -> Backend:
    """The backend called `name`, with these options.

    SpecError when none is installed under that name, or it does not take an option.
    """
    found = plugins("cortico.backends").select(name=name)
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


@kind
def get_runner(backend: str | Backend, /, **options: object) -> Runner:
    """The backend of that name, or the given one, to run circuits. UnsupportedError when it cannot."""
    found = get_backend(backend, **options) if isinstance(backend, str) else backend
    if isinstance(found, Runner):
        return found
    raise _unable(found, "run circuits")


def get_writer(backend: str | Backend, /, **options: object) -> Emitter | Exporter:
    """The backend of that name, or the given one, to write files. UnsupportedError when it cannot."""
    found = get_backend(backend, **options) if isinstance(backend, str) else backend
    if isinstance(found, Emitter | Exporter):
        return found
    raise _unable(found, "write files")


def _unable(backend: Backend, wanted: str) -> UnsupportedError:
    able = [words for kind, (words, _) in ABILITIES.items() if isinstance(backend, kind)]
    instead = f", it {' and '.join(able)}" if able else ""
    return UnsupportedError(f"backend {backend.name!r} cannot {wanted}{instead}: {backend.summary}")


def obstacles(backend: Backend, circuit: Circuit) -> list[str]:
    """Everything in `circuit` that `backend` cannot express; what lives in time where it knows no time."""
    if circuit.lives_in_time and getattr(backend, "at_rest", False):
        try:
            return backend.unsupported(at_rest(circuit))
        except CircuitError as error:
            return [str(error)]
    if circuit.lives_in_time and not getattr(backend, "in_time", False):
        return [f"{part}: it computes rates one after another" for part in circuit.living_in_time]
    return backend.unsupported(circuit)


def require_support(backend: Backend, circuit: Circuit) -> None:
    """Raise one UnsupportedError that lists everything `backend` cannot express."""
    problems = obstacles(backend, circuit)
    if problems:
        raise UnsupportedError(
            f"backend {backend.name!r} cannot express circuit {circuit.name!r}:{bullet_list(problems)}"
        )


# ---- networks ------------------------------------------------------------------------------------


def goes_by_blocks(backend: Backend) -> bool:
    """Whether a backend has a form of its own for networks; all others take the flat circuit."""
    return isinstance(backend, NetworkEmitter | NetworkExporter | NetworkRunner)


def require_network_support(backend: Backend, network: Network) -> None:
    """Raise one UnsupportedError that lists everything of a network that `backend` cannot express."""
    if not goes_by_blocks(backend):
        return require_support(backend, network.flatten())
    problems = [
        f"{network.blocks[circuit][0].path}: {problem}"
        for circuit in network.blocks
        for problem in obstacles(backend, circuit)
    ]
    if problems:
        raise UnsupportedError(
            f"backend {backend.name!r} cannot express network {network.name!r}:{bullet_list(problems)}"
        )
    return None


@kind
def run_network(
    network: Network, inputs: Mapping[str, Any], backend: str | Backend = "numpy"
) -> dict[str, np.ndarray]:
    """What a network gives, computed by the backend of that name, or the given one.

    Raises UnsupportedError for what it cannot do, SpecError for inputs that do not fit and for nodes without arrays.
    """
    target = get_runner(backend)
    require_network_support(target, network)
    if isinstance(target, NetworkRunner):
        return target.run_network(network, inputs)
    return target.run(network.flatten(), inputs)
