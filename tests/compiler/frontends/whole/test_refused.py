"""What is not understood of a whole model is refused by its name, and what transformers makes of odd files."""

import json

import numpy as np
import pytest
import torch
import transformers
from safetensors.numpy import load_file, save_file

from cortico.frontends.whole_models import read_model
from cortico.ir.errors import SpecError
from tests.compiler.frontends.families.cases import CASES as OF_ATTENTION
from tests.compiler.frontends.families.models import build, relative
from tests.compiler.frontends.whole.cases import CASES, PLAIN, TOKENS
from tests.compiler.frontends.whole.test_whole_models import outputs_of, save
from tests.model_oracle import forward


def configure(folder, **changes):
    """Change keys of a saved config.json; None takes one away."""
    file = folder / "config.json"
    values = json.loads(file.read_text()) | changes
    file.write_text(json.dumps({k: v for k, v in values.items() if v is not None}))


def rewrite(folder, change):
    """Let a function change the dict of a folder's tensors."""
    file = folder / "model.safetensors"
    tensors = {name: array.copy() for name, array in load_file(file).items()}
    change(tensors)
    save_file(tensors, file, metadata={"format": "pt"})


KEYS = {
    "an activation": ("bert", {"hidden_act": "mish"}, "hidden_act must be one of gelu, "),
    "an activation of T5": ("t5", {"feed_forward_proj": "gated-mish"}, "with gated- before it"),
    "cross attention": ("gpt2", {"add_cross_attention": True}, "add_cross_attention = True: only"),
    "other positions": (
        "bert",
        {"position_embedding_type": "relative_key"},
        "position_embedding_type = 'relative_key': only 'absolute' is supported",
    ),
    "no architecture": ("bert", {"architectures": None}, "architectures = None is not read"),
    "another head": (
        "bert",
        {"architectures": ["BertForTokenClassification"]},
        "architectures = ['BertForTokenClassification'] is not read as a whole model; expected one of "
        "BertModel, BertForMaskedLM",
    ),
    "states of another width": (
        "opt narrow tokens",
        {"architectures": ["OPTModel"]},
        "word_embed_proj_dim must be 16 for states; logits are read with architecture='OPTForCausalLM'",
    ),
    "width of tables": (
        "opt narrow tokens",
        {"word_embed_proj_dim": 8},
        "(embedding):\n  - tensor 'model.decoder.embed_tokens.weight' has shape (40, 10), expected (40, 8)",
    ),
    "both towers": (
        "clip",
        {"architectures": ["CLIPModel"]},
        "'CLIPModel'] is not read as a whole",
    ),
    "residuals": (
        "bloom",
        {"apply_residual_connection_post_layernorm": True},
        "apply_residual_connection_post_layernorm = True: only False is supported",
    ),
    "two activations": (
        "gemma",
        {"hidden_activation": "gelu"},
        "hidden_activation must be that of",
    ),
    "no size of the vocabulary": ("llama", {"vocab_size": None}, "vocab_size must be a positive"),
    "few rows of positions": (
        "roberta",
        {"pad_token_id": 20},
        "max_position_embeddings = 16 must be more than 21",
    ),
    "a new Falcon of old ways": (
        "falcon new",
        {"parallel_attn": False},
        "parallel_attn must be true in the new architecture",
    ),
    "a number of norms": (
        "falcon",
        {"num_ln_in_parallel_attn": 2},
        "num_ln_in_parallel_attn must be 1, or 2 in the new architecture",
    ),
}


@pytest.mark.parametrize("name", KEYS)
def test_keys(tmp_path, name):
    case, changes, message = KEYS[name]
    save(CASES[case], tmp_path)
    configure(tmp_path, **changes)
    with pytest.raises(SpecError) as caught:
        read_model(tmp_path, **CASES[case].read)
    assert message in str(caught.value)


