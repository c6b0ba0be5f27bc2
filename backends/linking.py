"""Puts an emitted Python file together: its own text, and of templates what that text uses.

A template is a Python file like any other, which ruff and mypy check; nothing imports it, as it imports what
emitted files do. `link` goes from name to name: what the own text reads and does not define itself is looked
up in the templates, and so is what those definitions read. A template may have

    import …, from … import …       what is used of them comes first, sorted
    from cortico.… import f         f is in that template: the definition is taken, not the import
    def f, class F, name = value    taken where used, with the comments directly above
    name: Any = ...                 the own text must define it
    other statements                run when the file is loaded, in front of the imports below them
    # <hole>                        a line that stands for lines that the emitter writes

Values come before functions, so a value may not call one. A template comes behind those that it imports.
"""

from __future__ import annotations

import ast
import builtins
import functools
import re
import symtable
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import resources
from itertools import groupby
from typing import TypeGuard

#: What Python defines in every module.
_EVERYWHERE = frozenset([*dir(builtins), "__file__"])

_HOLE = re.compile(r"^([ \t]*)# <(\w+)>\n?", re.MULTILINE)

#: The longest line of imports.
_WIDTH = 100


@dataclass(frozen=True, order=True)
class _Import:
    """`import module`, or `from module import name`; `bound` is what it is called."""

    module: str
    name: str
    bound: str

    @property
    def own_name(self) -> str:
        """What stands behind `import`."""
        name = self.name or self.module
        return name if self.bound in (name, name.partition(".")[0]) else f"{name} as {self.bound}"


@dataclass(frozen=True)
class _Part:
    """A statement of a file that is no import: what it binds, and its text."""

    names: tuple[str, ...]
    text: str
    node: ast.stmt

    @property
    def is_function(self) -> bool:
        """Whether it is a function or a class."""
        return isinstance(self.node, (ast.FunctionDef, ast.ClassDef))

    @property
    def is_promised(self) -> bool:
        """Whether it is `name: Any = ...`."""
        value = self.node.value if isinstance(self.node, ast.AnnAssign) else None
        return isinstance(value, ast.Constant) and value.value is ...


@dataclass
class _File:
    """What a file of Python has at its top level."""

    name: str
    heading: str = ""  #: its docstring, as it is written
    definitions: dict[str, _Part] = field(default_factory=dict)
    imports: dict[str, list[_Import]] = field(default_factory=dict)  #: by the name that is bound
    loading: list[_Part | _Import] = field(default_factory=list)  #: statements, imports below them
    links: dict[str, tuple[str, str]] = field(default_factory=dict)  #: name to template and name

    @property
    def parts(self) -> list[_Part]:
        """The definitions, in the file's order."""
        return list(dict.fromkeys(self.definitions.values()))

    def has(self, name: str) -> bool:
        """Whether a name means something on the top level."""
        return name in self.definitions or name in self.links or name in self.imports

    @staticmethod
    def of(name: str, text: str) -> _File:
        """Read a file of this name."""
        file, lines = _File(name), text.splitlines(keepends=True)
        for number, node in enumerate(ast.parse(text).body):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                file._add_imports(node)
                continue
            part = _Part(tuple(_bound(node)), _with_comments(lines, node), node)
            if number == 0 and ast.get_docstring(ast.Module([node], [])):
                file.heading = part.text
            elif part.names:
                file.definitions |= dict.fromkeys(part.names, part)
            else:
                file.loading.append(part)
        return file

    def _add_imports(self, node: ast.Import | ast.ImportFrom) -> None:
        module = node.module or "" if isinstance(node, ast.ImportFrom) else ""
        for alias in node.names:
            bound = alias.asname or alias.name.partition(".")[0]
            if module.startswith("cortico."):
                self.links[bound] = module, alias.name
                continue
            found = _Import(module, alias.name, bound) if module else _Import(alias.name, "", bound)
            self.imports.setdefault(bound, []).append(found)
            if self.loading:
                self.loading.append(found)


@functools.cache
def _template(module: str) -> _File:
    """The template of this name, such as `cortico.backends.nest.template`."""
    package, _, name = module.rpartition(".")
    return _File.of(module, resources.files(package).joinpath(f"{name}.py").read_text("utf-8"))


def heading(template: str) -> str:
    """The docstring of a template, in its quotes, for the head of an emitted file."""
    return _template(template).heading


def definition(template: str, name: str) -> str:
    """The text of one definition of a template."""
    return _template(template).definitions[name].text + "\n"


def link(own: str, *templates: str, holes: Mapping[str, str] | None = None) -> str:
    """The file of the text `own`, with all that it uses of the `templates` and of those that they import.

    In this order: its docstring, imports, values of templates, `own`, functions of templates, and what `own`
    does beside defining. `holes` have the lines for each hole. LookupError for a name that nothing defines,
    that two templates define, or that `own` lacks, and for a hole without lines.
    """
    return _Linker(_File.of("the script", own), [*map(_template, templates)], holes or {}).text()


