"""Equations of gradients by names that both sides share: `d_W` for the gradient by W, `target`."""

from dataclasses import replace
from fractions import Fraction

from cortico.verify.equations.closed_forms import closed_forms
from cortico.verify.equations.defining import defined, indices_of, like
from cortico.verify.equations.language import Definition, Equations, Number, Read
from cortico.verify.equations.meaning import circuit_equations

INPUTS = ("x", "context", "values", "score_bias")


def with_target(equations):
    """Closed forms in which `error` is y - target, and gradients by parameters are called `d_W`."""
    y = equations.definition("y")
    rows = list(equations.definitions)
    error = Definition("error", y.indices, Read("y", y.indices) - Read("target", y.indices))
    rows.insert(rows.index(y) + 1, error)
    names = [o.removeprefix("d.") for o in equations.outputs]
    names = [name for name in names if name not in INPUTS]
    for name in names:
        at = equations.definition(f"d.{name}").indices
        rows.append(Definition(f"d_{name}", at, Read(f"d.{name}", at)))
    given = {name: sides for name, sides in equations.given.items() if name != "error"}
    given["target"] = tuple(v.sort for v in y.indices)
    outputs = tuple(f"d_{name}" for name in names)
    return replace(equations, given=given, definitions=tuple(rows), outputs=outputs)


def textbook(spec):
    """The closed forms of a spec's gradients."""
    return with_target(closed_forms(spec))


def meaning(circuit) -> Equations:
    """A circuit's equations; stored parameters that hold nothing but ones are 1."""
    equations = circuit_equations(circuit)
    for parameter in circuit.parameters:
        if parameter.values is not None and (parameter.values == 1).all():
            equations = defined(equations, parameter.name, Number(Fraction(1)))
    return equations


def same(equations, new, old):
    """The equations with the given tensor `new` defined as the given tensor `old`."""
    equations = like(equations, new, old)
    return defined(equations, new, Read(old, indices_of(equations, new)))
