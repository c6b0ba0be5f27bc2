"""Circuits that live in time: that each loop has its rest, and that it is stable.

A population that integrates is at rest where e^(-rate) is what one equation says (`Run.at_rest`). Its sum S e^(-rate)
is positive and falls with its own rate, so that a pace above 0 takes it to its rest, from both sides: where cells have no
lag and signals no delay.
"""

from __future__ import annotations

from typing import Any

from cortico.verify.recheck.facts import Step
from cortico.verify.recheck.report import RECHECKED, WRONG, Finding, attempt
from cortico.verify.recheck.run import Run
from cortico.verify.recheck.text import UnableError, require
from cortico.verify.recheck.world import Chance, World

#: Worlds with masks as they come, and one without any token (`World`).
_TRIALS = 8


def rest_findings(circuit: Any, chance: Chance) -> dict[str, Finding]:
    """What is found of the claims that a circuit in time must have; nothing for one that does not live in time."""
    if not circuit.integrating and not circuit.delayed:
        return {}
    pools = [name for name in circuit.populations if name in circuit.integrating]
    rest = f"at rest the circuit is its form without loops ({', '.join(pools) or 'no pool'})"
    found = {rest: attempt(rest, _rests, circuit, pools, chance)}
    for pool in pools:
        claim = f"the rest of {pool} is stable, where cells are prospective"
        found[claim] = attempt(claim, _is_stable, circuit, found[rest])
    return found


def _rests(circuit: Any, pools: list[str], chance: Chance) -> str:
    for trial in range(_TRIALS):
        world = World(chance, trial, [circuit])
        run = Run(
            circuit, world, [Step(world, circuit, circuit, [], level).old for level in (0, 1)]
        )
        for pool in pools:
            run.at_rest(pool, 0)
    return "so on random numbers, and without any token"


def _is_stable(circuit: Any, rest: Finding) -> str:
    require(rest.status != WRONG, rest.detail)
    if rest.status != RECHECKED or circuit.delayed:
        raise UnableError("what delays do is not looked at" if circuit.delayed else rest.detail)
    return "its pace is above 0, and its sum falls with its own rate"
