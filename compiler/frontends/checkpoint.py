"""One attention layer of a checkpoint on disk: which files, which family, which layer."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from cortico.frontends import onnx_file, torch_mha
from cortico.frontends.config import Config, read_config
from cortico.frontends.families import FAMILIES, family_of
from cortico.frontends.family import Attention
from cortico.frontends.tensors import Tensors, open_tensors
from cortico.ir.errors import SpecError, near_name, shown
from cortico.ir.reading import AnyPath
from cortico.spec import AttentionSpec
from cortico.spec.weights import check_weights

#: Folder names that do not name a model: generic ones, and the commits of the hub's cache.
_SAYS_NOTHING = r"|\.|models?|checkpoints?|snapshots?|[0-9a-f]{40}"
_PICKLED = (".bin", ".pt", ".pth", ".ckpt")
#: How files of `torch.save` begin: a zip archive, or a pickle of protocol 2 and later.
_PICKLES_BEGIN = (b"PK\x03\x04", b"\x80")
#: Files of peft beside the weights of a model: what they add to it would be left out.
_ADAPTERS = ("adapter_config.json", "adapter_model.safetensors", "adapter_model.bin")


@dataclass(frozen=True)
class Checkpoint:
    """Opened tensors, the config.json beside them, if any, and what was said of how to read them."""

    name: str
    config: Config | None
    tensors: Tensors
    ignore: frozenset[str]  #: keys that are left out
    prefix: str | None
    part: str | None


def read_checkpoint(
    path: AnyPath,
    layer: int = 0,
    heads: int | None = None,
    prefix: str | None = None,
    cross: bool | None = None,
    ignore: Iterable[str] = (),
    part: str | None = None,
    tokens: int | None = None,
) -> Attention:
    """Spec and weights of the attention of one layer.

    `path` is a folder (config.json and model.safetensors or its index) or a `.safetensors` file,
    with config.json beside it or the state dict of a `torch.nn.MultiheadAttention`; only the last
    needs `heads`, and may be told that it is `cross` attention. `prefix` is what stands before the
    model's names in the file, where it is not one that the family knows. `ignore` names keys of
    config.json, and files of an adapter beside the weights, that are read as if they were not there.
    `part` is which attention of a model that has several: encoder, decoder or cross (from the decoder
    to the encoder's states); text or vision. `tokens` fixes the number of query tokens, without which
    a family with a position bias by distance, such as T5, is refused. Weights are views of the
    memory-mapped file where they can be.

    `path` may be an `.onnx` file too; its attentions are numbered as they are computed.

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
    found = _open(Path(path), ignore, prefix, part)
    count = _count_layers(found)
    if isinstance(layer, bool) or not isinstance(layer, int) or not 0 <= layer < count:
        span = f"0 … {count - 1}" if count > 1 else "0"
        raise SpecError(
            f"layer {layer!r} of {found.tensors.source!r} does not exist, layers: {span}"
        )
    spec, weights = _read_layer(found, layer, heads, cross, tokens)
    words = [found.name, *([part] if part else []), f"layer {layer}"]
    spec = replace(_sized(spec, tokens), name=" ".join(words))
    check_weights(spec, weights)
    return spec, weights


def layers(
    path: AnyPath, prefix: str | None = None, ignore: Iterable[str] = (), part: str | None = None
) -> int:
    """Number of attention layers in a checkpoint, or in a part of it. SpecError when it cannot be read."""
    if Path(path).suffix.lower() == onnx_file.SUFFIX:
        _refuse("an ONNX file", part=part)
        return onnx_file.count_onnx(Path(path))
    return _count_layers(_open(Path(path), ignore, prefix, part))


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
    if found.config is None:
        scope = torch_mha.find_prefixes(found.tensors, found.prefix)[layer]
        tensors = found.tensors.scoped(scope, f"layer {layer}")
        return torch_mha.read_state_dict(tensors, heads, cross)
    family, config = family_of(found.config, found.part, found.ignore)
    spec, weights = family.read(config, found.tensors, layer, found.prefix, found.ignore, tokens)
    source = config.source
    if heads is not None and heads != spec.heads:
        raise SpecError(f"{source} says {spec.heads} heads, found heads = {heads!r}")
    if cross is not None and cross != spec.cross:
        raise SpecError(f"{source} says cross = {spec.cross}, found cross = {cross!r}")
    return spec, weights


def _count_layers(found: Checkpoint) -> int:
    if found.config is not None:
        family, config = family_of(found.config, found.part, found.ignore)
        return family.count(config, found.ignore)
    _refuse("a torch.nn.MultiheadAttention", part=found.part)
    count = len(torch_mha.find_prefixes(found.tensors, found.prefix))
    if not count:
        known = ", ".join(dict.fromkeys(family.name for family in FAMILIES))
        under = f" under {found.prefix!r}" if found.prefix else ""
        raise SpecError(
            f"{found.tensors.source!r} has no config.json beside it and no in_proj_weight{under}: "
            f"expected a torch.nn.MultiheadAttention, or config.json for one of {known}"
        )
    return count


def _open(path: Path, ignore: Iterable[str], prefix: str | None, part: str | None) -> Checkpoint:
    folder = path if path.is_dir() else path.parent
    left_out = frozenset([ignore] if isinstance(ignore, str) else ignore)
    adapters = [name for name in _ADAPTERS if (folder / name).exists()]
    _refuse_adapters(folder, [name for name in adapters if name not in left_out])
    tensors = open_tensors(_weights_file(path) if path.is_dir() else path)
    config = folder / "config.json"
    exists = config.exists() or config.is_symlink()  # a broken link is an error, not an absence
    found = read_config(config) if exists else None
    if found is not None and "model_type" not in found.values and torch_mha.holds_one(tensors):
        found = None
    _refuse_absent(left_out, [*adapters, *(_keys(found) if found else ())], folder)
    return Checkpoint(_name(path, found), found, tensors, left_out, prefix, part)


def _keys(config: Config) -> list[str]:
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


def _refuse_absent(ignore: Collection[str], known: Collection[str], folder: Path) -> None:
    """SpecError for what is to be ignored and is not there: it was a slip of the pen."""
    for name in sorted(set(ignore) - set(known)):
        raise SpecError(
            f"{str(folder)!r} has no key or adapter {shown(name)} to ignore{near_name(name, known)}"
        )


def _weights_file(folder: Path) -> Path:
    """The file that lists a folder's tensors, as save_pretrained names it, or the only one."""
    for name in ("model.safetensors", "model.safetensors.index.json"):
        if (folder / name).exists() or (folder / name).is_symlink():
            return folder / name
    files = sorted(p for p in folder.glob("*.safetensors") if p.name not in _ADAPTERS)
    if len(files) == 1:
        return files[0]
    pickled = sorted(p.name for p in folder.iterdir() if _is_pickled(p))
    hint = f"; {pickled[0]} is pickled, which cortico does not read" if pickled else ""
    several = f", found {', '.join(p.name for p in files)}" if files else ""
    raise SpecError(
        f"{str(folder)!r} has no model.safetensors or model.safetensors.index.json{several}{hint}"
    )


def _is_pickled(path: Path) -> bool:
    """Whether a file is one of `torch.save`: by its name, and by how it begins."""
    if path.suffix not in _PICKLED or not path.is_file():
        return False
    try:
        with path.open("rb") as stream:
            return stream.read(4).startswith(_PICKLES_BEGIN)
    except OSError:
        return False


def _name(path: Path, config: Config | None) -> str:
    """What a user calls the model: its folder or file; `_name_or_path` where that tells nothing."""
    own = path.resolve()
    if config is not None and not path.is_dir():
        own = own.parent
    name = own.name.removesuffix(".safetensors")
    given = config.values.get("_name_or_path") if config else None
    if isinstance(given, str) and re.fullmatch(_SAYS_NOTHING, name):
        name = PurePosixPath(given.replace("\\", "/")).name or name
    return name.encode(errors="replace").decode() or "model"  # names on disk may be no Unicode
