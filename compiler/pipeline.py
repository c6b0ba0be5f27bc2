"""The whole compiler: spec and weights in, circuit and code out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cortico.backends import Backend, Emitter, Exporter, Progress, get_writer, require_support
from cortico.files import replacing_files
from cortico.frontends.spec_file import spec_to_json
from cortico.ir import Circuit
from cortico.ir.text import save_circuit
from cortico.lowering import lower
from cortico.passes import Pass, Step, compare_meaning, parse_passes, run_passes
from cortico.report import pass_table, report_markdown
from cortico.spec import AttentionSpec
from cortico.weights import Weights

if TYPE_CHECKING:
    from cortico.verify.claims import Verification

#: The file that says what was proved of a compilation.
CERTIFICATE = "certificate.json"


@dataclass(frozen=True)
class Compilation:
    """What the compiler made of one spec: the circuit, how it came about, and files of it."""

    spec: AttentionSpec
    circuit: Circuit
    steps: tuple[Step, ...]
    files: Mapping[str, str]
    verification: Verification | None = None  #: what was proved, if that was asked for
    exporter: Exporter | None = None  #: writes the files that are no text

    def write(self, folder: Path | str, progress: Progress = lambda stage: None) -> tuple[str, ...]:
        """Write circuit, weights, code, spec and report to `folder`, all of them or none.

        Returns the names of the files.
        """
        with replacing_files(Path(folder)) as staging:
            save_circuit(self.circuit, staging / "circuit.cortico")
            for name, text in {**self.files, **self._documents()}.items():
                (staging / name).write_text(text, encoding="utf-8")
            exported = self.exporter.write(self.circuit, staging, progress) if self.exporter else ()
            if self.verification is not None:
                from cortico.verify.certificate import certificate_text

                written = {path.name: path.read_bytes() for path in sorted(staging.iterdir())}
                text = certificate_text(self.verification, written)
                (staging / CERTIFICATE).write_text(text, encoding="utf-8")
        return self._names(exported)

    @property
    def weights(self) -> dict[str, np.ndarray]:
        """The numbers of the compiled circuit by parameter name: what the emitted code wants.

        Passes split, scale, merge and drop tensors, so these are not the weights of the spec.
        """
        return {p.name: p.values for p in self.circuit.parameters if p.values is not None}

    def _names(self, exported: Sequence[str]) -> tuple[str, ...]:
        has_values = any(p.values is not None for p in self.circuit.parameters)
        stored = ("circuit.cortico", *["circuit.safetensors"] * has_values)
        proof = (CERTIFICATE,) if self.verification is not None else ()
        return (*stored, *self.files, *exported, *self._documents(), *proof)

    def _documents(self) -> dict[str, str]:
        report = report_markdown(self.circuit)
        if self.steps:
            report += "\n" + pass_table(self.steps).markdown()
        return {"spec.json": spec_to_json(self.spec), "report.md": report}


def compile_attention(
    spec: AttentionSpec,
    weights: Weights | None = None,
    passes: str | Sequence[Pass] = "default",
    backend: str | Backend = "numpy",
    progress: Progress = lambda stage: None,
    verify: bool = False,
) -> Compilation:
    """Compile `spec` to a circuit and to the files of `backend`, a name or what `get_backend` gives.

    `passes` names a pipeline or passes (`"none"`, `"share-relays,prune-dead"`), or lists them. With
    `verify` circuit, gradients, passes and code are proved or checked, see `cortico.verify.claims`.

    Raises SpecError for weights, passes or backends that do not fit, UnsupportedError for what the
    backend cannot do, PassError when a pass is caught at fault.
    """
    chosen = parse_passes(passes) if isinstance(passes, str) else passes
    target = get_writer(backend)
    progress("lowering the spec to a circuit")
    lowered = lower(spec, weights)
    progress("running passes")
    circuit, steps = run_passes(lowered, chosen, compare_meaning if verify else None)
    require_support(target, circuit)
    progress(f"emitting {target.name} code")
    files = target.emit(circuit) if isinstance(target, Emitter) else {}
    exporter = target if isinstance(target, Exporter) else None
    compiled = Compilation(spec, circuit, tuple(steps), files, exporter=exporter)
    if not verify:
        return compiled
    from cortico.verify.claims import verify_compilation  # here, so that compiling stays quick

    source = compiled.files.get("attention.py") if target.name == "numpy" else None
    proof = verify_compilation(spec, weights, chosen, steps, source, progress)
    return replace(compiled, verification=proof)
