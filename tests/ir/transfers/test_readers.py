"""Where the table of transfer functions is read: the text form, scripts, the documentation."""

from dataclasses import replace
from pathlib import Path

from cortico.backends.transfers import brought
from cortico.ir import TRANSFERS
from cortico.ir.text import parse_circuit, print_circuit
from cortico.lowering import lower
from cortico.spec import AttentionSpec
from tests.ir.circuits import attention
from tests.ir.transfers.oracle import (
    every_function,
)

# ---- where it is read --------------------------------------------------------------------------------


@every_function
def test_the_text_form_has_it(name):
    circuit = lower(AttentionSpec(4))
    first, *others = circuit.populations
    circuit = replace(circuit, populations=(replace(first, transfer=name), *others))
    assert parse_circuit(print_circuit(circuit)) == circuit
    start = f"population {first.name} "
    line = next(t for t in print_circuit(circuit).splitlines() if t.startswith(start))
    assert line.endswith(" relay" if name == "identity" else f" relay {name}")


def test_scripts_of_circuits_without_a_function_bring_the_usual_ones():
    usual = ["identity", "exp", "relu", "tanh", "sqrt"]
    assert [t.name for t in brought(None, "nengo")] == usual
    assert [t.name for t in brought(None, "nest")] == usual


def test_the_documentation_lists_them(request):
    page = Path(__file__).parents[3] / "docs" / "ir.md"
    before, rest = page.read_text(encoding="utf-8").split(BEGIN)
    _, after = rest.split(END)
    wanted = f"{before}{BEGIN}{documented()}{END}{after}"
    if request.config.getoption("--update-golden"):
        page.write_text(wanted, encoding="utf-8")
    assert page.read_text(encoding="utf-8") == wanted, "run `make golden`"


BEGIN, END = "| φ | is |", "\n\nφ' is by"

#: A column of the table to the backend that it is for.
BACKENDS = ("numpy", "torch", "jax", "onnx", "brian2", "annarchy", "neuron", "nest", "nengo")


def documented():
    heads = ["at 0", "parity", "sign", "range", "steepest", "φ' by x and r", "φ' by r", "not in"]
    lines = [f" {' | '.join(heads)} |", "| --- " * (len(heads) + 2) + "|"]
    return "\n".join([*lines, *map(_row, TRANSFERS.values())])


def _row(transfer):
    low, high = (_number(end) for end in transfer.range)
    steepest = "no bound" if transfer.steepest is None else f"{transfer.steepest:.4g}"
    missing = [backend for backend in BACKENDS if getattr(transfer, backend) is None]
    cells = [
        *(f"`{transfer.name}`", transfer.formula, _number(transfer.at_zero), transfer.parity),
        *(transfer.sign, f"{low} … {high}", steepest + " of √" * transfer.of_root),
        *(f"`{transfer.slope}`", _by_rate(transfer), ", ".join(missing)),
    ]
    return f"| {' | '.join(cells)} |"


def _number(value):
    return f"{value:.4g}".replace("inf", "∞").replace("-", "−")


def _by_rate(transfer):
    if transfer.rate_slope is None:
        return "none"
    sides: dict[bool, list[str]] = {False: [], True: []}
    for _, constant, per_rate, divides in transfer.rate_slope:
        size = "r" if abs(per_rate) == 1 else f"({abs(per_rate):g} r)"
        sign = "-" if per_rate < 0 else "+"
        sides[divides].append(f"({constant:g} {sign} {size})" if constant else size)
    above, below = (" ".join(sides[divides]) for divides in (False, True))
    return f"`{above or 1}{' / ' * bool(below)}{below}`"


def test_the_numbers_of_neuron_and_its_mechanism_are_the_same():
    from cortico.backends.neuron import mechanisms
    from cortico.backends.neuron.mechanisms import function_numbers

    circuit = attention()
    first, *others = circuit.populations
    for name in ("sigmoid", "erf", "relu"):
        used = replace(circuit, populations=(replace(first, transfer=name), *others))
        numbers = function_numbers(used)
        text = mechanisms(used)["dendritic_product.mod"]
        assert f": f is {', '.join(f'{number} {of}' for of, number in numbers.items())}\n" in text
        body = TRANSFERS[name].neuron.splitlines()[0]
        assert f"(transfer == {numbers[name]}) {{\n        {body}" in text
        assert text.count("{") == text.count("}") and "@" not in text
