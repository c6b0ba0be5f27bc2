"""`Keys`: what each key of a family's config.json is to attention. A key on no list is refused.

A value that attention depends on, left unread, would give another model's numbers without a word. So
every key is read, or known not to matter, or fixed to the one value that is understood.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from cortico.frontends.config import Config
from cortico.ir.errors import SpecError, bullet_list, named, near_name, shown


def words(text: str) -> frozenset[str]:
    """The words of a text: a list of keys that can be read."""
    return frozenset(text.split())


#: Keys of every family that no attention depends on.
HARMLESS = words(
    # what the model and its file are called, and which library wrote it
    "model_type architectures transformers_version _name_or_path name_or_path _commit_hash "
    "tokenizer_class processor_class transformers.js_config vocab_file language finetuning_task license "
    # how it runs: types of numbers, kernels, what is returned
    "dtype torch_dtype use_bfloat16 torchscript attn_implementation _attn_implementation "
    "_attn_implementation_autoset experts_implementation use_cache use_flash_attn "
    "_flash_attn_2_enabled output_attentions output_hidden_states output_past return_dict "
    "chunk_size_feed_forward gradient_checkpointing tf_legacy_loss "
    # training and heads of tasks
    "id2label label2id num_labels _num_labels problem_type classifier_dropout initializer_range "
    "tie_word_embeddings tie_encoder_decoder tie_last_hidden_states cross_attention_hidden_size task_specific_params "
    "torch_compile "
    # texts and how they are generated
    "vocab_size bos_token_id eos_token_id pad_token_id sep_token_id unk_token_id mask_token_id "
    "decoder_start_token_id prefix is_encoder_decoder max_length min_length do_sample "
    "early_stopping num_beams temperature top_k top_p typical_p repetition_penalty "
    "length_penalty no_repeat_ngram_size encoder_no_repeat_ngram_size bad_words_ids "
    "num_return_sequences output_scores return_dict_in_generate forced_bos_token_id "
    "forced_eos_token_id remove_invalid_values exponential_decay_length_penalty "
    "suppress_tokens begin_suppress_tokens epsilon_cutoff eta_cutoff "
    "encoder_repetition_penalty num_assistant_tokens num_assistant_tokens_schedule "
    "assistant_confidence_threshold assistant_lookbehind target_lookbehind num_beam_groups "
    "diversity_penalty"
)


#: Keys of every family of which one value is understood: this one, or none at all.
FIXED: Mapping[str, Any] = {
    "auto_map": {},
    "custom_pipelines": {},
    "quantization_config": {},
    "quantization": {},
    "per_layer_config": {},
    "pruned_heads": {},
    "position_embedding_type": "absolute",
}

_FEW_BITS = "the weights are stored in a form that needs it: "
#: Why a key is refused, where its name does not say it.
_REASONS = {
    "auto_map": "the model brings its own code, which is not run: its attention may be another one",
    "quantization_config": _FEW_BITS
    + "load and save them as floats (model.dequantize() of transformers)",
    "quantization": _FEW_BITS + "save them as floats (mlx_lm.convert --dequantize)",
}


@dataclass(frozen=True)
class Keys:
    """The keys of one family, beside those of all families.

    read: keys that attention depends on, each with the value that a file without it means. These are
        the defaults of transformers.
    harmless: keys that attention does not depend on.
    fixed: keys that attention may depend on, each with the only value that is understood.
    same: other names of keys (`attribute_map` of transformers). Where a file has both, these count.
    """

    read: Mapping[str, Any]
    harmless: frozenset[str] = frozenset()
    fixed: Mapping[str, Any] = field(default_factory=dict)
    same: Mapping[str, str] = field(default_factory=dict)

    @property
    def known(self) -> frozenset[str]:
        """Every name that is on a list."""
        return frozenset({*self.read, *self.harmless, *self.fixed, *self.same, *HARMLESS, *FIXED})

    def resolve(self, config: Config, ignore: Collection[str] = ()) -> Config:
        """`config` with the names of `read` and a value for each of them; null stays None.

        `ignore` are keys that count as absent. SpecError that lists every key that is not understood.
        """
        given = _without(config.values, ignore)
        problems = [*self._problems(given), *self._contradictions(given)]
        if problems:
            raise SpecError(
                f"{config.source} says what cortico does not understand:{bullet_list(problems)}\n"
                "a key that does not matter is left out with ignore=['KEY'], --ignore KEY"
            )
        renamed = {key: value for key, value in given.items() if key not in self.same}
        renamed |= {own: given[key] for key, own in self.same.items() if given.get(key) is not None}
        return replace(config, values={**self.read, **renamed})

    def _problems(self, given: Mapping[str, Any]) -> Iterator[str]:
        fixed = {**FIXED, **self.fixed}
        for key, value in given.items():
            if value is None or value == fixed.get(key, _Nothing):
                continue
            if key in fixed:
                reason = _REASONS.get(key, f"only {shown(fixed[key])} is supported")
                yield f"{key} = {shown(value)}: {reason}"
            elif key not in self.known:
                yield f"unknown key {named(key)} = {shown(value)}{near_name(key, sorted(self.known))}"

    def _contradictions(self, given: Mapping[str, Any]) -> Iterator[str]:
        """Two other names of one key with two values: transformers takes that which is written last."""
        for own in dict.fromkeys(self.same.values()):
            names = [
                key for key in self.same if self.same[key] == own and given.get(key) is not None
            ]
            if any(given[name] != given[names[0]] for name in names):
                values = ", ".join(f"{name} = {shown(given[name])}" for name in names)
                yield f"{values}: all are names of {own}"


def _without(values: Mapping[str, Any], ignore: Collection[str]) -> dict[str, Any]:
    """The values but for those of some keys, also in configs of parts."""
    return {
        key: _without(value, ignore)
        if key.endswith("_config") and isinstance(value, dict)
        else value
        for key, value in values.items()
        if key not in ignore
    }


class _Nothing:
    """Equal to no value of JSON."""
