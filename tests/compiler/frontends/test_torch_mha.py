"""nn.MultiheadAttention: live and as a state dict, against the module itself in float64."""

import numpy as np
import pytest
import torch
import torch.nn.utils.prune
from safetensors.torch import save_file

from cortico.frontends import from_torch, layers, read_checkpoint
from cortico.ir.errors import SpecError
from cortico.spec.weights import check_weights
from tests.oracle import textbook_attention

D, H, N = 12, 3, 5


def module_of(dtype=torch.float64, **options):
    torch.manual_seed(0)
    module = torch.nn.MultiheadAttention(D, H, dtype=dtype, **options)
    for p in module.parameters():
        torch.nn.init.normal_(p)
    return module


def saved(tmp_path, module, prefix=""):
    save_file({prefix + n: t for n, t in module.state_dict().items()}, tmp_path / "mha.safetensors")
    return tmp_path / "mha.safetensors"


def assert_computes(module, spec, weights, width=None):
    check_weights(spec, weights)
    module = module.double().eval()
    x = torch.randn(N, 1, D, dtype=torch.float64)
    source = torch.randn(N + 2, 1, width, dtype=torch.float64) if width else x
    if module.batch_first:
        x, source = x.transpose(0, 1), source.transpose(0, 1)
    expected = module(x, source, source)[0].detach().reshape(N, D).numpy()
    y = textbook_attention(spec, weights, x.reshape(N, D), source.reshape(-1, width or D))
    np.testing.assert_allclose(y, expected, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("width", [None, 7])
@pytest.mark.parametrize("batch_first", [True, False])
def test_live_and_saved(tmp_path, bias, width, batch_first):
    module = module_of(bias=bias, kdim=width, vdim=width, batch_first=batch_first)
    for spec, weights in (from_torch(module), read_checkpoint(saved(tmp_path, module), heads=H)):
        assert_computes(module, spec, weights, width)


def test_an_extra_key_and_value_are_in_the_state_dict(tmp_path):
    module = module_of(add_bias_kv=True)
    path = saved(tmp_path, module)
    for spec, weights in (from_torch(module), read_checkpoint(path, heads=H)):
        assert spec.extra_source
        assert_computes(module, spec, weights)
    state = module.state_dict()
    del state["bias_v"]
    save_file(state, path)
    with pytest.raises(SpecError, match="'bias_v'"):
        read_checkpoint(path, heads=H)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_half_precision_is_exact(tmp_path, dtype):
    module = module_of(dtype)
    live, stored = from_torch(module), read_checkpoint(saved(tmp_path, module), heads=H)
    assert live[1]["W_Q"].dtype == stored[1]["W_Q"].dtype == np.float32
    assert_computes(module, *live)
    assert_computes(module, *stored)


def test_live_weights_are_shared():
    module = module_of()
    spec, weights = from_torch(module, name="α\n")
    assert spec.name == "α\n"
    with torch.no_grad():
        module.in_proj_weight[0, 0] = 77
    assert weights["W_Q"][0, 0, 0] == 77


def test_heads_are_not_stored(tmp_path):
    file = saved(tmp_path, module_of())
    with pytest.raises(
        SpecError, match=r"give heads \(embed_dim = 12 divides into 1, 2, 3, 4, 6, 12\)"
    ):
        read_checkpoint(file)
    for heads in (5, 0, -3):
        with pytest.raises(SpecError, match="embed_dim = 12 does not divide into heads"):
            read_checkpoint(file, heads=heads)
    for heads in (True, 2.0):
        with pytest.raises(SpecError, match="heads must be an integer, found"):
            read_checkpoint(file, heads=heads)


def test_layers_of_an_encoder_come_in_order_of_numbers(tmp_path):
    layer = torch.nn.TransformerEncoderLayer(D, H, 8, dtype=torch.float64)
    model = torch.nn.TransformerEncoder(layer, 11, enable_nested_tensor=False)
    for i, block in enumerate(model.layers):
        torch.nn.init.constant_(block.self_attn.in_proj_weight, i)
    file = saved(tmp_path, model)
    assert layers(file) == 11
    spec, weights = read_checkpoint(file, 10, heads=H)
    assert (weights["W_Q"] == 10).all() and spec.name == "mha layer 10"
    spec, weights = read_checkpoint(file, heads=H, prefix="layers.1.self_attn", tokens=7)
    assert (weights["W_Q"] == 1).all() and spec.tokens == 7
    with pytest.raises(SpecError, match=r"part does not apply to a torch\.nn\.MultiheadAttention"):
        read_checkpoint(file, heads=H, part="encoder")


def decoder_of(layers=2):
    torch.manual_seed(0)
    layer = torch.nn.TransformerDecoderLayer(D, H, 8, dtype=torch.float64)
    model = torch.nn.TransformerDecoder(layer, layers)
    for p in model.parameters():
        torch.nn.init.normal_(p)
    return model


def test_two_kinds_of_attention_need_a_prefix(tmp_path):
    model = decoder_of().layers[0]
    file = saved(tmp_path, model)
    with pytest.raises(SpecError, match=r"give a prefix\n  - multihead_attn\.\n  - self_attn\."):
        read_checkpoint(file, heads=H)
    spec, weights = read_checkpoint(file, heads=H, prefix="self_attn")
    assert not spec.cross
    assert_computes(model.self_attn, spec, weights)
    with pytest.raises(SpecError, match="no in_proj_weight under 'other'"):
        read_checkpoint(file, heads=H, prefix="other")


@pytest.mark.parametrize("before", ["", "decoder."])
def test_the_second_attention_of_a_decoder_reads_the_encoder(tmp_path, before):
    model = decoder_of()
    file = saved(tmp_path, model, before)
    prefix = f"{before}layers.1.multihead_attn"
    for spec, weights in (
        read_checkpoint(file, heads=H, prefix=prefix),
        from_torch(model.layers[1].multihead_attn, cross=True),
    ):
        assert spec.cross and spec.context is None
        assert_computes(model.layers[1].multihead_attn, spec, weights, D)
    assert not read_checkpoint(file, heads=H, prefix=prefix, cross=False)[0].cross


def test_cross_attention_where_it_is_said(tmp_path):
    module = module_of()
    file = saved(tmp_path, module, "multihead_attn.")
    assert not read_checkpoint(file, heads=H)[0].cross  # no decoder's: nothing stands beside it
    for spec, weights in (
        read_checkpoint(file, heads=H, cross=True),
        from_torch(module, cross=True),
    ):
        assert_computes(module, spec, weights, D)
    with pytest.raises(SpecError, match="cross = False is wrong"):
        from_torch(module_of(kdim=7, vdim=7), cross=False)


# ---- modules that compute something else -----------------------------------------------------------


class Changed(torch.nn.MultiheadAttention):
    def forward(self, query, key, value, **options):
        return super().forward(2 * query, key, value, **options)


class Named(torch.nn.MultiheadAttention):
    """A subclass that computes the same."""

    def __init__(self, embed_dim, num_heads):
        super().__init__(embed_dim, num_heads, dtype=torch.float64)

    def extra_repr(self):
        return "named"


def hooked(register):
    module = module_of()
    getattr(module, register)(lambda module, args, *output: None)
    return module


def with_own_forward():
    module = module_of()
    module.forward = lambda *args, **options: None
    return module


CHANGED = {
    "forward": (lambda: Changed(D, H), "Changed has its own forward"),
    "forward of one": (with_own_forward, "MultiheadAttention has its own forward"),
    "hook": (lambda: hooked("register_forward_hook"), r"has hooks \(_forward_hooks\)"),
    "hook before": (
        lambda: hooked("register_forward_pre_hook"),
        r"has hooks \(_forward_pre_hooks\)",
    ),
    "parametrized": (
        lambda: torch.nn.utils.parametrizations.orthogonal(module_of(), "in_proj_weight"),
        "ParametrizedMultiheadAttention has its own",
    ),
    "pruned": (
        lambda: torch.nn.utils.prune.l1_unstructured(module_of(), "in_proj_weight", 3),
        "has hooks",
    ),
    "a layer": (lambda: decoder_of().layers[0], r"layers\[0\]\.multihead_attn with cross=True"),
    "no module": (lambda: "module", "expected a torch.nn.MultiheadAttention, found str"),
}


@pytest.mark.parametrize("name", CHANGED)
def test_modules_that_compute_something_else(name):
    make, message = CHANGED[name]
    with pytest.raises(SpecError, match=message):
        from_torch(make())


def test_a_subclass_that_computes_the_same():
    module = Named(D, H)
    assert_computes(module, *from_torch(module))


def test_keys_and_values_of_two_widths(tmp_path):
    module = module_of(kdim=7, vdim=5)
    for spec, weights in (from_torch(module), read_checkpoint(saved(tmp_path, module), heads=H)):
        assert (spec.cross, spec.context, spec.values) == (True, 7, 5)
        check_weights(spec, weights)
        x, key, value = (torch.randn(N, 1, width, dtype=torch.float64) for width in (D, 7, 5))
        expected = module(x, key, value)[0].detach()[:, 0]
        y = textbook_attention(spec, weights, x[:, 0], key[:, 0], values=value[:, 0])
        np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-12)
    with pytest.raises(SpecError, match="values = True needs cross = True"):
        from_torch(module_of(), values=True)


