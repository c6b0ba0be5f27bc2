"""Brian2 networks that run in time: loops through delays, cells that integrate, streams of stimuli."""

from __future__ import annotations

import json
from collections.abc import Iterator

from cortico.backends.brian2 import options as brian2
from cortico.backends.cells.backend import WriterInTime
from cortico.backends.transfers import of_circuit
from cortico.ir import Circuit


class InTime(WriterInTime[brian2.Options]):
    """Writes the script of a network that runs in time."""

    name = "brian2"
    summary = "a Brian2 script of a network that runs in time"
    title = "Brian2"
    lacks = "which networks of Brian2 do not settle to"
    template_in_time = "cortico.backends.brian2.template.in_time"
    Options = brian2.Options

    def arguments(self) -> dict[str, object]:
        own = self.options.of_script(presented=False)
        return {name: own[name] for name in ("target", "method", "dt", "tau", "tolerance")}

    def flags(self) -> str:
        options = self.options
        target = f"default={options.target!r}, choices={options.targets}"
        return f'parser.add_argument("--target", {target})\n' + super().flags()

    def values(self, circuit: Circuit) -> str:
        found = {t.name: t.brian2 for t in of_circuit(circuit)}
        return f"TRANSFERS = {json.dumps(found)}  # in Brian2's language, of x\n"


def unsupported_in_time(options: brian2.Options) -> Iterator[str]:
    """What a network that runs in time does not have of what others have."""
    for name, value in (("form", "fast"), ("cells", "lif"), ("precision", "float32")):
        if getattr(options, name) == value:
            yield f"{name}={value}, which networks that run in time do not have"
    if options.target == "cpp_standalone" and (options.token_ms or options.duration is None):
        yield (
            "target=cpp_standalone, which runs once and for a time known beforehand: it needs duration, "
            "and has no token_ms"
        )
