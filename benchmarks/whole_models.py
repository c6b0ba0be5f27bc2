"""MiniLM and SmolLM2 whole, as emitted code and in transformers; small ones with random weights in a smoke run."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
import torch
from common import SMOKE

from cortico.backends import get_backend
from cortico.frontends import read_model
from cortico.ir.network import Network
from cortico.ir.text.networks import stored_arrays
from cortico.model_pipeline import compile_model
from cortico.spec import ModelSpec
from cortico.spec.model_weights import GivenModel

THEIRS = "transformers"

Ids = np.ndarray
Run = Callable[[Ids], np.ndarray]


@dataclass
class Subject:
    """A model that both run: states, or logits where it has a readout."""

    spec: ModelSpec
    weights: GivenModel
    theirs: Any
    threads: int

    @cached_property
    def network(self) -> Network:
        """After the default passes."""
        return compile_model(self.spec, self.weights).network

    @cached_property
    def numpy(self) -> Mapping[str, Any]:
        """What the emitted NumPy file defines."""
        return loaded("numpy", self.network)

    @cached_property
    def packed(self) -> Any:
        """Weights of the emitted NumPy file in float32."""
        return self.numpy["pack"](stored_arrays(self.network), np.float32)

    def given(self, ids: Ids) -> tuple[Ids, ...]:
        """Values of the inputs: token ids, and types of tokens where the model has them."""
        return (ids, np.zeros_like(ids))[: len(self.network.inputs) - self.has_keep]

    @property
    def has_keep(self) -> bool:
        """Whether padding can be told."""
        return any(each.name == "keep" for each in self.network.inputs)

    def runs(self, only: str = "") -> dict[str, Run]:
        """Ids to states or logits, by whom."""
        makers = {THEIRS: self.of_transformers, "numpy": self.of_numpy, "torch": self.of_torch}
        return {who: make() for who, make in makers.items() if only in who}

    def of_transformers(self) -> Run:
        """Their model, in inference mode."""

        @torch.inference_mode()
        def run(ids: Ids) -> np.ndarray:
            found = self.theirs(
                torch.tensor(ids), attention_mask=torch.ones(ids.shape, dtype=torch.long)
            )
            states: torch.Tensor = found.logits if "logits" in found else found.last_hidden_state
            return states.numpy()

        return run

    def of_numpy(self, *, keep: bool = True) -> Run:
        """The emitted NumPy file; with `keep` memory is kept from run to run, as PyTorch does."""
        packed = self.packed
        options = {"work": {}} if keep else {}

        def run(ids: Ids) -> np.ndarray:
            model = self.numpy["model"]
            return self.output(
                model(*self.given(ids), weights=packed, threads=self.threads, **options)
            )

        return run

    def of_torch(self) -> Run:
        """The emitted PyTorch module, in inference mode."""
        module = loaded("torch", self.network)["Model"](
            stored_arrays(self.network), dtype=torch.float32
        )

        @torch.inference_mode()
        def run(ids: Ids) -> np.ndarray:
            given = (torch.tensor(each) for each in self.given(ids))
            found: torch.Tensor = self.output(module(*given))
            return found.numpy()

        return run

    def output(self, found: Any) -> Any:
        """Logits where there are such, else states."""
        given = found if isinstance(found, tuple) else (found,)
        names = [each.name for each in self.network.outputs]
        return given[names.index("logits" if "logits" in names else "states")]

    # ---- writing

    def write_by_transformers(self, ids: Ids, count: int) -> list[int]:
        """So many most likely tokens after `ids`, with a cache."""
        given = torch.tensor(ids)[None]
        options = {"max_new_tokens": count, "min_new_tokens": count, "do_sample": False}
        found = self.theirs.generate(
            given, attention_mask=torch.ones_like(given), pad_token_id=0, **options
        )
        tokens: list[int] = found[0, len(ids) :].tolist()
        return tokens

    def write_by_numpy(self, ids: Ids, count: int) -> list[int]:
        """The same by emitted NumPy."""
        drawn = self.numpy["generate"](ids, count, weights=self.packed, threads=self.threads)
        return [int(token) for token in itertools.islice(drawn, count)]


def loaded(backend: str, network: Network) -> Mapping[str, Any]:
    """What the emitted file of a network defines."""
    (source,) = get_backend(backend).emit_network(network).values()  # type: ignore[attr-defined]
    namespace: dict[str, Any] = {"__name__": "model", "__file__": "model.py"}
    exec(compile(source, "model.py", "exec"), namespace)
    return namespace


def minilm(threads: int) -> Subject:
    """all-MiniLM-L6-v2."""
    from transformers import BertConfig, BertModel

    if SMOKE:
        config = BertConfig(
            vocab_size=64,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=48,
            max_position_embeddings=16,
        )
        return saved(BertModel(config, add_pooling_layer=False), threads)
    from cortico.demo.weights import model_folder

    spec, weights = read_model(model_folder())
    return Subject(spec, weights, BertModel.from_pretrained(model_folder()).eval(), threads)


def smollm2(threads: int) -> Subject:
    """SmolLM2-135M."""
    if SMOKE:
        from transformers import LlamaConfig, LlamaForCausalLM

        config = LlamaConfig(
            vocab_size=64,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            intermediate_size=48,
        )
        return saved(LlamaForCausalLM(config), threads)
    from tests.live.smollm2 import model_file
    from tests.live.smollm2 import smollm2 as of_transformers

    return Subject(*read_model(model_file()), of_transformers()[0], threads)


def saved(model: Any, threads: int) -> Subject:
    """A model of transformers, read from the folder that it saves."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        spec, weights = read_model(folder)
        weights = {path: {n: np.array(w) for n, w in own.items()} for path, own in weights.items()}
        return Subject(spec, weights, model.eval(), threads)


MODELS: dict[str, Callable[[int], Subject]] = {"MiniLM": minilm, "SmolLM2": smollm2}
