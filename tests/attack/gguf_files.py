"""GGUF files, changed: what is read of them is what their keys and tensors mean, or they are refused.

A trial writes a model as llama.cpp's converter does, every tensor in a type of its own, with keys, names and
shapes changed, or bytes of the file. Where it is read and the `gguf` library reads it as well, what that
found becomes a model of transformers, whose attention counts. It is wrong when the textbook on what was
read differs, and for what is wrong in `family_files`.
"""

from __future__ import annotations

import tempfile
import warnings
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import gguf
import numpy as np
import torch
import transformers
from gguf import GGMLQuantizationType as Stored
from gguf.quants import dequantize, quantize

from tests.attack import readers
from tests.attack.family_changes import other
from tests.attack.family_files import compared, read
from tests.attack.sandbox import Sandbox, serve
from tests.attack.trial import Trial
from tests.compiler.frontends import gguf_files as written
from tests.compiler.frontends.families.models import Case, build, exact_positions, run
from tests.compiler.frontends.test_gguf import SIZES

IN_TESTS = 60

_SANDBOX = Sandbox("tests.attack.gguf_files", seconds=180.0)
_TYPES = (Stored.F32, Stored.F16, Stored.BF16, Stored.Q8_0, Stored.Q4_0, Stored.Q4_1, Stored.Q5_1)
_PLACE = "layers.{layer}.self_attn"
CASES = {
    "llama": Case("Llama", SIZES, _PLACE),
    "llama, biases": Case("Llama", SIZES | {"attention_bias": True}, _PLACE),
    "llama, one group": Case("Llama", SIZES | {"num_key_value_heads": 4}, _PLACE),
    "qwen2": Case("Qwen2", SIZES, _PLACE),
    "gemma": Case("Gemma", SIZES | {"head_dim": 32}, _PLACE),
}
#: Keys under the name of the architecture that files have, and more values that they may hold.
_MORE: dict[str, tuple[Any, ...]] = {
    "rope.scaling.type": ("none", "linear", "yarn", "longrope"),
    "rope.scaling.factor": (0.5, 1.0, 4.0),
    "rope.scaling.original_context_length": (8, 64),
    "rope.scaling.yarn_beta_fast": (4.0, 32.0),
    "rope.scaling.yarn_beta_slow": (0.5, 1.0),
    "rope.scaling.attn_factor": (1.0, 2.0),
    "rope.scaling.yarn_log_multiplier": (0.1,),
    "rope.freq_base": (2.0, 1e6, 500000.0),
    "rope.dimension_count": (8, 16, 32),
    "attention.causal": (True, False),
    "attention.sliding_window": (0, 4),
    "attention.head_count": (2, 4, 8, [4, 4]),
    "attention.head_count_kv": (1, 2, 4, [2, 2]),
    "attention.key_length": (8, 16, 32),
    "attention.value_length": (8, 16, 32),
    "attention.scale": (0.5,),
    "attention.clamp_kqv": (1.0,),
    "attention.max_alibi_bias": (8.0,),
    "attn_logit_softcapping": (30.0,),
    "logit_scale": (2.0,),
    "use_parallel_residual": (True,),
    "block_count": (1, 2, 3),
    "embedding_length": (32, 64, 128),
}
_ABOUT: dict[str, tuple[Any, ...]] = {
    "general.type": ("model", "adapter", "mmproj"),
    "general.alignment": (32, 64, 8, 0),
    "general.quantization_version": (2, 1),
    "split.count": (1, 2),
    "tokenizer.ggml.tokens": (["a", "b"], []),
}


def trial(seed: int) -> Trial:
    """One file, changed by the seed; no reader may end its process."""
    return _SANDBOX.reading(seed)


def attempt(seed: int) -> Trial:
    """What `trial` says, in this process."""
    random = Random(seed)
    transformers.logging.set_verbosity(transformers.logging.CRITICAL)
    name = random.choice(list(CASES))
    case, blind = CASES[name], random.random() < 0.3
    with tempfile.TemporaryDirectory() as place, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        file = Path(place) / "model.gguf"
        done = _write(file, random, name, change=not blind)
        if blind:
            content = file.read_bytes()
            for _ in range(random.choice((1, 1, 2, 4))):
                change = random.choice(readers.BINARY_CHANGES)
                content = change(content, random)
                done.append(change.__name__)
            file.write_bytes(content)
        found = read(file, case, random)
        said, wrong = found.said, found.detail
        if said == "read" and not wrong:
            said, wrong = compared(file, case, int(found.kind), None, lambda keep: _run(file, case))
    kind = f".gguf{', bytes' if blind else ''}"
    return Trial(
        said, bool(wrong), f"{name}: {'; '.join(done)}: {wrong}"[:1500], kind, found.seconds
    )


