"""A backend in one small file: the equation of every population, in LaTeX.

    python examples/latex_backend.py    # prints the equations of a small circuit

`docs/add_a_backend.md` explains it line by line.
"""

from __future__ import annotations

from collections.abc import Mapping

from cortico.ir import Circuit, Compartment, Effect, Population, Weight

DOCUMENT = r"""\documentclass{article}
\usepackage{amsmath}
\begin{document}
\begin{align*}
%s
\end{align*}
\end{document}
"""


class LatexBackend:
    """Writes `equations.tex`."""

    name = "latex"
    summary = "the equation of every population, in LaTeX"

    def unsupported(self, circuit: Circuit) -> list[str]:
        return [f"axis {axis.name!r} is in time" for axis in circuit.axes if axis.in_time]

    def emit(self, circuit: Circuit) -> Mapping[str, str]:
        equations = " \\\\\n".join(equation(circuit, p) for p in circuit.order)
        return {"equations.tex": DOCUMENT % equations}


def equation(circuit: Circuit, population: Population) -> str:
    """`rate = φ(Π multiplying compartments / Π dividing compartments)`, and where it holds."""
    parts: dict[Effect, list[str]] = {effect: [] for effect in Effect}
    for compartment in population.compartments:
        parts[compartment.effect].append(current(circuit, population, compartment))
    rate = r"\,".join(parts[Effect.MULTIPLIES]) or "1"
    if parts[Effect.DIVIDES]:
        rate = rf"\frac{{{rate}}}{{{' '.join(parts[Effect.DIVIDES])}}}"
    if population.transfer != "identity":
        rate = rf"\mathrm{{{population.transfer}}}\bigl[{rate}\bigr]"
    return f"{indexed(population.name, population.axes)} &= {rate}{brackets(population.domain)}"


def current(circuit: Circuit, population: Population, compartment: Compartment) -> str:
    """`(drive + Σ over the axes of pre alone of weight · rate of pre)`."""
    terms = [weight_text(drive) or "1" for drive in compartment.drive]
    for projection in circuit.projections_onto(population.name, compartment.name):
        pre = circuit.population(projection.pre)
        summed = ", ".join(map(word, (axis for axis in pre.axes if axis not in population.axes)))
        factors = [weight_text(projection.weight), indexed(pre.name, pre.axes)]
        factors += [brackets(projection.domain)]
        terms.append((rf"\sum_{{{summed}}} " if summed else "") + r"\,".join(filter(None, factors)))
    text = " + ".join(terms)
    return rf"\bigl({text}\bigr)" if len(terms) > 1 or "sum_" in text else text


def weight_text(weight: Weight) -> str:
    """Gain and tensor, or nothing when the weight is 1."""
    powers = [rf"|{word(axis)}|^{{{power}}}" for axis, power in weight.gain.sizes]
    number = [f"{weight.gain.coefficient:g}"] if weight.gain.coefficient != 1 else []
    tensor = [indexed(weight.tensor.name, weight.tensor.axes)] if weight.tensor else []
    return r"\,".join([*number, *powers, *tensor])


def brackets(domain: tuple[object, ...]) -> str:
    """Each bound in Iverson brackets: 1 where it holds, else 0."""
    return "".join(rf"\,[{str(bound).replace('<=', chr(92) + 'le')}]" for bound in domain)


def indexed(name: str, axes: tuple[str, ...]) -> str:
    """`name` with its axes as subscripts."""
    return f"{word(name)}_{{{', '.join(map(word, axes))}}}" if axes else word(name)


def word(name: str) -> str:
    """A name of any length in upright letters; one letter as it is."""
    return name if len(name) == 1 else rf"\mathrm{{{name.replace('_', chr(92) + '_')}}}"


if __name__ == "__main__":
    from cortico import AttentionSpec, lower
    from cortico.spec import Mask

    print(LatexBackend().emit(lower(AttentionSpec(4, mask=Mask.CAUSAL)))["equations.tex"])
