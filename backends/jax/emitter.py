"""Text of the emitted JAX file: a planned program as a pure function."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping

from cortico.backends.arrays.file import (
    ALL_ONES,
    TEMPLATE,
    AttentionFile,
    checked,
    statement_lines,
)
from cortico.backends.jax.writer import JaxWriter
from cortico.backends.linking import link
from cortico.backends.names import settled
from cortico.backends.script_parts import sides_code
from cortico.ir import Circuit, Role, TensorRef
from cortico.ir.analysis.inputs import angles
from cortico.ir.rewrite import readings
from cortico.ir.tensors import Shape

#: What the file may carry.
_TEMPLATES = ("cortico.backends.jax.template", TEMPLATE, "cortico.backends.template")


def emit_function(circuit: Circuit) -> str:
    """A standalone Python file with one pure function, `attention`, that runs `circuit`."""
    return FunctionFile(circuit, JaxWriter).text()


class FunctionFile(AttentionFile):
    """One circuit on its way to text."""

    def text(self) -> str:
        body = textwrap.indent("\n".join(self._body()), "    ")
        own = [
            self.head(_TEMPLATES[0], deciding=self.deciding.capitalize()),
            "#: Weight to its axis of areas, over which it may be split.",
            f"AREAS = {json.dumps(self._areas())}",
            f"def attention({', '.join(['weights', *self.wanted, '*', *self.gates, 'mesh=None'])}):",
            textwrap.indent(self._docstring(), "    "),
            body,
        ]
        offers = ["shard", *["load_weights"] * self.has_file]
        return link(settled("\n".join(own)), *_TEMPLATES, offers=offers)

    def _areas(self) -> dict[str, int]:
        """Weight to the place of its first axis of areas."""
        areas = {axis.name for axis in self.circuit.axes if axis.role is Role.AREA}
        weights = {p.name for p in self.plain}
        places: dict[str, int] = {}
        for ref in readings(self.circuit):
            found = [place for place, axis in enumerate(ref.axes) if axis in areas]
            if found and ref.name in weights:
                places.setdefault(ref.name, found[0])
        return places

    def _docstring(self) -> str:
        source = ", such as `load_weights()`" * self.has_file
        return "\n".join(
            [
                f'"""{self.outputs} of the circuit, for inputs with any batch axes in front.',
                "",
                f"`weights` maps the names above to arrays{source}. `mesh` is for `shard`.",
                *[ALL_ONES] * bool(self.gates),
                '"""',
            ]
        )

    def body(self) -> Iterator[str]:
        """The lines that make the results."""
        yield from self._prologue()
        for statement in self.found:
            yield from statement_lines(statement, self.write)

    def _body(self) -> Iterator[str]:
        yield from self.body()
        codes = self.returned(self.results)
        places = [self._query_place(o.source) for o in self.circuit.outputs]
        if any(places):
            split = [
                f"by_query({c}, {p}, mesh)" if p else c for c, p in zip(codes, places, strict=True)
            ]
            yield f"if mesh is not None:\n    return {', '.join(split)}"
        yield f"return {', '.join(codes)}"

    def _query_place(self, source: TensorRef) -> int:
        """The place, counted from the end, of the first axis of tokens; 0 when there is none."""
        columns = [self.circuit.axis(axis).role is Role.COLUMN for axis in source.axes]
        return columns.index(True) - len(columns) if True in columns else 0

    def _prologue(self) -> Iterator[str]:
        """Lines that check the inputs and bring every tensor under its name."""
        given = {p.name: f'weights["{p.name}"]' for p in self.plain}
        yield f"sizes, dtype = {{}}, {self._precision(given)}"
        yield from self.checked_inputs()
        for parameter in self.plain:
            name = self.names[parameter.name]
            if name in self.read:
                yield f"{name} = {self.write.cast(checked(parameter, given[parameter.name]))}"
        # at least in single precision, whatever the rates are computed in: angles grow with the position
        exact = {name: f"exact({code})" for name, code in given.items()} | self.tables
        yield from self.formula_lines(_positions, exact)

    def _precision(self, weights: Mapping[str, str]) -> str:
        """Code for the precision of all: that of the rates or, where there are none, of the weights."""
        deciding = [code for name, code in weights.items() if name not in angles(self.circuit)]
        if deciding and not self.rates:
            return f"precision_of({', '.join(deciding)})"
        kinds = ", ".join([*(f"jnp.asarray({name})" for name in self.rates), "float"])
        return f"jnp.result_type({kinds}).type"


def _positions(shape: Shape) -> str:
    return f"jnp.arange({sides_code(shape[:1])})"