# ---- files -------------------------------------------------------------------------------------------


@cache
def _model(name: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Keys and tensors of a case, in float32."""
    model = build(CASES[name])
    arch = model.config.model_type
    return written.keys_of(model.config, arch), written.tensors_of(model, arch)


def _write(file: Path, random: Random, name: str, change: bool) -> list[str]:
    """The file, and what was changed."""
    keys, tensors = map(dict, _model(name))
    arch, done = next(iter(keys)).partition(".")[0], []
    for _ in range(random.choice((1, 1, 2, 3)) if change else 0):
        todo = random.choice((_key, _key, _key, _tensor, _architecture))
        keys, tensors, arch, what = todo(keys, tensors, arch, random)
        done.append(what)
    writer = gguf.GGUFWriter(file, arch)
    for key, value in keys.items():
        _add(writer, key, value, random)
    several = random.random() < 0.5
    for tensor, array in tensors.items():
        kind = random.choice(_TYPES) if several and array.ndim == 2 else Stored.F32
        kind = kind if array.shape[-1] % 32 == 0 else Stored.F32
        stored = quantize(np.ascontiguousarray(array, np.float32), kind)
        writer.add_tensor(tensor, stored, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return done


def _add(writer: gguf.GGUFWriter, key: str, value: Any, random: Random) -> None:
    kinds = gguf.GGUFValueType
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int) and 0 <= value < 2**32:
        whole = random.choice((kinds.UINT32, kinds.UINT32, kinds.UINT64, kinds.INT64))
        writer.add_key_value(key, value, whole)
    elif isinstance(value, float):
        fits = kinds.FLOAT32 if not np.isfinite(value) or abs(value) < 1e38 else kinds.FLOAT64
        writer.add_key_value(key, value, random.choice((fits, kinds.FLOAT64)))
    elif isinstance(value, list) and value and len({type(v) for v in value}) == 1:
        writer.add_array(key, value)
    elif value is not None:
        writer.add_string(key, str(value)[:5000].encode("utf-8", "replace").decode())


Changed = tuple[dict[str, Any], dict[str, np.ndarray], str, str]


def _key(keys: dict[str, Any], tensors: Any, arch: str, random: Random) -> Changed:
    more = {f"{arch}.{key}": values for key, values in _MORE.items()} | _ABOUT
    if random.random() < 0.7:
        key = random.choice(list(more))
        keys[key] = random.choice(more[key])
    else:
        key = random.choice(list(keys))
        keys[key] = random.choice((None, other(keys[key], random), other(keys[key], random)))
    return keys, tensors, arch, f"{key} = {str(keys[key])[:60]}"


def _architecture(keys: dict[str, Any], tensors: Any, arch: str, random: Random) -> Changed:
    """Another one, with its keys, or with those that were there."""
    new = random.choice(
        (*("llama", "qwen2", "gemma") * 8, *gguf.MODEL_ARCH_NAMES.values(), "", "x")
    )
    if random.random() < 0.7:
        keys = {key.replace(f"{arch}.", f"{new}.", 1): value for key, value in keys.items()}
    return keys, tensors, new, f"architecture {new}"


def _tensor(keys: Any, tensors: dict[str, np.ndarray], arch: str, random: Random) -> Changed:
    name, second = random.sample(list(tensors), 2)
    alike = [n for n in tensors if tensors[n].shape == tensors[name].shape]
    choice = random.randrange(7)
    if choice == 0:
        tensors[name] = tensors[name].T
    elif choice == 1:
        del tensors[name]
    elif choice == 2:
        other_name = random.choice(alike)
        tensors[name], tensors[other_name] = tensors[other_name], tensors[name]
        return keys, tensors, arch, f"{name} and {other_name} swapped"
    elif choice == 3:
        features = keys.get(f"{arch}.attention.key_length") or 16
        factors = 1 + np.arange(int(features) // 2 if isinstance(features, int) else 8)
        long = random.choice(("rope_freqs.weight", "rope_freqs.weight", "rope_factors_long.weight"))
        tensors[long] = np.float32(factors)[: random.choice((99, 99, 3))]
        return keys, tensors, arch, f"{long}"
    elif choice == 4:
        map_ = random.choice(
            ("attn_q", "attn_k", "attn_v", "attn_output", "attn_q_norm", "attn_sinks")
        )
        beside = tensors.get(f"blk.0.{map_}.weight")
        size = 16 if beside is None else len(beside)
        for layer in range(random.choice((1, 2))):
            end = "bias" if beside is not None else "weight"
            tensors[f"blk.{layer}.{map_}.{end}"] = np.linspace(-1, 1, size, dtype=np.float32)
        return keys, tensors, arch, f"more of {map_}"
    elif choice == 5:
        tensors[random.choice((second + ".x", name.replace("attn_", "attn_qkv_")))] = tensors.pop(
            name
        )
    else:
        tensors[name] = tensors[name][: max(1, len(tensors[name]) // 2)]
    return keys, tensors, arch, f"{name}, change {choice}"


# ---- the oracle --------------------------------------------------------------------------------------


def _run(file: Path, case: Case) -> tuple[Any, list[Any]]:
    """What the `gguf` library reads, as a model of transformers with the meaning that llama.cpp gives to keys."""
    reader = gguf.GGUFReader(file)
    keys = {name: field.contents() for name, field in reader.fields.items()}
    arch = keys["general.architecture"]
    own = {k.removeprefix(f"{arch}."): v for k, v in keys.items() if k.startswith(f"{arch}.")}
    tensors = {t.name: dequantize(t.data, t.tensor_type) for t in reader.tensors}
    tensors = {t.name: tensors[t.name].reshape(t.shape.tolist()[::-1]) for t in reader.tensors}
    kind = {"llama": "Llama", "qwen2": "Qwen2", "gemma": "Gemma"}[arch]
    config = _config(kind, own, tensors)
    model = getattr(transformers, f"{kind}Model")(config).double().eval()
    state, expected = model.state_dict(), {}
    for name, old in state.items():
        array = tensors.get(written.named(name))
        if array is not None and arch == "llama" and ("q_proj" in name or "k_proj" in name):
            heads = config.num_attention_heads if "q_proj" in name else config.num_key_value_heads
            array = _unpermuted(array, heads)
        if array is None and name.endswith("bias"):  # of a layer that has none
            array = np.zeros(old.shape)
        if ".self_attn." in name or array is not None:
            expected[name] = torch.tensor(np.ascontiguousarray(array), dtype=torch.float64)
            expected[name] = expected[name].reshape(old.shape)
    model.load_state_dict({**state, **expected})
    if "rope_freqs.weight" in tensors:
        factors = torch.tensor(tensors["rope_freqs.weight"]).double()
        model.rotary_emb.inv_freq = model.rotary_emb.inv_freq.double() / factors
    exact_positions(model, case.turning)
    return model, run(model, Case(kind, {}, _PLACE))


def _config(kind: str, own: dict[str, Any], tensors: dict[str, np.ndarray]) -> Any:
    heads, width = own["attention.head_count"], own["embedding_length"]
    rope = {"rope_type": "default", "rope_theta": own.get("rope.freq_base", 10000.0)}
    factor = own.get("rope.scaling.factor")
    scaling = own.get("rope.scaling.type", "none" if factor is None else "linear")
    if scaling != "none":
        rope |= {"rope_type": scaling, "factor": factor}
    if scaling == "yarn":
        length = own.get("rope.scaling.original_context_length", own["context_length"])
        rope["original_max_position_embeddings"] = length
        rope["beta_fast"] = own.get("rope.scaling.yarn_beta_fast", 32.0)
        rope["beta_slow"] = own.get("rope.scaling.yarn_beta_slow", 1.0)
    options = {
        **SIZES,
        "hidden_size": width,
        "num_hidden_layers": own["block_count"],
        "num_attention_heads": heads,
        "num_key_value_heads": own.get("attention.head_count_kv", heads),
        "head_dim": own.get("attention.key_length", width // heads),
        "max_position_embeddings": own["context_length"],
        "rope_parameters": rope,
        "is_causal": own.get("attention.causal", True),
    }
    if kind != "Qwen2":
        options["attention_bias"] = any(name.endswith("attn_q.bias") for name in tensors)
    return getattr(transformers, f"{kind}Config")(**options)


def _unpermuted(array: np.ndarray, heads: int) -> np.ndarray:
    """LlamaModel.permute of the converter, undone by trying it on the numbers of rows."""
    rows = written.permute(np.arange(len(array)), heads)
    return np.asarray(array[np.argsort(rows)])


if __name__ == "__main__":
    serve(attempt)
