"""Models of transformers with random weights, run with their own masks and positions: the oracle.

A `Case` names a model and its options. Hooks catch what goes into the attention of each layer and what
comes out. transformers computes the frequencies, cosines and sines of rotary embedding in float32;
`run` puts float64 in their place, of the same frequencies.
"""

import contextlib
import inspect
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
import transformers

from cortico.frontends import read_checkpoint
from cortico.frontends.families import FAMILIES
from cortico.frontends.rope import BY_LENGTH
from cortico.spec.weights import rotary_frequencies
from tests.oracle import textbook_attention

transformers.logging.set_verbosity(transformers.logging.CRITICAL)
transformers.logging.disable_progress_bar()

#: Largest relative errors against transformers: in float64 and in float32.
TOLERANCE = (1e-12, 1e-5)

N, N_DECODED = 9, 7
#: Rotary modules with frequencies for each kind of layer.
OF_TWO_KINDS = ("Gemma3RotaryEmbedding", "ModernBertRotaryEmbedding")
KEEP = np.array([True, True, False, True, True, False, True, False, False])


@dataclass(frozen=True)
class Case:
    """A model, and where the attention of a layer begins and ends."""

    kind: str  #: class name without `Model` and `Config`, such as `Bert`
    options: dict[str, Any]
    block: str  #: `encoder.layer.{layer}.attention.self`
    end: str = ""  #: of which the output counts, if it is not `block`
    expected: dict[str, Any] = field(default_factory=dict)  #: fields of the spec of each layer
    model: str = "{}Model"  #: class of the model
    prefix: str = ""  #: of `block` within the model
    part: str | None = None  #: which of its attentions
    layers: str = "num_hidden_layers"  #: key that says how many there are
    by_length: bool = False  #: queries and keys turn by how many tokens there are
    turning: str = "halves"  #: how cosines and sines of pairs stand: in halves, in pairs, or once

    @property
    def config_class(self):
        return getattr(transformers, f"{self.kind}Config")

    @property
    def model_type(self):
        return self.config_class.model_type

    @property
    def asked(self):
        """Options without which `read_checkpoint` refuses it."""
        tokens = N_DECODED if self.part == "decoder" else N
        asked = self.by_length or self.family.distances
        return {"part": self.part} | ({"tokens": tokens} if asked else {})

    @property
    def title(self):
        return title_of(self.model_type, self.part)

    @property
    def family(self):
        return next(f for f in FAMILIES if self.model_type in f.model_types and f.part == self.part)

    def config(self, **changes):
        return self.config_class(**(self.options | changes))


def title_of(model_type, part):
    return f"{model_type} {part}" if part else model_type


def build(case, precision=torch.float32, **changes):
    """The model with weights large enough that every part of attention matters."""
    torch.manual_seed(0)
    model = getattr(transformers, case.model.format(case.kind))(case.config(**changes))
    for name, p in model.named_parameters():
        generator = torch.Generator().manual_seed(sum(map(ord, name)))
        p.data = torch.empty(p.shape).normal_(std=0.4, generator=generator).to(precision)
    return model.eval()


def frequencies_of(model, layer=0):
    """Radians per token of each pair, as transformers rounds them to float32; None without rotation."""
    for module in model.modules():
        if type(module).__name__ in OF_TWO_KINDS:
            return getattr(module, f"{model.config.layer_types[layer]}_inv_freq").double()
        if hasattr(module, "inv_freq"):
            return module.inv_freq.double()
        if hasattr(module, "embed_positions") and hasattr(module, "rotary_dim"):  # GPT-J
            turned = torch.arange(0, module.rotary_dim, 2)
            return (1.0 / (10000 ** (turned / module.rotary_dim))).double()
    return None


def exact_positions(model, turning="halves"):
    """Let rotary modules answer in float64."""
    for module in model.modules():
        if hasattr(module, "inv_freq"):
            module.forward = _exact_rope(module, turning)
        if type(module).__name__ in OF_TWO_KINDS:
            module.forward = _exact_ropes(module)
        if hasattr(module, "embed_positions") and hasattr(module, "rotary_dim"):
            angles = torch.arange(N).double()[:, None] * frequencies_of(model)
            module.embed_positions = torch.cat([angles.sin(), angles.cos()], dim=1)


def _exact_rope(module, turning):
    changed = module.forward  # by the number of tokens, for some types

    def forward(x, position_ids, *args, **kwargs):
        if getattr(module, "rope_type", "default") in BY_LENGTH:
            changed(x, position_ids, *args, **kwargs)
        once = position_ids[..., None].double() * module.inv_freq.double()
        ways = {"halves": torch.cat([once, once], -1), "pairs": once.repeat_interleave(2, -1)}
        angles, factor = ways.get(turning, once), module.attention_scaling
        return (angles.cos() * factor).to(x.dtype), (angles.sin() * factor).to(x.dtype)

    return forward


def _exact_ropes(module):
    """Of layers of two kinds."""
    changed = module.forward

    def forward(x, position_ids, kind):
        if module.rope_type[kind] in BY_LENGTH:
            changed(x, position_ids, kind)
        angles = position_ids[..., None].double() * getattr(module, f"{kind}_inv_freq").double()
        angles, factor = (
            torch.cat([angles, angles], -1),
            getattr(module, f"{kind}_attention_scaling"),
        )
        return (angles.cos() * factor).to(x.dtype), (angles.sin() * factor).to(x.dtype)

    return forward


