"""What torch.onnx makes of transformers models, imported, against onnxruntime and the models' weights."""

import numpy as np
import pytest

from cortico import get_runner, lower
from cortico.frontends import layers, read_checkpoint
from cortico.spec import AttentionSpec, Bias, Mask, Rotary

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
from onnx import helper  # noqa: E402

from tests.compiler.frontends.onnx_checks import export  # noqa: E402

WIDTH, HEADS, TOKENS = 16, 4, 6


# ---- what a file computes, by onnxruntime ----------------------------------------------------------


def run_parts(path, feeds, names):
    """Values inside a graph, by onnxruntime: they become outputs of a copy."""
    model = onnx.load(path)
    known = {value.name for value in model.graph.output}
    model.graph.output.extend(
        helper.make_empty_tensor_value_info(name) for name in names if name not in known
    )
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(list(names), feeds)


def same_as_onnxruntime(path, layer, feeds, tokens, output, context=None):
    """The imported spec, compiled and run on the tokens that the graph has there, gives its output."""
    spec, weights = read_checkpoint(path, layer)
    names = [tokens, output] if context is None else [tokens, output, context]
    x, expected, *rest = run_parts(path, feeds, names)
    inputs = {"x": x, **({"context": rest[0]} if rest else {})}
    found = get_runner("numpy").run(lower(spec, weights), inputs)["y"]
    np.testing.assert_allclose(
        found, expected.reshape(found.shape), rtol=0, atol=1e-5 * abs(expected).max()
    )
    return spec, weights


# ---- files made with torch.onnx from transformers ------------------------------------------------------


def model_of(family, attention):
    import transformers

    common = {"vocab_size": 30, "_attn_implementation": attention}
    if family == "bert":
        config = transformers.BertConfig(
            hidden_size=WIDTH,
            num_attention_heads=HEADS,
            num_hidden_layers=2,
            intermediate_size=20,
            max_position_embeddings=32,
            **common,
        )
        return transformers.BertModel(config, add_pooling_layer=False)
    if family == "gpt2":
        return transformers.GPT2Model(
            transformers.GPT2Config(
                n_embd=WIDTH, n_head=HEADS, n_layer=2, n_positions=32, use_cache=False, **common
            )
        )
    kind, config = {
        "llama": (transformers.LlamaModel, transformers.LlamaConfig),
        "qwen2": (transformers.Qwen2Model, transformers.Qwen2Config),
        "gemma2": (transformers.Gemma2Model, transformers.Gemma2Config),
    }[family]
    if family == "gemma2":
        common |= {"attn_logit_softcapping": 1.5, "query_pre_attn_scalar": 4, "sliding_window": 3}
        common |= {"head_dim": 4}
    return kind(
        config(
            hidden_size=WIDTH,
            num_attention_heads=HEADS,
            num_key_value_heads=2,
            num_hidden_layers=2,
            intermediate_size=20,
            max_position_embeddings=32,
            use_cache=False,
            **common,
        )
    )


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """`exported(family, attention, exporter)`: the file, and the state of the model that it is of."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    folder, made = tmp_path_factory.mktemp("onnx"), {}

    class Hidden(torch.nn.Module):
        def __init__(self, model):
            super().__init__()
            self.model = model

        def forward(self, ids):
            return self.model(input_ids=ids)[0]

    def make(family, attention, exporter):
        key = (family, attention, exporter)
        if key not in made:
            torch.manual_seed(0)
            model = model_of(family, attention)
            for parameter in model.parameters():
                torch.nn.init.normal_(parameter, std=0.4)
            ids = torch.arange(2 * TOKENS).reshape(2, TOKENS)
            options = (
                {"dynamo": True, "external_data": False}
                if exporter == "dynamo"
                else {
                    "dynamo": False,
                    "opset_version": 17,
                    "input_names": ["ids"],
                    "dynamic_axes": {"ids": {0: "examples", 1: "tokens"}},
                }
            )
            path = export(Hidden(model), (ids,), folder / f"{'-'.join(key)}.onnx", **options)
            made[key] = path, {n: p.detach().numpy() for n, p in model.state_dict().items()}
        return made[key]

    return make


#: Family to the names of its weights, and how they are cut into heads.
def by_rows(state, name, heads):
    return state[name].reshape(heads, -1, WIDTH)


def full(*export_of):
    return pytest.param(export_of, marks=pytest.mark.full)


EXPORTS = [
    ("bert", "sdpa", "script"),
    ("gpt2", "sdpa", "dynamo"),
    ("llama", "eager", "dynamo"),
    full("bert", "eager", "dynamo"),
    full("bert", "sdpa", "dynamo"),
    full("gpt2", "eager", "dynamo"),
    full("llama", "sdpa", "dynamo"),
    full("qwen2", "sdpa", "dynamo"),
    full("gemma2", "eager", "dynamo"),
]


@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize("export_of", EXPORTS, ids=str)
def test_torch_exports_equal_onnxruntime(exported, export_of, layer):
    from cortico.frontends.onnx_file.graph import load
    from cortico.frontends.onnx_file.reading import all_sites
    from cortico.frontends.onnx_file.sites import output_of, tokens_of

    path, state = exported(*export_of)
    assert layers(path) == 2
    graph = load(path)
    site = all_sites(graph)[layer]
    ids = np.random.default_rng(0).integers(0, 30, (2, TOKENS))
    spec, weights = same_as_onnxruntime(
        path, layer, {"ids": ids}, tokens_of(graph, site.query), output_of(graph, site.result)
    )
    assert spec == SPECS[export_of[0]](f"{path.stem} layer {layer}")
    for name, expected in STORED[export_of[0]](state, layer).items():
        assert weights[name].dtype == np.float32
        np.testing.assert_allclose(weights[name], expected, rtol=1e-6, atol=1e-7)


def spec_of(**options):
    def named(name):
        bias = Bias(*(letter in options.get("bias", "QKVO") for letter in "QKVO"))
        rest = {k: v for k, v in options.items() if k not in ("bias", "rotary")}
        rotary = Rotary() if options.get("rotary") else None
        return AttentionSpec(WIDTH, HEADS, bias=bias, rotary=rotary, name=name, **rest)

    return named


SPECS = {
    "bert": spec_of(),
    "gpt2": spec_of(mask=Mask.CAUSAL),
    "llama": spec_of(mask=Mask.CAUSAL, kv_heads=2, rotary=True, bias=""),
    "qwen2": spec_of(mask=Mask.CAUSAL, kv_heads=2, rotary=True, bias="QKV"),
    "gemma2": lambda name: gemma2_spec(slides=name.endswith("0"))(name),
}


def gemma2_spec(slides):
    mask = {"mask": Mask.WINDOW, "window": 3} if slides else {"mask": Mask.CAUSAL}
    return spec_of(kv_heads=2, rotary=True, bias="", soft_cap=1.5, **mask)


def bert_weights(state, layer):
    place = f"encoder.layer.{layer}.attention."
    names = {"Q": "self.query", "K": "self.key", "V": "self.value"}
    found = {f"W_{k}": by_rows(state, f"{place}{n}.weight", HEADS) for k, n in names.items()}
    found |= {f"b_{k}": state[f"{place}{n}.bias"].reshape(HEADS, -1) for k, n in names.items()}
    out = state[f"{place}output.dense.weight"].reshape(WIDTH, HEADS, -1)
    return {**found, "W_O": out.transpose(1, 0, 2), "b_O": state[f"{place}output.dense.bias"]}


def gpt2_weights(state, layer):
    place = f"h.{layer}.attn."
    columns = np.split(state[f"{place}c_attn.weight"], 3, axis=1)
    found = {f"W_{k}": c.T.reshape(HEADS, -1, WIDTH) for k, c in zip("QKV", columns, strict=True)}
    return {**found, "b_O": state[f"{place}c_proj.bias"]}


def llama_weights(state, layer):
    place = f"layers.{layer}.self_attn."
    found = {"W_Q": by_rows(state, f"{place}q_proj.weight", HEADS)}
    return found | {f"W_{k.upper()}": by_rows(state, f"{place}{k}_proj.weight", 2) for k in "kv"}


STORED = {
    "bert": bert_weights,
    "gpt2": gpt2_weights,
    "llama": llama_weights,
    "qwen2": llama_weights,
    "gemma2": llama_weights,
}


# ---- after onnxruntime's optimisers --------------------------------------------------------------------


@pytest.fixture(scope="module")
def padded(tmp_path_factory):
    """BERT with a mask as an input, exported; and its state."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")

    class Masked(torch.nn.Module):
        def __init__(self, model):
            super().__init__()
            self.model = model

        def forward(self, ids, mask):
            return self.model(input_ids=ids, attention_mask=mask)[0]

    torch.manual_seed(0)
    model = model_of("bert", "eager")
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    ids = torch.arange(2 * TOKENS).reshape(2, TOKENS)
    axes = {0: "examples", 1: "tokens"}
    path = export(
        Masked(model),
        (ids, torch.ones_like(ids)),
        tmp_path_factory.mktemp("bert") / "bert.onnx",
        dynamo=False,
        opset_version=17,
        input_names=["ids", "mask"],
        dynamic_axes={"ids": axes, "mask": axes},
    )
    return path, {n: p.detach().numpy() for n, p in model.state_dict().items()}


