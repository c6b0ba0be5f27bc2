"""Puts an emitted file of Python together: its own text, and of templates what that text uses.

A template is a file like any other, which ruff and mypy check; nothing imports it, as it imports what emitted
files do. `link` goes from name to name: what the own text reads and does not define is looked up in the
templates, and so is what those definitions read. A template may have

    import …, from … import …       what is used of them comes first, sorted
    from ….template import f        f is in that template: the definition is taken, not the import
    def f, class F, name = value    taken where used, with the comments directly above
    name: Any = ...                 a promise: the own text must define it
    other statements                run when the file is loaded, in front of the imports below them
    # <hole>                        a line that stands for lines that the emitter writes

Values come before functions, so a value may not call one of a template.
"""

from __future__ import annotations

import builtins
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby

from cortico.backends.templates import Import, Part, Template, import_lines, reads, template

#: What Python defines in every module.
_EVERYWHERE = frozenset([*dir(builtins), "__file__"])

_HOLE = re.compile(r"^([ \t]*)# <(\w+)>\n?", re.MULTILINE)


def link(
    own: str,
    *templates: str,
    holes: Mapping[str, str] | None = None,
    offers: Iterable[str] = (),
) -> str:
    """The file of the text `own`, with all that it uses of the `templates` and of those that they import.

    In this order: its docstring, imports, values of templates, `own`, functions of templates, and what `own`
    does beside defining. `holes` have the lines for each hole; `offers` are taken though nothing here reads
    them. LookupError for a name that nothing defines, that two templates define, or that is promised and
    lacking, and for a hole without lines.
    """
    return _Linker(own, templates, holes or {}, offers).text()


def heading(module: str) -> str:
    """The docstring of a template, in its quotes, for the head of an emitted file."""
    return template(module).heading


def definition(module: str, name: str) -> str:
    """The text of one definition of a template."""
    return template(module).definitions[name].text + "\n"


class _Linker:
    """Finds what a file needs."""

    def __init__(
        self, own: str, templates: Iterable[str], holes: Mapping[str, str], offers: Iterable[str]
    ) -> None:
        self.own, self.holes = Template.of("the script", own), holes
        self.templates = [*map(template, templates)]
        self.taken: dict[str, Template] = {}  #: each name that is taken, to where it is from
        self.imports: dict[Import, bool] = {}  #: to whether it may come first
        for part in (*self.own.parts, *self.own.statements):
            self._read(part, self.own)
        for name in offers:
            self._find(name, self.own)

    def text(self) -> str:
        """The file."""
        taken = [p for t in self._in_order() for p in t.parts if self.taken.get(p.names[0]) is t]
        values = [part for part in (*taken, *self.own.parts) if not part.is_function]
        functions = [part for part in (*self.own.parts, *taken) if part.is_function]
        first = import_lines(each for each, is_first in self.imports.items() if is_first)
        head = [self.own.heading, first, *self._loading(), "\n".join(map(self._filled, values))]
        rest = map(self._filled, (*functions, *self.own.statements))
        return "\n\n\n".join(["\n\n".join(filter(None, head)), *rest]) + "\n"

    # ---- what is read

    def _read(self, part: Part, where: Template) -> None:
        """Take all that a part of a file reads."""
        for name in reads(self._filled(part)):
            if name not in self.own.definitions:
                self._find(name, where)

    def _find(self, name: str, where: Template) -> None:
        """Take what a name means in a file; in the own text, what it means there or in a template."""
        for place in [where, *self.templates] if where is self.own else [where]:
            if name in place.definitions:
                return self._take(name, place)
            if name in place.links:
                return self._find(name, template(place.links[name]))
            for each in place.imports.get(name, ()):
                self.imports[each] = self.imports.get(each, False) or each not in place.loading
            if name in place.imports:
                return None
        if name not in _EVERYWHERE:
            raise LookupError(f"{where.name} reads {name!r}, which nothing defines")
        return None

    def _take(self, name: str, place: Template) -> None:
        """Take a definition of a template, and all that it reads."""
        part, other = place.definitions[name], self.taken.get(name, place)
        if part.is_promise:
            raise LookupError(f"{place.name} wants the script to define {name!r}")
        if other is not place:
            raise LookupError(f"{place.name} and {other.name} both define {name!r}")
        if name not in self.taken:
            beside = () if place in self.taken.values() else place.statements
            self.taken |= dict.fromkeys(part.names, place)
            for each in (*beside, part):
                self._read(each, place)

    # ---- what is written

    def _filled(self, part: Part) -> str:
        """The text of a part with lines in its holes."""

        def lines(hole: re.Match[str]) -> str:
            if hole[2] not in self.holes:
                raise LookupError(f"no lines for the hole {hole[2]!r} of {part.names}")
            return textwrap.indent(self.holes[hole[2]], hole[1])

        return _HOLE.sub(lines, part.text)

    def _in_order(self) -> list[Template]:
        """The templates that are used, each behind those that it imports."""
        found: list[Template] = []

        def visit(each: Template) -> None:
            for module in each.links.values():
                visit(template(module))
            if each not in found and each in self.taken.values():
                found.append(each)

        for each in self.templates:
            visit(each)
        return found

    def _loading(self) -> Iterator[str]:
        """What templates do when they are loaded, and the imports below that."""
        for each in self._in_order():
            for _, group in groupby(each.loading, type):
                found = list(group)
                imports = [i for i in found if isinstance(i, Import)]
                yield import_lines(i for i in imports if self.imports.get(i) is False)
                yield "\n".join(self._filled(part) for part in found if isinstance(part, Part))
