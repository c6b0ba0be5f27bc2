"""Long chains cut into pieces, for what goes from a population to those before it, one call in another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

#: Calls of one kind that are nested; each takes several of Python's, which end at a thousand.
MOST_NESTED = 50


def milestones(ends: Iterable[str], before: Callable[[str], Iterable[str]]) -> Iterator[str]:
    """Names along long chains: visited in this order, none is more than `MOST_NESTED` from the last.

    `before` are the names that one rests on; chains begin at names that rest on none and lead to `ends`.
    """
    nested: dict[str, int] = {}
    for name in _in_order(ends, before):
        nested[name] = 1 + max((nested[other] for other in before(name)), default=0)
        if nested[name] == MOST_NESTED:
            yield name
            nested[name] = 0


def _in_order(ends: Iterable[str], before: Callable[[str], Iterable[str]]) -> Iterator[str]:
    """All names that the `ends` rest on, each after those that it rests on itself."""
    seen: set[str] = set()
    stack = [(name, False) for name in ends]
    while stack:
        name, done = stack.pop()
        if done:
            yield name
        elif name not in seen:
            seen.add(name)
            stack += [(name, True), *((other, False) for other in before(name))]
