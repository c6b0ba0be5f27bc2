"""Live models of transformers: the tensors and the config that `save_pretrained` would write, without a file.

A live model can do what no file says: its code may have been changed. What is read as attention must be
transformers' own, with plain weights.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Iterator
from pathlib import PurePath
from typing import Any

import numpy as np

from cortico.backends.extras import require_library
from cortico.frontends.checkpoint import (
    Checkpoint,
    keys_of,
    read_opened,
    refuse_absent,
    require_layer,
)
from cortico.frontends.config import Config
from cortico.frontends.families import family_of
from cortico.frontends.family import Attention
from cortico.frontends.rope import BY_LENGTH
from cortico.frontends.state_dicts import HOOKS, TorchEntry
from cortico.frontends.tensors import Tensors
from cortico.ir.errors import SpecError, bullet_list
from cortico.spec import AttentionSpec, Mask
from cortico.spec.weights import rotary_frequencies

#: Where the classes of attention and of its parts come from.
_MODELS = "transformers.models."
_PLAIN = ("torch.nn.modules.", _MODELS, "transformers.pytorch_utils")
#: With which transformers itself records outputs: they leave alone what is computed.
_RECORDING = "transformers.utils.output_capturing"


def config_of(model: Any) -> Config:
    """What a live model's config.json would say. SpecError when it is no model of transformers."""
    require_library("a live model", "transformers", "transformers")
    library = sys.modules.get("transformers")  # without it there are no models
    if library is None or not isinstance(model, library.PreTrainedModel):
        hint = "; merge_and_unload() of peft gives the model with its adapter" * hasattr(
            model, "peft_config"
        )
        raise SpecError(f"expected a model of transformers, found {type(model).__name__}{hint}")
    _refuse_own_forward(model)
    values = json.loads(model.config.to_json_string(use_diff=False))
    return Config(type(model).__name__, values)


def open_model(model: Any, ignore: str | Iterable[str] = (), part: str | None = None) -> Checkpoint:
    """A live model as an opened checkpoint. SpecError when it is none, or none of a family that is read."""
    config, kind = config_of(model), type(model).__name__
    left_out = frozenset([ignore] if isinstance(ignore, str) else ignore)
    refuse_absent(left_out, keys_of(config), kind)
    family, config = family_of(config, part, left_out)
    entries = {name: TorchEntry(tensor) for name, tensor in model.state_dict().items()}
    name = PurePath(str(model.config.name_or_path or kind)).name
    return Checkpoint(name, config, Tensors(kind, entries), left_out, None, family.live)


def place_of(found: Checkpoint, layer: int) -> str:
    """Where the tensors of a layer's attention are in the model, with a dot behind."""
    assert found.config is not None and found.family is not None
    config = found.family.keys.resolve(found.config, found.ignore)
    return "".join(found.family.placed(config, found.tensors, layer))


def read_live(
    model: Any,
    found: Checkpoint,
    layer: int,
    cross: bool | None = None,
    part: str | None = None,
    tokens: int | None = None,
) -> Attention:
    """A layer of a live model that was opened. SpecError when its code or attributes were changed."""
    require_layer(found, layer)
    place = place_of(found, layer)
    _refuse_changed(model, place)
    attention = read_opened(found, layer, None, cross, part, tokens)
    _refuse_set(model, place, layer, attention)
    return attention


def _refuse_changed(model: Any, place: str) -> None:
    """SpecError when the attention at `place` is not transformers' own, or anything in it is not plain."""
    names = place.removesuffix(".").split(".")
    while names and not has(model, ".".join(names)):
        names.pop()
    attention = model.get_submodule(".".join(names))
    homes = (c.__module__ for c in type(model).__mro__ if c.__module__.startswith(_MODELS))
    home = next(homes, "")
    inside = [(f"{'.'.join(names)}.{name}".rstrip("."), m) for name, m in attention.named_modules()]
    problems = [f"{name}: {what}" for name, part in inside for what in _changes(part, home)]
    problems += [
        f"{'.'.join(names)}.{name} is a {type(p).__name__}, expected a plain tensor"
        for name, p in attention.named_parameters()
        if type(p.data).__module__ != "torch" or type(p.data).__name__ != "Tensor"
    ]
    if problems:
        raise SpecError(f"{type(model).__name__} was changed:{bullet_list(problems)}")


def has(model: Any, path: str) -> bool:
    """Whether a model has a module there."""
    try:
        model.get_submodule(path)
    except AttributeError:
        return False
    return True


def _own_windows(spec: AttentionSpec) -> tuple[int | None, ...]:
    """The window as modules may count it: one to both sides with the token itself, or without."""
    if spec.mask is Mask.BIDIRECTIONAL_WINDOW and spec.window:
        return spec.window, spec.window - 1
    return (spec.window,)


