"""The Brian2 backend: one standalone script that runs the circuit in time.

`schedule` says when tokens that come one after another are presented, `cell_groups` which populations
share a NeuronGroup, `statements` and `results` write the script around them, `template` holds its fixed
parts, `running` runs it.
"""

from __future__ import annotations

from cortico.backends.brian2.emitter import emit_script
from cortico.backends.brian2.options import Options

__all__ = ["Options", "emit_script"]
