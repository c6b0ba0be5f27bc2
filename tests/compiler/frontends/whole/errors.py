"""How far emitted code of whole models is from transformers: by library, precision, padding, and part by part.

Errors are relative to the largest number; transformers computes in double precision.
"""

import numpy as np
import torch

from cortico.frontends.whole_models import read_model
from cortico.model_pipeline import compile_model
from tests.backends.networks.emitted import PARTS, Numpy, Torch, parts
from tests.compiler.frontends.families.models import exact_positions, no_rounding, relative
from tests.compiler.frontends.whole.cases import CONTEXT, N_DECODED, TOKENS, N, with_frequencies

#: What is measured, and the bound of each.
BOUNDS = {
    "NumPy float64": 1e-10,
    "NumPy float32": 2e-5,
    "PyTorch float64": 1e-10,
    "PyTorch float32": 2e-5,
    "padded behind": 1e-10,
    "padded before": 1e-10,
    "past": 1e-10,
}
#: Tokens of the second text of a batch; the first has all.
SHORT = 4
#: Their positions in transformers depend on which tokens are padding.
BY_PADDING = ("roberta", "xlm-roberta", "camembert", "mpnet")


class Compared:
    """A case of `cases`, saved and read, beside transformers'."""

    def __init__(self, case, folder):
        self.case, self.model = case, case.build()
        self.model.save_pretrained(folder)
        self.model = self.model.double()
        spec, weights = read_model(folder, **case.read)
        exact_positions(self.model, case.turning)
        self.network = compile_model(spec, with_frequencies(self.model, weights)).network
        self.emitted = [Numpy(self.network), Torch(self.network)]
        self.pad = self.model.config.pad_token_id or 0

    def errors(self):
        """By the names of `BOUNDS`; without those that a model has not."""
        everything, (inputs, expected) = {}, self.batch(np.ones((2, N), bool))
        for library, kind in (("NumPy", Numpy), ("PyTorch", Torch)):
            for dtype in ("float64", "float32"):
                double = dtype == "float64"
                code = self.emitted[kind is Torch] if double else kind(self.network, dtype)
                everything[f"{library} {dtype}"] = self.error([code], inputs, expected)
        return everything | dict(self.padded()) | dict(self.past())

    def padded(self):
        """Texts with tokens that do not exist: behind the others, or before where those are left out."""
        keep = np.arange(N) < np.array([[N], [SHORT]])
        if self.case.hears_vectors:
            return
        yield "padded behind", self.error(self.emitted, *self.batch(keep), keep)
        masked = any(tensor.name == "keep" for tensor in self.network.inputs)
        if masked and self.model.config.model_type not in BY_PADDING:
            keep = keep[:, ::-1]
            yield "padded before", self.error(self.emitted, *self.batch(keep), keep)

    def past(self):
        """Part by part, against transformers' cache."""
        going_on = [code for code in self.emitted if code.steps]
        if not going_on:
            return
        assert len(going_on) == 2
        inputs, whole = self.batch(np.ones((2, N), bool))
        errors = [self.error_of_parts(code, inputs, whole) for code in going_on]
        cached = self.cached(inputs)
        errors += [self.error_of_parts(code, inputs, cached) for code in going_on if cached]
        yield "past", max(errors)

    @property
    def sizes(self):
        """Of the parts: of a model of two stacks, of the second."""
        return (2, 1, 2) if any(t.name == "decoder_tokens" for t in self.network.inputs) else PARTS

    def batch(self, keep):
        """Inputs of two texts, of which some tokens exist, and what transformers makes of them, by name."""
        ids = np.where(keep, np.stack([TOKENS, TOKENS[::-1]]), self.pad)
        given = {
            "tokens": ids,
            "types": np.zeros_like(ids),
            "keep": keep,
            "decoder_tokens": ids[:, ::-1][:, :N_DECODED],
            "context": np.stack([CONTEXT, CONTEXT[::-1]]),
        }
        found = self.transformers(given, keep)
        return {t.name: given[t.name] for t in self.network.inputs}, found

    def transformers(self, given, keep):
        names = list(self.case.arguments)
        tensors = {name: torch.tensor(array.copy()) for name, array in given.items()}
        own = {
            "input_ids": tensors["tokens"],
            "decoder_input_ids": tensors["decoder_tokens"],
            "encoder_outputs": (tensors["context"],),
        }
        if self.case.hears_vectors:
            own["decoder_input_ids"] = tensors["tokens"]
        mask = {} if keep.all() else {"attention_mask": tensors["keep"].long()}
        return self.named(self.run(**{name: own[name] for name in names}, **mask))

    def run(self, **arguments):
        with torch.no_grad(), no_rounding():
            return self.model(**arguments, return_dict=True)

    def named(self, found):
        """By our names of outputs."""
        names = {
            "states": ("last_hidden_state",),
            "logits": ("logits", "prediction_logits"),
            "sentence": ("pooler_output",),
        }
        ours = {output.name for output in self.network.outputs}
        pairs = ((name, getattr(found, key, None)) for name in names for key in names[name])
        return {n: y.double().numpy() for n, y in pairs if y is not None and n in ours}

    def cached(self, inputs):
        """The same as transformers' own cache makes them part by part; nothing where it has none."""
        if self.model.config.model_type == "clip_text_model":
            return {}
        cache, given = None, []
        whole = {n: torch.tensor(a.copy()) for n, a in inputs.items()}
        for part in parts(inputs, self.sizes):
            own = {n: torch.tensor(a.copy()) for n, a in part.items()}
            arguments = {"input_ids": own.get("tokens")}
            if "decoder_tokens" in own:
                tokens = {"decoder_input_ids": own["decoder_tokens"]}
                arguments = {"input_ids": whole["tokens"], **tokens}
            elif self.case.hears_vectors and self.model.config.is_encoder_decoder:
                arguments = {"decoder_input_ids": own["tokens"]}
            if self.case.hears_vectors:
                arguments["encoder_outputs"] = (whole["context"],)
            found = self.run(**arguments, past_key_values=cache, use_cache=True)
            cache = found.past_key_values
            given.append(self.named(found))
        return {name: np.concatenate([each[name] for each in given], 1) for name in given[0]}

    def error(self, codes, inputs, expected, keep=None):
        outputs = [output.name for output in self.network.outputs]
        return max(
            error_of(y, dict(zip(outputs, code(inputs), strict=True))[name], keep)
            for code in codes
            for name, y in expected.items()
        )

    def error_of_parts(self, code, inputs, expected):
        outputs, state, found = [output.name for output in self.network.outputs], None, []
        for part in parts(inputs, self.sizes):
            state, given = code.step(state, part)
            found.append(given)
        whole = dict(
            zip(
                outputs, (np.concatenate(each, 1) for each in zip(*found, strict=True)), strict=True
            )
        )
        return max(error_of(y, whole[name], None) for name, y in expected.items())


def error_of(expected, found, keep):
    """Of tokens that exist."""
    found = found.reshape(expected.shape)
    seen = keep is not None and expected.shape[:2] == keep.shape
    return relative(found[keep], expected[keep]) if seen else relative(found, expected)
