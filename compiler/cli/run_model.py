"""Run a compiled model: on arrays, or on texts, of which it prints what their likely next words or likenesses are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from tokenizers import Tokenizer

    from cortico.cli.run import Arguments
    from cortico.ir.network import Network
    from cortico.report.table import Table

    Arrays = Mapping[str, np.ndarray]

_LIKELY = 5  #: words that are told at one place
_SHOWN = 40  #: characters of a text in a table


def run_model(arguments: Arguments) -> int:
    """Run, write the outputs, and print their shapes and, of texts, what they say."""
    from cortico.backends import run_network
    from cortico.backends.cells.backend import forecast
    from cortico.cli.console import console, print_line, print_table, stages
    from cortico.cli.models import read_network
    from cortico.cli.run import (
        check_output,
        check_record,
        print_written,
        summary,
        write_arrays,
        write_record,
    )
    from cortico.cli.targets import read_backend
    from cortico.passes.restrict_vocabulary import restrict_vocabulary

    with stages() as progress:
        progress(f"reading {arguments.circuit}")
        network = read_network(arguments.circuit)
        arguments.refuse("a compiled model", "weights")
        check_output(arguments.output, network)
        inputs, tokenizer = given_inputs(arguments, network)
        given = inputs
        if arguments.restrict_vocabulary:
            made = restrict_vocabulary(network, inputs)
            network, given = made.network, made.renumbered(inputs)
        backend = read_backend(arguments)
        check_record(arguments, backend)
        progress(f"running {arguments.backend}{forecast(backend, network.flatten, given)}")
        outputs = run_network(network, given, backend)
        if arguments.output:
            write_arrays(arguments.output, outputs, arguments.force)
        write_record(arguments, backend)
    for name, array in outputs.items():
        print_line(summary(name, array), console())
    if tokenizer is not None:
        for table in tables_of_texts(network, arguments.text, inputs, outputs, tokenizer):
            print_table(table, console())
    print_written(arguments)
    return 0


def given_inputs(arguments: Arguments, network: Network) -> tuple[Arrays, Tokenizer | None]:
    """What is given: arrays of a file, or token ids of texts and the tokenizer that they are from."""
    from cortico.cli.run import read_arrays, required_input
    from cortico.ir import SpecError

    if not arguments.text:
        return read_arrays(required_input(arguments), network), None
    if arguments.input is not None:
        raise SpecError("-i does not go with --text, give one of them")
    from cortico.frontends.tokenizer import read_tokenizer
    from cortico.texts import text_inputs

    tokenizer = read_tokenizer(arguments.circuit)
    return text_inputs(network, arguments.text, tokenizer), tokenizer


def tables_of_texts(
    network: Network, texts: Sequence[str], inputs: Arrays, outputs: Arrays, tokenizer: Tokenizer
) -> Iterator[Table]:
    """What a model says of texts: likenesses of sentences, and likely words."""
    if "sentence" in outputs and len(texts) > 1:
        yield _likenesses(texts, outputs["sentence"])
    if "logits" in outputs:
        places = _places(network, inputs, tokenizer)
        if places:
            yield _words(texts, places, outputs["logits"], tokenizer)


def _likenesses(texts: Sequence[str], sentences: np.ndarray) -> Table:
    """The cosine of each pair of sentences."""
    import numpy as np

    from cortico.report.table import Table

    unit = sentences / np.linalg.norm(sentences, axis=-1, keepdims=True)
    rows = [
        (_short(texts[one]), _short(texts[other]), f"{unit[one] @ unit[other]:.4f}")
        for one in range(len(texts))
        for other in range(one + 1, len(texts))
    ]
    return Table("Likeness", ("text", "text", "cosine"), tuple(rows), 1)


def _places(network: Network, inputs: Arrays, tokenizer: Tokenizer) -> list[tuple[int, int, str]]:
    """Text and token of which the logits are told, and what these say: masked words, or the next one."""
    import numpy as np

    (ids, *_) = inputs.values()
    masks = [t.name for t in network.inputs if t.optional]
    if not masks:
        return [(k, ids.shape[1] - 1, "next word") for k in range(len(ids))]
    known = (tokenizer.token_to_id(name) for name in ("[MASK]", "<mask>"))
    hidden = next((token for token in known if token is not None), None)
    return [(int(k), int(i), "masked word") for k, i in np.argwhere(ids == hidden)]


def _words(
    texts: Sequence[str],
    places: Sequence[tuple[int, int, str]],
    logits: np.ndarray,
    tokenizer: Tokenizer,
) -> Table:
    """The likeliest tokens at some places, with their probabilities."""
    from cortico.report.table import Table
    from cortico.texts import likeliest

    rows = []
    for text, token, what in places:
        found = likeliest(logits[text, token], _LIKELY)
        words = ", ".join(f"{tokenizer.decode([k])!r} {share:.3f}" for k, share in found)
        rows.append((_short(texts[text]), what, words))
    return Table("Words", ("text", "of", "likeliest, with probability"), tuple(rows), 0)


def _short(text: str) -> str:
    from cortico.report.words import one_line

    line = one_line(text)
    return line if len(line) <= _SHOWN else f"{line[: _SHOWN - 1]}…"