class _Linker:
    """Finds what a script needs."""

    def __init__(self, own: _File, templates: list[_File], holes: Mapping[str, str]) -> None:
        self.own, self.templates, self.holes = own, templates, holes
        self.taken: dict[str, tuple[_File, _Part]] = {}
        self.imports: dict[_Import, bool] = {}  #: to whether it comes in front of everything
        self.files: dict[str, _File] = {}  #: those that are used
        for part in (*own.parts, *_statements(own)):
            self._read(part, own)

    def text(self) -> str:
        """The file."""
        parts = [p for file in self._in_order() for p in file.parts if self._takes(file, p)]
        own = self.own.parts
        values = [p for p in (*parts, *own) if not p.is_function]
        functions = [p for p in (*own, *parts) if p.is_function]
        early = (each for each, is_early in self.imports.items() if is_early)
        head = [self.own.heading, _import_lines(early), *self._loading(), self._texts(values)]
        blocks = ["\n\n".join(filter(None, head)), *map(self._filled, functions)]
        return "\n\n\n".join([*blocks, *map(self._filled, _statements(self.own))]) + "\n"

    def _texts(self, parts: Iterable[_Part | _Import]) -> str:
        return "\n".join(self._filled(part) for part in parts if isinstance(part, _Part))

    def _filled(self, part: _Part) -> str:
        """The text of a part with lines in its holes."""

        def lines(hole: re.Match[str]) -> str:
            if hole[2] not in self.holes:
                raise LookupError(f"no lines for the hole {hole[2]!r} of {part.names}")
            text = self.holes[hole[2]].rstrip("\n")
            return textwrap.indent(text, hole[1]) + "\n" * bool(text)

        return _HOLE.sub(lines, part.text)

    # ---- what is read

    def _read(self, part: _Part, file: _File) -> None:
        """Find all that a part of a file reads."""
        for name in _reads(self._filled(part)):
            self._find(name, file)

    def _find(self, name: str, file: _File) -> None:
        """Take what a name means where it is read."""
        if name in self.own.definitions:
            return
        places = [file, *self.templates] if file is self.own else [file]
        for place in (p for p in places if p.has(name)):
            if name in place.definitions:
                self._take(place, place.definitions[name], name)
            elif name in place.links:
                module, linked = place.links[name]
                self._find(linked, _template(module))
            for each in place.imports.get(name, ()):
                self.imports[each] = self.imports.get(each, False) or each not in place.loading
            return
        if name not in _EVERYWHERE:
            raise LookupError(f"{file.name} reads {name!r}, which nothing defines")

    def _take(self, file: _File, part: _Part, name: str) -> None:
        """Take a part of a template, and all that it reads."""
        if part.is_promised:
            raise LookupError(f"{file.name} wants the script to define {name!r}")
        other, _ = self.taken.get(name, (file, part))
        if other is not file:
            raise LookupError(f"{file.name} and {other.name} both define {name!r}")
        if name in self.taken:
            return
        self.taken |= dict.fromkeys(part.names, (file, part))
        if file.name not in self.files:
            self.files[file.name] = file
            for statement in _statements(file):
                self._read(statement, file)
        self._read(part, file)

    # ---- what is written

    def _takes(self, file: _File, part: _Part) -> bool:
        return any(self.taken.get(name) == (file, part) for name in part.names)

    def _in_order(self) -> list[_File]:
        """The files that are used, each behind those that it imports."""
        found: dict[str, _File] = {}

        def visit(file: _File) -> None:
            for module, _ in file.links.values():
                visit(_template(module))
            found.setdefault(file.name, file)

        for template in self.templates:
            visit(template)
        return [file for name, file in found.items() if name in self.files]

    def _loading(self) -> Iterator[str]:
        """What templates do when they are loaded, and the imports below that."""
        late = {each for each, is_early in self.imports.items() if not is_early}
        for file in self._in_order():
            for is_import, group in groupby(file.loading, lambda each: isinstance(each, _Import)):
                each = list(group)
                yield (
                    _import_lines(i for i in each if i in late) if is_import else self._texts(each)
                )


def _statements(file: _File) -> list[_Part]:
    """The statements of a file that define nothing."""
    return [part for part in file.loading if isinstance(part, _Part)]


def _bound(node: ast.stmt) -> Iterator[str]:
    """The names that a statement defines."""
    match node:
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            yield name
        case ast.Assign(targets=targets):
            inside = (each for target in targets for each in ast.walk(target))
            yield from (each.id for each in inside if _is_stored(each))
        case ast.AnnAssign(target=ast.Name(id=name)):
            yield name


def _is_stored(node: ast.AST) -> TypeGuard[ast.Name]:
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)


def _with_comments(lines: list[str], node: ast.stmt) -> str:
    """The lines of a statement, of its decorators, and of the comments directly above."""
    decorators = getattr(node, "decorator_list", ())
    first = min(each.lineno for each in (node, *decorators)) - 1
    while first and lines[first - 1].startswith("#"):
        first -= 1
    return "".join(lines[first : node.end_lineno]).rstrip("\n")


@functools.lru_cache(maxsize=1000)
def _reads(text: str) -> tuple[str, ...]:
    """The names that a piece of a program reads from the module it is in."""

    def of(table: symtable.SymbolTable) -> Iterator[str]:
        on_top = table.get_type() == "module"
        for symbol in table.get_symbols():
            if symbol.is_referenced() and (on_top or symbol.is_global()):
                yield symbol.get_name()
        for inner in table.get_children():
            yield from of(inner)

    return tuple(dict.fromkeys(of(symtable.symtable(text, "a template", "exec"))))


def _import_lines(imports: Iterable[_Import]) -> str:
    """Lines that import, sorted: the standard library's before those of others."""
    sections: dict[bool, list[_Import]] = {True: [], False: []}
    for each in sorted(imports):
        sections[each.module.partition(".")[0] in sys.stdlib_module_names].append(each)
    return "\n\n".join("\n".join(_section(found)) for found in sections.values() if found)


def _section(imports: list[_Import]) -> Iterator[str]:
    yield from (f"import {each.own_name}" for each in imports if not each.name)
    for module, group in groupby((i for i in imports if i.name), lambda each: each.module):
        names = [each.own_name for each in group]
        line = f"from {module} import {', '.join(names)}"
        several = "".join(f"    {name},\n" for name in names)
        yield line if len(line) <= _WIDTH else f"from {module} import (\n{several})"
