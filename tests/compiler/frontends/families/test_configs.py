"""What a hand-written or old config.json means: read as transformers' AutoModel does, or refused."""

import pytest
import transformers

from cortico.frontends import layers, read_checkpoint
from cortico.ir.errors import SpecError
from cortico.spec import Mask
from tests.compiler.frontends.families.cases import CASES, PLAIN
from tests.compiler.frontends.families.models import (
    TOLERANCE,
    N,
    build,
    largest_error,
    save_config,
)
from tests.compiler.frontends.families.recipes import (
    DYNAMIC,
    FULL,
    LLAMA3,
    LONGROPE,
    SLIDING,
    YARN,
)

LINEAR4 = {"rope_type": "linear", "factor": 4.0}
LLAMA3_ALONE = {k: v for k, v in LLAMA3.items() if k != "original_max_position_embeddings"}
OLD_LONGROPE = {
    "type": "su",
    "short_factor": [1.0, 1.5, 2.0],
    "long_factor": [1.25, 4.0, 16.0],
}
NO_ROPE = {"rope_parameters": None}

#: A saved model, changes to its config.json, and fields of the spec of its first layer.
CHANGES = {
    "llama sees all": ("llama", {"is_causal": False}, {"mask": Mask.NONE}),
    "bert decoder sees all": ("bert decoder", {"is_causal": False}, {"mask": Mask.NONE}),
    "bert encoder": ("bert", {"is_causal": False}, {"mask": Mask.NONE}),
    "mistral with a list": (
        "mistral head_dim",
        {"sliding_window": 4, "layer_types": [FULL, SLIDING]},
        {"mask": Mask.CAUSAL},
    ),
    "mistral by default": ("mistral", {"sliding_window": 4096}, {"window": 4096}),
    "empty table": ("llama", {"rope_parameters": {}, "rope_scaling": LINEAR4}, {}),
    "both tables": ("llama", {"rope_parameters": LLAMA3, "rope_scaling": LINEAR4}, {}),
    "empty old table": ("llama", {"rope_parameters": LINEAR4, "rope_scaling": {}}, {}),
    "old names": ("llama", NO_ROPE | {"rope_scaling": {"type": "linear", "factor": 4.0}}, {}),
    "base at the top": ("llama", {"rope_parameters": LINEAR4, "rope_theta": 77.0}, {}),
    "base twice": (
        "llama",
        {"rope_parameters": LINEAR4 | {"rope_theta": 55.0}, "rope_theta": 77.0},
        {},
    ),
    "no base": ("llama", NO_ROPE, {}),
    "length at the top": (
        "llama",
        {"rope_parameters": LLAMA3, "original_max_position_embeddings": 128},
        {},
    ),
    "no length": ("llama", {"rope_parameters": LLAMA3_ALONE, "max_position_embeddings": 77}, {}),
    "no length at all": (
        "llama",
        {"rope_parameters": LLAMA3_ALONE | {"factor": 3.0}, "max_position_embeddings": None},
        {},
    ),
    "qwen2 window by default": (
        "qwen2",
        {
            "use_sliding_window": True,
            "max_window_layers": 0,
            "sliding_window": None,
            "layer_types": None,
        },
        {"window": 4096},
    ),
    "gpt-oss rope by default": ("gpt-oss", NO_ROPE, {"sink": True}),
    "gpt-oss windows by default": ("gpt-oss", {"layer_types": None}, {"window": 3}),
    "gpt2 other name": ("gpt2", {"n_head": None, "num_attention_heads": 3}, {"heads": 3}),
    "gpt2 both names": ("gpt2", {"n_head": 2, "num_attention_heads": 3}, {"heads": 3}),
    "mistral kv heads by default": (
        "mistral eight",
        {"num_key_value_heads": None},
        {"groups": 8},
    ),
    "gemma2 kinds of layers by default": ("gemma2", {"layer_types": None}, {"window": 3}),
    "gemma3 old ropes": (
        "gemma3",
        NO_ROPE | {"rope_theta": 77.0, "rope_local_base_freq": 9.0, "rope_scaling": LINEAR4},
        {},
    ),
    "gemma3 new and old ropes": (
        "gemma3",
        {"rope_parameters": {FULL: {"rope_type": "default"}}, "rope_theta": 77.0}
        | {"rope_scaling": LINEAR4},
        {},
    ),
    "gemma3 no ropes": ("gemma3", NO_ROPE, {}),
    "gemma3 every second layer": (
        "gemma3",
        {"layer_types": None, "sliding_window_pattern": 2},
        {"window": 3},
    ),
    "gemma3 kinds of layers by default": ("gemma3", {"layer_types": None}, {"window": 3}),
    "bart other name": (
        "bart decoder",
        {"hidden_size": 24, "d_model": None, "num_attention_heads": 6},
        {"heads": 3},
    ),
    "whisper other name": ("whisper encoder", {"num_key_value_heads": 6}, {"heads": 6}),
    "mistral sees to both sides": (
        "mistral window",
        {"is_causal": False},
        {"mask": Mask.BIDIRECTIONAL_WINDOW, "window": 4},
    ),
    "gemma3 original length at the top": (
        "gemma3",
        {"rope_parameters": {FULL: LLAMA3_ALONE}, "original_max_position_embeddings": 128},
        {},
    ),
    "modernbert old ropes": (
        "modernbert",
        NO_ROPE | {"global_rope_theta": 77.0, "local_rope_theta": 9.0, "rope_scaling": LINEAR4},
        {"mask": Mask.NONE},
    ),
    "modernbert no ropes": ("modernbert", NO_ROPE, {}),
    "modernbert every second layer": (
        "modernbert",
        {"layer_types": None, "global_attn_every_n_layers": 2},
        {},
    ),
    "mpt without a table": ("mpt", {"attn_config": None}, {"scale": None}),
    "gpt-neo other names": (
        "gpt-neo",
        {"num_heads": None, "num_attention_heads": 3},
        {"heads": 3, "scale": 1.0},
    ),
    "phi3 old name of long": (
        "phi3 long",
        NO_ROPE
        | {
            "rope_scaling": OLD_LONGROPE | {"original_max_position_embeddings": 3},
            "max_position_embeddings": 48,
        },
        {"tokens": N},
    ),
    "phi3 another name of long": (
        "phi3 long",
        NO_ROPE | {"rope_scaling": OLD_LONGROPE | {"type": "yarn"}},
        {"tokens": N},
    ),
    "longrope without lengths": (
        "llama longrope",
        {"rope_parameters": OLD_LONGROPE | {"type": "longrope"}, "max_position_embeddings": 8},
        {"tokens": N},
    ),
    "length at the top is not of dynamic": (
        "llama dynamic",
        {"original_max_position_embeddings": 2},
        {"tokens": N},
    ),
    "llama heads of keys by default": ("llama", {"num_key_value_heads": None}, {"groups": 4}),
}
EIGHT = {"num_attention_heads": 8, "num_key_value_heads": 8, "head_dim": 4}


