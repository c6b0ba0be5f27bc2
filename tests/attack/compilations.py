"""Right compilations, which must not be refused: random specs, numbers in which ties and zeros are planted.

The whole of `compile_attention(verify=True)` runs. All that is compiled is right by construction, so a
claim that is refuted, or an error, is a wrong word about it.
"""

from __future__ import annotations

import warnings
from random import Random

from cortico.pipeline import compile_attention
from cortico.verify.known import Known
from tests.attack.drawing import planted_weights, random_spec
from tests.attack.trial import Trial

#: Trials that pytest makes.
IN_TESTS = 3

_PIPELINES = ("none", "default", "default", "merge-duplicates", "default,merge-duplicates")


def trial(seed: int) -> Trial:
    """Compile and verify once."""
    random = Random(seed)
    spec = random_spec(random)
    weights = planted_weights(random, spec)
    passes = random.choice(_PIPELINES)
    detail = f"{spec}; passes {passes}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = compile_attention(spec, weights, passes=passes, verify=True).verification
        except Exception as error:  # whatever it is, a valid spec must not end in it
            return Trial(f"crashed: {type(error).__name__}", True, f"{error!r} of {detail}")
    assert found is not None
    for word in (Known.REFUTED, Known.UNDECIDED, Known.SKIPPED):
        said = [c for c in found.claims if c.verdict is word]
        if said:
            claims = "; ".join(f"{c.claim}: {c.detail}" for c in said)
            return Trial(word.value, word is Known.REFUTED, f"{claims} of {detail}")
    return Trial("every claim holds", False, detail)
