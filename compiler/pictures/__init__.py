"""Pictures of circuits, drawn with matplotlib (extra `plots`): one file per kind, made from the circuit.

    from cortico.pictures import draw

    draw(compile_attention(spec).circuit, "laminar", Path("area.svg"))

`style` says what colours, dashes and shapes mean, `scene` and `paint` turn them into files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from cortico.experiment.activity import Activity
from cortico.files.writing import replacing_files
from cortico.ir import Circuit, SpecError
from cortico.ir.errors import named, near_name
from cortico.ir.limits import DRAWN_POPULATIONS, DRAWN_PROJECTIONS
from cortico.ir.network import Network, Node
from cortico.passes import Step
from cortico.pictures.areas import areas_scene
from cortico.pictures.hierarchy import hierarchy_scene
from cortico.pictures.laminar import laminar_scene
from cortico.pictures.microcolumn import microcolumn_scene
from cortico.pictures.paint import paint, require_format
from cortico.pictures.scene import Scene

#: Kinds that are drawn from the circuit alone, with its sizes as symbols or numbers.
SCENES: Mapping[str, Callable[[Circuit], Scene]] = MappingProxyType(
    {"laminar": laminar_scene, "areas": areas_scene, "microcolumn": microcolumn_scene}
)

#: All kinds of pictures, each with what it shows.
KINDS: Mapping[str, str] = MappingProxyType(
    {
        "laminar": "layers, cells and pathways of an area, thalamus below",
        "areas": "all areas, and the pathways between them and the thalamus",
        "microcolumn": "one microcolumn cell by cell",
        "matrix": "synapses from every population to every compartment",
        "activity": "rates on one input, and the attention that they carry",
        "counts": "neurons and synapses before and after every pass",
    }
)

#: Those of whole models.
KINDS_OF_MODELS: Mapping[str, str] = MappingProxyType(
    {
        "hierarchy": "levels and blocks of a whole model, and the wires between them",
        "activity": "the attention of every area of every level on one input",
    }
)

#: Size of a symbolic axis where a picture needs numbers and nothing gave one.
NOMINAL = 16


def draw(
    circuit: Circuit,
    kind: str,
    path: Path,
    *,
    activity: Activity | None = None,
    tokens: Sequence[str] = (),
    steps: Sequence[Step] = (),
    force: bool = False,
) -> None:
    """Write one picture of `circuit` to an .svg, .png or .pdf file.

    `activity` (and names for its `tokens`) is for the kind `activity`, `steps` of the passes for
    `counts`. Symbolic sizes count as 16 where numbers are needed; bind them before for others.
    SpecError for other kinds and formats, and, without `force`, when another picture would be replaced;
    UnsupportedError where matplotlib is not installed.
    """
    require_format(path)
    require_drawable(circuit)
    with replacing_files(path.parent, force=force) as staging:
        _draw(circuit, kind, staging / path.name, activity, tokens, steps)


def draw_network(
    network: Network, path: Path, sizes: Mapping[str, int] | None = None, *, force: bool = False
) -> None:
    """Write the hierarchy of a network to an .svg, .png or .pdf file, with counts for `sizes` by symbol.

    SpecError as `draw` has it, and for more blocks than there is room for; CircuitError for symbols that
    there are not.
    """
    require_format(path)
    scene = hierarchy_scene(network, sizes)
    with replacing_files(path.parent, force=force) as staging:
        paint(scene, staging / path.name)


def draw_attention(
    name: str,
    seen: Iterable[tuple[Node, Activity]],
    path: Path,
    tokens: Sequence[str] = (),
    *,
    force: bool = False,
) -> None:
    """Write the attention of all blocks of a network that have one, as `observe_network` saw them on one input.

    SpecError as `draw` has it, and where no block has a gate for pairs of tokens.
    """
    from cortico.pictures.attention import draw_attention

    require_format(path)
    maps = [(node.path, activity.attention) for node, activity in seen]
    found = [(where, each) for where, each in maps if each is not None]
    if not found:
        raise SpecError(f"{named(name)} has no block with a gate for pairs of tokens")
    with replacing_files(path.parent, force=force) as staging:
        draw_attention(name, found, staging / path.name, tokens)


def _draw(
    circuit: Circuit,
    kind: str,
    path: Path,
    activity: Activity | None,
    tokens: Sequence[str],
    steps: Sequence[Step],
) -> None:
    if kind in SCENES:
        paint(SCENES[kind](circuit), path)
    elif kind == "matrix":
        from cortico.pictures.matrix import draw_matrix

        draw_matrix(numbered(circuit), path)
    elif kind == "activity":
        from cortico.pictures.activity import draw_activity

        if activity is None:
            raise SpecError("a picture of the activity needs an input")
        draw_activity(activity, path, tokens)
    elif kind == "counts":
        from cortico.pictures.counts import circuits_of, draw_counts

        lowered = steps[0].before if steps else circuit
        draw_counts([(n, numbered(c)) for n, c in circuits_of(lowered, steps)], path)
    else:
        known = ", ".join(KINDS)
        raise SpecError(f"no kind of picture {kind!r}{near_name(kind, KINDS)}; there are: {known}")


def require_drawable(circuit: Circuit) -> None:
    """SpecError for a circuit of more populations or projections than a picture can show."""
    found = (len(circuit.populations), len(circuit.projections))
    if found[0] > DRAWN_POPULATIONS or found[1] > DRAWN_PROJECTIONS:
        raise SpecError(
            f"a picture has room for {DRAWN_POPULATIONS} populations and {DRAWN_PROJECTIONS} projections, "
            f"this circuit has {found[0]:,} and {found[1]:,}"
        )


def numbered(circuit: Circuit) -> Circuit:
    """`circuit` with `NOMINAL` for every symbolic size."""
    return circuit.bind(**dict.fromkeys(circuit.symbols, NOMINAL))
