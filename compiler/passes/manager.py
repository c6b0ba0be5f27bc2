"""Running passes: parsing their names, checking their order, and what each of them changed."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cortico.ir import Circuit, CircuitError, PassError, Role, SpecError, check
from cortico.ir.errors import clipped, named, near_name, shown
from cortico.passes.base import AnyPass, NetworkPass, Pass
from cortico.passes.meaning import interface_change, relative_difference
from cortico.passes.naming import named_apart
from cortico.passes.registry import NETWORK_PASSES, PASSES, PIPELINES, find_pass

_MOST_ROUNDS = 10

#: Tokens up to which a circuit is run to measure the error of an approximate pass.
_MOST_TOKENS = 256

#: Characters of a list of passes.
_LONGEST = 1000

_ITEM = re.compile(r"(?P<name>[\w-]+)(\((?P<options>[^()]*)\))?")

#: Raises PassError when two circuits do not compute the same.
MeaningCheck = Callable[[Circuit, Circuit], None]


@dataclass(frozen=True)
class Step:
    """One pass that ran: the circuits before and after, and the time it took in seconds.

    After an approximate pass that changed something, `bound` is its own error bound, and `error` the
    measured change of the output on random inputs, relative to the largest output. `left_out` says why a pass
    of a named pipeline did not run.
    """

    name: str
    before: Circuit
    after: Circuit
    seconds: float
    bound: float | None = None
    error: float | None = None
    left_out: str = ""

    @property
    def changed(self) -> bool:
        return self.after is not self.before


def parse_passes(text: str) -> list[Pass]:
    """Passes from `default`, `share-relays,prune-dead` or `prune-small(budget=0.1)`.

    A pipeline's name stands for its passes. SpecError for unknown names, options or orders, and for passes
    that look across wires.
    """
    return as_passes(text)


def as_passes(given: str | Sequence[AnyPass | str]) -> list[Pass]:
    """Passes of circuits from a text as above, or from a list of passes and such texts."""
    wide, inner = model_passes(given)
    for each in wide:
        raise SpecError(f"pass {each.name} looks across the wires of a whole model: here is none")
    return inner


def model_passes(given: str | Sequence[AnyPass | str]) -> tuple[list[NetworkPass], list[Pass]]:
    """The same for a whole model: passes across wires, and those of each block."""
    listed = [given] if isinstance(given, str) else given
    lists = ([each] if isinstance(each, AnyPass) else _parsed(each) for each in listed)
    passes = [each for found in lists for each in found]
    check_order(passes)
    wide = [each for each in passes if isinstance(each, NetworkPass)]
    return wide, [each for each in passes if isinstance(each, Pass)]


def _parsed(text: str) -> list[AnyPass]:
    passes: list[AnyPass] = []
    if len(text) > _LONGEST:
        raise SpecError(f"cannot read passes of more than {_LONGEST:,} characters: {shown(text)}")
    for item in re.split(r",(?![^(]*\))", text):  # commas that are not inside parentheses
        found = _ITEM.fullmatch(item.strip())
        if found is None:
            raise SpecError(
                f"cannot read pass {named(item)}: write it as in 'prune-small(budget=0.1)'"
            )
        if found["name"] in PIPELINES and found["options"] is None:
            passes += [_make(member, "").in_pipeline() for member in PIPELINES[found["name"]]]
        else:
            passes.append(_make(found["name"], found["options"] or ""))
    return passes


def _make(name: str, options: str) -> AnyPass:
    kind = find_pass(name)
    if kind is None:
        names = [*PIPELINES, *(known.name for known in (*PASSES, *NETWORK_PASSES))]
        raise SpecError(
            f"no pass called {named(name)}{near_name(name, names)}; there are: {', '.join(names)}"
        )
    return kind.from_text(text for text in options.split(",") if text.strip())


def check_order(passes: Sequence[AnyPass]) -> None:
    """SpecError when a pass stands before one that it must come after, or one across wires after another."""
    for place, this in enumerate(passes):
        for later in passes[place + 1 :]:
            if later.name in this.after:
                raise SpecError(f"pass {this.name} must come after {later.name}, found before it")
            if isinstance(later, NetworkPass) and not isinstance(this, NetworkPass):
                raise SpecError(
                    f"pass {later.name} looks across wires: it must come before those of blocks, "
                    f"found after {this.name}"
                )


def run_passes(
    circuit: Circuit,
    passes: Sequence[Pass],
    meaning: MeaningCheck | None = None,
    on_step: Callable[[Step], None] = lambda step: None,
) -> tuple[Circuit, list[Step]]:
    """The circuit after all passes, repeated until none changes it; and every step taken.

    Approximate passes run in the first round only: their losses must not add up.
    Invariants are checked after each pass that changed something, the meaning too when `meaning` is
    given. PassError when a pass broke either, when the passes do not settle, and when one does not hold for a
    circuit that lives in time; of a named pipeline those are left out, each with a step that says so.
    """
    steps: list[Step] = []
    for round_ in range(_MOST_ROUNDS):
        start = circuit
        for each in passes if round_ == 0 else [p for p in passes if p.exact]:
            left_out = _does_not_hold(each, circuit)
            if left_out and round_ > 0:
                continue
            if left_out:
                steps.append(Step(str(each), circuit, circuit, 0.0, left_out=left_out))
                on_step(steps[-1])
                continue
            step = _run(each, circuit, meaning)
            circuit = step.after
            steps.append(step)
            on_step(step)
        if circuit is start:
            return circuit, steps
    changing = ", ".join(sorted({step.name for step in steps[-len(passes) :] if step.changed}))
    raise PassError(f"passes do not settle after {_MOST_ROUNDS} rounds; still changing: {changing}")


def _does_not_hold(each: Pass, circuit: Circuit) -> str:
    """Why a pass of a named pipeline is left out; nothing where it holds. PassError for one that was asked for."""
    if each.in_time or not circuit.lives_in_time:
        return ""
    if each.of_pipeline:
        return "does not hold for circuits that live in time"
    living = clipped(", ".join(circuit.living_in_time), _LONGEST)
    raise PassError(
        f"pass {each.name} does not hold for circuit {named(circuit.name)}, which lives in time: {living}"
    )


def _run(each: Pass, before: Circuit, meaning: MeaningCheck | None) -> Step:
    start = time.perf_counter()
    after = each.run(before)
    seconds = time.perf_counter() - start
    if after is before:
        return Step(str(each), before, before, seconds)
    try:
        check(after)
        changed = interface_change(before, after)
        if changed is not None:
            raise PassError(f"it changed how the circuit is used: {changed}")
        if meaning is not None and each.exact:
            meaning(before, after)
    except (CircuitError, PassError) as error:
        raise PassError(f"pass {each.name} is at fault: {error}") from None
    bound = None if each.exact else each.error_bound(before, after)
    moved = None if each.exact else _measured(before, after)
    renamed = named_apart(before, after)
    return Step(str(each), before, renamed, seconds, bound, moved)


def _measured(before: Circuit, after: Circuit) -> float | None:
    """The change of the output; not measured where running the circuit would take too long."""
    numbers = [axis.extent for axis in before.axes if axis.role is Role.COLUMN]
    if any(isinstance(extent, int) and extent > _MOST_TOKENS for extent in numbers):
        return None
    return relative_difference(before, after)