@contextlib.contextmanager
def no_rounding():
    """Some models round to float32, also where all is float64: here they do not."""
    single, turned, softmax = torch.Tensor.float, torch.Tensor.to, torch.nn.functional.softmax

    def to_single(tensor):
        return tensor if tensor.dtype is torch.float64 else single(tensor)

    def to(tensor, *args, **options):
        kind = args[0] if args else options.get("dtype")
        rounds = tensor.dtype is torch.float64 and kind is torch.float32
        return tensor if rounds else turned(tensor, *args, **options)

    def exact_softmax(tensor, *args, dtype=None, **options):
        dtype = None if tensor.dtype is torch.float64 else dtype
        return softmax(tensor, *args, dtype=dtype, **options)

    with (
        mock.patch.multiple(torch.Tensor, float=to_single, to=to),
        mock.patch.object(torch.nn.functional, "softmax", exact_softmax),
    ):
        yield


def places(model, case):
    """The modules where attention begins and ends, each pair once. ALBERT's groups are its layers'."""
    groups = getattr(model.config, "num_hidden_groups", None)
    for number in range(groups or getattr(model.config, case.layers)):
        yield tuple(
            model.get_submodule(case.prefix + place.format(layer=number, group=number))
            for place in (case.block, case.end or case.block)
        )


def inputs_of(model, keep=None):
    """Arguments of a call of the model, for N tokens."""
    mask = {} if keep is None else {"attention_mask": torch.tensor(keep)[None].long()}
    if model.main_input_name == "pixel_values":
        size, channels = model.config.image_size, model.config.num_channels
        generator = torch.Generator().manual_seed(1)
        dtype = next(model.parameters()).dtype
        return {"pixel_values": torch.randn(1, channels, size, size, generator=generator).to(dtype)}
    if "decoder_input_ids" not in inspect.signature(model.forward).parameters:
        return {"input_ids": torch.arange(2, 2 + N)[None], **mask}
    words = {"decoder_input_ids": torch.arange(3, 3 + N_DECODED)[None]}
    if model.main_input_name == "input_features":
        generator = torch.Generator().manual_seed(1)
        size = (1, model.config.num_mel_bins, 2 * model.config.max_source_positions)
        sound = torch.randn(size, generator=generator).to(next(model.parameters()).dtype)
        return {"input_features": sound, **words}
    return {"input_ids": torch.arange(2, 2 + N)[None], **mask, **words}


def run(model, case, keep=None, given=None):
    """(x, context, y) of each layer's attention, all (tokens, features), in the model's precision.

    `context` is None but for cross attention. `given`, an x and a context, replace what goes into the
    attention of every layer.
    """
    caught, handles = [], []

    def enter(module, args, kwargs):
        hidden = args[0] if args else kwargs["hidden_states"]
        context = kwargs.get("key_value_states")
        if given is not None:
            hidden, context = (
                None if a is None else torch.tensor(a, dtype=hidden.dtype)[None] for a in given
            )
            kwargs = kwargs if context is None else kwargs | {"key_value_states": context}
            args, kwargs = ((hidden, *args[1:]), kwargs) if args else (args, kwargs)
            kwargs = kwargs if args else kwargs | {"hidden_states": hidden}
        caught.append([hidden[0].numpy(), None if context is None else context[0].numpy()])
        return args, kwargs

    def leave(module, args, output):
        found = output[0] if isinstance(output, tuple) else output
        caught[-1].append(found.reshape(len(caught[-1][0]), -1).numpy())

    for block, end in places(model, case):
        handles.append(block.register_forward_pre_hook(enter, with_kwargs=True))
        handles.append(end.register_forward_hook(leave))
    with torch.no_grad(), no_rounding():
        model(**inputs_of(model, keep))
    for handle in handles:
        handle.remove()
    return caught


def relative(found, expected):
    """Largest difference over largest number."""
    return float(abs(found - expected).max() / abs(expected).max())


def largest_error(model, case, folder, keep=None, **options):
    """Of all layers, how far what is read from `folder` is from the model, in its precision.

    `options` are of `read_checkpoint`, of which those of the case are the others.
    In float64, frequencies that transformers rounded are compared apart, and then used.
    """
    double = next(model.parameters()).dtype is torch.float64
    errors = []
    options = case.asked | options
    if double:
        exact_positions(model, case.turning)
    for layer, (x, context, y) in enumerate(run(model, case, keep)):
        spec, weights = read_checkpoint(folder, layer, **options)
        if spec.rotary and double:
            frequencies = frequencies_of(model, layer)
            ours = weights.get("rotary_frequencies", rotary_frequencies(spec))
            np.testing.assert_allclose(ours, frequencies.numpy(), rtol=1e-6)
            weights = weights | {"rotary_frequencies": frequencies.numpy()}
        given = np.ones(len(x if context is None else context), bool) if keep is None else keep
        given = given if spec.key_padding else None
        found = textbook_attention(spec, weights, x, context, given)
        errors.append(relative(found, y))
    return max(errors)


def save_config(folder: Path, model, **changes):
    """Change keys of a saved config.json; None takes one away."""
    file = folder / "config.json"
    values = json.loads(file.read_text()) | changes
    file.write_text(json.dumps({k: v for k, v in values.items() if v is not None}))
