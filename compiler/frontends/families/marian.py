"""Marian: BART with sinusoidal positions and without a norm of tokens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from cortico.frontends.config import Config
from cortico.frontends.families import bart
from cortico.frontends.keys import words
from cortico.frontends.model import STATES, Attentions, Names, Stored, Table, heads
from cortico.spec import Readout, Stack

KEYS = replace(
    bart.KEYS,
    harmless=bart.KEYS.harmless | words("decoder_vocab_size share_encoder_decoder_embeddings"),
)


def waves(shape: tuple[int, ...]) -> np.ndarray:
    """Sines of the even features, then cosines of the odd ones, rounded as the library rounds them (rows, model).

    The angle of feature j at place p is p / 10000^(2 (j // 2) / model).
    """
    places, features = np.arange(shape[0])[:, None], np.arange(shape[1])
    angles = places / np.power(10000.0, 2 * (features // 2) / shape[1])
    halves = (np.sin(angles[:, 0::2]), np.cos(angles[:, 1::2]))
    rounded: np.ndarray = np.concatenate(halves, axis=1).astype(np.float32)
    return rounded


def stack_of(side: str) -> Callable[..., Stack]:
    """BART's, each with the number of tokens that it knows."""

    def stack(config: Config, *attentions: Attentions) -> Stack:
        return bart.stack_of(side, normed=False)(_of_side(config, side), *attentions)

    return stack


def _of_side(config: Config, side: str) -> Config:
    """The config with the vocabulary of one side; both have the encoder's where they share a table."""
    own = config.optional_size("decoder_vocab_size")
    shared = config.flag("share_encoder_decoder_embeddings")
    return config if side == "encoder" or shared or own is None else config.changed(vocab_size=own)


def read_out(config: Config) -> Readout:
    """Logits of the decoder's tokens."""
    return bart.read_out(_of_side(config, "decoder"))


def tensors(config: Config) -> Table:
    """BART's; positions are where they were written, and known where they were not."""
    shared, found = config.flag("share_encoder_decoder_embeddings"), dict[str, Names]()
    for side in bart.SIDES:
        positions = Stored((f"{side}.embed_positions.weight",), absent=waves)
        found |= bart.tensors(side, positions, shared)
    return found


MODEL = replace(
    bart.MODEL,
    stack=stack_of("decoder"),
    encoder=stack_of("encoder"),
    tensors=tensors,
    heads=heads("Marian", Model=STATES, MTModel=replace(bart.GENERATION, readout=read_out)),
    read={
        **bart.READ,
        "decoder_vocab_size": None,
        "share_encoder_decoder_embeddings": True,
    },
)

FAMILIES = tuple(bart.family("Marian", "marian", part, KEYS, model=MODEL) for part in bart.PARTS)