FAMILIES = {
    "mixtral": "the feed-forward blocks of Mixtral are a mixture of experts, which no spec has",
    "olmoe": "the feed-forward blocks of OLMoE are a mixture of experts, which no spec has",
    "gpt-oss": "the feed-forward blocks of GPT-OSS are a mixture of experts, which no spec has",
    "vit": "ViT hears patches of images, and whole models hear tokens",
    "dinov2": "DINOv2 hears patches of images, and whole models hear tokens",
    "clip vision": "CLIP hears patches of images, and whole models hear tokens",
}


@pytest.mark.parametrize("name", FAMILIES)
def test_families(tmp_path, name):
    build(OF_ATTENTION[name]).save_pretrained(tmp_path)
    with pytest.raises(SpecError) as caught:
        read_model(tmp_path)
    assert str(caught.value).endswith(f"{FAMILIES[name]}; --layer N reads its attention")


def lose(name):
    return lambda tensors: tensors.pop(name)


def gain(name, array):
    return lambda tensors: tensors.update({name: np.asarray(array, np.float32)})


TENSORS = {
    "lost": (
        "llama",
        lose("model.layers.1.mlp.up_proj.weight"),
        "(layer[1].feed_forward):\n  - no tensor 'model.layers.1.mlp.up_proj.weight'",
    ),
    "lost in attention": (
        "llama",
        lose("model.layers.1.self_attn.o_proj.weight"),
        "(layer[1].attention):\n  - no tensor 'model.layers.1.self_attn.o_proj.weight'",
    ),
    "lost in cross attention": (
        "bart",
        lose("model.decoder.layers.0.encoder_attn.v_proj.weight"),
        "(decoder.layer[0].cross_attention):\n  - no tensor 'model.decoder.layers.0.encoder_attn",
    ),
    "lost at the end": (
        "llama",
        lose("lm_head.weight"),
        "(readout):\n  - no tensor 'lm_head.weight'",
    ),
    "of another shape": (
        "gpt2",
        gain("wpe.weight", np.zeros((17, 16))),
        "(embedding):\n  - tensor 'wpe.weight' has shape (17, 16), expected (16, 16)",
    ),
    "a bias too many": (
        "llama",
        gain("model.layers.0.mlp.up_proj.bias", np.zeros(24)),
        "no part of the model as it is read; what does not matter is left out with "
        "ignore=['BEGINNING'], --ignore BEGINNING:\n  - model.layers.0.mlp.up_proj.bias",
    ),
    "another head": (
        "bert",
        gain("classifier.weight", np.zeros((2, 16))),
        "\n  - classifier.weight",
    ),
    "another model": ("bert", gain("decoder.x", [0.0]), "\n  - decoder.x"),
    "two of one": (
        "bart",
        gain("model.encoder.embed_tokens.weight", np.zeros((40, 16))),
        "(encoder.embedding): 'model.encoder.embed_tokens.weight' and 'model.shared.weight' are names of "
        "one tensor, and differ",
    ),
}


@pytest.mark.parametrize("name", TENSORS)
def test_tensors(tmp_path, name):
    case, change, message = TENSORS[name]
    save(CASES[case], tmp_path)
    rewrite(tmp_path, change)
    with pytest.raises(SpecError) as caught:
        read_model(tmp_path)
    assert message in str(caught.value)


IGNORED = {
    "buffers of BERT": ("bert", gain("embeddings.position_ids", np.arange(16)[None])),
    "the next sentence": ("bert masked", gain("cls.seq_relationship.weight", np.zeros((2, 16)))),
    "a pooler without a use": ("bert masked", gain("bert.pooler.dense.bias", np.zeros(16))),
    "masks of GPT-2": ("gpt2", gain("h.0.attn.bias", np.ones((1, 1, 16, 16)))),
    "frequencies of Llama": ("llama", gain("model.layers.0.self_attn.rotary_emb.inv_freq", [1.0])),
    "equal tables": (
        "gpt2 language",
        lambda tensors: tensors.update(
            {"lm_head.weight": tensors["transformer.wte.weight"].copy()}
        ),
    ),
    "old names of norms": (
        "bert",
        lambda tensors: tensors.update(
            {
                "embeddings.LayerNorm.gamma": tensors.pop("embeddings.LayerNorm.weight"),
                "embeddings.LayerNorm.beta": tensors.pop("embeddings.LayerNorm.bias"),
            }
        ),
    ),
}


