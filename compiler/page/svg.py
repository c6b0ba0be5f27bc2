"""Scenes as SVG that can be pointed at, clicked and reached with the keyboard."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from cortico.pictures.scene import Disc, Group, Mark, Scene, Shape, Words

#: First part of the id of a group that can be chosen, to the attribute that names what it is.
_CHOOSABLE = ("population", "projection", "area", "block", "level")


def svg(scene: Scene, view: str, label: str) -> str:
    """The text of an SVG element; ids begin with `view`, so that a page may hold several."""
    box = f"0 0 {_number(scene.width)} {_number(scene.height)}"
    groups = "\n".join(_group(group, view) for group in scene.groups)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}" data-width="{_number(scene.width)}" '
        f'role="group" aria-label="{escape(label)}">\n{groups}\n</svg>'
    )


def _group(group: Group, view: str) -> str:
    marks = "".join(_reaches(group)) + "".join(map(_mark, group.marks))
    return f'<g id="{view}-{group.id}"{_attributes(group)}>{marks}</g>'


def _attributes(group: Group) -> str:
    kind, _, name = group.id.partition("-")
    if kind not in _CHOOSABLE or not name:
        return ' aria-hidden="true"' if not group.title else ""
    found = f' class="{kind}" data-{kind}="{escape(name)}"'
    if kind == "projection":  # reached from the populations that it joins
        return f'{found} role="img" aria-label="{escape(group.title)}"'
    return f'{found} role="button" tabindex="0" aria-label="{escape(group.title)}"'


def _mark(mark: Mark) -> str:
    match mark:
        case Shape():
            return _shape(mark)
        case Disc():
            x, y = mark.centre
            stroke = f' stroke="{mark.colour}" stroke-width="{mark.width}"' if mark.width else ""
            return (
                f'<circle cx="{_number(x)}" cy="{_number(y)}" r="{_number(mark.radius)}" '
                f'fill="{mark.fill}"{stroke}/>'
            )
        case Words():
            return _words(mark)


def _reaches(group: Group) -> Iterator[str]:
    """Wide lines that are not seen, by which a pointer finds the thin ones of a pathway."""
    if group.id.startswith("projection-"):
        for mark in group.marks:
            if isinstance(mark, Shape) and not mark.closed:
                yield f'<path class="reach" d="{_steps(mark)}"/>'


def _steps(shape: Shape) -> str:
    return "".join(
        letter + " ".join(f"{_number(x)} {_number(y)}" for x, y in points)
        for letter, points in shape.commands()
    )


def _shape(shape: Shape) -> str:
    dash = f' stroke-dasharray="{" ".join(map(_number, shape.dash))}"' if shape.dash else ""
    return (
        f'<path d="{_steps(shape)}" fill="{shape.fill or "none"}" stroke="{shape.colour}" '
        f'stroke-width="{_number(shape.width)}"{dash}/>'
    )


def _words(words: Words) -> str:
    x, y = map(_number, words.at)
    style = "".join(_styles(words))
    return (
        f'<text x="{x}" y="{y}" font-size="{_number(words.size)}" fill="{words.colour}"{style}>'
        f"{escape(words.text)}</text>"
    )


def _styles(words: Words) -> Iterator[str]:
    if words.bold:
        yield ' font-weight="bold"'
    if words.mono:
        yield ' class="mono"'
    if words.anchor != "start":
        yield f' text-anchor="{words.anchor}"'


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
