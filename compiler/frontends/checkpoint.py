"""One attention layer of a checkpoint on disk: which files, which family, which layer."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from cortico.frontends import gguf_file, onnx_file, torch_mha
from cortico.frontends.config import Config, read_config
from cortico.frontends.families import FAMILIES, family_of, parts_of
from cortico.frontends.family import Attention, Family
from cortico.frontends.foreign import PICKLED, conversions
from cortico.frontends.tensors import Tensors, open_tensors
from cortico.ir.arguments import kind
from cortico.ir.errors import SpecError, named, near_name
from cortico.ir.reading import AnyPath
from cortico.spec import AttentionSpec
from cortico.spec.weights import check_weights

#: Folder names that do not name a model: generic ones, and the commits of the hub's cache.
_SAYS_NOTHING = r"|\.|models?|checkpoints?|snapshots?|[0-9a-f]{40}"
#: Files of `save_pretrained`, those that count first first.
_SAFE = ("model.safetensors", "model.safetensors.index.json")
_PICKLED = ("pytorch_model.bin", "pytorch_model.bin.index.json")
_SAVED = (*_SAFE, *_PICKLED)
#: Files of peft beside the weights of a model: what they add to it would be left out.
_ADAPTERS = ("adapter_config.json", "adapter_model.safetensors", "adapter_model.bin")


@dataclass(frozen=True)
class Checkpoint:
    """Opened tensors, the config beside them with the family that knows it, and how to read them.

    config, family: None for the state dict of a `torch.nn.MultiheadAttention`.
    """

    name: str
    config: Config | None
    tensors: Tensors
    ignore: frozenset[str]  #: keys that are left out
    prefix: str | None
    family: Family | None


@kind
def read_checkpoint(
    path: AnyPath,
    layer: int = 0,
    heads: int | None = None,
    prefix: str | None = None,
    cross: bool | None = None,
    ignore: str | Iterable[str] = (),
    part: str | None = None,
    tokens: int | None = None,
) -> Attention:
    """Spec and weights of the attention of one layer.

    `path` is a folder (config.json, and model.safetensors or pytorch_model.bin or an index of theirs)
    or a `.safetensors`, `.bin` or `.pt` file, with config.json beside it or the state dict of a
    `torch.nn.MultiheadAttention`; only the last needs `heads`, and may be told that it is `cross`
    attention. `prefix` is what stands before the model's names in the file, where it is not one that
    the family knows. `ignore` names keys of config.json, and files of an adapter beside the weights,
    that are read as if they were not there. `part` is which attention of a model that has several:
    encoder, decoder or cross (from the decoder to the encoder's states); text or vision. `tokens` fixes
    the number of query tokens, without which a family with a position bias by distance, such as T5, is
    refused, and a rope by length (dynamic, longrope). Weights are views of the memory-mapped file where
    they can be. Where a folder has safetensors and pickled files, safetensors count.

    `path` may be a `.gguf` file, whose keys stand for config.json; or an `.onnx` file, whose attentions
    are numbered as they are computed.

    Raises SpecError when files, config, tensors or numbers are not what they should be.
    """
    if Path(path).suffix.lower() == onnx_file.SUFFIX:
        _refuse(
            "an ONNX file",
            heads=heads,
            prefix=prefix,
            cross=cross,
            ignore=tuple(ignore) or None,
            part=part,
        )
        return _read_onnx(Path(path), layer, tokens)
    found = open_checkpoint(Path(path), ignore, prefix, part)
    return read_opened(found, layer, heads, cross, part, tokens)


def read_opened(
    found: Checkpoint,
    layer: int,
    heads: int | None = None,
    cross: bool | None = None,
    part: str | None = None,
    tokens: int | None = None,
) -> Attention:
    """As `read_checkpoint`, of what is open."""
    require_layer(found, layer)
    spec, weights = _read_layer(found, layer, heads, cross, tokens)
    words = [found.name, *([part] if part else []), f"layer {layer}"]
    spec = replace(_sized(spec, tokens), name=" ".join(words))
    check_weights(spec, weights)
    return spec, weights


def require_layer(found: Checkpoint, layer: int) -> None:
    """SpecError when there is no such layer."""
    count = count_layers(found)
    if isinstance(layer, bool) or not isinstance(layer, int) or not 0 <= layer < count:
        span = f"0 … {count - 1}" if count > 1 else "0"
        raise SpecError(
            f"layer {layer!r} of {found.tensors.source!r} does not exist, layers: {span}"
        )


@kind
def layers(
    path: AnyPath,
    prefix: str | None = None,
    ignore: str | Iterable[str] = (),
    part: str | None = None,
) -> int:
    """Number of attention layers in a checkpoint, or in a part of it. SpecError when it cannot be read."""
    if Path(path).suffix.lower() == onnx_file.SUFFIX:
        _refuse("an ONNX file", part=part)
        return onnx_file.count_onnx(Path(path))
    return count_layers(open_checkpoint(Path(path), ignore, prefix, part))


def _refuse(what: str, **options: object) -> None:
    for name, given in options.items():
        if given is not None:
            raise SpecError(f"{name} does not apply to {what}")


def _sized(spec: AttentionSpec, tokens: int | None) -> AttentionSpec:
    return spec if tokens is None else replace(spec, tokens=tokens)


def _read_onnx(path: Path, layer: int, tokens: int | None) -> Attention:
    spec, weights = onnx_file.read_onnx(path, layer)
    spec = _sized(spec, tokens)
    check_weights(spec, weights)
    return spec, weights


def _read_layer(
    found: Checkpoint, layer: int, heads: int | None, cross: bool | None, tokens: int | None
) -> Attention:
    if found.config is None or found.family is None:
        scope = torch_mha.find_prefixes(found.tensors, found.prefix)[layer]
        tensors = found.tensors.scoped(scope, f"layer {layer}")
        return torch_mha.read_state_dict(tensors, heads, cross)
    spec, weights = found.family.read(
        found.config, found.tensors, layer, found.prefix, found.ignore, tokens
    )
    source = found.config.source
    if heads is not None and heads != spec.heads:
        raise SpecError(f"{source} says {spec.heads} heads, found heads = {heads!r}")
    if cross is not None and cross != spec.cross:
        raise SpecError(f"{source} says cross = {spec.cross}, found cross = {cross!r}")
    return spec, weights


def count_layers(found: Checkpoint) -> int:
    """Number of attention layers of what is open."""
    if found.config is not None and found.family is not None:
        return found.family.count(found.config, found.ignore)
    count = len(torch_mha.find_prefixes(found.tensors, found.prefix))
    if not count:
        known = ", ".join(dict.fromkeys(family.name for family in FAMILIES))
        under = f" under {found.prefix!r}" if found.prefix else ""
        raise SpecError(
            f"{found.tensors.source!r} has no config.json beside it and no in_proj_weight{under}: "
            f"expected a torch.nn.MultiheadAttention, or config.json for one of {known}"
        )
    return count


def open_checkpoint(
    path: Path,
    ignore: str | Iterable[str],
    prefix: str | None,
    part: str | None,
    whole: bool = False,
) -> Checkpoint:
    """A checkpoint with its config, and its family; if it is to be read as a `whole`, that of its first part.

    Then `ignore` may name tensors, or how names of tensors begin. SpecError for what cannot be opened.
    """
    left_out = frozenset([ignore] if isinstance(ignore, str) else ignore)
    if path.suffix.lower() == gguf_file.SUFFIX:
        _refuse("a GGUF file", part=part)
        return _open_gguf(path, left_out, prefix)
    folder = path if path.is_dir() else path.parent
    adapters = [name for name in _ADAPTERS if (folder / name).exists()]
    _refuse_adapters(folder, [name for name in adapters if name not in left_out])
    tensors = open_tensors(_weights_file(path) if path.is_dir() else path)
    beside = folder / "config.json"
    found = read_config(beside) if _is_there(beside) else None
    if found is not None and "model_type" not in found.values and torch_mha.holds_one(tensors):
        found = None
    named = _beginnings(tensors, left_out) if whole else ()
    refuse_absent(left_out, [*adapters, *(keys_of(found) if found else ()), *named], folder)
    name = _name(path, found)
    if found is None:
        _refuse("a torch.nn.MultiheadAttention", part=part)
        return Checkpoint(name, None, tensors, left_out, prefix, None)
    if whole:
        part = next(iter(parts_of(found)), None)
    family, config = family_of(found, part, left_out)
    return Checkpoint(name, config, tensors, left_out, prefix, family)


def _beginnings(tensors: Tensors, names: Collection[str]) -> list[str]:
    """Those of some names with which names of tensors begin."""
    return [each for each in names if any(name.startswith(each) for name in tensors)]


def _open_gguf(path: Path, left_out: frozenset[str], prefix: str | None) -> Checkpoint:
    config, tensors, family = gguf_file.open_gguf(path)
    refuse_absent(left_out, config.values, path)
    return Checkpoint(path.stem, config, tensors, left_out, prefix, family)


def keys_of(config: Config) -> list[str]:
    """The keys of a config, and those of the configs of its parts."""
    parts = (v for k, v in config.values.items() if k.endswith("_config") and isinstance(v, dict))
    return [*config.values, *(key for part in parts for key in part)]


def _refuse_adapters(folder: Path, found: list[str]) -> None:
    if found:
        raise SpecError(
            f"{str(folder)!r} has an adapter beside the weights, {', '.join(found)}, which changes "
            "the maps of attention: merge it (model.merge_and_unload() of peft, then "
            f"save_pretrained), or leave it out with ignore={found}, "
            f"{' '.join(f'--ignore {name}' for name in found)}"
        )


def refuse_absent(ignore: Collection[str], known: Collection[str], source: object) -> None:
    """SpecError for what is to be ignored and is not there: it was a slip of the pen."""
    for name in sorted(set(ignore) - set(known)):
        raise SpecError(
            f"{str(source)!r} has no key or adapter {named(name)} to ignore{near_name(name, known)}"
        )


def _weights_file(folder: Path) -> Path:
    """The file that lists a folder's tensors, as save_pretrained names it, or the only one."""
    saved = [folder / name for name in _SAVED if _is_there(folder / name)]
    found = sorted(p for p in folder.glob("*.safetensors") if p.name not in _ADAPTERS)
    if saved and (saved[0].name in _SAFE or not found):
        return saved[0]
    if len(found) == 1:
        return found[0]
    several = f", found {', '.join(p.name for p in found)}" if found else ""
    raise SpecError(f"{str(folder)!r} has no {' or '.join(_SAFE)}{several}{conversions(folder)}")


def _is_there(file: Path) -> bool:
    return file.exists() or file.is_symlink()  # a broken link is an error, not an absence


def passed_over(path: AnyPath) -> list[str]:
    """Names of a folder's pickled weights that do not count, for there are safetensors beside them."""
    folder = Path(path)
    if not folder.is_dir() or not any(folder.glob("*.safetensors")):
        return []
    return [name for name in _PICKLED if (folder / name).is_file()]


def _name(path: Path, config: Config | None) -> str:
    """What a user calls the model: its folder or file; `_name_or_path` where that tells nothing."""
    own = path.resolve()
    if config is not None and not path.is_dir():
        own = own.parent
    name = re.sub("|".join(rf"\{end}$" for end in (".safetensors", *PICKLED)), "", own.name)
    given = config.values.get("_name_or_path") if config else None
    if isinstance(given, str) and re.fullmatch(_SAYS_NOTHING, name):
        name = PurePosixPath(given.replace("\\", "/")).name or name
    return name.encode(errors="replace").decode() or "model"  # names on disk may be no Unicode