@pytest.mark.parametrize("name", IGNORED)
def test_tensors_that_do_not_matter(tmp_path, name):
    case, change = IGNORED[name]
    save(CASES[case], tmp_path)
    before = read_model(tmp_path)
    rewrite(tmp_path, change)
    assert_equal(read_model(tmp_path), before)


def assert_equal(found, expected):
    assert found[0] == expected[0]
    assert found[1].keys() == expected[1].keys()
    for path, own in expected[1].items():
        for name, array in own.items():
            assert (found[1][path][name] == array).all()


def test_what_is_left_out(tmp_path):
    """Tensors of another head, by how their names begin; and an architecture in place of the file's."""
    save(CASES["bert masked"], tmp_path)
    with pytest.raises(SpecError, match=r"\n  - cls\.predictions\.bias"):
        read_model(tmp_path, architecture="BertModel")
    spec, _ = read_model(tmp_path, architecture="BertModel", ignore="cls.")
    assert spec.readout is None and spec.sentence is None
    with pytest.raises(SpecError, match="architecture = 'BertForSomething' is not read"):
        read_model(tmp_path, architecture="BertForSomething")
    with pytest.raises(SpecError, match=r"no key or adapter 'clx\.' to ignore"):
        read_model(tmp_path, ignore="clx.")


def test_the_reader_of_texts_among_both_towers(tmp_path):
    """The architecture that is asked for leaves the other tower out; without it the file is refused."""
    texts, images = PLAIN["clip_text_model"].options, {"image_size": 8, "patch_size": 4}
    images |= {k: v for k, v in texts.items() if k in transformers.CLIPVisionConfig().to_dict()}
    config = transformers.CLIPConfig(text_config=texts, vision_config=images)
    model = transformers.CLIPModel(config).eval()
    model.save_pretrained(tmp_path)
    with pytest.raises(SpecError, match="is not read as a whole model; expected one of CLIPTextM"):
        read_model(tmp_path)
    spec, weights = read_model(tmp_path, architecture="CLIPTextModel")
    found = forward(spec, weights, TOKENS)["states"]
    assert relative(found, outputs_of(model.text_model.double())["states"]) < 1e-10


def logits_of(model):
    return outputs_of(model.eval().double())["logits"]


def test_an_own_matrix_beside_a_tied_table(tmp_path):
    """transformers takes it, whatever config.json says."""
    save(CASES["gpt2 language"], tmp_path)
    own = np.random.default_rng(0).standard_normal((40, 16))
    rewrite(tmp_path, gain("lm_head.weight", own))
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    spec, weights = read_model(tmp_path)
    assert not spec.readout.tied
    assert relative(forward(spec, weights, TOKENS)["logits"], logits_of(model)) < 1e-10


@pytest.mark.parametrize(
    "changes", [{}, {"scale_decoder_outputs": None, "tie_word_embeddings": False}]
)
def test_how_t5_scales(tmp_path, changes):
    """Old T5 does; files of new T5 say that they are not tied, or what the library made of that."""
    case = CASES["t5 gated"]
    save(case, tmp_path)
    configure(tmp_path, **changes)
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(tmp_path).eval().double()
    spec, weights = read_model(tmp_path, **case.read)
    assert spec.readout.logits.scale == 1.0 and not model.config.scale_decoder_outputs
    found = forward(spec, weights, TOKENS, decoder=TOKENS[: case.read["decoder_tokens"]])
    assert relative(found["logits"], outputs_of(model, **case.arguments)["logits"]) < 1e-10


def test_files_of_which_no_whole_model_is_read(tmp_path):
    with pytest.raises(SpecError, match="whole models are not read from ONNX files"):
        read_model(tmp_path / "x.onnx")
    save_file({"in_proj_weight": np.zeros((12, 4), np.float32)}, tmp_path / "x.safetensors")
    with pytest.raises(SpecError, match=r"has no config\.json beside it"):
        read_model(tmp_path / "x.safetensors")
