"""What cells do, in words: from their class and their equation."""

from __future__ import annotations

from collections.abc import Sequence

from cortico.ir import CellClass, Effect

_NAMES = {
    CellClass.STELLATE: "Layer 4 stellate cells",
    CellClass.IT: "Intratelencephalic pyramidal cells",
    CellClass.PT: "Pyramidal-tract cells of layer 5",
    CellClass.CT: "Corticothalamic cells",
    CellClass.PV: "Parvalbumin interneurons",
    CellClass.SST: "Somatostatin interneurons",
    CellClass.VIP: "VIP interneurons",
    CellClass.RELAY: "Thalamic relay cells",
    CellClass.RETICULAR: "Thalamic reticular cells",
}

#: What the paper (arXiv 2504.06354, section 2) lets a class do when it multiplies two compartments.
_PRODUCTS = {
    CellClass.IT: "key times query, or value times key for a memory (Granier & Senn)",
    CellClass.PT: "the attention mask or memory gates what arrives (Granier & Senn)",
}


def role_of(
    cell_class: CellClass, transfer: str, effects: Sequence[Effect], is_memory: bool = False
) -> str:
    """What cells of this class, transfer function and compartments do."""
    does = []
    if transfer == "exp":
        does.append("exponential: the numerators of softmax")
    if is_memory:
        does.append("integrate what is written while tokens come: a memory")
    if effects.count(Effect.MULTIPLIES) > 1:
        does.append(_PRODUCTS.get(cell_class, "the product of their dendritic currents"))
    if Effect.DIVIDES in effects:
        does.append("divided by shunting inhibition: the denominator of softmax")
    return f"{_NAMES[cell_class]}: {'; '.join(does) or 'the sum of what they hear'}"
