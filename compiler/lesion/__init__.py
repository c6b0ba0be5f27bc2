"""In-silico lesions: silence or scale cells or pathways, and see what changes.

silent = lesion(circuit, "layer:L2/3@area=3")            # optogenetics, muscimol
weaker = lesion(circuit, "nucleus:matrix", 0.5)
effects(circuit, silent, {"x": x}).outputs               # relative change of each output
"""

from cortico.lesion.cut import lesion, lesions
from cortico.lesion.effects import AreaChange, Effects, effects
from cortico.lesion.targets import Kind, Target, read_target

__all__ = ["AreaChange", "Effects", "Kind", "Target", "effects", "lesion", "lesions", "read_target"]