def extended(path, to):
    """Products with the transposes and factors around them in one: FusedMatMul."""
    options = onnxruntime.SessionOptions()
    level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.graph_optimization_level, options.optimized_model_filepath = level, str(to)
    onnxruntime.InferenceSession(str(path), options)


def fused(path, to):
    """Attention in one, and the bias of the map out of it in SkipLayerNormalization."""
    optimizer = pytest.importorskip("onnxruntime.transformers.optimizer")
    found = optimizer.optimize_model(
        str(path), model_type="bert", num_heads=HEADS, hidden_size=WIDTH, opt_level=0
    )
    found.save_model_to_file(str(to))
    return found


def halved(path, to):
    found = fused(path, to)
    found.convert_float_to_float16(keep_io_types=True)
    found.save_model_to_file(str(to))


@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize(
    ("optimise", "kinds", "tolerance"),
    [
        (extended, {"FusedMatMul"}, 1e-6),
        (fused, {"Attention", "SkipLayerNormalization", "EmbedLayerNormalization"}, 1e-6),
        (halved, {"Attention", "SkipLayerNormalization", "EmbedLayerNormalization"}, 1e-3),
    ],
)
def test_bert_after_optimisers(padded, tmp_path, optimise, kinds, tolerance, layer):
    """The weights are the model's, the bias of the map out among them."""
    path, state = padded
    optimise(path, tmp_path / "a.onnx")
    assert kinds <= {node.op_type for node in onnx.load(tmp_path / "a.onnx").graph.node}
    spec, weights = read_checkpoint(tmp_path / "a.onnx", layer)
    bias = Bias(True, True, True, True)
    assert spec == AttentionSpec(WIDTH, HEADS, bias=bias, key_padding=True, name=f"a layer {layer}")
    stored = bert_weights(state, layer)
    assert weights.keys() == stored.keys()
    for name, expected in stored.items():
        np.testing.assert_allclose(weights[name], expected, rtol=tolerance, atol=tolerance)
