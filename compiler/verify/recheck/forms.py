"""What is in a certificate: JSON, read strictly, its values of the kinds that they must have."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

from cortico.verify.recheck.text import require

#: Most bytes of a certificate, or of another text beside it.
MOST_BYTES = 8 * 10**6


class Table(dict[str, Any]):
    """A form: exactly these fields; those that end in `?` may be left out."""


class Each:
    """A form: a list, or an object with any names, whose values have another form."""

    def __init__(self, form: Any, kind: type = list) -> None:
        self.form, self.kind = form, kind


class Maybe:
    """A form: null, or a value of another form."""

    def __init__(self, form: Any) -> None:
        self.form = form


class Either:
    """A form: a value of one of these types."""

    def __init__(self, *types: type) -> None:
        self.types = types


#: Which backend wrote the files beside a certificate.
EMITTED = Maybe(Table({"backend": str, "options": dict}))

_WORDS = {str: "a text", int: "a whole number", bool: "true or false", list: "a list"}
_WORDS |= {dict: "an object", float: "a number"}


def fit(value: Any, form: Any, where: str) -> None:
    """ValueError unless a value has a form: a type, a tuple of words, a list of forms, or one of these."""
    match form:
        case Table():
            fit(value, dict, where)
            known = {name.rstrip("?"): inner for name, inner in form.items()}
            strange = [printable(name, 40) for name in value if name not in known]
            require(not strange, f"{where} has unknown fields: {', '.join(strange[:5])}")
            for name, inner in form.items():
                if name.rstrip("?") in value:
                    fit(value[name.rstrip("?")], inner, f"{where}.{name.rstrip('?')}")
                else:
                    require(name.endswith("?"), f"{where} has no {name}")
        case Each():
            fit(value, form.kind, where)
            for inner in value.values() if form.kind is dict else value:
                fit(inner, form.form, f"in {where}, a value")
        case Either():
            words = " or ".join(_WORDS[each] for each in form.types)
            require(type(value) in form.types, f"{where} must be {words}, found {printable(value)}")
        case Maybe():
            if value is not None:
                fit(value, form.form, where)
        case tuple():
            known_word = type(value) is str and value in form
            require(
                known_word, f"{where} must be one of {', '.join(form)}, found {printable(value)}"
            )
        case list():
            fit(value, list, where)
            require(len(value) == len(form), f"{where} must have {len(form)} values")
            for inner, each in zip(value, form, strict=True):
                fit(inner, each, f"in {where}, a value")
        case _:
            fine = type(value) is form or (form is float and type(value) is int)
            require(fine, f"{where} must be {_WORDS[form]}, found {printable(value)}")


def printable(value: Any, most: int = 160) -> str:
    """A value of a file on one line that can be printed: cut, and what cannot be printed is escaped."""
    text = value[: most + 1] if isinstance(value, str) else _shown(value)
    cut = text if len(text) <= most else text[: most - 1] + "…"
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in cut
    )


def _shown(value: Any) -> str:
    if isinstance(value, list | dict):
        return f"{_WORDS[type(value)]} of {len(value)}"
    if isinstance(value, int) and abs(value) >= 10**18:
        return "a very large number"
    return "nothing" if value is None else json.dumps(value)


def read_text(path: Path) -> str:
    """The text of a plain file that is not too large. OSError or ValueError when there is none."""
    require(stat.S_ISREG(path.stat().st_mode), "it is no plain file")  # a pipe would wait
    with path.open("rb") as file:
        content = file.read(MOST_BYTES + 1)
    require(len(content) <= MOST_BYTES, f"it has more than {MOST_BYTES} bytes")
    return content.decode("utf-8")


def read_json(path: Path) -> Any:
    """The JSON in a file: no name twice, no NaN. OSError or ValueError when it cannot be read."""
    try:
        return json.loads(
            read_text(path), object_pairs_hook=_once, parse_constant=_no_number, parse_float=_finite
        )
    except RecursionError:
        raise ValueError("its lists are nested too deeply") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    require(len(found) == len(pairs), "a name stands twice in one object")
    return found


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no number")


def _finite(text: str) -> float:
    found = float(text)
    require(abs(found) < float("inf"), "a number is too large")
    return found
