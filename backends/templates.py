"""Files of Python read as templates: what is on their top level, what that reads, and how it is imported."""

from __future__ import annotations

import ast
import functools
import symtable
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from importlib import resources
from itertools import groupby

#: What modules and folders of templates are called: imports from these are links.
_NAMES = frozenset(["template", "template_in_time"])

#: The longest line of imports.
_WIDTH = 100


@dataclass(frozen=True, order=True)
class Import:
    """`import module`, or `from module import name`; `bound` is what it is called."""

    module: str
    name: str
    bound: str

    @property
    def written(self) -> str:
        """What stands behind `import`."""
        name = self.name or self.module
        return name if self.bound in (name, name.partition(".")[0]) else f"{name} as {self.bound}"


@dataclass(frozen=True)
class Part:
    """A statement that is no import: the names that it defines, and its text with the comments above."""

    names: tuple[str, ...]
    text: str
    is_function: bool = False  #: or a class
    is_promise: bool = False  #: `name: Any = ...`


@dataclass(eq=False)
class Template:
    """The top level of a file. `loading`: statements that define nothing, and the imports below the first."""

    name: str
    heading: str = ""  #: its docstring, in quotes
    parts: list[Part] = field(default_factory=list)  #: those that define something
    imports: dict[str, list[Import]] = field(default_factory=dict)  #: by the name that is bound
    links: dict[str, str] = field(default_factory=dict)  #: what is in other templates, to which
    loading: list[Part | Import] = field(default_factory=list)

    @functools.cached_property
    def definitions(self) -> dict[str, Part]:
        """The parts by each name that they define."""
        return {name: part for part in self.parts for name in part.names}

    @property
    def statements(self) -> list[Part]:
        """Those that define nothing."""
        return [part for part in self.loading if isinstance(part, Part)]

    @staticmethod
    def of(name: str, text: str) -> Template:
        """Read a file."""
        found, lines = Template(name), text.splitlines()
        tree = ast.parse(text)
        for node in tree.body:
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                found._add_imports(node)
            elif node is tree.body[0] and ast.get_docstring(tree):
                found.heading = _part(node, lines).text
            else:
                part = _part(node, lines)
                (found.parts if part.names else found.loading).append(part)
        return found

    def _add_imports(self, node: ast.Import | ast.ImportFrom) -> None:
        module = node.module or "" if isinstance(node, ast.ImportFrom) else ""
        for alias in node.names:
            if not _NAMES.isdisjoint(module.split(".")):
                self.links[alias.name] = module
                continue
            bound = alias.asname or alias.name.partition(".")[0]
            each = Import(module or alias.name, alias.name if module else "", bound)
            self.imports.setdefault(bound, []).append(each)
            if self.loading:
                self.loading.append(each)


@functools.cache
def template(module: str) -> Template:
    """The template of this name, such as `cortico.backends.nest.template`; it is read and not imported."""
    package, _, name = module.rpartition(".")
    text = resources.files(package).joinpath(f"{name}.py").read_text(encoding="utf-8")
    return Template.of(module, text)


def _part(node: ast.stmt, lines: list[str]) -> Part:
    """A statement with its decorators and the comments directly above."""
    decorators = getattr(node, "decorator_list", ())
    first = min(each.lineno for each in (node, *decorators)) - 1
    while first and lines[first - 1].startswith("#"):
        first -= 1
    value = node.value if isinstance(node, ast.AnnAssign) else None
    return Part(
        tuple(_defined(node)),
        "\n".join(lines[first : node.end_lineno]),
        isinstance(node, (ast.FunctionDef, ast.ClassDef)),
        isinstance(value, ast.Constant) and value.value is ...,
    )


def _defined(node: ast.stmt) -> Iterator[str]:
    """The names that a statement defines."""
    match node:
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            yield name
        case ast.Assign() | ast.AnnAssign():
            for each in ast.walk(node):
                if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store):
                    yield each.id


@functools.lru_cache(maxsize=1000)
def reads(text: str) -> tuple[str, ...]:
    """The names that a piece of a program reads and that are not local to a function or class in it."""

    def of(table: symtable.SymbolTable) -> Iterator[str]:
        on_top = table.get_type() == "module"
        for symbol in table.get_symbols():
            if symbol.is_referenced() and (on_top or symbol.is_global()):
                yield symbol.get_name()
        for inner in table.get_children():
            yield from of(inner)

    return tuple(dict.fromkeys(of(symtable.symtable(text, "a template", "exec"))))


def import_lines(imports: Iterable[Import]) -> str:
    """Lines that import, sorted as a formatter would: the standard library first, then other libraries."""
    sections: dict[bool, list[Import]] = {True: [], False: []}
    for each in sorted(imports):
        sections[each.module.partition(".")[0] in sys.stdlib_module_names].append(each)
    return "\n\n".join("\n".join(_section(found)) for found in sections.values() if found)


def _section(imports: list[Import]) -> Iterator[str]:
    yield from (f"import {each.written}" for each in imports if not each.name)
    for module, group in groupby((i for i in imports if i.name), lambda each: each.module):
        names = [each.written for each in group]
        line = f"from {module} import {', '.join(names)}"
        several = "".join(f"    {name},\n" for name in names)
        yield line if len(line) <= _WIDTH else f"from {module} import (\n{several})"
