"""Options that a circuit, or another option, leaves without meaning are refused by name."""

import pytest

from cortico import AttentionSpec, SpecError, UnsupportedError, compile_attention
from cortico.backends import get_backend
from cortico.spec import Kernel, Mask


def test_a_duration_has_no_meaning_in_time():
    """Tokens that come one after another each stay until all has settled."""
    spec = AttentionSpec(model=4, heads=1, kernel=Kernel.LINEAR, mask=Mask.CAUSAL)
    backend = get_backend("brian2", duration=40.0)
    assert (
        "duration"
        in compile_attention(spec, passes="none", backend=backend).files["attention_brian2.py"]
    )
    with pytest.raises(
        UnsupportedError, match="option duration, where tokens come one after another"
    ):
        compile_attention(spec, passes="serialize", backend=backend)
    (script,) = compile_attention(spec, passes="serialize", backend="brian2").files.values()
    assert "--duration" not in script and "duration=" not in script


@pytest.mark.parametrize("name", ["neurons", "peak", "synapse", "seed"])
def test_options_of_spiking_cells_want_them(name):
    with pytest.raises(SpecError, match=f"option {name} of backend brian2 is for cells=lif only"):
        get_backend("brian2", **{name: 10})
    get_backend("brian2", cells="lif", **{name: 10})


def test_a_step_of_nengo_is_for_models_that_have_time():
    spec = AttentionSpec(model=4, heads=1)
    with pytest.raises(UnsupportedError, match="option dt, which is for neurons=lif and for"):
        compile_attention(spec, backend=get_backend("nengo", dt=0.002))
    for options in ({"neurons": "lif"}, {"prospective": True}, {"duration": 10.0}):
        compile_attention(spec, backend=get_backend("nengo", dt=0.002, **options))


@pytest.mark.parametrize("name", ["synapse", "time", "seed"])
def test_options_of_spiking_ensembles_want_them(name):
    value = 1 if name == "seed" else 0.01
    with pytest.raises(SpecError, match=f"option {name} of backend nengo is for neurons=lif only"):
        get_backend("nengo", **{name: value})
    get_backend("nengo", neurons="lif", **{name: value})
