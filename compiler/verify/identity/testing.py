"""Identity testing: two circuits, or a circuit and the textbook, compared exactly modulo primes.

A polynomial of degree d that is not zero is zero at a random point modulo p with probability at most
d/p (Schwartz, Zippel). So random tensors tell circuits of any size apart, in exact arithmetic. An
exponential is `g^a`, which keeps `exp(a + b) = exp(a) exp(b)`: equal circuits still agree, but for
different ones there is no comparable bound. Of other functions only `relu(x) - relu(-x) = x`, and `f(-x) = -f(x)`
and `f(0) = 0` where the table of transfer functions says so, hold: circuits that rely on more are found different.
Circuits are evaluated as they are, without equations; the textbook's are shared with the prover, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from cortico import ir
from cortico.ir.analysis.rest import at_rest
from cortico.ir.circuit import resolve
from cortico.ir.rewrite import domains_of, readings, weights_of
from cortico.lowering import layouts
from cortico.spec import AttentionSpec, Kernel
from cortico.spec.wiring import Block
from cortico.verify.equations.arrays import Factor, spread
from cortico.verify.equations.reference import book
from cortico.verify.identity import finite_field as ff
from cortico.verify.identity.finite_field import Draw, Layout, add, contract
from cortico.verify.identity.textbook import OfTextbook

Arrays = Mapping[str, np.ndarray]
Factors = Mapping[str, Factor]
Symbols = Mapping[str, int]


class NotCheckableError(ir.UnsupportedError):
    """Identity testing can say nothing about these circuits. The message says why."""


@dataclass(frozen=True)
class IdentityResult:
    """What a comparison found, and how far to trust it; `text` says it in words.

    `degree` bounds the degree of the polynomials compared, and `error_bound` the probability that
    different circuits are found equal; both are None where a transfer function is no polynomial.
    """

    equal: bool
    sizes: Symbols
    trials: int
    prime: int
    degree: int | None
    error_bound: float | None
    has_exp: bool
    text: str


def evaluate(circuit: ir.Circuit, symbols: Symbols, draw: Draw) -> dict[str, np.ndarray]:
    """Output name to residues (int64, 0 … p-1) modulo the first field of `draw`."""
    found = _Evaluation(circuit, circuit.sizes(symbols), draw).outputs()
    return {name: draw.fields[0].canonical(factor.array) for name, factor in found.items()}


def check_equal(
    before: ir.Circuit,
    after: ir.Circuit,
    symbols: Symbols,
    seed: int = 0,
    trials: int = 2,
    tensors: Arrays | None = None,
) -> IdentityResult:
    """Whether two circuits give equal outputs, on random inputs. Every size should be 2 or more.

    Without `tensors` parameters are random, equal by name. With `tensors` they are the numbers that
    a circuit stores, or else those of `tensors`, exactly. NotCheckableError when `after` reads a
    parameter that `before` lacks and that has no numbers, and for too many stacked exponentials.
    """
    _require_numbers(after, {p.name for p in before.parameters}, tensors)
    left, right = (partial(_Evaluation, c, c.sizes(symbols)) for c in (before, after))
    test = _Test((before, after), symbols, partial(Draw, tensors=tensors))
    return test.run(left, right, seed, trials)


def check_spec(
    spec: Block,
    circuit: ir.Circuit,
    symbols: Symbols,
    seed: int = 0,
    trials: int = 2,
    tensors: Arrays | None = None,
    frequencies: np.ndarray | None = None,
) -> IdentityResult:
    """Whether a circuit computes attention or another block, as `spec` says, on random inputs.

    The circuit has the spec's tensors by name, as lowering lays them out.
    `frequencies` are the textbook's rotary ones, by default `base^(-2p/rotated)`; a circuit has its own.
    Without `tensors` they are random. With `tensors`, the spec's weights, the textbook takes these,
    and the circuit the numbers that it stores. NotCheckableError as for `check_equal`.
    """
    _require_numbers(circuit, set(book(spec).sides()), tensors)
    draw = partial(Draw, tensors=tensors, layouts=_layouts(spec, symbols))
    test = _Test((circuit,), symbols, draw, *_roots_and_exponentials(spec))
    side = partial(_Evaluation, circuit, circuit.sizes(symbols))
    textbook = partial(OfTextbook, spec, symbols, frequencies)
    return test.run(textbook, side, seed, trials)


def _layouts(spec: Block, symbols: Symbols) -> dict[str, Layout]:
    """How lowering lays out tensors."""
    return {
        name: (tuple(resolve(extent, symbols) for extent in layout.shape), layout.to_circuit)
        for name, layout in layouts(spec).items()
    }


def _roots_and_exponentials(spec: Block) -> tuple[int, int]:
    """A size whose root the textbook takes, and how many exponentials stand in each other there."""
    if isinstance(spec, AttentionSpec):
        return spec.d_key, int(spec.kernel is Kernel.SOFTMAX)
    return 1, int(getattr(spec, "transfer", None) == "exp")


# ---- comparing -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Test:
    """A comparison: sizes, and how tensors are drawn so that √rooted and `depth` exps exist."""

    circuits: tuple[ir.Circuit, ...]
    symbols: Symbols
    draw: Callable[..., Draw]
    rooted: int = 1
    depth: int = 0

    @property
    def sizes(self) -> dict[str, int]:
        return {k: v for c in reversed(self.circuits) for k, v in c.sizes(self.symbols).items()}

    def run(self, left: _Side, right: _Side, seed: int, trials: int) -> IdentityResult:
        """Compare the outputs of both sides, on as many draws as there are trials."""
        difference, degree, prime = "", 0, 2**ff.BITS
        for trial in range(trials):
            rng = np.random.default_rng((seed, trial))
            fields = ff.chain_for(self.circuits, self.symbols, rng, self.rooted, self.depth)
            if fields is None:
                raise NotCheckableError("no primes for that many stacked exponentials and roots")
            draw = self.draw(fields, (seed, trial))
            one, two = left(draw), right(draw)
            first, second = one.outputs(), two.outputs()
            difference = difference or _difference(first, second, draw.fields[0])
            pairs = [(first[name], second[name]) for name in first if name in second]
            crossed = [max(a.above + b.below, b.above + a.below) for a, b in pairs]
            degree = max([0, *crossed]) + one.divisors + two.divisors
            prime = min(prime, draw.fields[0].prime)
        return self._result(difference, trials, prime, degree)

    def _result(self, difference: str, trials: int, prime: int, degree: int) -> IdentityResult:
        transfers = {p.transfer for c in self.circuits for p in c.populations} - {"identity"}
        transfers |= {"exp"} if self.depth else set()
        bound = None if transfers else min(1.0, degree / prime) ** trials
        unknown = f"not known, with {', '.join(sorted(transfers))}"
        chance = f"chance to miss one {unknown if bound is None else f'at most {bound:.1g}'}"
        shown = " ".join(f"{axis}={size}" for axis, size in self.sizes.items())
        found = difference or f"no difference in {trials} random draws, {chance}"
        text = "; ".join([f"sizes {shown}: {found}", *self._remarks()])
        known, exp = None if transfers else degree, "exp" in transfers
        return IdentityResult(not difference, self.sizes, trials, prime, known, bound, exp, text)

    def _remarks(self) -> Iterator[str]:
        """What these sizes cannot show."""
        powers = [power for c in self.circuits for w in weights_of(c) for power in w.gain.sizes]
        ones = {axis for axis, _ in powers if self.sizes[axis] == 1}
        if ones:
            yield f"scales by a size of 1 are not seen ({', '.join(sorted(ones))})"
        bounds = [b for c in self.circuits for domain in domains_of(c) for b in domain]
        loose = {str(b) for b in bounds if b.offset >= self.sizes[b.left] - 1}
        if loose:
            yield f"bounds that hold for all tokens are not seen ({', '.join(sorted(loose))})"


def _difference(first: Factors, second: Factors, field: ff.Field) -> str:
    """Where two sets of outputs differ first, in words; empty when they are equal."""
    if set(first) != set(second):
        return f"outputs {', '.join(first)} against {', '.join(second)}"
    for name in first:
        one, two = (field.canonical(found[name].array) for found in (first, second))
        if one.shape != two.shape:
            return f"{name} has shape {one.shape} against {two.shape}"
        unequal = np.argwhere(one != two)
        if len(unequal):
            where = ", ".join(map(str, unequal[0]))
            return f"{len(unequal)} of {one.size} numbers differ, the first is {name}[{where}]"
    return ""


def _require_numbers(circuit: ir.Circuit, known: set[str], tensors: Arrays | None) -> None:
    """NotCheckableError unless every parameter read has a twin on the other side, or numbers."""
    read = {reading.name for reading in readings(circuit)}
    formulas = [p.formula for p in circuit.parameters if p.formula and p.name in read]
    read |= {name for f in formulas if f.kind in ("distance", "rows") for name in f.arguments}
    plain = [p for p in circuit.parameters if p.formula is None and p.name in read - known]
    given = set() if tensors is None else {p.name for p in plain if p.values is not None}
    strange = [p.name for p in plain if p.name not in given | set(tensors or ())]
    if strange:
        raise NotCheckableError(f"only one side has {', '.join(strange)}, without numbers")


# ---- evaluating ----------------------------------------------------------------------------------


class _Evaluation:
    """The rates of populations at levels of a chain of fields, as products of factors.

    A population that multiplies and divides is never written out: its factors go into the sums of
    those that hear it. So no array is over all axes of, say, `superficial[h, i, j, a]`.
    """

    def __init__(self, circuit: ir.Circuit, sizes: Symbols, draw: Draw) -> None:
        self._circuit, self._sizes, self._draw = at_rest(circuit), sizes, draw
        self._rates: dict[tuple[str, int], list[Factor]] = {}
        self.divisors = 0  #: the degrees of all that divides, together

    def outputs(self) -> dict[str, Factor]:
        return {output.name: self._output(output.source) for output in self._circuit.outputs}

    def _output(self, source: ir.TensorRef) -> Factor:
        found = contract(self._draw.fields[0], self._rate(source.name, 0), source.axes)
        shape = [self._sizes[axis] for axis in source.axes]
        return found._replace(array=np.broadcast_to(spread(found, source.axes), shape))

    def _rate(self, name: str, level: int) -> list[Factor]:
        if (name, level) not in self._rates:
            population = self._circuit.population(name)
            inside = [ff.within(bound, self._sizes) for bound in population.domain]
            self._rates[name, level] = [*self._factors(population, level), *inside]
        return self._rates[name, level]

    def _factors(self, population: ir.Population, level: int) -> list[Factor]:
        if population.transfer == "identity":
            return self._driven(population, level)
        below = level + 1 if ff.is_power(population) else level
        factors = self._driven(population, below)
        argument = contract(self._draw.fields[below], factors, population.axes)
        rates = self._draw.transferred(population.transfer, argument.array, level)
        return [Factor(rates, argument.axes)]

    def _driven(self, population: ir.Population, level: int) -> list[Factor]:
        """The product of the multiplying compartments over that of the dividing ones."""
        found: list[Factor] = []
        for compartment in population.compartments:
            factors = self._current(population, compartment, level)
            if compartment.effect is ir.Effect.DIVIDES:
                self.divisors += sum(f.above * f.array.size for f in factors)
                inverse = self._draw.fields[level].inverse
                factors = [Factor(inverse(f.array), f.axes, f.below, f.above) for f in factors]
            found += factors
        return found

    def _current(self, post: ir.Population, onto: ir.Compartment, level: int) -> list[Factor]:
        terms = [(self._read(weight, level), False) for weight in onto.drive]
        for projection in self._circuit.projections_onto(post.name, onto.name):
            gone = self._circuit.summed_axes(projection)
            names, rate = self._circuit.read_as(projection), self._rate(projection.pre, level)
            factors = [f._replace(axes=tuple(names[axis] for axis in f.axes)) for f in rate]
            factors += self._read(projection.weight, level)
            factors += [ff.within(bound, self._sizes) for bound in projection.domain]
            factors += [Factor(np.ones(self._sizes[axis]), (axis,)) for axis in gone]
            terms.append((factors, bool(gone)))
        if len(terms) == 1 and not terms[0][1]:
            return terms[0][0]
        field = self._draw.fields[level]
        return [add(field, [contract(field, f, post.axes) for f, _ in terms], post.axes)]

    def _read(self, weight: ir.Weight, level: int) -> list[Factor]:
        """The gain and the tensor of a weight."""
        field, gain = self._draw.fields[level], weight.gain
        scales = [field.power_of(self._sizes[axis], exponent) for axis, exponent in gain.sizes]
        factors = [Factor(np.array(f), ()) for f in (field.number(gain.coefficient), *scales)]
        if weight.tensor is not None:
            factors.append(self._draw.read(self._circuit, weight.tensor, self._sizes, level))
        return factors


_Side = Callable[[Draw], _Evaluation | OfTextbook]
