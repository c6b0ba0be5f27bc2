"""A circuit is proved to be attention, for all sizes; then it is broken, and numbers show where.

    python examples/prove_attention.py

It prints the textbook's equations, the proofs of the output and of each gradient, every claim that
`cortico verify` makes about a compilation, and last the counterexample for a circuit whose scores are
not divided by √d:

    Multihead attention, as the textbook has it:
      query[h, i, a] = Σ_m W_Q[h, a, m] x[i, m]
      …
      y[i, o] = Σ_h,c W_O[h, o, c] head[h, i, c]

    The circuit against it, and its gradients against their closed forms:
      y       proved for all sizes
      d.W_Q   proved for all sizes
      …
    Without 1/√d: refuted
      y[1, 0] is 5.96008087 and 5.99601016 at tokens = 2, …, key features = 2, …
      …

Exit code 1 when a proof is missing, or when the broken circuit is not refuted.
"""

from __future__ import annotations

from dataclasses import replace

from cortico import AttentionSpec, compile_attention, lower, random_weights
from cortico.ir import Gain, Projection
from cortico.ir.rewrite import map_projections
from cortico.verify import Known, circuit_equations, closed_forms, compare, gradients, reference


def main() -> int:
    """Print each step; 0 when what is right is proved and what is wrong is refuted, else 1."""
    spec = AttentionSpec(model=8, heads=2)
    circuit = lower(spec)  # no weights: every tensor is a symbol

    textbook = reference(spec)
    print("Multihead attention, as the textbook has it:")
    for definition in textbook.definitions:
        print(f"  {definition}")

    forms = closed_forms(spec)
    names = [output.removeprefix("d.") for output in forms.outputs]
    equations = circuit_equations(circuit)
    outcomes = compare(textbook, equations) + compare(forms, gradients(equations, names))
    print("\nThe circuit against it, and its gradients against their closed forms:")
    for outcome in outcomes:
        print(f"  {outcome.output:7} {outcome.verdict}")

    proof = compile_attention(spec, random_weights(spec), verify=True).verification
    assert proof is not None
    print("\nEvery claim about a compilation with random weights:")
    for claim in proof.claims:
        given = f", given {'; '.join(claim.given)}" if claim.given else ""
        print(f"  {claim.verdict:20}  {claim.claim}{given}")

    broken = map_projections(circuit, without_gain)
    (found,) = compare(textbook, circuit_equations(broken))
    print(f"\nWithout 1/√d: {found.verdict}")
    if found.counterexample is not None:
        print(f"  {found.counterexample}")
        for name, numbers in found.counterexample.given.items():
            print(f"  {name:3} = {numbers.tolist()}")

    proved = all(outcome.verdict is Known.PROVED for outcome in outcomes) and proof.holds
    return 0 if proved and found.verdict is Known.REFUTED else 1


def without_gain(projection: Projection) -> Projection:
    """The projection `score` with weight 1 in place of 1/√d; any other as it is."""
    if projection.name != "score":
        return projection
    return replace(projection, weight=replace(projection.weight, gain=Gain()))


if __name__ == "__main__":
    raise SystemExit(main())
