"""One attention layer of a checkpoint on disk: which files, which family, which layer."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from cortico.frontends import onnx_file, torch_mha
from cortico.frontends.config import Config, read_config
from cortico.frontends.families import FAMILIES, family_of
from cortico.frontends.family import Attention
from cortico.frontends.tensors import Tensors, open_tensors
from cortico.ir.errors import SpecError
from cortico.ir.reading import AnyPath
from cortico.spec.weights import check_weights

#: Folder names that do not name a model: generic ones, and the commits of the hub's cache.
_SAYS_NOTHING = r"|\.|models?|checkpoints?|snapshots?|[0-9a-f]{40}"
_PICKLED = (".bin", ".pt", ".pth", ".ckpt")


@dataclass(frozen=True)
class Checkpoint:
    """Opened tensors, and the config.json beside them, if any."""

    name: str
    config: Config | None
    tensors: Tensors


def read_checkpoint(
    path: AnyPath, layer: int = 0, heads: int | None = None, prefix: str | None = None
) -> Attention:
    """Spec and weights of the self-attention of one layer.

    `path` is a folder (config.json and model.safetensors or its index) or a `.safetensors` file,
    with config.json beside it or the state dict of a `torch.nn.MultiheadAttention`; only the last
    needs `heads`. `prefix` is what stands before the model's names in the file, where it is not one
    that the family knows. Weights are views of the memory-mapped file where they can be.

    `path` may be an `.onnx` file too; its attentions are numbered as they are computed.

    Raises SpecError when files, config, tensors or numbers are not what they should be.
    """
    if Path(path).suffix.lower() == onnx_file.SUFFIX:
        return _read_onnx(Path(path), layer, heads, prefix)
    found = _open(Path(path))
    count = _count_layers(found, prefix)
    if isinstance(layer, bool) or not isinstance(layer, int) or not 0 <= layer < count:
        span = f"0 … {count - 1}" if count > 1 else "0"
        raise SpecError(
            f"layer {layer!r} of {found.tensors.source!r} does not exist, layers: {span}"
        )
    spec, weights = _read_layer(found, layer, heads, prefix)
    spec = replace(spec, name=f"{found.name} layer {layer}")
    check_weights(spec, weights)
    return spec, weights


def layers(path: AnyPath, prefix: str | None = None) -> int:
    """Number of attention layers in a checkpoint. SpecError when it cannot be read."""
    if Path(path).suffix.lower() == onnx_file.SUFFIX:
        return onnx_file.count_onnx(Path(path))
    return _count_layers(_open(Path(path)), prefix)


def _read_onnx(path: Path, layer: int, heads: int | None, prefix: str | None) -> Attention:
    for name, given in (("heads", heads), ("prefix", prefix)):
        if given is not None:
            raise SpecError(f"{name} does not apply to an ONNX file")
    spec, weights = onnx_file.read_onnx(path, layer)
    check_weights(spec, weights)
    return spec, weights


def _read_layer(found: Checkpoint, layer: int, heads: int | None, prefix: str | None) -> Attention:
    if found.config is None:
        scope = torch_mha.find_prefixes(found.tensors, prefix)[layer]
        return torch_mha.read_state_dict(found.tensors.scoped(scope, f"layer {layer}"), heads)
    family = family_of(found.config)
    spec, weights = family.read(found.config, family.scope(found.tensors, layer, prefix), layer)
    if heads is not None and heads != spec.heads:
        raise SpecError(f"{found.config.source} says {spec.heads} heads, found heads = {heads!r}")
    return spec, weights


def _count_layers(found: Checkpoint, prefix: str | None) -> int:
    if found.config is not None:
        return found.config.size(family_of(found.config).layers)
    count = len(torch_mha.find_prefixes(found.tensors, prefix))
    if not count:
        known = ", ".join(family.name for family in FAMILIES)
        under = f" under {prefix!r}" if prefix else ""
        raise SpecError(
            f"{found.tensors.source!r} has no config.json beside it and no in_proj_weight{under}: "
            f"expected a torch.nn.MultiheadAttention, or config.json for one of {known}"
        )
    return count


def _open(path: Path) -> Checkpoint:
    folder = path if path.is_dir() else path.parent
    tensors = open_tensors(_weights_file(path) if path.is_dir() else path)
    config = folder / "config.json"
    exists = config.exists() or config.is_symlink()  # a broken link is an error, not an absence
    found = read_config(config) if exists else None
    if found is not None and "model_type" not in found.values and torch_mha.holds_one(tensors):
        found = None
    return Checkpoint(_name(path, found), found, tensors)


def _weights_file(folder: Path) -> Path:
    """The file that lists a folder's tensors, as save_pretrained names it, or the only one."""
    for name in ("model.safetensors", "model.safetensors.index.json"):
        if (folder / name).exists() or (folder / name).is_symlink():
            return folder / name
    files = sorted(folder.glob("*.safetensors"))
    if len(files) == 1:
        return files[0]
    pickled = sorted(p.name for p in folder.iterdir() if p.suffix in _PICKLED)
    hint = f"; {pickled[0]} is pickled, which cortico does not read" if pickled else ""
    several = f", found {', '.join(p.name for p in files)}" if files else ""
    raise SpecError(
        f"{str(folder)!r} has no model.safetensors or model.safetensors.index.json{several}{hint}"
    )


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