def _refuse_set(model: Any, place: str, layer: int, attention: Attention) -> None:
    """SpecError when a module at `place` says otherwise than the config what its attention is."""
    spec, _ = attention
    usual = spec.scale if spec.scale is not None else spec.d_key**-0.5
    expected: dict[str, tuple[Any, ...]] = {
        "layer_idx": (layer,),
        "head_dim": (spec.d_key,),
        "attention_head_size": (spec.d_key,),
        "num_key_value_groups": (spec.members,),
        "sliding_window": _own_windows(spec),
        "scaling": (usual / lengthening(model, layer, spec) ** 2,),
    }
    inside = [(n, part) for n, part in model.named_modules() if f"{n}.".startswith(place)]
    problems = [
        f"{name}.{key} = {found!r}, by its config {values[0]!r}"
        for name, part in inside
        for key, values in expected.items()
        if not _is_one_of(found := getattr(part, key, None), values)
    ]
    if problems:
        raise SpecError(f"{type(model).__name__} was changed:{bullet_list(problems)}")
    _refuse_rounded(model, layer, attention)


def _is_one_of(found: object, values: tuple[Any, ...]) -> bool:
    """Whether an attribute says what is expected; a module that has none says nothing."""
    return found is None or any(_same(found, value) for value in values)


def _same(found: object, value: object) -> bool:
    if isinstance(found, float) and isinstance(value, float):
        return math.isclose(found, value, rel_tol=1e-9)
    return found == value


def lengthening(model: Any, layer: int, spec: AttentionSpec) -> float:
    """What transformers multiplies queries, and keys, of a layer with when it turns them, and the circuit does not.

    Where only some features turn, weights or gains have it (`rope.stretched`).
    """
    if spec.rotary is None or spec.rotated_features < spec.d_key:
        return 1.0
    found = _of_rope(model, layer, "attention_scaling")
    return 1.0 if found is None else float(found)


def _of_rope(model: Any, layer: int, name: str) -> Any:
    """An attribute of the module that turns queries and keys; Gemma 3 has one for each kind of layer."""
    kinds = getattr(model.config, "layer_types", None)
    names = [name, *([f"{kinds[layer]}_{name}"] if kinds else [])]
    return next((getattr(m, n) for m in model.modules() for n in names if hasattr(m, n)), None)


def _refuse_rounded(model: Any, layer: int, attention: Attention) -> None:
    """SpecError where frequencies are not what the config says: `model.to(dtype)` rounds them."""
    spec, weights = attention
    held = _of_rope(model, layer, "inv_freq")
    if spec.rotary is None or held is None or held.is_meta:
        return
    kind = _of_rope(model, layer, "rope_type")
    if isinstance(kind, dict):  # one for each kind of layer
        kind = kind.get(model.config.layer_types[layer])
    if kind in BY_LENGTH and held.itemsize >= 4:  # made anew for every text
        return
    expected = weights.get("rotary_frequencies", rotary_frequencies(spec))
    found = TorchEntry(held).load()
    if found.shape != expected.shape or not np.allclose(found, expected, rtol=1e-5, atol=0):
        raise SpecError(
            f"{type(model).__name__}: the frequencies of its rotary embedding (inv_freq, {held.dtype}) are "
            "not those of its config: a model that is loaded with dtype=..., and not cast, keeps them"
        )


def _changes(part: Any, home: str) -> Iterator[str]:
    """What may make a part compute something else than the library does."""
    kind = type(part)
    own = kind.__module__ == home or not kind.__module__.startswith(_MODELS)
    if not kind.__module__.startswith(_PLAIN) or not own:
        yield f"is a {kind.__name__} of {kind.__module__}, expected transformers' own"
    if "forward" in vars(part):
        yield "has a forward of its own"
    hooked = [name for name in HOOKS if any(map(_acts, getattr(part, name, {}).values()))]
    if hooked:
        yield f"has hooks ({', '.join(hooked)}), which may change what it computes"


def _acts(hook: Any) -> bool:
    return getattr(hook, "__module__", None) != _RECORDING


def _refuse_own_forward(model: Any) -> None:
    """SpecError for a model whose class, or which itself, has a `forward` that the library does not know."""
    ours = [
        c for c in type(model).__mro__ if not c.__module__.startswith(("transformers.", "torch."))
    ]
    changed = [c.__name__ for c in ours if "forward" in vars(c)]
    if changed or "forward" in vars(model):
        raise SpecError(
            f"{(changed or [type(model).__name__])[0]} has a forward of its own: it may compute "
            "something else than transformers does"
        )
