"""What scripts for simulators have alike: how they are put together, inputs and weights, options, calls."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping

from cortico.backends.cells.coder import Coder
from cortico.backends.linking import heading, link
from cortico.backends.names import settled, unmarked
from cortico.backends.script_parts import (
    formula_call,
    sides_code,
    stores_weights,
    tensor_lines,
)
from cortico.ir import Circuit, Input, InputKind, Parameter
from cortico.ir.options import Help, alternatives, choices_of, hints, marks
from cortico.ir.physiology import cell_type

#: What all scripts may carry.
_TEMPLATES = (
    "cortico.backends.cells.template",
    "cortico.backends.recordings.template",
    "cortico.backends.template",
)

_MAIN = 'if __name__ == "__main__":\n    main()\n'

#: The widest line of a call.
_WIDTH = 96


def put_together(
    coder: Coder,
    templates: tuple[str, ...],
    own: Iterable[str],
    options: str,
    physiology: bool = True,
    hooks: Mapping[str, str] | None = None,
    **places: object,
) -> str:
    """The text of a script: what it has `own`, what that uses of the templates, and its options.

    The first template heads it, with `places` to fill; {tensors} says what there is of the circuit, with
    `physiology` also of membrane time constants. `hooks` are lines for holes of the templates.
    """
    circuit = coder.circuit
    facts = [*tensor_lines(circuit), *(_time_constants(circuit) if physiology else ())]
    head = heading(templates[0]).format(
        title=quoted(circuit.name), tensors="\n".join(facts), **places
    )
    text = "\n".join([head, _inputs(coder), *own, _MAIN])
    return settled(link(text, *templates, *_TEMPLATES, holes={"options": options, **(hooks or {})}))


def function(name: str, parameters: str, lines: Iterable[str]) -> str:
    """The text of a function: its parameters, a line each, and the lines of its body."""
    body = textwrap.indent("\n".join(lines), "    ")
    return f"def {name}(\n{parameters}):\n{body}\n"


def quoted(text: str) -> str:
    """Any text, in quotes, as a docstring may hold it."""
    return json.dumps(text).replace("\\", "\\\\")


def _time_constants(circuit: Circuit) -> Iterator[str]:
    """Lines that say where the membrane time constants are from."""
    yield "Membrane time constants:"
    for region, kind in sorted({(p.region, p.cell_class) for p in circuit.populations}):
        time = cell_type(region, kind).membrane_time
        yield f"    {time.value:g} ms for {kind.value} in {region.value}: {time.source}"


def called(head: str, arguments: list[str], tail: str) -> Iterator[str]:
    """A call on one line, or with an argument per line where that would be long."""
    line = f"{head}{', '.join(arguments)}{tail}"
    if len(unmarked(line)) <= _WIDTH:
        yield line
        return
    yield head
    yield from (f"    {argument}," for argument in arguments)
    yield tail


def range_check(
    circuit: Circuit, rates: Callable[[str], str], least: str, most: str
) -> Iterator[str]:
    """A call that refuses exponentials that are too small or too large; `rates` is code for those of a population."""
    exponential = [p.name for p in circuit.populations if p.transfer == "exp"]
    dividing = dict.fromkeys(p.pre for p in circuit.projections if circuit.divides(p))
    tables = (
        "{" + ", ".join(f'"{name}": {rates(name)}' for name in names) + "}"
        for names in (exponential, dividing)
    )
    if exponential:
        yield from called("require_range(", [*tables, least, most], ")")


# ---- inputs, weights, sizes ------------------------------------------------------------------------


def _inputs(coder: Coder) -> str:
    """The line `INPUTS = {…}`: of each input its argument, and the number of axes of one example."""
    found = {t.name: (coder.tensors[t.name], len(t.given)) for t in coder.circuit.inputs}
    return f"INPUTS = {found}  # the argument of each, and the axes of one example\n"


def parameters(coder: Coder, options: Mapping[str, object], wanted: bool = False) -> str:
    """The parameters of a script's function, a line each: inputs, weights, options with their defaults.

    Weights may be left out where they lie beside the script, unless they are `wanted`.
    """
    circuit, names = coder.circuit, coder.tensors
    given = [names[t.name] for t in circuit.inputs if not t.optional]
    masks = [f"{names[t.name]}=None" for t in circuit.inputs if t.optional]
    weights = "weights=None" if stores_weights(circuit) and not wanted else "weights"
    chosen = [f"{name}={value!r}" for name, value in options.items()]
    return "".join(f"    {part},\n" for part in [*given, "*", *masks, weights, *chosen])


def bind(coder: Coder) -> Iterator[str]:
    """Lines that check inputs and weights and name the sizes."""
    circuit = coder.circuit
    yield "sizes = {}"
    for tensor in sorted(circuit.inputs, key=lambda t: t.optional):
        yield from _checked_input(coder, tensor)
    given = [parameter for parameter in circuit.parameters if parameter.formula is None]
    if given and stores_weights(circuit):
        yield "weights = load_weights() if weights is None else weights"
    for parameter in given:
        name, shape = coder.tensors[parameter.name], json.dumps(parameter.shape)
        yield f'{name} = checked("{parameter.name}", weights["{parameter.name}"], {shape}, sizes)'
    for parameter in circuit.parameters:
        if parameter.formula is not None:
            yield _formula(coder, parameter)
    for symbol, name in coder.symbols.items():
        yield f'{name} = sizes["{symbol}"]'


def _checked_input(coder: Coder, tensor: Input) -> Iterator[str]:
    name, shape = coder.tensors[tensor.name], json.dumps(tensor.given)
    if tensor.kind is InputKind.RATE:
        yield f'{name} = checked("{tensor.name}", {name}, {shape}, sizes)'
        return
    if tensor.kind is InputKind.TOKEN:
        count = tensor.shape[-1]
        numbers = f'token_numbers("{tensor.name}", {name}, {count})'
        yield f'{name} = one_hot(checked("{tensor.name}", {numbers}, {shape}, sizes), {count})'
        return
    sides = sides_code(tensor.shape)
    yield f"if {name} is None:"
    yield f"    {name} = np.ones([{sides}])"
    yield f'{name} = 1.0 * checked("{tensor.name}", flags("{tensor.name}", {name}), {shape}, sizes)'


def _formula(coder: Coder, parameter: Parameter) -> str:
    assert parameter.formula is not None
    arguments = [coder.tensors[name] for name in parameter.formula.arguments]
    shape = f"[{sides_code(parameter.shape)}]"
    called = formula_call(parameter.name, parameter.formula, [shape, *arguments])
    return f"{coder.tensors[parameter.name]} = {called}"


# ---- the command line ------------------------------------------------------------------------------


def weights_option(circuit: Circuit) -> str:
    """The line of `main` for the option `--weights`."""
    needed = "" if stores_weights(circuit) else ", required=True"
    return (
        f'parser.add_argument("--weights", type=Path{needed}, help=".npz of the weights by name")\n'
    )


def option_lines(kind: type, values: Mapping[str, object]) -> str:
    """The lines of `main` for the options of a dataclass that have help and a default in `values`."""
    found = marks(kind, Help)
    return "".join(
        f'parser.add_argument("--{name.replace("_", "-")}", {_keywords(hints(kind)[name], value)}, '
        f'help="{found[name].text}")\n'
        for name, value in values.items()
        if name in found
    )


def _keywords(hint: object, default: object) -> str:
    choices = choices_of(hint)
    kinds = [kind for kind, _ in alternatives(hint)]
    type_ = f"choices={json.dumps(choices)}" if choices else f"type={kinds[0].__name__}"
    return f"{type_}, default={default!r}"
