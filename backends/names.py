"""Names in emitted code: Python identifiers that collide with nothing."""

from __future__ import annotations

import keyword
from collections.abc import Iterable


class Names:
    """Hands out identifiers, each once. `reserved` are taken from the start."""

    def __init__(self, reserved: Iterable[str] = ()) -> None:
        self._taken = set(reserved)

    def fresh(self, name: str) -> str:
        """A Python identifier close to `name` that nothing else uses."""
        candidate, number = name, 2
        while (
            candidate in self._taken
            or keyword.iskeyword(candidate)
            or keyword.issoftkeyword(candidate)
        ):
            candidate, number = f"{name}_{number}", number + 1
        self._taken.add(candidate)
        return candidate

    def take(self, names: Iterable[str]) -> None:
        """Keep `names` from being handed out."""
        self._taken.update(names)

    def of(self, names: Iterable[str]) -> dict[str, str]:
        """Each of `names` to a fresh identifier."""
        return {name: self.fresh(name) for name in names}
