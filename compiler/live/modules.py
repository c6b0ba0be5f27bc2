"""The modules that stand in a live model while emitted code attends."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from transformers import DynamicCache, EncoderDecoderCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from cortico.ir.errors import SpecError, UnsupportedError, named
from cortico.live.masks import Masks
from cortico.lowering.layout import plane_order
from cortico.spec import AttentionSpec, Mask

#: Arguments that change nothing of what attention computes, once what is below has been read.
_HARMLESS = {"position_embeddings", "position_ids", "use_cache", "cache_position"}
_HARMLESS |= {"return_dict", "output_hidden_states"}
_LAYERS = (DynamicLayer, DynamicSlidingWindowLayer)

Recall = Callable[[Any, Callable[[], tuple[Any, Any]]], tuple[Any, Any, Any]]


class StandIn(torch.nn.Module):
    """Stands for a module, which it keeps: saved and moved is that module, too."""

    def __init__(self, replaced: Any) -> None:
        super().__init__()
        self.replaced = replaced
        self.train(replaced.training)

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """That of the module for which this one stands."""
        return self.replaced.state_dict(*args, **kwargs)

    def _load_from_state_dict(self, *_: Any, **__: Any) -> None:
        raise SpecError("the model attends with emitted code: undo() before weights are loaded")


class Passed(StandIn):
    """For a map out that attention has already computed."""

    def forward(self, attended: Any) -> Any:
        return attended


class LiveAttention(StandIn):
    """One attention by the emitted module `circuit`, called as transformers calls the one it stands for.

    scale: what transformers makes queries and keys longer by, when it turns them, than the circuit does.
    """

    def __init__(
        self, replaced: Any, circuit: Any, spec: AttentionSpec, masks: Masks, scale: float
    ) -> None:
        super().__init__(replaced)
        self.circuit = circuit.requires_grad_(False).train(replaced.training)
        self.spec, self.masks, self.scale = spec, masks, scale
        # Falcon's newer kind caches the keys of a group once for each of its heads
        self.copies = spec.members if getattr(replaced, "new_decoder_architecture", False) else 1
        self.names = [*inspect.signature(replaced.forward).parameters]
        order = torch.as_tensor(plane_order(spec)).flatten().argsort() if spec.rotary else None
        moved = order is not None and bool((order.diff() != 1).any())
        self.register_buffer("order", order if moved else None, persistent=False)

    def forward(self, *args: Any, **kwargs: Any) -> tuple[Any, None]:
        """Outputs (batch, tokens, features), and None for the weights of attention."""
        if self.training:
            raise UnsupportedError(f"{self.spec.name}: emitted code is not trained: model.eval()")
        given = dict(zip(self.names, args, strict=False)) | kwargs
        x = given.pop("hidden_states")
        mask, cache = given.pop("attention_mask", None), self._cache(given)
        context = [self._context(given)] if self.spec.cross else []
        options = {"positions": self._positions(given, x)} if self.spec.rotary else {}
        self._refuse(given)
        live = self._live(mask, x.shape[-2])
        if cache is None:
            self._check_columns(live, (*context, x)[0].shape[-2])
        y = self.circuit(x, *context, live=live, recall=self._recall(cache, live), **options)
        return y, None

    # ---- what is given ---------------------------------------------------------------------------

    def _cache(self, given: dict[str, Any]) -> Any:
        caches = (given.pop(name, None) for name in ("past_key_values", "layer_past"))
        return next((cache for cache in caches if cache is not None), None)

    def _context(self, given: dict[str, Any]) -> Any:
        context = given.pop("key_value_states", None)
        if context is None:
            raise SpecError(f"{self.spec.name}: cross attention without key_value_states")
        return context

    def _positions(self, given: dict[str, Any], x: Any) -> Any:
        positions, (batch, tokens, _) = given.pop("position_ids", None), x.shape
        found = None if positions is None else tuple(positions.shape)
        if found not in ((batch, tokens), (1, tokens)):
            raise SpecError(
                f"{self.spec.name}: position_ids of shape {found}, expected ({batch}, {tokens})"
            )
        return positions

    def _refuse(self, given: dict[str, Any]) -> None:
        """SpecError for what is asked or given beyond what is read."""
        for name, value in given.items():
            means = value is not None and value is not False and name not in _HARMLESS
            if name == "is_causal":
                means = value is not None and value != self.spec.mask.is_causal
            if means:
                raise UnsupportedError(
                    f"{self.spec.name}: attention is given {named(name)}, which emitted code does not take"
                )

    def _live(self, mask: Any, rows: int) -> Any:
        eager = getattr(self.replaced.config, "_attn_implementation", None) == "eager"
        if mask is None and eager and rows > 1 and self.spec.mask is not Mask.NONE:
            raise SpecError(
                f"{self.spec.name}: no attention_mask, without which eager attention is not causal"
            )
        return self.masks.live(mask, self.spec, rows)

    def _check_columns(self, live: Any, columns: int) -> None:
        if live is not None and live.shape[-1] != columns:
            raise SpecError(
                f"{self.spec.name}: attention_mask is of {live.shape[-1]} source tokens, found {columns}"
            )

    # ---- the cache -------------------------------------------------------------------------------

    def _recall(self, cache: Any, live: Any) -> Recall | None:
        """How keys and values of earlier tokens come in: by transformers' own cache."""
        if cache is None:
            return None
        recalled = self._known(cache) if self.spec.cross else self._grown(cache)

        def recall(query: Any, source: Callable[[], tuple[Any, Any]]) -> tuple[Any, Any, Any]:
            key, value = recalled(source)
            self._check_columns(live, key.shape[-2])
            return self._as_stored(query, 1 / self.scale), key, value

        return recall

    def _grown(self, cache: Any) -> Callable[[Callable[[], tuple[Any, Any]]], tuple[Any, Any]]:
        """Keys and values of all tokens up to these."""
        own = cache.self_attention_cache if isinstance(cache, EncoderDecoderCache) else cache
        place = self._checked(own)

        def recalled(source: Callable[[], tuple[Any, Any]]) -> tuple[Any, Any]:
            key, value = source()
            new = (self._as_stored(key, self.scale), value)
            if self.copies > 1:
                new = tuple(part.repeat_interleave(self.copies, dim=-3) for part in new)
            found: tuple[Any, Any] = own.update(*new, place)
            return found

        return recalled

    def _known(self, cache: Any) -> Callable[[Callable[[], tuple[Any, Any]]], tuple[Any, Any]]:
        """Keys and values of the context, which are computed once."""
        if not isinstance(cache, EncoderDecoderCache):
            raise UnsupportedError(
                f"{self.spec.name}: cross attention with a {type(cache).__name__}, expected an "
                "EncoderDecoderCache"
            )
        own: Any = cache.cross_attention_cache
        place = self._checked(own)

        def recalled(source: Callable[[], tuple[Any, Any]]) -> tuple[Any, Any]:
            if cache.is_updated.get(place):
                return own.layers[place].keys, own.layers[place].values
            found: tuple[Any, Any] = own.update(*source(), place)
            cache.is_updated[place] = True
            return found

        return recalled

    def _checked(self, cache: Any) -> int:
        """The place of this layer in a cache. UnsupportedError for other kinds of caches."""
        place = self.replaced.layer_idx
        own = cache.layers[place : place + 1] if type(cache) is DynamicCache else [cache]
        if any(type(layer) not in _LAYERS for layer in own):
            raise UnsupportedError(
                f"{self.spec.name}: the cache is a {type(cache).__name__} of "
                f"{type(own[0]).__name__}, expected a DynamicCache"
            )
        return int(place)

    def _as_stored(self, features: Any, scale: float) -> Any:
        """Queries or keys with their features as transformers has them, so that its caches are its own."""
        found = features if self.order is None else features[..., self.order]
        return found if scale == 1 else found * scale
