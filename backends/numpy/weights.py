"""The functions of an emitted NumPy file that make weights ready, once, and the lines that read what they give."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator

from cortico.backends.arrays.file import checked, statement_lines
from cortico.backends.numpy.operations import Project
from cortico.backends.numpy.plan import Plan
from cortico.ir import Parameter
from cortico.ir.analysis.inputs import angles


def precision(plan: Plan) -> str:
    """The line that chooses the precision, and the one for sizes."""
    if plan.rates or not plan.plain:
        return f"dtype = precision({', '.join(plan.rates)})\nsizes = {{}}"
    given = f"{loaded(plan)} if weights is None else weights" if plan.stored else "weights"
    without = map(json.dumps, sorted(angles(plan.circuit)))
    return f"dtype = precision_of({', '.join([given, *without])})\nsizes = {{}}"


def loaded(plan: Plan) -> str:
    """Code for the weights beside the file."""
    return "load_weights()" if plan.has_file else "{}"


def checked_weight(plan: Plan, parameter: Parameter, array: str, kind: str = "dtype") -> str:
    """The line that checks a weight; of one that ranks share, a rank takes its part."""
    name = plan.names[parameter.name]
    return f"{name} = {checked(parameter, array, kind, *plan.ranks.part_of(name))}"


def packed_names(plan: Plan) -> list[str]:
    """Names that `pack` gives: what statements read of it, and what is checked later."""
    statements = plan.packing.statements
    read = {o.code for s in statements for o in s.operands}
    read |= {result.code for result in plan.packing.results}
    products = (s.operation for s in statements if isinstance(s.operation, Project))
    read |= {name for product in products for name in (product.matrix, product.bias)}
    read |= {plan.names[n] for formula in plan.formulas.values() for n in formula.arguments}
    made = [plan.names[p.name] for p in plan.fixed]
    made += [line.split(" = ")[0] for line in plan.packing.lines if " = " in line]
    made += [s.result.code for s in plan.packing.constants]
    later = [plan.names[p.name] for p in plan.sized_later]
    return [*plan.ranks.packed(), *(name for name in made if name in read), *later]


def unpacked(plan: Plan, on_ranks: bool) -> Iterator[str]:
    """Lines that bring what `pack` gives under its names."""
    names = packed_names(plan)
    if not names:
        return
    given = "dtype, rank, ranks" if on_ranks else "dtype"
    entry = plan.entry
    if plan.stored:
        yield f"weights = {entry.stored}({given}) if weights is None else weights"
    yield (
        f"packed = weights if isinstance(weights, {entry.packed}) else {entry.pack}(weights, {given})"
    )
    if on_ranks:
        yield from plan.ranks.check()
    yield f"{', '.join(names)}{',' * (len(names) == 1)} = packed"


def pack_functions(plan: Plan) -> Iterator[str]:
    """The function that prepares the weights, and the one that does so once for those on disk."""
    names = packed_names(plan)
    if not names:
        return
    rank = ", rank=0, ranks=1" if plan.shared else ""
    yield "from collections import namedtuple"
    entry = plan.entry
    yield f"#: What `{entry.function}` needs of the weights."
    listed = json.dumps(names, ensure_ascii=False)
    yield f'{entry.packed} = namedtuple("{entry.packed}", {listed})'
    yield f"def {entry.pack}(weights, dtype{rank}):"
    yield (
        f'    """The weights as `{entry.function}` reads them: checked, side by side, with gains and '
        'biases in them."""'
    )
    lines = [*_packing(plan), f"return {entry.packed}({', '.join(names)})"]
    yield textwrap.indent("\n".join(lines), "    ")
    if plan.stored:
        yield "import functools"
        yield f"@functools.cache\ndef {entry.stored}(dtype{rank}):"
        yield '    """The weights in the file beside this one."""'
        given = ", rank, ranks" if rank else ""
        yield f"    return {entry.pack}({loaded(plan)}, dtype{given})"


def _packing(plan: Plan) -> Iterator[str]:
    """Lines of `pack`."""
    yield f"expect_weights(weights, {json.dumps(sorted(p.name for p in plan.plain))}, dtype)"
    yield "sizes = {}"
    yield from plan.ranks.lines(of_weights=True)
    exact = angles(plan.circuit)
    for parameter in plan.fixed:
        kind = "np.float64" if parameter.name in exact else "dtype"
        yield checked_weight(plan, parameter, f'weights["{parameter.name}"]', kind)
    for statement in plan.packing.constants:
        yield from statement_lines(statement, plan.ranks.write_weights)
    yield from plan.packing.lines
    yield from (f'{plan.names[p.name]} = weights["{p.name}"]' for p in plan.sized_later)
