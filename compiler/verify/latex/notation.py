r"""Equations in LaTeX, broken over lines: `mask_{hij} = \frac{\mathrm{weight}_{hij}}{…}`.

Needs amsmath. Rates of populations are in sans serif, `W_Q[h, a, m]` is W^Q_{ham}, a comparison
`[j - i <= 0]` is [j ≤ i]. A place where a line may end is marked while writing and either becomes one
or goes; lines never end inside of braces, and parentheses are of fixed size.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from fractions import Fraction

from cortico.ir.transfer import TRANSFERS
from cortico.verify.equations.language import (
    OFFSET,
    Add,
    Apply,
    Definition,
    Expression,
    Index,
    Read,
    Within,
)
from cortico.verify.equations.printing import ATOM, FACTORS, Writer, decimal, tidy

#: Where a line may end. No text holds it: `escaped` takes control characters out.
_BREAK = "\x1f"

#: Widest line of a display, in letters, and widest numerator and denominator of a fraction.
_WIDTH, _FRACTION = 78, 24

#: Functions whose names LaTeX has.
_NAMES = re.compile(
    "|".join(rf"\\{t.name}" for t in TRANSFERS.values() if rf"\{t.name}" in t.latex)
)

_ACCENTS = {"\u0300": "`", "\u0301": "'", "\u0302": "^", "\u0303": "~", "\u0308": '"'}
_SPECIAL = {
    **{each: f"\\{each}" for each in "#$%&_{}"},
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": "$<$",
    ">": "$>$",
    "|": "$|$",
    '"': "''",
    "[": "{[}",  # not the argument of a command in front of it
    "]": "{]}",
    "·": r"$\cdot$",
    "–": "--",
    "—": "---",
    "’": "'",
    "…": r"\ldots{}",
    "√": r"$\surd$",
    "∂": r"$\partial$",
    "Σ": r"$\Sigma$",
    "≤": r"$\le$",
    "≥": r"$\ge$",
    "≠": r"$\ne$",
    "½": r"$\frac12$",
    "ε": r"$\varepsilon$",
    "δ": r"$\delta$",
}


def escaped(text: str) -> str:
    """Any text, safe in a LaTeX document: ASCII, without commands and line breaks of its own.

    Letters with accents are composed; a character that LaTeX may not know is named, `U+4E2D`.
    """
    words = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return "".join(map(_escaped_character, words))


def _escaped_character(character: str) -> str:
    if character in _SPECIAL:
        return _SPECIAL[character]
    if character.isascii():
        return character
    base, mark = (*unicodedata.normalize("NFD", character)[:2], "")[:2]
    if base.isascii() and base.isalpha() and mark in _ACCENTS:
        return f"\\{_ACCENTS[mark]}{{{base}}}"
    return f"U+{ord(character):04X}"


class LatexWriter(Writer):
    """Writes expressions in LaTeX."""

    fractions_are_atoms = True
    times, plus, minus = rf"\,{_BREAK}", f" {_BREAK}+ ", f" {_BREAK}- "

    def number(self, value: Fraction) -> str:
        if text := decimal(value):
            return text
        sign = "-" if value < 0 else ""
        return rf"{sign}\tfrac{{{abs(value.numerator)}}}{{{value.denominator}}}"

    def size(self, sort: str, exponent: Fraction) -> str:
        text = rf"\lvert\text{{{escaped(sort)}}}\rvert"
        return text if exponent == 1 else f"{text}^{{{exponent}}}"

    def read(self, tensor: str, indices: Sequence[Index]) -> str:
        if tensor == OFFSET and len(indices) == 2:
            return f"({index_name(indices[1])} - {index_name(indices[0])})"
        return tensor_name(tensor) + (f"_{{{indices_text(indices)}}}" if indices else "")

    def within(self, left: Index, right: Index, offset: int) -> str:
        one, other = index_name(left), index_name(right)
        return rf"[{one} \le {other}]" if not offset else rf"[{one} - {other} \le {offset}]"

    def sum(self, indices: Sequence[Index]) -> str:
        return rf"\sum_{{{','.join(map(index_name, indices))}}} "

    def power(self, text: str, power: int) -> str:
        base = text if text.endswith(")") or "^" not in text else f"({text})"
        return f"{base}^{{{power}}}"

    def function(self, function: str, argument: str) -> str:
        if function == "nonzero":
            return rf"[{argument} \ne 0]"
        if function in TRANSFERS:
            return TRANSFERS[function].latex.format(x=self.parenthesised(argument))
        return rf"\operatorname{{{escaped(function)}}}{self.parenthesised(argument)}"

    def quotient(self, above: Sequence[Expression], below: Sequence[Expression]) -> str:
        """A fraction of tensors where that is short, else a factor to the power -1."""
        bottom = self.product(below)
        top = [each for each in above if isinstance(each, Read)]
        if width(bottom) > _FRACTION or width(self.product(top) if top else "1") > _FRACTION:
            alone = len(below) == 1 and not isinstance(below[0], (Apply, Read))
            inner = self.expression(below[0]) if alone else bottom
            factors = [self.at_least(ATOM, each) for each in above]
            return self.times.join([*factors, f"{self.parenthesised(inner)}^{{-1}}"])
        fraction = rf"\frac{{{self.product(top) if top else '1'}}}{{{bottom}}}"
        others = [each for each in above if not isinstance(each, Read)]
        factors = [self.at_least(ATOM, each) for each in others if not _is_guard(each)]
        guards = [self.at_least(ATOM, each) for each in others if _is_guard(each)]
        return self.times.join([*factors, fraction.replace(_BREAK, ""), *guards])

    def parenthesised(self, text: str) -> str:
        return rf"\Bigl({text}\Bigr)" if r"\sum" in text else f"({text})"


_WRITER = LatexWriter()


def _is_guard(expression: Expression) -> bool:
    return isinstance(expression, Within)


# ---- names ---------------------------------------------------------------------------------------


def tensor_name(tensor: str) -> str:
    """A tensor in math mode: rates in sans serif, W_Q as W^Q, gradients with ∂."""
    if tensor.startswith("d."):
        return rf"\partial {tensor_name(tensor[2:])}"
    if tensor.endswith(".rate"):
        return rf"\mathsf{{{escaped(tensor.removesuffix('.rate'))}}}"
    if found := re.fullmatch(r"(?:(\w+)\.)?d_(\w\w+)", tensor):
        return rf"\partial\mathrm{{{escaped('_'.join(filter(None, found.groups())))}}}"
    if found := re.fullmatch(r"([A-Za-z])_([A-Z])", tensor):
        return f"{found[1]}^{{{found[2]}}}"
    if tensor.startswith("rotation("):
        return r"\mathcal{R}"
    if tensor == "delta":
        return r"\delta"
    return tensor if re.fullmatch("[A-Za-z]", tensor) else rf"\mathrm{{{escaped(tensor)}}}"


def index_name(index: Index) -> str:
    """An index in math mode; longer names are set upright."""
    bare = index.name.rstrip("'")
    primes = index.name[len(bare) :]
    return bare + primes if len(bare) == 1 else rf"\mathrm{{{escaped(bare)}}}{primes}"


def indices_text(indices: Sequence[Index]) -> str:
    """Indices side by side, with commas where one has a longer name."""
    are_short = all(len(index.name.rstrip("'")) == 1 for index in indices)
    return ("" if are_short else ",").join(map(index_name, indices))


# ---- displays ------------------------------------------------------------------------------------


def inline(expression: Expression) -> str:
    """An expression for use within a line of text, in dollars."""
    return f"${_WRITER.expression(expression).replace(_BREAK, '')}$"


def display(*definitions: Definition) -> str:
    r"""`tensor = body` for each as one `align*` environment, over as many lines as needed."""
    rows = [row for definition in definitions for row in _rows(definition)]
    return "\\begin{align*}\n" + " \\\\\n".join(rows) + "\n\\end{align*}"


def _rows(definition: Definition) -> list[str]:
    left = _WRITER.read(definition.tensor, definition.indices)
    body = tidy(definition.body)
    text = _WRITER.expression(body)
    if width(left) + width(text) <= _WIDTH:
        return [f"{left} &= {text.replace(_BREAK, '')}"]
    return [f"& {left} =", *(rf"& {_indent(depth)}{line}" for depth, line in _term_lines(body))]


def _term_lines(body: Expression) -> Iterator[tuple[int, str]]:
    """Every term of a sum on lines of its own."""
    terms = body.terms if isinstance(body, Add) else (body,)
    for place, term in enumerate(terms):
        text = _WRITER.at_least(FACTORS, term)
        sign = "" if not place or text.startswith("-") else "+ "
        yield from lines(sign + text)


def lines(text: str) -> list[tuple[int, str]]:
    """Lines of at most the widest width where that can be, each with how deep it stands."""
    pieces = _pieces(text)
    rows: list[tuple[int, str]] = []
    while pieces:
        depth = pieces[0][0] + (1 if rows else 0)
        count = _fitting(pieces, _WIDTH - 2 * depth)
        row = "".join(piece for _, piece in pieces[:count])
        rows.append((depth, row.removesuffix(r"\,").strip()))
        pieces = pieces[count:]
    return rows


def _fitting(pieces: Sequence[tuple[int, str]], room: float) -> int:
    """How many pieces to set on a line: it ends where parentheses are least deep, late if it can."""
    used, fitting = 0.0, 0
    for _, piece in pieces:
        used += width(piece)
        if used > room and fitting:
            break
        fitting += 1
    if fitting == len(pieces):
        return fitting
    late = range(max(1, fitting // 2), fitting + 1)
    return min(late, key=lambda count: (pieces[count][0], -count))


def _pieces(text: str) -> list[tuple[int, str]]:
    """What stands between places where a line may end, with the depth of parentheses at its start."""
    pieces, piece, start, parentheses, braces = [], "", 0, 0, 0
    for character in text:
        if character == _BREAK:
            if not braces:
                pieces.append((start, piece))
                piece, start = "", parentheses
            continue
        piece += character
        parentheses += (character == "(") - (character == ")")
        braces += (character == "{") - (character == "}")
    return [*pieces, (start, piece)]


def _indent(depth: int) -> str:
    return r"\quad " * (depth + 1)


def width(text: str) -> float:
    """About how wide a text in math mode is set, in letters."""
    text = re.sub(
        r"\\(?:[bB]ig+[lr]|,|mathsf|mathrm|mathcal|text|operatorname)|" + _BREAK, "", text
    )
    text = re.sub(r"\\sum_\{([^{}]*)\}", lambda m: "x" * max(3, len(m[1]) * 2 // 3 + 2), text)
    text = re.sub(r"\\[lr]vert", "|", text)
    text = _NAMES.sub("exp", text)
    text = re.sub(r"\\[a-zA-Z]+|\\.", "x", text)
    scripts = re.findall(r"[_^]\{([^{}]*)\}", text)
    narrow = sum(0.35 * len(script) + 1 for script in scripts)
    wide = 0.4 * sum(character.isupper() for character in text)
    return len(text.replace("{", "").replace("}", "")) - narrow + wide
