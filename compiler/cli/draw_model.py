"""Draw a whole model: its hierarchy, one block of it, or what this does on an input."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from cortico.cli.views import Model, checked_sizes, read_example, read_view

if TYPE_CHECKING:
    from cortico.cli.draw import Arguments
    from cortico.experiment.activity import Activity
    from cortico.ir import Circuit
    from cortico.ir.network import Network
    from cortico.passes import Step


def draw_model(arguments: Arguments, progress: Callable[[str], None]) -> None:
    """Write the picture."""
    from cortico.pictures import draw_network

    if arguments.node is None:
        _check_whole(arguments)
    model = read_view(arguments, progress)
    sizes = checked_sizes(model.network, arguments.bind)
    if arguments.node is not None:
        _draw_block(arguments, model, sizes, progress)
    elif arguments.kind == "activity":
        _draw_attention(arguments, model.network, progress)
    else:
        progress(f"drawing {arguments.output}")
        draw_network(model.network, arguments.output, sizes, force=arguments.force)


def _check_whole(arguments: Arguments) -> None:
    from cortico.ir import SpecError
    from cortico.pictures import KINDS_OF_MODELS

    arguments.refuse("a whole model: give one block by --node", "learning")
    if arguments.kind not in (None, *KINDS_OF_MODELS):
        raise SpecError(
            f"--kind {arguments.kind} draws one block of a model: add --node PATH, such as "
            "--node 'layer[0].attention'"
        )


def _draw_attention(
    arguments: Arguments, network: Network, progress: Callable[[str], None]
) -> None:
    from cortico.experiment.networks import observe_network
    from cortico.pictures import draw_attention

    inputs, tokens = read_example(arguments, network)
    progress("running the model")
    seen = observe_network(network, inputs)
    draw_attention(network.name, seen, arguments.output, tokens, force=arguments.force)


def _draw_block(
    arguments: Arguments, model: Model, sizes: dict[str, int], progress: Callable[[str], None]
) -> None:
    from cortico.ir import SpecError
    from cortico.learning import differentiate
    from cortico.pictures import draw

    assert arguments.node is not None
    if arguments.kind == "hierarchy":
        raise SpecError(
            "--kind hierarchy is of the whole model, --node of one block: give one of them"
        )
    circuit = _circuit(model.network, arguments.node, sizes)
    if arguments.learning:
        circuit = differentiate(circuit).circuit
    activity, tokens = None, list[str]()
    if arguments.kind == "activity":
        progress("running the model")
        activity, tokens = _activity(arguments, model.network)
    progress(f"drawing {arguments.output}")
    draw(
        circuit,
        arguments.kind or "laminar",
        arguments.output,
        activity=activity,
        tokens=tokens,
        steps=_steps(arguments, model, sizes),
        force=arguments.force,
    )


def _circuit(network: Network, path: str, sizes: dict[str, int]) -> Circuit:
    """The circuit of a block. SpecError where there is no such block."""
    from cortico.ir import CircuitError, SpecError
    from cortico.pictures.blocks import block_circuit

    try:
        return block_circuit(network, path, sizes)
    except CircuitError as error:
        raise SpecError(str(error)) from None


def _activity(arguments: Arguments, network: Network) -> tuple[Activity, list[str]]:
    """What the block does on the input, and the names of the tokens."""
    from cortico.experiment.networks import observe_network

    assert arguments.node is not None
    inputs, tokens = read_example(arguments, network)
    seen = next(s for node, s in observe_network(network, inputs) if node.path == arguments.node)
    return replace(seen, circuit=replace(seen.circuit, name=arguments.node)), tokens


def _steps(arguments: Arguments, model: Model, sizes: dict[str, int]) -> list[Step]:
    """The passes that changed the block. SpecError for counts of a model that was compiled before."""
    from cortico.ir import SpecError
    from cortico.pictures.blocks import placed_step

    assert arguments.node is not None
    if arguments.kind != "counts":
        return []
    if model.spec is None:
        raise SpecError(
            f"--kind counts needs a spec or a checkpoint: {str(arguments.source)!r} is compiled, "
            "and does not say what its passes did"
        )
    steps = model.steps.get(arguments.node, ())
    return [placed_step(model.network, arguments.node, s, sizes) for s in steps if s.changed]
