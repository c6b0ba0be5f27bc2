"""A new pass in twenty lines: attention to nearby tokens only. `docs/add_a_pass.md` walks through it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

from cortico import AttentionSpec, compile_attention, random_weights
from cortico.ir import Bound, Circuit, Population
from cortico.ir.domain import conjunction
from cortico.ir.limits import SIZE
from cortico.ir.options import whole
from cortico.ir.rewrite import map_populations
from cortico.passes import Pass, relative_difference
from cortico.passes.share_relays import ShareRelays


@dataclass(frozen=True)
class LocalAttention(Pass):
    """Remove the microcolumns of tokens that are `window` or more apart: |i - j| < window.

    Approximate: what a query would take from farther tokens is lost.
    """

    name = "local-attention"
    exact = False

    window: Annotated[int, whole(1, SIZE, "at least 1")] = 8

    def run(self, circuit: Circuit) -> Circuit:
        near = (Bound("i", "j", self.window - 1), Bound("j", "i", self.window - 1))

        def narrowed(population: Population) -> Population:
            if not {"i", "j"} <= set(population.axes):
                return population
            return replace(population, domain=conjunction(population.domain, near))

        result = map_populations(circuit, narrowed)
        return circuit if result == circuit else result


def main() -> None:
    """Compile one spec with and without the pass; print synapses and the error it makes."""
    spec = AttentionSpec(model=16, heads=2, tokens=64)
    weights = random_weights(spec)
    whole = compile_attention(spec, weights, passes=[ShareRelays()]).circuit
    local = compile_attention(spec, weights, passes=[LocalAttention(4), ShareRelays()]).circuit
    print(f"synapses  {whole.counts().synapses:,} -> {local.counts().synapses:,}")
    print(f"error     {relative_difference(whole, local):.2f} of the largest output")


if __name__ == "__main__":
    main()
