"""What one attempt of an attack came to."""

from __future__ import annotations

from typing import NamedTuple


class Trial(NamedTuple):
    """What cortico said, and whether the attack's own oracle knows better."""

    said: str  #: the word of cortico, such as "proved" or "refused"; these are counted
    wrong: bool  #: whether the truth is another
    detail: str = ""  #: what was tried, so that a wrong one can be read and made again
