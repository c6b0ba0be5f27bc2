"""Names in emitted code: Python identifiers that collide with nothing."""

from __future__ import annotations

import ast
import keyword
import re
from collections.abc import Iterable, Iterator

from cortico.ir.rewrite import fresh

#: Stands behind a name until the whole text is known. It is in no name of a circuit: those are ASCII.
_MARK = "\u01c2"
_MARKED = re.compile(rf"\b(\w+){_MARK}(\d*)", re.ASCII)


def unmarked(text: str) -> str:
    """`text` without marks: as it will read, but for numbers behind names."""
    return _MARKED.sub(r"\1", text)


def plain(name: str) -> str:
    """`name` without marks. Python gives a meaning of its own to names that begin with underscores."""
    stem = unmarked(name).lstrip("_")
    return stem if stem[:1].isalpha() else f"name_{stem}".rstrip("_")


class Names:
    """Hands out identifiers, each once. `reserved` are taken from the start.

    `super` is never handed out: Python reads `__class__` where that name is.
    """

    def __init__(self, reserved: Iterable[str] = ()) -> None:
        self._taken = {*keyword.kwlist, *keyword.softkwlist, "super", *reserved}

    def fresh(self, name: str) -> str:
        """A Python identifier close to `name` that nothing else uses."""
        return self._free(plain(name), "_")

    def _free(self, stem: str, mark: str) -> str:
        found = fresh(stem, self._taken, mark)
        self._taken.add(found)
        return found

    def take(self, names: Iterable[str]) -> None:
        """Keep `names` from being handed out."""
        self._taken.update(names)

    def of(self, names: Iterable[str]) -> dict[str, str]:
        """Each of `names` to a fresh identifier."""
        return {name: self.fresh(name) for name in names}


class MarkedNames(Names):
    """Hands out names that no text of cortico's own can hold. `settled` puts others in their place."""

    def fresh(self, name: str) -> str:
        return self._free(f"{plain(name)}{_MARK}", "")


def settled(text: str) -> str:
    """Emitted Python with every marked name as the plain one, or one like it that means nothing else there.

    What means something is read off the text itself: all names in the functions that hold marked ones.
    """
    marked = dict.fromkeys(_MARKED.findall(text))
    names = Names(_own_names(text))
    chosen = {pair: names.fresh(pair[0]) for pair in sorted(marked, key=lambda p: int(p[1] or 1))}
    return _MARKED.sub(lambda found: chosen[found.group(1), found.group(2)], text)


def _own_names(text: str) -> frozenset[str]:
    """Names without mark in the functions, classes and other statements where marked ones are."""
    lines, tree = text.split("\n"), ast.parse(text)
    marked = (
        n for n in tree.body if any(_MARK in line for line in lines[n.lineno - 1 : n.end_lineno])
    )
    parts = (frozenset(_names_in(part)) for part in marked)
    found = frozenset().union(*(part for part in parts if any(_MARK in name for name in part)))
    return frozenset(name for name in found if _MARK not in name)


def _names_in(tree: ast.AST) -> Iterator[str]:
    """All that is bound or read in a part of a program, attributes apart."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) | ast.arg(arg=name):
                yield name
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.ImportFrom(names=aliases) | ast.Import(names=aliases):
                yield from ((alias.asname or alias.name) for alias in aliases)
