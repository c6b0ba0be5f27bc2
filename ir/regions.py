"""Where neurons live and which class they are of."""

from __future__ import annotations

from enum import StrEnum


class Region(StrEnum):
    """A cortical layer or a class of thalamic nucleus."""

    L1 = "cortex.L1"
    L23 = "cortex.L2/3"
    L4 = "cortex.L4"
    L5 = "cortex.L5"
    L6 = "cortex.L6"
    CORE = "thalamus.core"  #: first-order relay, topographic, drives layer 4
    MATRIX = "thalamus.matrix"  #: diffuse, broadcasts to layer 1
    HIGHER_ORDER = "thalamus.higher_order"  #: driven by layer 5, relays from area to area
    RETICULAR = "thalamus.reticular"  #: inhibits thalamus only

    @property
    def in_cortex(self) -> bool:
        return self.value.startswith("cortex.")

    @property
    def label(self) -> str:
        """The region without its division: `L2/3`, `core`."""
        return self.value.partition(".")[2]


class CellClass(StrEnum):
    """Cell classes by projection target (pyramidal), marker (inhibitory) or nucleus (thalamic)."""

    STELLATE = "stellate"  #: layer 4 excitatory
    IT = "pyramidal_it"  #: intratelencephalic
    PT = "pyramidal_pt"  #: pyramidal tract, thick-tufted
    CT = "pyramidal_ct"  #: corticothalamic
    PV = "pv"  #: parvalbumin: divisive inhibition
    SST = "sst"  #: somatostatin
    VIP = "vip"  #: vasoactive intestinal peptide
    RELAY = "relay"  #: thalamocortical relay
    RETICULAR = "reticular"  #: thalamic reticular

    @property
    def in_thalamus(self) -> bool:
        return self in (CellClass.RELAY, CellClass.RETICULAR)

    @property
    def inhibitory(self) -> bool:
        return self in (CellClass.PV, CellClass.SST, CellClass.VIP, CellClass.RETICULAR)
