"""Names of parameters whose numbers a pass changed."""

from __future__ import annotations

import re

from cortico.ir import Circuit
from cortico.ir.rewrite import fresh, rename


def named_apart(before: Circuit, after: Circuit) -> Circuit:
    """`after` with new names for parameters whose numbers changed, such as `W_Q_v2` for `W_Q`.

    Else the old numbers, given to the new circuit under the old name, would silently be taken.
    """
    return rename(after, tensors=_new_names(before, after))


def _new_names(before: Circuit, after: Circuit) -> dict[str, str]:
    old = {p.name: p for p in before.parameters}
    taken = {tensor.name for tensor in (*before.inputs, *after.inputs)} | set(old)
    taken |= {p.name for p in after.parameters}
    names: dict[str, str] = {}
    for parameter in after.parameters:
        if parameter.formula is None and old.get(parameter.name, parameter) != parameter:
            stem = re.sub(r"_v\d+$", "", parameter.name)
            names[parameter.name] = fresh(stem, taken | {stem}, "_v")
            taken.add(names[parameter.name])
    return names