def test_other_modules_are_refused():
    with pytest.raises(SpecError, match=r"expected a torch\.nn\.MultiheadAttention, found Linear"):
        from_torch(torch.nn.Linear(2, 2))
    with pytest.raises(SpecError, match="meta device"):
        from_torch(torch.nn.MultiheadAttention(D, H, device="meta"))


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_numbers_that_are_none(tmp_path, number):
    module = module_of()
    with torch.no_grad():
        module.out_proj.weight[1, 2] = number
    with pytest.raises(SpecError, match="W_O has 1 of 144 numbers that are NaN or infinite"):
        from_torch(module)
    with pytest.raises(SpecError, match="W_O has 1 of 144"):
        read_checkpoint(saved(tmp_path, module), heads=H)


def test_wrong_shapes(tmp_path):
    state = module_of().state_dict()
    bad = {"in_proj_weight": torch.ones(2 * D, D), "out_proj.weight": torch.ones(D, D + 1)}
    save_file(state | bad, tmp_path / "a.safetensors")
    with pytest.raises(SpecError) as caught:
        read_checkpoint(tmp_path / "a.safetensors", heads=H)
    assert "'in_proj_weight' has shape (24, 12), expected (36, 12)" in str(caught.value)
    assert "'out_proj.weight' has shape (12, 13), expected (12, 12)" in str(caught.value)
    save_file(state | {"in_proj_weight": torch.ones(5)}, tmp_path / "a.safetensors")
    with pytest.raises(SpecError, match="expected a matrix"):
        read_checkpoint(tmp_path / "a.safetensors", heads=H)
