"""What one attempt of an attack came to."""

from __future__ import annotations

from typing import NamedTuple


class Trial(NamedTuple):
    """What cortico said, and whether the attack's own oracle knows better."""

    said: str  #: the word of cortico, such as "proved" or "refused"; these are counted
    wrong: bool  #: whether the truth is another
    detail: str = ""  #: what was tried, so that a wrong one can be read and made again
    kind: str = ""  #: of what was tried, where there are several; words are counted by it
    seconds: float = 0.0  #: of work that cortico took, where that is bounded
