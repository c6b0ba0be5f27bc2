"""Passes block by block: what they may not do to a part of a network."""

import pytest

from cortico import compile_model, random_model
from cortico.ir import PassError
from cortico.spec import AttentionSpec, Branch, Embedding, Layer, ModelSpec, Norm, Stack, Step


def model(kernel):
    """One level, causal."""
    attention = AttentionSpec(model=4, heads=2, mask="causal", kernel=kernel)
    steps = (Step((Branch(attention=attention, before=Norm(4)),)),)
    return ModelSpec(Stack(4, (Layer(steps),), embedding=Embedding(7, 4)))


@pytest.mark.parametrize(
    ("kernel", "passes", "block"),
    [
        ("linear", "aggressive", r"reassociate.*layer\[0\].attention"),
        ("softmax", "serialize", "serialize.*embedding"),
    ],
)
def test_tokens_of_a_stream_stay_in_space(kernel, passes, block):
    spec = model(kernel)
    with pytest.raises(PassError, match=f"pass {block} in time, the stream's are in space"):
        compile_model(spec, random_model(spec, 0), passes)


def test_other_passes_of_the_pipeline_stay():
    spec = model("softmax")
    assert compile_model(spec, random_model(spec, 0), "aggressive").network.counts()
