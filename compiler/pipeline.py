"""The whole compiler: spec and weights in, circuit and code out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cortico.backends import Backend, Emitter, Exporter, Progress, get_writer, require_support
from cortico.files.names import CERTIFICATE, CIRCUIT, REPORT, SPEC
from cortico.files.writing import digests, replacing_files
from cortico.frontends.spec_file import spec_to_json
from cortico.ir import Circuit
from cortico.ir.arguments import kind
from cortico.ir.text import save_circuit
from cortico.lowering import lower
from cortico.passes import Pass, Step, as_passes, compare_meaning, run_passes
from cortico.report.summary import pass_table, report_markdown
from cortico.spec import AttentionSpec
from cortico.spec.weights import Given, given_weights

if TYPE_CHECKING:
    from cortico.verify.claims import Verification


@dataclass(frozen=True)
class Compilation:
    """What the compiler made of one spec: the circuit, how it came about, and files of it."""

    spec: AttentionSpec
    lowered: Circuit  #: before any pass
    circuit: Circuit
    steps: tuple[Step, ...]
    files: Mapping[str, str]
    verification: Verification | None = None  #: what was proved, if that was asked for
    exporter: Exporter | None = None  #: writes the files that are no text

    @kind
    def write(
        self,
        folder: Path | str,
        progress: Progress = lambda stage: None,
        *,
        force: bool = False,
    ) -> tuple[str, ...]:
        """Write circuit, weights, code, spec and report to `folder`, all of them or none.

        Returns the names of the files. The same compilation gives the same bytes. SpecError when files
        of these names are there with other content, unless `force` is set.
        """
        documents = self._documents()
        with replacing_files(Path(folder), force=force) as staging:
            names = write_circuit(self.circuit, self.files, self.exporter, staging, progress)
            for name, text in documents.items():
                (staging / name).write_text(text, encoding="utf-8")
            if self.verification is None:
                return (*names, *documents)
            from cortico.verify.certificate import certificate_text

            text = certificate_text(self.verification, digests(staging), self.steps)
            (staging / CERTIFICATE).write_text(text, encoding="utf-8")
        return (*names, *documents, CERTIFICATE)

    @property
    def weights(self) -> dict[str, np.ndarray]:
        """The numbers of the compiled circuit by parameter name: what the emitted code wants.

        Passes split, scale, merge and drop tensors, so these are not the weights of the spec.
        """
        return {p.name: p.values for p in self.circuit.parameters if p.values is not None}

    def _documents(self) -> dict[str, str]:
        report = report_markdown(self.circuit)
        if self.steps:
            report += "\n" + pass_table(self.steps).markdown()
        return {SPEC: spec_to_json(self.spec), REPORT: report}


@kind
def export_circuit(
    circuit: Circuit,
    backend: str | Backend,
    folder: Path | str,
    progress: Progress = lambda stage: None,
    *,
    force: bool = False,
) -> tuple[str, ...]:
    """Write any circuit and the files that `backend` makes of it; returns the names of the files.

    Raises UnsupportedError for what the backend cannot do, and SpecError when files of these names are
    there with other content, unless `force` is set.
    """
    target = get_writer(backend)
    require_support(target, circuit)
    with replacing_files(Path(folder), force=force) as staging:
        return write_circuit(circuit, *emitted(target, circuit), staging, progress)


def emitted(target: Backend, circuit: Circuit) -> tuple[Mapping[str, str], Exporter | None]:
    """The text files of a circuit, and what writes its other files."""
    files = target.emit(circuit) if isinstance(target, Emitter) else {}
    return files, target if isinstance(target, Exporter) else None


def write_circuit(
    circuit: Circuit,
    files: Mapping[str, str],
    exporter: Exporter | None,
    folder: Path,
    progress: Progress,
) -> tuple[str, ...]:
    """Write a circuit and files of it into a folder; their names."""
    save_circuit(circuit, folder / CIRCUIT)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    exported = exporter.write(circuit, folder, progress) if exporter else ()
    has_values = any(p.values is not None for p in circuit.parameters)
    stored = (CIRCUIT, *["circuit.safetensors"] * has_values)
    return (*stored, *files, *exported)


@kind
def compile_attention(
    spec: AttentionSpec,
    weights: Given | None = None,
    passes: str | Sequence[Pass | str] = "default",
    backend: str | Backend = "numpy",
    progress: Progress = lambda stage: None,
    verify: bool = False,
) -> Compilation:
    """Compile `spec` to a circuit and to the files of `backend`, a name or what `get_backend` gives.

    `passes` names a pipeline or passes (`"none"`, `"share-relays,prune-dead"`), or lists them. With
    `verify` circuit, gradients, passes and code are proved or checked, see `cortico.verify.claims`; what
    the backend writes is checked by that backend.

    Raises SpecError for weights, passes or backends that do not fit, UnsupportedError for what the
    backend cannot do, PassError when a pass is caught at fault.
    """
    chosen = as_passes(passes)
    target = get_writer(backend)
    progress("lowering the spec to a circuit")
    lowered = lower(spec, weights)
    progress("running passes")
    circuit, steps = run_passes(lowered, chosen, compare_meaning if verify else None)
    require_support(target, circuit)
    progress(f"emitting {target.name} code")
    files, exporter = emitted(target, circuit)
    compiled = Compilation(spec, lowered, circuit, tuple(steps), files, exporter=exporter)
    if not verify:
        return compiled
    from cortico.verify.claims import verify_compilation  # here, so that compiling stays quick

    if weights is not None:
        weights = given_weights(spec, weights)
    proof = verify_compilation(spec, weights, lowered, chosen, steps, target, files, progress)
    return replace(compiled, verification=proof)
