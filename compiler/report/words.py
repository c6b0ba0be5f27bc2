"""Numbers and names as a report says them."""

from __future__ import annotations

import re
from typing import Any

from cortico.ir.polynomial import Polynomial

#: What Markdown would read as more than text: `_` beside a letter or digit on both sides is a letter itself.
_MARKDOWN = re.compile(r"[\\`*|~$]|(?<![^\W_])_|_(?![^\W_])|\](?=[(\[:])")


def number(count: Any) -> str:
    """A count with thousands separators, or as a formula in the symbolic sizes."""
    if isinstance(count, int):
        return f"{count:,}"
    formula = str(_expanded(count)).replace("**", "^").replace("*", "·")
    return re.sub(r"\d{4,}", lambda digits: f"{int(digits[0]):,}", formula)


def _expanded(count: Any) -> Any:
    if isinstance(count, Polynomial):
        return count
    import sympy

    return sympy.expand(count)


def quantity(count: Any, noun: str) -> str:
    """`1 synapse`, `2 synapses`, `n^2 synapses`."""
    return f"{number(count)} {noun}{'' if count == 1 else 's'}"


def one_line(text: str) -> str:
    """`text` without line breaks and control characters, for headings and tables."""
    return "".join(c if c.isprintable() else " " for c in text).strip() or "(no name)"


def markdown_text(text: str) -> str:
    """`text` on one line, of which nothing is taken for Markdown or HTML; names stay as they are."""
    plain = "".join(c if c.isprintable() else " " for c in text)
    marked = _MARKDOWN.sub(lambda found: f"\\{found[0]}", plain)
    return marked.replace("&", "&amp;").replace("<", "&lt;")


def percent(change: float | None) -> str:
    """A relative change in percent; None where something was silent before."""
    return "was silent" if change is None else f"{100 * change:.3g}%"
