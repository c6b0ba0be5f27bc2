"""What simulators record: chosen cells, their rates and spikes, and SONATA files of them.

`choice` reads which cells are asked for, `template` is what scripts carry to choose them, `values` what a
recording is, `files` writes it to a folder and reads it back.
"""

from cortico.backends.recordings.choice import Choice, read_choices, wrong_choices
from cortico.backends.recordings.files import read_recording, write_recording
from cortico.backends.recordings.values import PREFIX, Rates, Recording, Spikes, taken_out

__all__ = [
    "PREFIX",
    "Choice",
    "Rates",
    "Recording",
    "Spikes",
    "read_choices",
    "read_recording",
    "taken_out",
    "write_recording",
    "wrong_choices",
]
