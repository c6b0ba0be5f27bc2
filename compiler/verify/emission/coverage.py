"""Which branches of emitted text ran: a branch that no call has taken says nothing of itself."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator

from cortico.backends.linking import definition
from cortico.backends.numpy.emitter import TEMPLATES
from cortico.backends.templates import template
from cortico.backends.transfers import numpy_definition
from cortico.ir import TRANSFERS

#: What the marked text calls where a branch begins, with the branch's number.
MARK = "_branch_ran"


def _fixed() -> Iterator[str]:
    """Functions that are the same in every file, as `ast` writes them: those of templates, transfer functions."""
    for module in TEMPLATES:
        for name in template(module).definitions:
            yield ast.unparse(ast.parse(definition(module, name)))
    yield from (
        ast.unparse(ast.parse(numpy_definition(t))) for t in TRANSFERS.values() if t.numpy_body
    )


#: They have branches for what right callers never do.
_FIXED = frozenset(_fixed())


class Branches:
    """Emitted text with a mark in each branch, and what of it has run.

    A branch is the body of a function, either side of `if`, `x if … else y` and `and`/`or`, and the body of
    a loop. Those that only raise an error are left out, and those of functions that all files share.
    """

    def __init__(self, text: str) -> None:
        marker = _Marker()
        self.text = ast.unparse(ast.fix_missing_locations(marker.visit(ast.parse(text))))
        self._lines = marker.lines
        self._ran: set[int] = set()
        self.mark: Callable[[int], None] = self._ran.add

    @property
    def missing(self) -> list[int]:
        """Lines of the text with branches that have not run."""
        return sorted({line for number, line in self._lines.items() if number not in self._ran})


class _Marker(ast.NodeTransformer):
    """Puts a mark in each branch; `lines` has the line of each that must run."""

    def __init__(self) -> None:
        self._inside = 0
        self.lines: dict[int, int] = {}

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        if not self._inside and ast.unparse(node) in _FIXED:
            return node
        self._inside += 1
        node.body = self._marked(node.body, node.lineno)
        self.generic_visit(node)
        self._inside -= 1
        return node

    def visit_If(self, node: ast.If) -> ast.AST:
        if self._inside:
            line = node.lineno
            node.body, node.orelse = self._marked(node.body, line), self._marked(node.orelse, line)
        return self.generic_visit(node)

    def visit_For(self, node: ast.For) -> ast.AST:
        if self._inside:
            node.body = self._marked(node.body, node.lineno)
        return self.generic_visit(node)

    def visit_While(self, node: ast.While) -> ast.AST:
        if self._inside:
            node.body = self._marked(node.body, node.lineno)
        return self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        self.generic_visit(node)
        if self._inside:
            node.body, node.orelse = self._counted(node.body), self._counted(node.orelse)
        return node

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        self.generic_visit(node)
        if self._inside:
            node.values = [node.values[0], *map(self._counted, node.values[1:])]
        return node

    def _marked(self, body: list[ast.stmt], line: int) -> list[ast.stmt]:
        if any(isinstance(statement, ast.Raise) for statement in body):
            return body
        return [ast.Expr(self._mark(body[0].lineno if body else line)), *body]

    def _counted(self, value: ast.expr) -> ast.expr:
        pair = ast.Tuple([self._mark(value.lineno), value], ast.Load())
        return ast.Subscript(pair, ast.Constant(1), ast.Load())

    def _mark(self, line: int) -> ast.expr:
        number = len(self.lines)
        self.lines[number] = line
        return ast.Call(ast.Name(MARK, ast.Load()), [ast.Constant(number)], [])
