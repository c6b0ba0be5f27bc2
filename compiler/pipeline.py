"""The whole compiler: spec and weights in, circuit and code out."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cortico.backends import get_backend, require_support
from cortico.files import replacing_files
from cortico.frontends.spec_file import spec_to_mapping
from cortico.ir import Circuit
from cortico.ir.text import save_circuit
from cortico.lowering import lower
from cortico.report import report_markdown
from cortico.spec import AttentionSpec
from cortico.weights import Weights

#: Called with the name of each stage as it begins.
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Compilation:
    """What the compiler made of one spec: the circuit, and the files that run it."""

    spec: AttentionSpec
    circuit: Circuit
    files: Mapping[str, str]

    def write(self, folder: Path | str) -> None:
        """Write circuit, weights, code, spec and report to `folder`, all of them or none."""
        with replacing_files(Path(folder)) as staging:
            save_circuit(self.circuit, staging / "circuit.cortico")
            for name, text in {**self.files, **self._documents()}.items():
                (staging / name).write_text(text, encoding="utf-8")

    @property
    def file_names(self) -> tuple[str, ...]:
        """Names of the files that `write` makes."""
        has_values = any(p.values is not None for p in self.circuit.parameters)
        stored = ("circuit.cortico", *["circuit.safetensors"] * has_values)
        return (*stored, *self.files, *self._documents())

    def _documents(self) -> dict[str, str]:
        return {
            "spec.json": json.dumps(spec_to_mapping(self.spec), indent=2) + "\n",
            "report.md": report_markdown(self.circuit),
        }


def compile_attention(
    spec: AttentionSpec,
    weights: Weights | None = None,
    backend: str = "numpy",
    progress: Progress = lambda stage: None,
) -> Compilation:
    """Compile `spec` to a circuit and to the files of `backend`.

    Raises SpecError for weights that do not fit, UnsupportedError for what the backend cannot do.
    """
    progress("lowering the spec to a circuit")
    circuit = lower(spec, weights)
    target = get_backend(backend)
    require_support(target, circuit)
    progress(f"emitting {backend} code")
    return Compilation(spec, circuit, target.emit(circuit))
