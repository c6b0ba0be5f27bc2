"""Small models of transformers with random weights: whole ones, and what their options change."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import transformers

from tests.compiler.frontends.families.models import frequencies_of
from tests.compiler.frontends.families.recipes import GROUPED

#: Of models of two stacks, tokens of the second.
N, N_DECODED, VOCABULARY = 7, 5, 40
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

    @property
    def config_class(self):
        return getattr(transformers, self.cls).config_class

    def build(self):
        """The model, in float32, with weights large enough that every block matters."""
        torch.manual_seed(0)
        model = getattr(transformers, self.cls)(self.config_class(**self.options))
        for name, p in model.named_parameters():
            generator = torch.Generator().manual_seed(sum(map(ord, name)))
            p.data = torch.empty(p.shape).normal_(std=0.4, generator=generator)
        for name, buffer in model.named_buffers():
            if name == "final_logits_bias":
                buffer.normal_(generator=torch.Generator().manual_seed(1))
        return model.eval()


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
