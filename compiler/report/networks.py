"""The report of a network: neurons, synapses and parameters level by level, and each distinct block once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cortico.ir.network import Network, Node
from cortico.ir.paths import level_of
from cortico.passes import NetworkStep, Step
from cortico.report.summary import head_of, report_tables
from cortico.report.table import Row, Table
from cortico.report.words import number


def network_markdown(
    network: Network, steps: Mapping[str, Sequence[Step]], across: Sequence[NetworkStep] = ()
) -> str:
    """The report as a Markdown document."""
    tables = [table.markdown() for table in network_tables(network, steps, across)]
    for circuit, name in network.block_names.items():
        tables.append(f"# {name}\n")
        tables += [table.markdown() for table in report_tables(circuit)]
    return head_of(network.flatten()) + "\n".join(tables)


def network_tables(
    network: Network, steps: Mapping[str, Sequence[Step]], across: Sequence[NetworkStep] = ()
) -> list[Table]:
    """The levels of a network with exact counts, its distinct blocks, and what passes across wires did."""
    tables = [level_table(network), block_table(network, steps)]
    return [*tables, across_table(across)] if across else tables


def across_table(across: Sequence[NetworkStep]) -> Table:
    """Each pass across wires with the nodes that it changed or took away, and those that it left alone, by reason."""
    rows: list[Row] = []
    for step in across:
        after = {node.path: node for node in step.after.nodes}
        gone = sum(node.path not in after for node in step.before.nodes)
        changed = sum(after.get(node.path, node) is not node for node in step.before.nodes)
        rows.append((step.name, "changed", str(changed)))
        rows += [(step.name, "gone", str(gone))] if gone else []
        rows += [(step.name, f"{path}: {reason}", "–") for path, reason in step.left.items()]
    return Table("Across wires", ("pass", "what", "blocks"), tuple(rows), 1)


def level_table(network: Network) -> Table:
    """Heads, neurons, synapses onto them and parameters of each level, and of each block between levels."""
    counts = network.counts()
    rows = [_row(network, path, nodes) for path, nodes in _parts(network).items()]
    rows.append(("all", "–", *map(number, (counts.neurons, counts.synapses, counts.parameters))))
    header = ("level", "heads", "neurons", "synapses onto", "parameters")
    return Table("Levels", header, tuple(rows), 4)


def _parts(network: Network) -> dict[str, list[Node]]:
    """The nodes of each level, and those between levels by themselves, in the order of the nodes."""
    found: dict[str, list[Node]] = {}
    for node in network.nodes:
        found.setdefault(level_of(node.path) or node.path, []).append(node)
    return found


def _row(network: Network, path: str, nodes: Sequence[Node]) -> Row:
    flat, counts, paths = network.flatten(), network.counts(), {node.path for node in nodes}
    own = {p.name: p for p in flat.populations if p.path in paths}
    heads = sum(bool(area.index) for each in paths for area in flat.areas_at(each))
    return (
        path,
        str(heads or "–"),
        number(counts.neurons_in(own.values())),
        number(counts.synapses_in(p for p in flat.projections if p.post in own)),
        number(sum(node.circuit.counts().parameters for node in nodes)),
    )


def block_table(network: Network, steps: Mapping[str, Sequence[Step]]) -> Table:
    """Each distinct block, how many nodes share it, and the passes that made it."""
    rows = []
    for circuit, nodes in network.blocks.items():
        taken = [step for node in nodes for step in steps.get(node.path, ())]
        changed = ", ".join(dict.fromkeys(s.name for s in taken if s.changed)) or "–"
        left = ", ".join(dict.fromkeys(s.name for s in taken if s.left_out))
        counts = circuit.counts()
        rows.append(
            (
                network.block_names[circuit],
                f"{changed}; left out: {left}" if left else changed,
                str(len(nodes)),
                number(counts.neurons),
                number(counts.synapses),
            )
        )
    header = ("block", "passes that changed it", "nodes", "neurons of each", "synapses of each")
    return Table("Blocks", header, tuple(rows), 3)
