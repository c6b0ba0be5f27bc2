"""The compiler for whole models: model spec and weights in, network and code out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cortico.backends import (
    Backend,
    Exporter,
    NetworkEmitter,
    NetworkExporter,
    Progress,
    get_writer,
    goes_by_blocks,
    require_network_support,
)
from cortico.files.names import CERTIFICATE, NETWORK, REPORT, SPEC
from cortico.files.writing import digests, replacing_files
from cortico.frontends.spec_file import spec_to_json
from cortico.ir import Circuit
from cortico.ir.arguments import kind
from cortico.ir.network import Network
from cortico.ir.text import save_network
from cortico.ir.text.networks import stored_arrays
from cortico.lowering import lower_model
from cortico.passes import (
    AnyPass,
    NetworkStep,
    Step,
    compare_meaning,
    model_passes,
    run_across,
    run_on_blocks,
)
from cortico.pipeline import emitted, write_circuit
from cortico.report.networks import network_markdown
from cortico.spec import ModelSpec
from cortico.spec.model_weights import GivenModel

if TYPE_CHECKING:
    from cortico.verify.models import ModelVerification


@dataclass(frozen=True)
class ModelCompilation:
    """What the compiler made of one model spec: the network, how it came about, and files of it."""

    spec: ModelSpec
    lowered: Network  #: before any pass
    network: Network
    steps: Mapping[str, Sequence[Step]]  #: of blocks, by path; after those across wires
    files: Mapping[str, str]
    exporter: NetworkExporter | Exporter | None = None  #: writes the files that are no text
    flat: Circuit | None = None  #: where a backend takes circuits only
    verification: ModelVerification | None = None
    documents: Mapping[str, str] = field(default_factory=dict)  #: other files beside the code
    across: Sequence[NetworkStep] = ()  #: across wires

    @property
    def weights(self) -> dict[str, np.ndarray]:
        """The numbers of the compiled network under the names that emitted code has: `path.name`."""
        return stored_arrays(self.network)

    @kind
    def write(
        self,
        folder: Path | str,
        progress: Progress = lambda stage: None,
        *,
        force: bool = False,
    ) -> tuple[str, ...]:
        """Write network, weights, code, spec and report to `folder`, all of them or none.

        Returns the names of the files. The same compilation gives the same bytes. SpecError when files
        of these names are there with other content, unless `force` is set.
        """
        documents = {
            SPEC: spec_to_json(self.spec),
            REPORT: network_markdown(self.network, self.steps, self.across),
            **self.documents,
        }
        with replacing_files(Path(folder), force=force) as staging:
            save_network(self.network, staging / NETWORK)
            self._write_code(staging, progress)
            for name, text in documents.items():
                (staging / name).write_text(text, encoding="utf-8")
            if self.verification is not None:
                self._certify(staging)
            return tuple(sorted(path.name for path in staging.iterdir()))

    def _write_code(self, staging: Path, progress: Progress) -> None:
        """What the backend makes of the network, or of its flat circuit."""
        if self.flat is not None:
            assert not isinstance(self.exporter, NetworkExporter)
            write_circuit(self.flat, self.files, self.exporter, staging, progress)
            return
        for name, text in self.files.items():
            (staging / name).write_text(text, encoding="utf-8")
        if isinstance(self.exporter, NetworkExporter):
            self.exporter.write_network(self.network, staging, progress)

    def _certify(self, staging: Path) -> None:
        """Write what was proved, with the digests of the files that are there."""
        from cortico.verify.certificate import model_certificate_text

        assert self.verification is not None
        text = model_certificate_text(self.verification, digests(staging))
        (staging / CERTIFICATE).write_text(text, encoding="utf-8")


@kind
def compile_model(
    spec: ModelSpec,
    weights: GivenModel | None = None,
    passes: str | Sequence[AnyPass | str] = "default",
    backend: str | Backend = "numpy",
    progress: Progress = lambda stage: None,
    verify: bool = False,
    documents: Mapping[str, str] | None = None,
) -> ModelCompilation:
    """Compile a whole model to a network and to the files of `backend`.

    `weights` are those of blocks by path. Passes that look across
    wires run first, then each block is taken through the others. A backend that has no
    code of networks writes the flat circuit; `documents`, texts by file name, are written beside it. With
    `verify` each distinct block, the wiring, the passes and the numbers are proved or checked, see
    `cortico.verify.models`.

    Raises SpecError, UnsupportedError and PassError as `compile_attention` does.
    """
    (wide, inner), target = model_passes(passes), get_writer(backend)
    progress("lowering the spec to a network")
    lowered = lower_model(spec, weights)
    joined, across = run_across(lowered, wide, progress)
    network, steps = run_on_blocks(joined, inner, compare_meaning if verify else None, progress)
    require_network_support(target, network)
    progress(f"emitting {target.name} code")
    made = _emitted(target, network)

    compiled = ModelCompilation(
        spec, lowered, network, steps, *made, documents=documents or {}, across=across
    )
    if not verify:
        return compiled
    from cortico.verify.models import verify_model  # here, so that compiling stays quick

    subject = (spec, weights, lowered, inner, steps, target, compiled.files, progress)
    proof = verify_model(*subject, compiled=network, across=across)
    return replace(compiled, verification=proof)


def _emitted(
    target: Backend, network: Network
) -> tuple[Mapping[str, str], NetworkExporter | Exporter | None, Circuit | None]:
    """The text files of a network, what writes its other files, and its flat circuit where that is written."""
    if goes_by_blocks(target):
        files = target.emit_network(network) if isinstance(target, NetworkEmitter) else {}
        return files, target if isinstance(target, NetworkExporter) else None, None
    flat = network.flatten()
    return *emitted(target, flat), flat
