"""`replace_attention`: a live model of transformers with emitted code in place of its attention."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import TYPE_CHECKING, Any

from cortico.backends.extras import require_library
from cortico.backends.torch import compile_module
from cortico.backends.torch.recalling import emit_recalling_module
from cortico.frontends.live_models import lengthening
from cortico.ir.arguments import kind
from cortico.ir.errors import SpecError, UnsupportedError
from cortico.live.seats import Seat, seats_of
from cortico.lowering import circuit_weights, lower
from cortico.spec import AttentionSpec

if TYPE_CHECKING:
    from cortico.live.masks import Masks


@dataclass(frozen=True)
class Swap:
    """A module of the model, the one that stands in for it, and where."""

    parent: Any
    name: str
    before: Any
    after: Any

    def swap(self, found: Any, put: Any) -> None:
        """SpecError when something else is there by now."""
        if getattr(self.parent, self.name) is not found:
            other = type(getattr(self.parent, self.name)).__name__
            raise SpecError(f"{self.name} is by now a {other}, which cortico did not put there")
        setattr(self.parent, self.name, put)


@dataclass
class Replacement:
    """What was replaced in a model, until `undo()`. A context manager that ends with it.

    sources: the text of each distinct module that attends.
    """

    sources: tuple[str, ...]
    swaps: tuple[Swap, ...]
    watches: list[Any] = field(default_factory=list)

    def undo(self) -> None:
        """Put back the modules that were there; a second time it does nothing.

        SpecError, and nothing is changed, where something else has been put in place of one.
        """
        _swap_all([(s, s.after, s.before) for s in self.swaps])
        self.swaps = ()
        while self.watches:
            self.watches.pop().remove()

    def __enter__(self) -> Replacement:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.undo()


@kind
def replace_attention(model: Any, backend: str = "torch") -> Replacement:
    """Let every attention of a live model of transformers be computed by the code that cortico emits.

    The lowered circuit of each layer becomes a PyTorch module (float32 or as the model is, on its device),
    which is called as the layer's own: masks, padding, positions and the key-value cache are those that the
    library hands over, and its cache stays its own. The model is changed in place; `undo()` of what is
    returned, or the end of a `with`, puts the same modules back. Weights are copied, and not trained.

    Refused by name, before anything is changed: families and options whose attention depends on more than
    one emitted module sees, models that were changed (as by `from_transformers`), other ways to attend than
    `eager` and `sdpa`. Refused at a call: caches that are no DynamicCache, masks that are none,
    `output_attentions`, training.
    """
    if backend != "torch":
        raise UnsupportedError(
            f"attention of a live model runs in PyTorch: backend must be 'torch', found {backend!r}"
        )
    require_library("a live model", "transformers", "transformers")
    require_library("a live model", "torch", "torch", "PyTorch")
    seats = seats_of(model)
    sources = _sources(seats)
    swaps = tuple(_swaps(model, seats, sources))
    _swap_all([(s, s.before, s.after) for s in swaps])
    replaced = Replacement(tuple(sources.values()), swaps)
    try:
        replaced.watches.extend(_watches(model))
    except BaseException:
        replaced.undo()
        raise
    return replaced


def _sources(seats: Sequence[Seat]) -> dict[AttentionSpec, str]:
    """The text that runs each distinct spec, whatever the weights."""
    specs = dict.fromkeys(_nameless(seat.attention[0]) for seat in seats)
    return {spec: emit_recalling_module(lower(spec)) for spec in specs}


def _nameless(spec: AttentionSpec) -> AttentionSpec:
    return replace(spec, name="attention")


def _swaps(model: Any, seats: Sequence[Seat], sources: dict[AttentionSpec, str]) -> Iterator[Swap]:
    from cortico.live.masks import Masks
    from cortico.live.modules import Passed

    masks = Masks()
    modules = {spec: compile_module(text) for spec, text in sources.items()}
    for seat in seats:
        module = modules[_nameless(seat.attention[0])]
        yield _swap(model, seat.path, _stand_in(model, seat, module, masks))
        if seat.dense:
            yield _swap(model, seat.dense, Passed(model.get_submodule(seat.dense)))


def _stand_in(model: Any, seat: Seat, module: Any, masks: Masks) -> Any:
    from cortico.live.modules import LiveAttention

    spec, weights = seat.attention
    replaced = model.get_submodule(seat.path)
    like = next(replaced.parameters())
    circuit = module(circuit_weights(spec, weights), dtype=like.dtype).to(like.device)
    return LiveAttention(replaced, circuit, spec, masks, lengthening(model, seat.layer, spec))


def _swap(model: Any, path: str, after: Any) -> Swap:
    parent, _, name = path.rpartition(".")
    return Swap(model.get_submodule(parent), name, model.get_submodule(path), after)


def _swap_all(pairs: Sequence[tuple[Swap, Any, Any]]) -> None:
    """All or none."""
    done: list[tuple[Swap, Any, Any]] = []
    try:
        for swap, found, put in pairs:
            swap.swap(found, put)
            done.append((swap, found, put))
    except BaseException:
        for swap, found, put in done[::-1]:
            swap.swap(put, found)
        raise


def _watches(model: Any) -> Iterator[Any]:
    """Hooks that refuse a call for the weights of attention, which the library would leave out silently."""
    from transformers import PreTrainedModel

    def refuse(module: Any, args: Any, kwargs: dict[str, Any]) -> None:
        asked = kwargs.get("output_attentions")
        if asked or (asked is None and getattr(module.config, "output_attentions", False)):
            raise UnsupportedError(
                f"{type(module).__name__} is asked for output_attentions, which emitted code does not give"
            )

    for whole in model.modules():
        if isinstance(whole, PreTrainedModel):
            yield whole.register_forward_pre_hook(refuse, with_kwargs=True)
