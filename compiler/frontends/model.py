"""`Model`: what a family tells about whole models: their blocks, and where the tensors of each are.

A block is named as in `cortico.spec.wiring`, without the number of its layer: `layer.pre_attention_norm`.
Attention is no part of this: each `Family` has it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from cortico.frontends.config import Config
from cortico.frontends.keys import Keys, words
from cortico.ir.errors import SpecError, shown
from cortico.spec import AttentionSpec, Readout, Sentence, Stack

#: Keys that are harmless to attention, and to whole models as well.
HARMLESS = words(
    # dropout, which is for training, and first weights
    "hidden_dropout_prob attention_probs_dropout_prob dropout attention_dropout qa_dropout hidden_dropout "
    "seq_classif_dropout resid_pdrop embd_pdrop attn_pdrop classifier_dropout_prob embedding_dropout "
    "mlp_dropout resid_dropout embed_dropout activation_dropout layerdrop emb_pdrop residual_dropout "
    "dropout_rate encoder_layerdrop decoder_layerdrop init_std initializer_factor "
    "initializer_cutoff_factor init_device init_config param_init_fn "
    # heads of tasks, and summaries for them
    "summary_type summary_use_proj summary_activation summary_last_dropout summary_proj_to_labels "
    "summary_first_dropout classifier_pooling predict_special_tokens pooler_fc_size "
    "pooler_num_attention_heads pooler_num_fc_layers pooler_size_per_head pooler_type directionality "
    # how it runs, or ran
    "reorder_and_upcast_attn attention_softmax_in_fp32 scale_attention_softmax_in_fp32 inference_runner "
    "pre_allocate_kv_cache max_sequence_length max_batch_size pad_key_length validate_runner_input "
    "pretraining_tp masked_softmax_fusion bias_dropout_fusion skip_bias_add skip_bias_add_qkv "
    "deterministic_flash_attn reference_compile repad_logits_with_grad sparse_prediction "
    "sparse_pred_ignore_index verbose tokenizer_name is_llama_config "
    # what no library reads, or what only says again what `tie_word_embeddings` says
    "tie_weights_ n_ctx seq_length down_scale_factor net_structure_type layers_to_keep "
    "sinusoidal_pos_embds cls_token_id"
)

#: Why whole models of a family are not read.
EXPERTS = "the feed-forward blocks of {} are a mixture of experts, which no spec has"
PATCHES = "{} hears patches of images, and whole models hear tokens"

#: The attention of each layer of a stack.
Attentions = Sequence[AttentionSpec]


@dataclass(frozen=True)
class Stored:
    """A weight as a file has it.

    names: under which it may stand; those that a file has are of one tensor.
    transposed: as (in, out), like GPT-2's `Conv1D`.
    added: to each of its numbers; scaled: what each is multiplied by.
    skipped: rows before those that count.
    part, parts: it is one of several of the same size, one below the other.
    row: a vector that stands as a matrix of one row.
    absent: what it is where the file has not got it, by its shape.
    """

    names: tuple[str, ...]
    transposed: bool = False
    added: float = 0.0
    scaled: float = 1.0
    skipped: int = 0
    part: int = 0
    parts: int = 1
    row: bool = False
    absent: Callable[[tuple[int, ...]], np.ndarray] | None = None

    def shape(self, wanted: tuple[int, ...]) -> tuple[int, ...]:
        """What the tensor in the file must have."""
        whole = (*(1,) * self.row, wanted[0] * self.parts + self.skipped, *wanted[1:])
        return whole[::-1] if self.transposed else whole

    def weight(self, array: np.ndarray, wanted: tuple[int, ...]) -> np.ndarray:
        """The weight, of this shape, of the tensor in the file; a view, but where numbers are changed."""
        first = self.skipped + self.part * wanted[0]
        stored = array[0] if self.row else array.T if self.transposed else array
        found = stored[first : first + wanted[0]]
        if self.added or self.scaled != 1.0:
            return found.astype(np.float64) * self.scaled + self.added
        return found


#: Weight of a block to how it is stored.
Names = Mapping[str, Stored]
#: Block to its weights.
Table = Mapping[str, Names]


def norm(*modules: str, added: float = 0.0, old: bool = False) -> dict[str, Stored]:
    """Gain and shift of a norm. `old`: first files called them gamma and beta."""
    gains, shifts = _named(modules, "weight"), _named(modules, "bias")
    if old:
        gains, shifts = gains + _named(modules, "gamma"), shifts + _named(modules, "beta")
    return {"gain": Stored(gains, added=added), "shift": Stored(shifts)}


def linear(*modules: str, biases: tuple[str, ...] = ()) -> dict[str, Stored]:
    """Matrix and bias of a dense block; `biases` are other names of the latter."""
    return {
        "W": Stored(_named(modules, "weight")),
        "b": Stored((*_named(modules, "bias"), *biases)),
    }


def feed_forward(
    inward: str, outward: str, gate: str | None = None, transposed: bool = False
) -> dict[str, Stored]:
    """Matrices and biases of a feed-forward block. Where `gate` is `inward`, it is the first of two in one."""
    found = _maps({"in": inward, "out": outward}, transposed=transposed)
    if gate != inward:
        return found if gate is None else found | _maps({"gate": gate})
    first, second = _maps({"gate": gate}, parts=2), _maps({"in": inward}, part=1, parts=2)
    return found | first | second


def _maps(
    modules: Mapping[str, str], transposed: bool = False, part: int = 0, parts: int = 1
) -> dict[str, Stored]:
    return {
        f"{letter}_{side}": Stored(
            (f"{module}.{word}",), transposed and letter == "W", part=part, parts=parts
        )
        for side, module in modules.items()
        for letter, word in (("W", "weight"), ("b", "bias"))
    }


def embedding(
    token: str, types: str | None = None, positions: str | None = None, skipped: int = 0
) -> dict[str, Stored]:
    """Tables of tokens, types and positions; the first rows of the last may be skipped."""
    modules = {"W_token": token, "W_type": types, "W_position": positions}
    return {
        weight: Stored((f"{module}.weight",), skipped=skipped if module is positions else 0)
        for weight, module in modules.items()
        if module is not None
    }


def _named(modules: Sequence[str], word: str) -> tuple[str, ...]:
    return tuple(f"{module}.{word}" for module in modules)


@dataclass(frozen=True)
class Head:
    """What a class of transformers adds to the states of the model within.

    Its tensors stand beside those of the model, at the top of the file; `ignored` are beginnings of names,
    from there or within the model, of what its `forward` does not use.
    """

    readout: Callable[[Config], Readout | None] | None = None
    sentence: Callable[[Config], Sentence] | None = None  #: where the file has its tensors
    tensors: Table | Callable[[Config], Table] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()

    def table(self, config: Config) -> Table:
        """Where its tensors are."""
        return self.tensors(config) if callable(self.tensors) else self.tensors


STATES = Head()


def heads(names: str, **ends: Head) -> dict[str, Head]:
    """Classes of these names and ends, and what each adds to the states: `heads("Bert", Model=STATES)`."""
    return {f"{name}{end}": head for name in names.split() for end, head in ends.items()}


@dataclass(frozen=True)
class Model:
    """Whole models of a family.

    heads: classes that are read, as `architectures` of config.json names them.
    read, harmless, fixed: keys, as `Keys` has them, beside those that attention reads.
    ignored: patterns (`fnmatch`) of tensors of the model that do not matter.
    parts: whose attentions `stack` is given; `encoder` is given those of the part of that name. Without it,
        cross attention hears states that are given.
    """

    stack: Callable[..., Stack]
    tensors: Table | Callable[[Config], Table]
    heads: Mapping[str, Head]
    read: Mapping[str, object]
    harmless: frozenset[str] = frozenset()
    fixed: Mapping[str, object] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()
    encoder: Callable[..., Stack] | None = None
    parts: tuple[str | None, ...] = (None,)

    def has(self, part: str | None) -> bool:
        """Whether attentions of this part are read."""
        return part in self.parts or (self.encoder is not None and part == "encoder")

    def keys(self, of_attention: Keys) -> Keys:
        """All keys of the family's config.json."""
        return Keys(
            read={**of_attention.read, "vocab_size": None, **self.read},
            harmless=(of_attention.harmless & HARMLESS) | self.harmless,
            fixed={**of_attention.fixed, **self.fixed},
            same=of_attention.same,
        )

    def table(self, config: Config) -> Table:
        """Where the tensors of its blocks are."""
        return self.tensors(config) if callable(self.tensors) else self.tensors

    def head(self, config: Config, architecture: str | None) -> Head:
        """What is added to the states. SpecError for a class that is not read, and where none is named."""
        only = next(iter(self.heads)) if len(self.heads) == 1 else None
        kind = architecture or _architecture(config) or only
        if kind is not None and kind in self.heads:
            return self.heads[kind]
        what = f"architectures = {shown(config.values.get('architectures'))}"
        what = what if architecture is None else f"architecture = {shown(architecture)}"
        raise SpecError(
            f"{config.source}: {what} is not read as a whole model; expected one of "
            f"{', '.join(self.heads)}, which architecture='NAME', --architecture NAME says"
        )


def _architecture(config: Config) -> str | None:
    """The class of which config.json says that the model is; None where it says nothing."""
    match config.values.get("architectures"):
        case None:
            return None
        case [str(kind)]:
            return kind
    return ""
