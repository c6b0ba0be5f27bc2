"""Passes across wires: each part of a network that one has changed, proved to give what it gave.

A part is nodes that changed and wires between them; it hears inputs, whatever gives them, and gives outputs, whoever
hears them. All else is the same before and after, so the network gives the same where its parts do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cortico.ir import CircuitError, PassError
from cortico.ir.network import Network, changed_parts, check_network
from cortico.passes import NetworkStep
from cortico.verify.composition.cuts import is_cut, prove_cut
from cortico.verify.composition.flat import flat_faults
from cortico.verify.known import Known
from cortico.verify.steps.validation import StepProof, prove_part


def prove_across(step: NetworkStep) -> Iterator[tuple[list[str], StepProof]]:
    """The paths of each part that changed, with what is known of it.

    PassError when one is refuted, or when more than parts changed: the pass is at fault.
    """
    try:
        check_network(step.after)
        parts = list(changed_parts(step.before, step.after))
    except CircuitError as error:
        raise PassError(f"pass {step.name}: {error}") from None
    for before, after in parts:
        flats = before.flatten(), after.flatten()
        faults = [*flat_faults(before, flats[0]), *flat_faults(after, flats[1])]
        cut = is_cut(before, after)
        proof = prove_cut(step.name, before, after) if cut else prove_part(step.name, *flats)
        paths = [node.path for node in before.nodes]
        if faults or proof.verdict is Known.REFUTED:
            raise PassError(
                f"pass {step.name} changed what {', '.join(paths)} give: {(*faults, proof.reason)[0]}"
            )
        yield paths, proof


def broken_chain(given: Network, across: Sequence[NetworkStep]) -> Iterator[str]:
    """A line for each pass across wires that did not begin where the one before it ended."""
    for step in across:
        if step.before is not given and step.before != given:
            yield f"{step.name} began at another network"
        given = step.after
