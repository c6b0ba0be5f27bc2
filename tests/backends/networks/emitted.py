"""The emitted files of a model as its users call them: whole, step by step, writing."""

import numpy as np
import pytest

from cortico.backends import get_backend
from cortico.ir.text.networks import stored_arrays


def emitted(backend, network):
    """What the emitted file of a network defines; made once."""
    key = backend, id(network)
    if key not in _MADE:
        _MADE[key] = network, _definitions(backend, network)
    return _MADE[key][1]


#: A network, which is kept so that its id stays its own, and what its file defines.
_MADE = {}


def _definitions(backend, network):
    source = get_backend(backend).network_source(network)
    namespace = {"__name__": "model", "__file__": "nowhere/model.py"}
    exec(compile(source, "model.py", "exec"), namespace)
    return namespace


class Numpy:
    """The emitted NumPy file of a network, in double precision unless told."""

    backend = "numpy"

    def __init__(self, network, dtype="float64"):
        self.network, self.dtype = network, dtype
        self.file = emitted(self.backend, network)
        self.how = {"weights": stored_arrays(network), "dtype": np.dtype(dtype).type}

    @property
    def steps(self):
        """Whether its tokens may come part by part."""
        return "step" in self.file

    def __call__(self, inputs, **how):
        return several(self.file["model"](**inputs, **how, **self.how))

    def step(self, state, inputs, **how):
        first, *others = inputs.values()
        names = [*inputs][1:]
        how |= dict(zip(names, others, strict=True))
        state, given = self.file["step"](state, first, **how, **self.how)
        return state, several(given)

    def array(self, array):
        """As its users have one."""
        return np.array(array)

    def generate(self, tokens, count, /, **how):
        return list(self.file["generate"](tokens, count, **how, **self.how))

    def draws(self, logits, temperature, count):
        random = np.random.default_rng(0)
        return [self.file["draw"](logits, temperature, None, random) for _ in range(count)]


class Torch(Numpy):
    """The emitted PyTorch file."""

    backend = "torch"

    def __init__(self, network, dtype="float64"):
        torch = pytest.importorskip("torch")
        self.network, self.kind = network, getattr(torch, dtype)
        self.as_tensor = lambda a: a if torch.is_tensor(a) else torch.asarray(np.array(a))
        self.file = emitted(self.backend, network)
        self.model = self.file["Model"](stored_arrays(network), dtype=self.kind)

    def __call__(self, inputs, **how):
        given = {name: self.as_tensor(array) for name, array in inputs.items()}
        return several(self.model(**given, **how))

    def step(self, state, inputs, **how):
        first, *others = map(self.as_tensor, inputs.values())
        how |= dict(zip([*inputs][1:], others, strict=True))
        state, given = self.file["step"](self.model, state, first, **how)
        return state, several(given)

    def array(self, array):
        return self.as_tensor(array)

    def generate(self, tokens, count, /, **how):
        return list(self.file["generate"](self.model, tokens, count, **how))

    def draws(self, logits, temperature, count):
        import torch

        random = torch.Generator().manual_seed(0)
        logits = self.as_tensor(logits)
        return [self.file["draw"](logits, temperature, None, random) for _ in range(count)]


def several(given):
    given = given if isinstance(given, tuple) else (given,)
    return [np.asarray(each.detach() if hasattr(each, "detach") else each) for each in given]


#: Numbers of tokens that come at once, seven in all.
PARTS = (3, 1, 1, 2)


def parts(inputs, sizes=PARTS):
    """Inputs of so many tokens at a time: ids and 0/1 are over tokens last, vectors last but one.

    What a second stack hears of the first comes with the first part alone.
    """
    first = "decoder_tokens" if "decoder_tokens" in inputs else next(iter(inputs))
    once = {name for name in inputs if name == "context" or (first == "decoder_tokens" != name)}
    going, start = {first: inputs[first]} | inputs, 0
    for size in sizes:
        own = slice(start, start + size)
        yield {
            n: a if n in once else a[..., own, :] if a.dtype.kind == "f" else a[..., own]
            for n, a in going.items()
            if not (start and n in once)
        }
        start += size
