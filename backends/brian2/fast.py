"""`form="fast"`: what arrives at a compartment as products of arrays, in place of single synapses.

Synapses that share weights are one product: Σ_m W_K[h,a,m] r[j,m] is taken once for all query tokens.
The rates are those of the synapses to rounding; the synapses are not objects that one could look at.
"""

from __future__ import annotations

from collections.abc import Iterator

from cortico.backends.brian2.cell_groups import CellGroup
from cortico.backends.brian2.coder import Coder
from cortico.ir import Projection, Weight
from cortico.ir.analysis.letters import letters_of


def currents(coder: Coder, groups: tuple[CellGroup, ...]) -> Iterator[str]:
    """The function that sets all currents, called at the start of each step."""
    yield "def currents():"
    yield '    """Set what each compartment hears of the rates as they are."""'
    rates_of = {group.stem: coder.names.fresh(f"r_{group.stem}") for group in groups}
    for group in groups:  # the last one is of what has no cell, number -1
        yield f"    {rates_of[group.stem]} = np.append({group.name}.r[:], 0.0)"
    for group in groups:
        for current in group.currents:
            for pathway in current.pathways:
                yield f"    {group.name}.{pathway.variable} = over_cells("
                yield f"        {group.name}.N,"
                for projection in pathway.projections:
                    part = _part(coder, projection, rates_of[pathway.pre])
                    yield f"        {part},  # {projection.name}"
                yield "    )"


def _part(coder: Coder, projection: Projection, rates: str) -> str:
    """The cells of a projection's target, and what each of them hears."""
    circuit = coder.circuit
    pre, post = circuit.heard(projection), circuit.population(projection.post)
    gain = "" if projection.weight.gain.is_one else f"{coder.gain(projection.weight.gain)} * "
    if not projection.weight.tensor and not projection.domain and set(pre.axes) <= set(post.axes):
        return f"({coder.cells(post)}, {gain}{rates}[{coder.cells(pre)}])"  # each hears one cell
    numbers = coder.populations[pre.name] + ("" if pre.axes else "[0]")
    factors = [(f"{rates}[{numbers}]", pre.axes)]
    if projection.weight.tensor:
        plain = coder.weight(Weight(projection.weight.tensor)).partition("[")[0]
        factors.insert(0, (plain, projection.weight.axes))
    for bound in projection.domain:
        left, right = coder.axes[bound.left], coder.axes[bound.right]
        inside = f"({left}.reshape(-1, 1) - {right}.ravel() <= {bound.offset})"
        factors.append((f"1.0 * {inside}", (bound.left, bound.right)))
    known = dict.fromkeys(axis for _, axes in factors for axis in axes)
    letters = letters_of(known)
    kept = [axis for axis in post.axes if axis in known]
    terms = ",".join("".join(letters[axis] for axis in axes) for _, axes in factors)
    subscripts = f"{terms}->{''.join(letters[axis] for axis in kept)}"
    operands = ", ".join(code for code, _ in factors)
    index = ", ".join(coder.axes[axis] for axis in kept) or "()"
    best = ", optimize=True" if sum(bool(axes) for _, axes in factors) > 1 else ""
    heard = f'{gain}np.einsum("{subscripts}", {operands}{best})[{index}]'
    return f"({coder.cells(post)}, {heard})"
