"""How well something is known, in the only words that proofs and reports use."""

from enum import StrEnum


class Known(StrEnum):
    """From best to worst. A proof knows the first, or one of the last two."""

    PROVED = "proved for all sizes"
    CHECKED = "checked exactly"
    COMPARED = "compared numerically"
    SKIPPED = "not run"
    UNDECIDED = "not decided"
    REFUTED = "refuted"
