"""Passes that are wrong, or right in an unusual way, against the validation of passes.

A random spec with planted numbers is lowered, changed by real passes or by hand, and given to a pass
that does something else or something more. `prove_step`, or a whole compilation with `verify`, says
whether it kept the output; `tests.attack.oracle` knows.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from cortico import compile_attention
from cortico.ir import Circuit, PassError
from cortico.lowering import lower
from cortico.passes import Pass, named_apart
from cortico.spec import AttentionSpec
from cortico.verify.known import Known
from cortico.verify.steps.validation import prove_step
from tests.attack.differences import Apart, apart
from tests.attack.drawing import Weights, planted_weights, random_spec
from tests.attack.edits_of_numbers import resized
from tests.attack.mutators import PLOTS, REWRITTEN, WRONG_OR_RIGHT, Plot, edited, plotted
from tests.attack.trial import Trial
from tests.verify.mutations import Edit

#: Trials that pytest makes, with a new seed each time.
IN_TESTS = 15

WORDS = {Known.PROVED: "proved", Known.REFUTED: "refuted", Known.UNDECIDED: "not decided"}

#: One trial in so many compiles as users do, which takes seconds.
_WHOLE = 200

#: The part of trials that follow a plot.
_PLOTTED = 0.15


@dataclass(frozen=True)
class Replayed(Pass):
    """A pass that makes these circuits of the first of them, and leaves all others alone."""

    name = "replayed"
    circuits: tuple[Circuit, ...] = ()

    def run(self, circuit: Circuit) -> Circuit:
        return self.circuits[-1] if circuit == self.circuits[0] else circuit

    def stages(self, circuit: Circuit) -> Iterator[Circuit]:
        yield from self.circuits[1:]

    def __str__(self) -> str:
        return self.name


def trial(seed: int) -> Trial:
    """One pass."""
    random = Random(seed)
    plot = random.choice(PLOTS) if random.random() < _PLOTTED else None
    spec = random_spec(random)
    spec = plotted(random, plot, spec) if plot else spec
    weights = None
    if random.random() < 0.85:
        weights = planted_weights(random, spec, plot.plant if plot else None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if weights is not None and random.randrange(_WHOLE) == 0:
            return _whole(random, spec, weights, seed)
        before, prelude = _subject(random, lower(spec, weights), plot)
        circuits, edits = _replay(random, before, plot.passes if plot else WRONG_OR_RIGHT)
        return _step(circuits, f"{spec}; before: {prelude or 'nothing'}; the pass: {edits}", seed)


def _subject(random: Random, circuit: Circuit, plot: Plot | None) -> tuple[Circuit, list[str]]:
    """The circuit that the pass is given: as lowered, after real passes, or written by hand."""
    pools: list[tuple[Edit, ...]] = [*plot.subject] if plot else []
    kind = random.randrange(8)
    if kind == 0:
        pools.append((resized,))
    if kind == 1 and not plot:
        pools.append(WRONG_OR_RIGHT)
    if kind in (2, 3):
        pools += [REWRITTEN] * random.randrange(1, 3)
    done = []
    for pool in pools:
        circuit, name = edited(random, circuit, pool)
        done.append(name)
    return circuit, done


def _replay(
    random: Random, before: Circuit, wrong: tuple[Edit, ...]
) -> tuple[tuple[Circuit, ...], list[str]]:
    """The stages of the pass, and what it does."""
    circuits, done = [before], []
    pools = [wrong] if random.random() < 0.7 else [REWRITTEN]
    if random.random() < 0.25:
        pools.insert(random.randrange(2), REWRITTEN)
    for pool in pools:
        circuit, name = edited(random, circuits[-1], pool)
        circuits.append(named_apart(circuits[-1], circuit))
        done.append(name)
    if len(circuits) > 2 and random.random() < 0.5:
        del circuits[1:-1]
    return tuple(circuits), done


def _step(circuits: tuple[Circuit, ...], detail: str, seed: int) -> Trial:
    before, after = circuits[0], named_apart(circuits[0], circuits[-1])
    if before == after:
        return Trial("nothing to do", False)
    try:
        proof = prove_step(Replayed(circuits), before, after)
        said, detail = WORDS[proof.verdict], f"{proof.reason}: {detail}"
    except PassError:
        said = "refuted"
    except Exception as error:  # whatever it is, a right circuit must not end in it
        return Trial(f"crashed: {type(error).__name__}", True, f"{error!r} of {detail}")
    return judged(said, apart(before, after, seed), detail)


def judged(said: str, truth: Apart, detail: str) -> Trial:
    """What was said held against what is true."""
    if said == "proved":
        return Trial(said, truth.differs, f"{truth.where}: {detail}")
    if said == "refuted":
        agrees = f"{truth.roundoffs:.3g} roundoffs apart at most"
        return Trial(said, truth.is_same, f"{agrees}: {detail}")
    kind = "the same" if truth.is_same else "different" if truth.differs else "perhaps the same"
    return Trial(f"{said}: {kind}", False, detail)


def _whole(random: Random, spec: AttentionSpec, weights: Weights, seed: int) -> Trial:
    """The pass in a compilation as users run it."""
    before = lower(spec, weights)
    circuits, edits = _replay(random, before, WRONG_OR_RIGHT)
    detail = f"{spec}; the compilation with: {edits}"
    if before == circuits[-1]:
        return Trial("nothing to do", False)
    try:
        compiled = compile_attention(spec, weights, passes=[Replayed(circuits)], verify=True)
        holds = compiled.verification is not None and compiled.verification.holds
        said = "compiled: every claim holds" if holds else "compiled: some claim does not hold"
    except PassError as error:
        said, detail = "compiled: refused", f"{error} of {detail}"
    except Exception as error:  # as above
        return Trial(f"crashed: {type(error).__name__}", True, f"{error!r} of {detail}")
    truth = apart(before, circuits[-1], seed)
    if said == "compiled: every claim holds":
        return Trial(said, truth.differs, f"{truth.where} of {detail}")
    if said == "compiled: refused":
        return Trial(said, truth.is_same, detail)
    return Trial(said, False)
