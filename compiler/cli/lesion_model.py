"""Silence or scale parts of a compiled model, and show what changes in what it gives."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cortico.cli.lesion import Arguments
    from cortico.ir.network import Network


def lesion_model(arguments: Arguments) -> int:
    """Run the model and its lesion, write what was asked for, and print the changes."""
    from cortico.backends import run_network
    from cortico.cli.console import console, print_line, print_table, stages
    from cortico.cli.lesion import told
    from cortico.cli.models import read_network
    from cortico.cli.run import check_output, write_arrays
    from cortico.cli.run_model import given_inputs, tables_of_texts
    from cortico.cli.targets import read_backend
    from cortico.experiment.changes import change
    from cortico.report.table import Table
    from cortico.report.words import percent

    arguments.refuse("a compiled model", "weights", "json")
    with stages() as progress:
        progress(f"reading {arguments.circuit}")
        network = read_network(arguments.circuit)
        check_output(arguments.output, network)
        inputs, tokenizer = given_inputs(arguments, network)
        backend = read_backend(arguments)
        lesioned = _lesioned(arguments, network)
        progress(f"running {arguments.backend}, whole and lesioned")
        before, after = (run_network(each, inputs, backend) for each in (network, lesioned))
        if arguments.output:
            write_arrays(arguments.output, after, arguments.force)
    out = console()
    for target, factor in arguments.cuts:
        print_line(told(target, factor), out)
    rows = [(f"output {name}", percent(change(before[name], after[name]))) for name in before]
    print_table(Table("Relative change", ("of", "change"), tuple(rows), 1), out)
    if tokenizer is not None:
        for word, outputs in (("whole", before), ("lesioned", after)):
            for table in tables_of_texts(network, arguments.text, inputs, outputs, tokenizer):
                print_table(
                    Table(f"{table.title}, {word}", table.header, table.rows, table.numeric), out
                )
    return 0


def _lesioned(arguments: Arguments, network: Network) -> Network:
    """The model after all cuts."""
    from cortico.experiment.networks import lesion_network

    for target, factor in arguments.cuts:
        network = lesion_network(network, target, factor)
    return network
