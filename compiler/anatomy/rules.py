"""What published anatomy says about projections: a list of rules, each a small generator of claims.

A rule looks at one projection and yields nothing when it has nothing to say. Each claim quotes the
rows of `pathways.csv` that it rests on. The gravest claim is the verdict on the projection; when no
rule speaks, the projection is unsupported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from cortico.anatomy.data import Pathway, pathways
from cortico.anatomy.findings import Verdict
from cortico.anatomy.links import RELAYS, Link, has_strange_compartments, is_pyramidal
from cortico.ir import CellClass, Region
from cortico.ir.names import local_name


class Claim(NamedTuple):
    """A verdict, a sentence, and the pathways it rests on."""

    verdict: Verdict
    statement: str
    pathways: tuple[Pathway, ...]


Claims = Iterator[Claim]
Rule = Callable[[Link], Claims]

_DEEP = (Region.L5, Region.L6)
_SUPERFICIAL = (Region.L1, Region.L23, Region.L4)


def _claim(verdict: Verdict, statement: str, *ids: str) -> Claim:
    return Claim(verdict, statement, tuple(pathways()[each] for each in ids))


# ---- rows ----------------------------------------------------------------------------------------


def pathways_are_published(link: Link) -> Claims:
    """Supported: rows of the table join these classes of cells, on this dendrite."""
    if link.dendrite and link.published_here:
        quotes = "; ".join(pathway.quote for pathway in link.published_here)
        yield Claim(Verdict.SUPPORTED, f"Published: {quotes}.", link.published_here)


def dendrites_are_as_published(link: Link) -> Claims:
    """Contested: the classes are joined, but on another dendrite."""
    if link.dendrite and link.published and not link.published_here:
        known = {dendrite for pathway in link.published for dendrite in pathway.dendrites}
        yield Claim(
            Verdict.CONTESTED,
            f"{link.source} cells do reach {link.target} cells, but end on {' or '.join(sorted(known))}"
            f"; here they end on {link.projection.compartment}.",
            link.published,
        )


def compartments_are_dendrites(link: Link) -> Claims:
    """Unsupported: cells with compartments that anatomy does not know, such as error neurons."""
    for population in dict.fromkeys((link.pre, link.post)):
        strange = has_strange_compartments(population)
        if strange:
            names = ", ".join(part.name for part in population.compartments)
            yield _claim(
                Verdict.UNSUPPORTED,
                f"{local_name(population)} has the compartments {names}, which are not all dendrites: no "
                "published cell class computes this (error neurons are an assumption).",
            )


# ---- what leaves cortex --------------------------------------------------------------------------


def superficial_cells_leave_thalamus_alone(link: Link) -> Claims:
    """Contradicted: axons to the thalamus arise in layers 5 and 6 only."""
    if link.is_from(*_SUPERFICIAL) and not link.post.region.in_cortex:
        yield _claim(
            Verdict.CONTRADICTED,
            f"Axons from cortex to thalamus arise in layers 5 and 6 only, not in {link.pre.region.label}.",
            "P40",
        )


def layer_five_drives_higher_order_thalamus(link: Link) -> Claims:
    """Layer 5 drives higher-order relays; not core relays, and matrix ones as far as they are both."""
    if not link.is_from(Region.L5) or link.pre.cell_class is not CellClass.PT:
        return
    if link.is_onto(Region.CORE):
        statement = "Layer 5 drives higher-order relay cells; core relays get their drivers from the periphery."
        yield _claim(Verdict.UNSUPPORTED, statement, "P11")
    if link.is_onto(Region.MATRIX):
        statement = (
            "Layer 5 drives higher-order relay cells. In rodents some nuclei, such as POm, are both "
            "higher-order and matrix."
        )
        yield _claim(Verdict.CONTESTED, statement, "P11", "P05")


def layer_six_carries_no_content(link: Link) -> Claims:
    """Contested: corticothalamic cells modulate relay cells, whose content comes from elsewhere."""
    if link.is_from(Region.L6) and link.is_onto(*RELAYS):
        yield _claim(
            Verdict.CONTESTED,
            "Layer 6 modulates relay cells (distal, weak, facilitating). What this projection brings "
            "is content, which layer 5 carries.",
            "P13",
            "P12",
        )


def reticular_cells_hear_layer_five_of_frontal_areas(link: Link) -> Claims:
    """Contested: layer 5 reaches reticular cells from frontal areas only."""
    if link.is_from(Region.L5) and link.is_onto(Region.RETICULAR):
        statement = "Layer 5 reaches reticular cells from frontal areas, not from other regions."
        yield _claim(Verdict.CONTESTED, statement, "P15")


def deep_cells_have_one_target(link: Link) -> Claims:
    """Contradicted: one deep class that feeds the thalamus and another area directly."""
    if not link.is_from(*_DEEP) or not is_pyramidal(link.pre):
        return
    own = [Link(link.circuit, p) for p in link.circuit.projections_from(link.pre.name)]
    to_thalamus = [each for each in own if not each.post.region.in_cortex]
    to_areas = [each for each in own if each.joins_areas]
    if to_thalamus and to_areas and link in (*to_thalamus, *to_areas):
        other = (to_areas if link in to_thalamus else to_thalamus)[0].name
        yield _claim(
            Verdict.CONTRADICTED,
            f"{local_name(link.pre)} feeds the thalamus and another area (see {other}). In primary sensory "
            "areas these are separate populations of layers 5 and 6.",
            "P28",
        )


# ---- what leaves the thalamus --------------------------------------------------------------------


def reticular_cells_stay_in_the_thalamus(link: Link) -> Claims:
    """Contradicted: no reticular axon reaches cortex."""
    if link.is_from(Region.RETICULAR) and link.post.region.in_cortex:
        statement = "Axons of reticular cells stay in the thalamus: they do not project to cortex."
        yield _claim(Verdict.CONTRADICTED, statement, "P38")


def relays_do_not_excite_relays(link: Link) -> Claims:
    """Contradicted: relay cells do not excite each other."""
    if link.is_from(*RELAYS) and link.is_onto(*RELAYS):
        statement = "Relay cells do not excite each other: the thalamus cannot mix tokens or heads by itself."
        yield _claim(Verdict.CONTRADICTED, statement, "P39")


def core_drives_middle_and_deep_layers(link: Link) -> Claims:
    """Core axons on layer 1 and 2/3 cells, or on apical dendrites: rare at best."""
    if not link.is_from(Region.CORE) or not link.post.region.in_cortex:
        return
    superficial = link.is_onto(Region.L1, Region.L23)
    if superficial and link.dendrite == "basal":
        statement = (
            "Core relay cells drive layers 4, 5B and 6. Layer 2/3 cells rarely get input from them."
        )
        yield _claim(Verdict.CONTESTED, statement, "P42", "P06")
    elif superficial or link.dendrite == "apical":
        yield _claim(
            Verdict.UNSUPPORTED,
            "Core relay cells drive layers 4, 5B and 6, on basal dendrites and somata. Layer 2/3 cells "
            "rarely get input from them, and no row has any end on apical dendrites.",
            "P01",
            "P02",
            "P42",
        )


def core_is_weak_on_corticothalamic_cells(link: Link) -> Claims:
    """Contested: corticothalamic cells get much weaker core input than their neighbours."""
    if link.is_from(Region.CORE) and link.post.cell_class is CellClass.CT:
        statement = "Corticothalamic cells get much weaker core input than other layer 6 cells."
        yield _claim(Verdict.CONTESTED, statement, "P04")


def matrix_reaches_apical_tufts(link: Link) -> Claims:
    """Matrix axons end in layer 1: not in layer 4, and weakly on other dendrites of layer 2/3."""
    if not link.is_from(Region.MATRIX):
        return
    if link.is_onto(Region.L4):
        statement = "Matrix axons end in layer 1, on apical tufts, and avoid the core's layer 4."
        yield _claim(Verdict.UNSUPPORTED, statement, "P05", "P06")
    elif link.is_onto(Region.L23) and link.dendrite == "basal":
        yield _claim(
            Verdict.CONTESTED,
            "Matrix relay cells reach apical tufts in layer 1. Their effect on superficial cells is "
            "weak and prolonged; no source has them drive basal dendrites there.",
            "P08",
            "P05",
        )


# ---- inside cortex -------------------------------------------------------------------------------


def superficial_cells_reach_basal_dendrites(link: Link) -> Claims:
    """Contested: layer 2/3 input to layer 5 is mainly basal; the paper has it apical."""
    if link.is_from(Region.L23) and link.is_onto(Region.L5) and link.dendrite == "apical":
        if not is_pyramidal(link.pre) or not is_pyramidal(link.post):
            return
        yield _claim(
            Verdict.CONTESTED,
            "Granier & Senn place this input on the apical dendrite. By the subcellular map it is mainly "
            "basal and depends on the depth of the layer 5 cell. That layer 2/3 scales layer 5 is known.",
            "P21",
            "P20",
        )


def superficial_input_to_deep_parvalbumin_cells_is_sparse(link: Link) -> Claims:
    """Contested: PV cells of layer 5 listen to their own layer more than to layer 2/3."""
    onto_pv = link.is_onto(Region.L5) and link.post.cell_class is CellClass.PV
    if onto_pv and link.is_from(Region.L23) and is_pyramidal(link.pre):
        statement = (
            "Fast-spiking cells of layer 5 are driven by their own layer, less by layer 2/3."
        )
        yield _claim(Verdict.CONTESTED, statement, "P41", "P30")


def deep_cells_are_weak_on_superficial_ones(link: Link) -> Claims:
    """Contested: the way back from layer 5 to layer 2/3 is sparse."""
    deep_to_superficial = link.is_from(Region.L5) and link.is_onto(Region.L23)
    if deep_to_superficial and is_pyramidal(link.pre) and is_pyramidal(link.post):
        statement = "The way back from layer 5 to layer 2/3 is sparse and weak."
        yield _claim(Verdict.CONTESTED, statement, "P24")


def pyramidal_tract_cells_do_not_drive_their_neighbours(link: Link) -> Claims:
    """Contested: intratelencephalic cells reach pyramidal-tract cells, hardly the other way."""
    if (link.pre.cell_class, link.post.cell_class) != (CellClass.PT, CellClass.IT):
        return
    if link.is_from(Region.L5) and link.is_onto(Region.L5):
        statement = "Between these classes connections run one way: IT to PT, hardly PT to IT."
        yield _claim(Verdict.CONTESTED, statement, "P23")


def parvalbumin_cells_divide(link: Link) -> Claims:
    """Contested: whether PV cells divide or subtract."""
    if link.pre.cell_class is CellClass.PV and link.post.region.in_cortex:
        does = "divide" if link.divides else "subtract"
        yield _claim(
            Verdict.CONTESTED,
            f"Here PV cells {does}. Wilson et al. found that they principally divide; Seybold et al. "
            "and Atallah et al. found mixtures of division and subtraction.",
            "P29",
        )


def routes_between_areas_are_drivers_or_not(link: Link) -> Claims:
    """Contested: direct projections between areas may be drivers or modulators."""
    if link.joins_areas and not link.pre.cell_class.inhibitory:
        yield _claim(
            Verdict.CONTESTED,
            "Cells of one area, or shared by several, reach another area directly. Such routes may be drivers or modulators; "
            "the one through higher-order thalamus always drives.",
            "P37",
        )


#: Every rule. The order is that of the findings on a projection.
RULES: tuple[Rule, ...] = (
    pathways_are_published,
    dendrites_are_as_published,
    compartments_are_dendrites,
    superficial_cells_leave_thalamus_alone,
    layer_five_drives_higher_order_thalamus,
    layer_six_carries_no_content,
    reticular_cells_hear_layer_five_of_frontal_areas,
    deep_cells_have_one_target,
    reticular_cells_stay_in_the_thalamus,
    relays_do_not_excite_relays,
    core_drives_middle_and_deep_layers,
    core_is_weak_on_corticothalamic_cells,
    matrix_reaches_apical_tufts,
    superficial_cells_reach_basal_dendrites,
    superficial_input_to_deep_parvalbumin_cells_is_sparse,
    deep_cells_are_weak_on_superficial_ones,
    pyramidal_tract_cells_do_not_drive_their_neighbours,
    parvalbumin_cells_divide,
    routes_between_areas_are_drivers_or_not,
)
