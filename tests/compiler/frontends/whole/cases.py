"""Small models of transformers with random weights: whole ones, and what their options change."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
import transformers

from tests.compiler.frontends.families.models import frequencies_of
from tests.compiler.frontends.families.recipes import GROUPED

#: Of models of two stacks, tokens of the second.
N, N_DECODED, VOCABULARY = 7, 5, 40
#: Vectors that a decoder hears whose encoder is not read.
CONTEXT = np.random.default_rng(3).standard_normal((N + 2, 16))
TOKENS = np.array([2, 31, 5, 5, 17, 39, 8])
KEEP = np.array([True, True, True, True, True, False, False])
SIZES = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 24,
    "vocab_size": VOCABULARY,
    "max_position_embeddings": 16,
}
GPT = {"n_embd": 16, "n_layer": 2, "n_head": 4, "vocab_size": VOCABULARY, "n_positions": 16}
DISTIL = {"dim": 16, "n_layers": 2, "n_heads": 4, "hidden_dim": 24, "vocab_size": VOCABULARY}


@dataclass(frozen=True)
class Whole:
    """A class of transformers and its options."""

    cls: str
    options: dict[str, Any]
    turning: str = "halves"  #: how cosines and sines of pairs stand, as in `families.models`
    read: dict[str, Any] = field(default_factory=dict)  #: options of `read_model`
    tolerance: float = 1e-10  #: of the largest error, relative to the largest number

    @property
    def config_class(self):
        return getattr(transformers, self.cls).config_class

    @property
    def more(self):
        """Arguments of a call beside the tokens: of a model of two stacks, tokens of the second."""
        if not self.config_class().is_encoder_decoder:
            return {}
        return {"decoder_input_ids": torch.tensor(TOKENS[:N_DECODED])[None]}

    @property
    def arguments(self):
        """Those of a call of transformers, of one text."""
        given = {"input_ids": torch.tensor(TOKENS)[None], **self.more}
        if self.hears_vectors:
            name = "input_ids" if self.cls.endswith("CausalLM") else "decoder_input_ids"
            return {"encoder_outputs": (torch.tensor(CONTEXT)[None],), name: given["input_ids"]}
        return given

    @property
    def hears_vectors(self):
        """Whether it is a decoder that is given the states of an encoder that hears sound."""
        return self.config_class.model_type == "whisper"

    @property
    def inputs(self):
        """Those of the model that is read, by name."""
        if self.hears_vectors:
            return {"tokens": TOKENS, "context": CONTEXT}
        return {"tokens": TOKENS, **({"decoder": TOKENS[:N_DECODED]} if self.more else {})}

    def build(self):
        """The model, in float32, with weights large enough that every block matters."""
        torch.manual_seed(0)
        model = getattr(transformers, self.cls)(self.config_class(**self.options))
        for name, p in model.named_parameters():
            if not p.requires_grad:  # Marian's sines, which are not saved
                continue
            generator = torch.Generator().manual_seed(sum(map(ord, name)))
            p.data = torch.empty(p.shape).normal_(std=0.4, generator=generator)
        for name, buffer in model.named_buffers():
            if name == "final_logits_bias":
                buffer.normal_(generator=torch.Generator().manual_seed(1))
        return model.eval()


NEO = {
    "hidden_size": 16,
    "num_layers": 2,
    "num_heads": 4,
    "vocab_size": VOCABULARY,
    "max_position_embeddings": 16,
    "window_size": 3,
    "attention_types": [[["global", "local"], 1]],
}
OPT = {k: v for k, v in SIZES.items() if k != "intermediate_size"} | {"ffn_dim": 24}
BLOOM = {"hidden_size": 16, "n_layer": 2, "n_head": 4, "vocab_size": VOCABULARY}
MPT = {"d_model": 16, "n_layers": 2, "n_heads": 4, "vocab_size": VOCABULARY}
#: The root of 24 is no number of few bits.
GEMMA = GROUPED | {"hidden_size": 24, "head_dim": 6}
GEMMA2 = GEMMA | {"query_pre_attn_scalar": 4}
MODERN = {"pad_token_id": 0, "local_attention": 4, "num_hidden_layers": 4}


BART = {
    "d_model": 16,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 24,
    "decoder_ffn_dim": 20,
    "vocab_size": VOCABULARY,
    "max_position_embeddings": 16,
    "pad_token_id": 1,
}


WHISPER = {k: v for k, v in BART.items() if k != "max_position_embeddings"} | {
    "num_mel_bins": 5,
    "max_source_positions": 8,
    "max_target_positions": 16,
}


def t5(name, **options):
    sizes = {
        "d_model": 16,
        "d_kv": 4,
        "d_ff": 24,
        "num_heads": 4,
        "num_layers": 1,
        "num_decoder_layers": 1,
        "vocab_size": VOCABULARY,
        "relative_attention_num_buckets": 8,
        "relative_attention_max_distance": 6,
    }
    read = {"tokens": N, "decoder_tokens": N_DECODED}
    return Whole(f"{name}ForConditionalGeneration", sizes | options, read=read)


def falcon(**options):
    sizes = {k: v for k, v in SIZES.items() if k != "intermediate_size"}
    return Whole("FalconForCausalLM", sizes | options)


def llama(name, head="ForCausalLM", turning="halves", **options):
    return Whole(f"{name}{head}", SIZES | options, turning)


def bert(cls, **options):
    return Whole(cls, SIZES | options)


CASES = {
    "bert": bert("BertModel"),
    "bert masked": bert("BertForMaskedLM", hidden_act="gelu_new", layer_norm_eps=0.1),
    "bert both heads": bert("BertForPreTraining", hidden_act="relu"),
    "bert decoder": bert("BertLMHeadModel", is_decoder=True, tie_word_embeddings=False),
    "roberta": bert("RobertaModel", type_vocab_size=1),
    "roberta masked": bert("RobertaForMaskedLM", pad_token_id=3, hidden_act="silu"),
    "xlm-roberta": bert("XLMRobertaForMaskedLM", pad_token_id=1),
    "camembert": bert("CamembertModel", pad_token_id=0),
    "electra": bert("ElectraModel", embedding_size=10),
    "electra generator": bert("ElectraForMaskedLM", embedding_size=10),
    "electra discriminator": bert("ElectraForPreTraining", embedding_size=16),
    "distilbert": Whole("DistilBertModel", DISTIL),
    "distilbert masked": Whole("DistilBertForMaskedLM", DISTIL | {"activation": "relu"}),
    "gpt2": Whole("GPT2Model", GPT | {"n_inner": 24}),
    "gpt2 language": Whole("GPT2LMHeadModel", GPT | {"layer_norm_epsilon": 0.1}),
    "gpt2 untied": Whole(
        "GPT2LMHeadModel",
        GPT | {"tie_word_embeddings": False, "activation_function": "gelu"},
    ),
    "llama": llama("Llama", **GROUPED),
    "llama tied": llama("Llama", tie_word_embeddings=True, mlp_bias=True, rms_norm_eps=0.1),
    "llama states": llama("Llama", "Model", hidden_act="relu2"),
    "mistral": llama("Mistral", sliding_window=3, **GROUPED),
    "ministral": llama("Ministral", sliding_window=3, head_dim=6, **GROUPED),
    "qwen2": llama("Qwen2", **GROUPED),
    "qwen3": llama("Qwen3", head_dim=6, **GROUPED),
    "gpt-bigcode": Whole("GPTBigCodeForCausalLM", GPT | {"n_inner": 24}),
    "gptj": Whole("GPTJForCausalLM", GPT | {"rotary_dim": 2, "n_inner": 24}),
    "gptj states": Whole("GPTJModel", GPT | {"rotary_dim": 4, "layer_norm_epsilon": 0.1}),
    "gpt-neox": llama("GPTNeoX", num_attention_heads=2, layer_norm_eps=0.1),
    "gpt-neox one after the other": llama(
        "GPTNeoX", num_attention_heads=2, use_parallel_residual=False
    ),
    "gpt-neo": Whole("GPTNeoForCausalLM", NEO),
    "opt": Whole("OPTForCausalLM", OPT),
    "opt norms after": Whole(
        "OPTForCausalLM", OPT | {"do_layer_norm_before": False, "activation_function": "gelu"}
    ),
    "opt without weights of norms": Whole(
        "OPTModel",
        OPT | {"layer_norm_elementwise_affine": False, "enable_bias": False},
    ),
    "opt narrow tokens": Whole(
        "OPTForCausalLM", OPT | {"do_layer_norm_before": False, "word_embed_proj_dim": 10}
    ),
    "opt wide tokens": Whole(
        "OPTForCausalLM", OPT | {"word_embed_proj_dim": 18, "tie_word_embeddings": False}
    ),
    "opt without a last norm": Whole("OPTModel", OPT | {"_remove_final_layer_norm": True}),
    "bloom": Whole("BloomForCausalLM", BLOOM, tolerance=1e-8),  # its constant has eight digits
    "mpt": Whole("MptForCausalLM", MPT),
    "falcon": falcon(),
    "falcon new": falcon(new_decoder_architecture=True, num_kv_heads=2),
    "falcon new, one norm": falcon(
        new_decoder_architecture=True, num_kv_heads=2, num_ln_in_parallel_attn=1
    ),
    "falcon one after the other": falcon(parallel_attn=False, bias=True, ffn_hidden_size=24),
    "gemma": llama("Gemma", **GEMMA),
    "gemma gelu": llama("Gemma", hidden_act="gelu", **GEMMA),
    "gemma2": llama("Gemma2", sliding_window=3, **GEMMA2),
    "gemma2 capped": llama(
        "Gemma2",
        sliding_window=3,
        final_logit_softcapping=0.7,
        attn_logit_softcapping=0.9,
        **GEMMA2,
    ),
    "gemma3": llama("Gemma3", sliding_window=3, **GEMMA2),
    "gemma3 states": llama("Gemma3Text", "Model", sliding_window=3, **GEMMA2),
    "phi": llama("Phi"),
    "phi3": llama("Phi3", pad_token_id=0, **GROUPED),
    "stablelm": llama("StableLm", partial_rotary_factor=0.5, **GROUPED),
    "stablelm parallel": llama(
        "StableLm",
        partial_rotary_factor=0.5,
        use_parallel_residual=True,
        num_key_value_heads=4,
    ),
    "starcoder2": llama("Starcoder2", norm_epsilon=0.1, **GROUPED),
    "starcoder2 without biases": llama("Starcoder2", use_bias=False, **GROUPED),
    "cohere": llama("Cohere", turning="pairs", pad_token_id=0, logit_scale=0.3),
    "granite": llama(
        "Granite",
        embedding_multiplier=3.0,
        residual_multiplier=0.4,
        logits_scaling=5.0,
        attention_multiplier=0.3,
        mlp_bias=True,
    ),
    "olmo": llama("Olmo"),
    "olmo2": llama("Olmo2"),
    "modernbert": bert("ModernBertModel", **MODERN),
    "modernbert masked": bert(
        "ModernBertForMaskedLM",
        **MODERN,
        norm_bias=True,
        mlp_bias=True,
        classifier_bias=True,
        classifier_activation="relu",
        decoder_bias=False,
    ),
    "albert": bert("AlbertModel", embedding_size=10),
    "albert masked": bert(
        "AlbertForMaskedLM", embedding_size=10, num_hidden_groups=2, num_hidden_layers=3
    ),
    "albert both heads": bert("AlbertForPreTraining", embedding_size=16),
    "bart": Whole("BartForConditionalGeneration", BART),
    "bart states": Whole("BartModel", BART | {"scale_embedding": True}),
    "mbart": Whole("MBartForConditionalGeneration", BART | {"scale_embedding": True}),
    "pegasus": Whole("PegasusForConditionalGeneration", BART),
    "pegasus states": Whole("PegasusModel", BART | {"activation_function": "relu"}),
    "marian": Whole("MarianMTModel", BART | {"scale_embedding": True}),
    "marian two tables": Whole(
        "MarianMTModel",
        BART | {"share_encoder_decoder_embeddings": False, "decoder_vocab_size": 44},
    ),
    "whisper": Whole("WhisperForConditionalGeneration", WHISPER),
    "whisper states": Whole("WhisperModel", WHISPER | {"activation_function": "relu"}),
    "whisper decoder": Whole("WhisperForCausalLM", WHISPER | {"scale_embedding": True}),
    "clip": bert("CLIPTextModel"),
    "clip gelu": bert("CLIPTextModel", hidden_act="gelu", layer_norm_eps=0.1),
    "t5": t5("T5"),
    "t5 gated": t5("T5", feed_forward_proj="gated-gelu", tie_word_embeddings=False),
    "mt5": t5("MT5"),
    "mpnet": replace(bert("MPNetModel"), read={"tokens": N}),
    "mpnet masked": replace(bert("MPNetForMaskedLM"), read={"tokens": N}),
}

#: Of each type of model the first case.
PLAIN = {case.config_class.model_type: case for case in reversed(CASES.values())}
PLAIN = dict(reversed(PLAIN.items()))


def with_frequencies(model, weights):
    """The weights with the frequencies that transformers rounds to float32."""
    found = {}
    for path, own in weights.items():
        layer = int(path.split("[")[1].split("]")[0]) if "[" in path else 0
        frequencies = frequencies_of(model, layer) if path.endswith("attention") else None
        more = {} if frequencies is None else {"rotary_frequencies": frequencies.numpy()}
        found[path] = dict(own) | more
    return found
