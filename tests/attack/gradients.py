"""Gradients that are wrong, or right in other words, against the prover and the differentiation.

Three kinds: closed forms with a row changed, against the gradients of the lowered circuit; the closed
forms against the gradients of a changed circuit; circuits with error neurons, which have to be right.
The truth is the derivative along random directions of `tests.attack.textbook` and of the interpreter
of `tests.attack.oracle`, by a step into the complex plane: as exact as the numbers are.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from itertools import chain, islice
from random import Random

import numpy as np

from cortico.ir import Circuit, InputKind, SpecError, UnsupportedError
from cortico.learning import differentiate, gradient_circuit
from cortico.lowering import lower
from cortico.spec import AttentionSpec
from cortico.verify.equations.closed_forms import closed_forms
from cortico.verify.equations.gradients import gradients
from cortico.verify.equations.language import Equations
from cortico.verify.equations.meaning import circuit_equations
from cortico.verify.known import Known
from cortico.verify.normal.equivalence import Outcome, compare
from tests.attack.circuits import arrays, changed, run_on, sizes_of
from tests.attack.drawing import random_spec
from tests.attack.equations import changed_row, numbers_of
from tests.attack.oracle import REAL
from tests.attack.textbook import textbook
from tests.attack.trial import Trial
from tests.verify.judge import gradient_pair
from tests.verify.rewrites import rewritten_equations

#: Trials that pytest makes, with a new seed each time.
IN_TESTS = 8

#: Derivatives are different, or the same, to these parts of the largest.
_DIFFERENT, _SAME = 1e-8, 1e-11

_STEP, _DIRECTIONS = 1e-30, 4

Arrays = Mapping[str, np.ndarray]
#: Output of attention, with a batch axis, from tensors of which one has a batch axis.
Function = Callable[[Arrays], np.ndarray]
#: Names of tensors to derivatives along the directions that are given for them.
Slopes = dict[str, np.ndarray]


def trial(seed: int) -> Trial:
    """One system of gradients, or one circuit that learns."""
    random = Random(seed)
    spec = random_spec(random)
    kind = random.choice([_changed_forms, _changed_forms, _changed_circuit, _error_neurons])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return kind(random, spec, seed)


def _changed_forms(random: Random, spec: AttentionSpec, seed: int) -> Trial:
    """The closed forms with a row changed, or all of them said otherwise."""
    forms, circuit = closed_forms(spec), lower(spec)
    if random.random() < 0.75:
        forward = {d.tensor for d in circuit_equations(circuit).definitions} | {
            "query",
            "key",
            "value",
            "score",
        }
        rows = [d for d in forms.definitions if d.tensor not in forward]
        other = changed_row(random, forms, rows)
    else:
        other = rewritten_equations(random, forms)
    wanted = [name.removeprefix("d.") for name in forms.outputs]
    detail = f"{spec}; closed forms with other rows: {_rows(forms, other)}"
    try:
        outcomes = compare(other, gradients(circuit_equations(circuit), wanted))
    except Exception as error:  # whatever it is, valid equations must not end in it
        return Trial(f"crashed: {type(error).__name__}", True, f"{error!r} of {detail}")

    def slopes(given: Arrays, error: np.ndarray, directions: Arrays) -> Slopes:
        known = numbers_of(other, {**given, "error": error})
        at = {name: known[f"d.{name}"] for name in directions}
        return {n: np.array([(at[n] * v).sum() for v in vs]) for n, vs in directions.items()}

    return _judged(random, spec, outcomes, slopes, seed, detail)


def _rows(forms: Equations, other: Equations) -> str:
    rows = zip(forms.definitions, other.definitions, strict=False)
    return "; ".join(str(new) for old, new in rows if old != new)[:400]


def _changed_circuit(random: Random, spec: AttentionSpec, seed: int) -> Trial:
    """The gradients of a changed circuit."""
    circuit, edits = changed(random, lower(spec))
    detail = f"{spec}; gradients of a circuit changed by: {edits}"
    try:
        outcomes = compare(*gradient_pair(spec, circuit))
    except NotImplementedError:
        return Trial("refused", False)
    except Exception as error:  # as above
        return Trial(f"crashed: {type(error).__name__}", True, f"{error!r} of {detail}")

    def slopes(given: Arrays, error: np.ndarray, directions: Arrays) -> Slopes | None:
        return _slopes(lambda t: _output(circuit, t), given, error, directions)

    return _judged(random, spec, outcomes, slopes, seed, detail)


def _judged(
    random: Random,
    spec: AttentionSpec,
    outcomes: list[Outcome],
    slopes: Callable[[Arrays, np.ndarray, Arrays], Slopes | None],
    seed: int,
    detail: str,
) -> Trial:
    """The verdicts on all gradients held against derivatives at several sizes."""
    verdicts = {o.output.removeprefix("d."): o for o in outcomes}
    apart: dict[str, float] = {}
    # a query that sees one token has no gradient: what agrees at some points may differ at others
    points = chain.from_iterable(_points(random, spec, verdicts, seed + k) for k in range(5))
    for given, error, directions in points:
        true = _slopes(lambda t: _of_textbook(spec, t), given, error, directions)
        found = slopes(given, error, directions)
        if true is None or found is None:
            continue
        _keep_largest(apart, _differences(true, found))
        if all(
            apart.get(n, 0) > _DIFFERENT for n, o in verdicts.items() if o.verdict is Known.REFUTED
        ):
            break
    wrong = []
    for name, outcome in verdicts.items():
        difference = apart.get(name, np.nan)
        if outcome.verdict is Known.PROVED and difference > _DIFFERENT:
            wrong.append(f"d.{name} is proved, and is {difference:.2g} of the largest apart")
        if outcome.verdict is Known.REFUTED and difference <= _SAME:
            wrong.append(f"d.{name} is refuted, and agrees ({outcome.reason})")
    words = {o.verdict for o in outcomes}
    said = "some refuted" if Known.REFUTED in words else "some not decided"
    return Trial(
        "all proved" if words == {Known.PROVED} else said, bool(wrong), f"{wrong}: {detail}"
    )


def _error_neurons(random: Random, spec: AttentionSpec, seed: int) -> Trial:
    """A circuit with error neurons: its gradients are those of the circuit itself."""
    circuit, edits = changed(random, lower(spec))
    detail = f"{spec}; error neurons for a circuit changed by: {edits}"
    try:
        learning = gradient_circuit(differentiate(circuit))
    except (SpecError, UnsupportedError):
        return Trial("refused", False)
    except Exception as error:  # as above
        return Trial(f"crashed: {type(error).__name__}", True, f"{error!r} of {detail}")
    names = {o.name.removeprefix("d_") for o in learning.outputs if o.name.startswith("d_")}
    apart: dict[str, float] = {}
    for given, target, directions in islice(_points(random, spec, names, seed), 1, 4):
        y = _output(circuit, given)
        if y is None or y.shape[1:] != target.shape:
            continue
        true = _slopes(lambda t: _output(circuit, t), given, y[0] - target, directions)
        run = run_on(learning, {**_batched(given, learning, 1), "target": target[None]})
        if run is None or true is None:
            continue
        at = {name: run.output(f"d_{name}").value[0] for name in directions}
        if any(at[n].shape != given[n].shape for n in directions):
            continue
        found = {n: np.array([(at[n] * v).sum() for v in vs]) for n, vs in directions.items()}
        _keep_largest(apart, _differences(true, found))
    wrong = {name: value for name, value in apart.items() if value > _DIFFERENT}
    return Trial("differentiated", bool(wrong), f"{wrong}: {detail}")


# ---- derivatives ---------------------------------------------------------------------------------


def _points(
    random: Random, spec: AttentionSpec, names: object, seed: int
) -> Iterator[tuple[Arrays, np.ndarray, Arrays]]:
    """Tensors without a batch, ∂L/∂y, and directions for each tensor whose gradient is wanted."""
    rng, base = np.random.default_rng(seed), lower(spec)
    masks = {t.name for t in base.inputs if t.kind is InputKind.MASK}
    inputs = {t.name for t in base.inputs}
    for number, sizes in enumerate(sizes_of(random, base, base)):
        if number in (1, 2, 7, 8, 9):  # the first two are large, of small ones four are enough
            continue
        batch = arrays(base, sizes, rng)
        # scores of a moderate size: a saturated softmax has no gradient but rounding
        small = 0.7 / max(1.0, abs(spec.scale or 0.0)) ** 0.5
        given = {
            n: a[1 if n in masks else 0] if n in inputs else small * a for n, a in batch.items()
        }
        shape = _of_textbook(spec, given).shape
        directions = {
            n: rng.standard_normal((_DIRECTIONS, *given[n].shape)).astype(REAL)
            for n in names  # type: ignore[attr-defined]
            if n in given
        }
        yield given, rng.standard_normal(shape).astype(REAL), directions


def _slopes(
    function: Function, given: Arrays, error: np.ndarray, directions: Arrays
) -> Slopes | None:
    """The derivatives of Σ error · function along directions; None where the function has no value."""
    found = {}
    for name, along in directions.items():
        stepped = given[name] + REAL(_STEP) * 1j * along
        y = function({**given, name: stepped.astype(np.clongdouble)})
        if y is None or y.shape[-error.ndim :] != error.shape:
            return None
        whole = (y.imag * error).sum(axis=tuple(range(-error.ndim, 0))) / REAL(_STEP)
        found[name] = np.broadcast_to(whole, (len(along),))
    return found


def _of_textbook(spec: AttentionSpec, given: Arrays) -> np.ndarray:
    return textbook(spec, given)


def _output(circuit: Circuit, given: Arrays) -> np.ndarray | None:
    """y of a circuit; one of the tensors may be complex, with a batch axis."""
    count = next((len(a) for a in given.values() if np.iscomplexobj(a)), 1)
    run = run_on(circuit, _batched(given, circuit, count), np.clongdouble)
    return None if run is None else run.output("y").value


def _batched(given: Arrays, circuit: Circuit, count: int) -> dict[str, np.ndarray]:
    """The tensors with a batch axis for each input."""
    rates = {t.name: len(t.shape) for t in circuit.inputs}
    return {
        n: np.broadcast_to(a, (count, *a.shape)) if n in rates and a.ndim == rates[n] else a
        for n, a in given.items()
    }


def _differences(true: Slopes, found: Slopes) -> dict[str, float]:
    """How far apart derivatives are, in parts of the largest of the same tensor."""
    every = [np.abs(v).max() for v in true.values() if np.isfinite(v).all()]
    floor = 1e-8 * max(every, default=0)
    apart = {}
    for name, one in true.items():
        other = found[name]
        if np.isfinite(one).all() and np.isfinite(other).all():
            largest = max(np.abs(one).max(), np.abs(other).max(), floor)
            apart[name] = float(np.abs(one - other).max() / largest) if largest else 0.0
    return apart


def _keep_largest(apart: dict[str, float], new: Mapping[str, float]) -> None:
    for name, value in new.items():
        apart[name] = max(apart.get(name, 0.0), value)