def saved(folder, name, changes):
    """The model that AutoModel makes of a changed folder."""
    case = PLAIN["mistral"] if name == "mistral eight" else CASES[name]
    model = build(case, **(EIGHT if name == "mistral eight" else {}))
    model.save_pretrained(folder)
    save_config(folder, model, **changes)
    how = {k: v for k, v in case.options.items() if k == "experts_implementation"}
    return case, transformers.AutoModel.from_pretrained(folder, **how).eval().double()


@pytest.mark.parametrize("name", CHANGES)
def test_read_as_transformers_does(tmp_path, name):
    case, model = saved(tmp_path, *CHANGES[name][:2])
    spec, _ = read_checkpoint(tmp_path, **case.asked)
    expected = CHANGES[name][2]
    assert {key: getattr(spec, key) for key in expected} == expected
    assert largest_error(model, case, tmp_path) < TOLERANCE[0]


@pytest.mark.parametrize("name", ["empty table", "base at the top", "length at the top"])
def test_the_ropes_differ(tmp_path, name):
    """The cases above can tell: read as if there were no table, the numbers are others."""
    case, model = saved(tmp_path, *CHANGES[name][:2])
    save_config(tmp_path, model, rope_parameters=None, rope_scaling=None)
    with pytest.raises(AssertionError):
        largest_error(model, case, tmp_path)


