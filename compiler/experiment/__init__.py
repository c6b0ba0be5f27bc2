"""Experiments in silico on a circuit: record, hold inputs, cut, and see what changes.

rates = observe(circuit, {"x": x})                       # every cell, and the attention carried
held = freeze(circuit, {"context": context})             # what depends on it alone becomes weights
silent = lesion(circuit, "layer:L2/3@area=3")            # optogenetics, muscimol
weaker = lesion(circuit, "nucleus:matrix", 0.5)
read_recording("recording").rates_of("deep")             # what a simulator recorded, (time, *axes)
effects(circuit, silent, {"x": x}).outputs               # relative change of each output
"""

from cortico.experiment.activity import Activity, Recording, observe, read_recording
from cortico.experiment.changes import AreaChange, Effects, effects
from cortico.experiment.cut import lesion, lesions
from cortico.experiment.freezing import freeze
from cortico.experiment.targets import Kind, Target, read_target

__all__ = [
    "Activity",
    "AreaChange",
    "Effects",
    "Kind",
    "Recording",
    "Target",
    "effects",
    "freeze",
    "lesion",
    "lesions",
    "observe",
    "read_recording",
    "read_target",
]
