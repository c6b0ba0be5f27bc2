"""Attention in a GGUF file, the format of llama.cpp."""

from __future__ import annotations

from pathlib import Path

from cortico.frontends.config import Config
from cortico.frontends.family import Family
from cortico.frontends.gguf_file.header import read_header
from cortico.frontends.gguf_file.models import family_of_file
from cortico.frontends.gguf_file.tensors import open_entries
from cortico.frontends.gguf_file.vocabulary import read_vocabulary
from cortico.frontends.gguf_file.whole import with_whole
from cortico.frontends.tensors import Tensors

__all__ = ["SUFFIX", "open_gguf", "read_vocabulary"]

SUFFIX = ".gguf"


def open_gguf(file: Path) -> tuple[Config, Tensors, Family]:
    """Its keys, its tensors, read when they are asked for, and the family that knows both.

    SpecError for a file that is broken, or of an architecture that is not supported.
    """
    header = read_header(file)
    config, tensors = Config(str(file), header.values), open_entries(file, header)
    family = family_of_file(config, tensors)
    return config, tensors, with_whole(family, config, tensors)