REFUSED = {
    "clipped": (
        "mpt",
        {"attn_config": {"clip_qkv": 8.0, "qk_ln": True, "sofmax_scale": 1.0}},
        "attn_config says what cortico does not understand:\n  - clip_qkv = 8.0: only None",
    ),
    "other kinds than layers": (
        "gpt-neo",
        {"attention_types": [[["global"], 3]]},
        "attention_types must be kinds of 2 layers, not of 3, found [[['global'], 3]]",
    ),
    "kinds that are none": (
        "gpt-neo",
        {"attention_types": [[["global", "sparse"], 1]]},
        "attention_types must be a list such as [[['global', 'local'], 12]], found",
    ),
    "kinds said twice": (
        "gpt-neo",
        {"attention_layers": ["local", "global"]},
        "attention_layers must be what attention_types says, found ['local', 'global']",
    ),
    "factors of other heads": (
        "llama longrope",
        {"rope_parameters": LONGROPE | {"long_factor": [1.0, 2.0]}},
        "rope_parameters: 2 factors for 3 pairs of features that turn",
    ),
    "factors that are no numbers": (
        "llama longrope",
        {"rope_parameters": LONGROPE | {"long_factor": [1.0, 2.0, -1.0]}},
        "rope_parameters: long_factor[2] must be a positive number, found -1.0",
    ),
    "one factor": (
        "llama longrope",
        {"rope_parameters": LONGROPE | {"long_factor": 2.0}},
        "rope_parameters: long_factor must be a list of positive numbers, found 2.0",
    ),
    "a length of dynamic": (
        "llama dynamic",
        {"rope_parameters": DYNAMIC | {"original_max_position_embeddings": 3}},
        "original_max_position_embeddings = 3 is not supported with rope type 'dynamic'",
    ),
    "dynamic with one pair": (
        "llama dynamic",
        {"head_dim": 2},
        "rope type 'dynamic' needs 4 features that turn or more, found 2",
    ),
    "a length of which there is no logarithm": (
        "llama longrope",
        {"rope_parameters": LONGROPE | {"original_max_position_embeddings": 1, "factor": 2.0}},
        "original_max_position_embeddings must be more than 1, found 1",
    ),
    "truncated in one kind of layer": (
        "gemma3",
        {"rope_parameters": {SLIDING: YARN | {"truncate": False}}},
        "sliding_attention: truncate must be true, found False",
    ),
    "a causal encoder": (
        "bert",
        {"is_causal": True},
        "is_causal must be false, or is_decoder true, found True",
    ),
    "half turned": ("llama", {"partial_rotary_factor": 0.5}, "only 1.0 is supported"),
    "an odd head": (
        "llama yarn",
        {"head_dim": 7},
        "7 features of a head turn, expected an even number",
    ),
    "own code": ("llama", {"auto_map": {"AutoModel": "x.X"}}, "auto_map = {'AutoModel': 'x.X'}: "),
    "quantized": ("llama", {"quantization_config": {"bits": 4}}, "quantization_config = "),
    "unknown": ("bert", {"attention_gain": 2}, "unknown key 'attention_gain' = 2"),
    "slides without a window": (
        "qwen2",
        {"layer_types": [SLIDING, FULL]},
        "sliding_window must be the window of layer_types[0], found None",
    ),
    "other attention": (
        "qwen2",
        {"layer_types": ["chunked_attention", FULL]},
        "layer_types[0] must be one of full_attention, sliding_attention",
    ),
    "a decoder that sees all": ("bart encoder", {"is_causal": False}, "only True is supported"),
    "a decoder alone": ("t5 cross", {"is_encoder_decoder": False}, "only True is supported"),
    "two names, two values": (
        "whisper encoder",
        {"num_attention_heads": 4, "num_key_value_heads": 2},
        "num_attention_heads = 4, num_key_value_heads = 2: all are names of encoder_attention_heads",
    ),
    "a short list": ("qwen2", {"layer_types": [FULL]}, "one entry per layer, 2 of them"),
    "one rope for two kinds of layers": (
        "gemma3",
        {"rope_parameters": LINEAR4},
        "rope_parameters must be a table for each kind of layer, not 'factor', found",
    ),
    "by layer": ("llama", {"per_layer_config": {"0": {"head_dim": 3}}}, "per_layer_config"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(tmp_path, name):
    model_name, changes, message = REFUSED[name]
    model = build(CASES[model_name])
    model.save_pretrained(tmp_path)
    save_config(tmp_path, model, **changes)
    with pytest.raises(SpecError) as caught:
        read_checkpoint(tmp_path, **CASES[model_name].asked)
    assert message in str(caught.value)


@pytest.mark.parametrize("name", ["llama dynamic", "llama longrope"])
def test_a_number_of_tokens_is_asked_for(tmp_path, name):
    """It is then the spec's, and another one turns otherwise."""
    build(CASES[name]).save_pretrained(tmp_path)
    with pytest.raises(
        SpecError, match=r"by how many tokens there are: give tokens=N, --tokens N$"
    ):
        read_checkpoint(tmp_path)
    found = {n: read_checkpoint(tmp_path, tokens=n) for n in (3, 4, N, N + 1)}
    assert [spec.tokens for spec, _ in found.values()] == [3, 4, N, N + 1]
    turned = [weights["rotary_frequencies"].tolist() for _, weights in found.values()]
    assert turned[0] == turned[1] != turned[2]
    assert (turned[2] == turned[3]) == (name == "llama longrope")


PARTS = {
    "none": (
        "bart encoder",
        None,
        "'bart' has several attentions: give part 'encoder' or 'decoder'",
    ),
    "another": ("whisper cross", "text", "or 'cross', found part 'text'"),
    "of one": ("bert", "encoder", "a model of type 'bert' has no parts, found part 'encoder'"),
}


@pytest.mark.parametrize("name", PARTS)
def test_parts_that_are_not_there(tmp_path, name):
    model_name, part, message = PARTS[name]
    build(CASES[model_name]).save_pretrained(tmp_path)
    for read in (read_checkpoint, layers):
        with pytest.raises(SpecError) as caught:
            read(tmp_path, part=part)
        assert message in str(caught.value)


def test_a_part_has_its_own_layers(tmp_path):
    build(CASES["bart encoder"]).save_pretrained(tmp_path)
    assert [layers(tmp_path, part=part) for part in ("encoder", "decoder", "cross")] == [2, 3, 3]
    assert read_checkpoint(tmp_path, 2, part="cross")[0].name.endswith(" cross layer 2")
    with pytest.raises(SpecError, match=r"layer 2 of .* does not exist, layers: 0 … 1"):
        read_checkpoint(tmp_path, 2, part="encoder")
    with pytest.raises(SpecError, match="says cross = True, found cross = False"):
        read_checkpoint(tmp_path, part="cross", cross=False)


def test_all_that_is_not_understood_in_one_error(tmp_path):
    model = build(PLAIN["bert"])
    model.save_pretrained(tmp_path)
    save_config(tmp_path, model, foo=1, num_attention_haeds=4, auto_map={"AutoModel": "x.X"})
    with pytest.raises(SpecError) as caught:
        layers(tmp_path)
    lines = str(caught.value).splitlines()
    assert sorted(lines[1:-1]) == [
        "  - auto_map = {'AutoModel': 'x.X'}: the model brings its own code, which is not run: its "
        "attention may be another one",
        "  - unknown key 'foo' = 1",
        "  - unknown key 'num_attention_haeds' = 4 (did you mean 'num_attention_heads'?)",
    ]
    assert lines[-1].endswith("left out with ignore=['KEY'], --ignore KEY")


def test_keys_that_are_left_out(tmp_path):
    model = build(PLAIN["bert"])
    model.save_pretrained(tmp_path)
    save_config(tmp_path, model, foo=1, auto_map={"AutoModel": "x.X"})
    assert layers(tmp_path, ignore=["foo", "auto_map"]) == 2
    assert read_checkpoint(tmp_path, ignore=["foo", "auto_map"])[0].heads == 4
    with pytest.raises(SpecError, match="unknown key 'foo' = 1"):
        read_checkpoint(tmp_path, ignore="auto_map")
    with pytest.raises(SpecError, match=r"no key or adapter 'fo' to ignore .did you mean 'foo'"):
        read_checkpoint(tmp_path, ignore=["foo", "auto_map", "fo"])


def test_keys_within_a_table_that_are_left_out(tmp_path):
    model = build(PLAIN["mpt"])
    model.save_pretrained(tmp_path)
    save_config(tmp_path, model, attn_config={"clip_qkv": 1e9, "softmax_scale": 0.5})
    with pytest.raises(SpecError, match=r"clip_qkv = 1000000000.0: only None is supported"):
        read_checkpoint(tmp_path)
    assert read_checkpoint(tmp_path, ignore=["clip_qkv"])[0].scale == 0.5


@pytest.mark.parametrize("file", ["adapter_config.json", "adapter_model.safetensors"])
def test_an_adapter_beside_the_weights(tmp_path, file):
    build(PLAIN["llama"]).save_pretrained(tmp_path)
    (tmp_path / file).write_bytes(b"{}")
    for path in (tmp_path, tmp_path / "model.safetensors"):
        with pytest.raises(SpecError, match=f"adapter beside the weights, {file}, .*merge"):
            read_checkpoint(path)
        with pytest.raises(SpecError, match="merge_and_unload"):
            layers(path)
        assert read_checkpoint(path, ignore=[file])[0].heads == 4
    (tmp_path / "model.safetensors").rename(tmp_path / "other.safetensors")
    assert read_checkpoint(tmp_path, ignore=[file])[0].heads == 4  # the adapter is no model
