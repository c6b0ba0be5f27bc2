"""The lists of keys against transformers: none is missing, defaults are its own, harmless ones are that."""

import contextlib
import inspect
import itertools
import re
from dataclasses import MISSING, fields, replace

import numpy as np
import pytest
from transformers import PreTrainedConfig
from transformers.generation.configuration_utils import GenerationConfig
from transformers.models.mpt.configuration_mpt import MptAttentionConfig

from cortico.frontends.config import Config
from cortico.frontends.families import mpt
from cortico.frontends.keys import FIXED, HARMLESS
from cortico.frontends.rope import _TABLE, EVERY_ROPE
from cortico.ir.errors import SpecError
from tests.compiler.frontends.families.cases import PLAIN
from tests.compiler.frontends.families.models import build, relative, run
from tests.covering import first

#: Names that transformers itself takes away before they are read.
_TAKEN = re.compile(r"kwargs\.(?:pop|get)\(\s*\"(\w+)\"")


def fields_of(cls):
    """The keys of a config class and the values that they have by default."""
    found = {}
    for each in fields(cls):
        made = None if each.default_factory is MISSING else each.default_factory()
        found[each.name] = made if each.default is MISSING else each.default
    return found


def keys_of(cls):
    """What a config.json may say to this class, by its fields, its other names and its code."""
    texts = [inspect.getsource(c.__post_init__) for c in (cls, PreTrainedConfig)]
    texts += [inspect.getsource(cls.convert_rope_params_to_dict)]
    taken = {name for text in texts for name in _TAKEN.findall(text)}
    parameters = set(inspect.signature(cls.__init__).parameters) - {"self", "args", "kwargs"}
    generation = GenerationConfig._get_default_generation_params()
    return {*fields_of(cls), *cls.attribute_map, *taken, *parameters, *generation, "model_type"}


# ---- none is missing -------------------------------------------------------------------------------


#: What transformers takes from any file and only these models read; elsewhere it is unknown: refused.
OF_SOME = {"rope_scaling", "rope_theta", "partial_rotary_factor"}


@pytest.mark.parametrize("kind", PLAIN)
def test_every_key_of_transformers_is_on_a_list(kind):
    case = PLAIN[kind]
    assert keys_of(case.config_class) - OF_SOME <= case.family.keys.known


@pytest.mark.parametrize("kind", PLAIN)
def test_a_key_is_on_one_list(kind):
    """But for those that matter to this family alone: it may fix what is harmless to others."""
    keys = PLAIN[kind].family.keys
    harmless = {*keys.harmless, *(HARMLESS - {*keys.fixed})}
    lists = [{*keys.read}, harmless, {*keys.fixed, *FIXED}, {*keys.same}]
    assert sum(map(len, lists)) == len(set.union(*lists))
    assert not keys.harmless & HARMLESS and not keys.fixed.keys() & FIXED.keys()
    assert set(keys.same.values()) <= {*keys.read, *keys.harmless, *keys.fixed}


def test_every_key_of_a_table_within_is_on_a_list():
    keys = mpt.ATTENTION_KEYS
    assert keys_of(MptAttentionConfig) - OF_SOME <= keys.known
    own = fields_of(MptAttentionConfig)
    said = {key: value for key, value in {**keys.read, **keys.fixed}.items() if key in own}
    assert said == {key: own[key] for key in said}


# ---- other names and defaults ----------------------------------------------------------------------

#: Keys that are no fields of a class, and what transformers takes where they are absent.
ABSENT = {
    "rope_scaling": None,
    "rope_parameters": None,
    "original_max_position_embeddings": None,
    "layer_types": None,
    "head_dim": None,
    "sliding_window": None,
    "sliding_window_pattern": 6,
    "rope_local_base_freq": 10000.0,
    "global_attn_every_n_layers": 3,
    "attention_layers": None,
}
#: Keys that transformers moves into the table of the rope, and their names there.
IN_TABLE = {
    "partial_rotary_factor": "partial_rotary_factor",
    "rotary_pct": "partial_rotary_factor",
    "rotary_emb_base": "rope_theta",
}


def default_of(cls, key, keys):
    if key == "rope_theta" and key not in fields_of(cls):
        theta = cls.default_theta
        return theta["global"] if isinstance(theta, dict) else theta
    if key == "is_causal":  # masking_utils: getattr(config, "is_causal", True), for a decoder
        return None if "is_decoder" in keys.read else True
    if key in ("global_rope_theta", "local_rope_theta"):
        return cls.default_theta[key.removesuffix("_rope_theta")]
    if key in IN_TABLE:
        return cls().rope_parameters[IN_TABLE[key]]
    return fields_of(cls)[key] if key in fields_of(cls) else ABSENT[key]


@pytest.mark.parametrize("kind", PLAIN)
def test_defaults_are_those_of_transformers(kind):
    cls, keys = PLAIN[kind].config_class, PLAIN[kind].family.keys
    assert keys.read == {key: default_of(cls, key, keys) for key in keys.read}
    own = fields_of(cls)
    assert {k: v for k, v in keys.fixed.items() if k in own} == {
        k: own[k] for k in keys.fixed if k in own
    }


@pytest.mark.parametrize("kind", PLAIN)
def test_other_names_are_those_of_transformers(kind):
    cls, keys = PLAIN[kind].config_class, PLAIN[kind].family.keys
    assert cls.attribute_map.items() <= keys.same.items()
    for name, key in keys.same.items():
        case = PLAIN[kind]
        if key in case.options:  # where both stand in a file, the other name counts in both
            resolved = keys.resolve(Config("c", {key: 10**6, name: case.options[key]}))
            config = case.config_class(**{**case.options, key: 10**6, name: case.options[key]})
            assert getattr(config, key) == resolved.values[key] == case.options[key]


# ---- harmless keys, by experiment ------------------------------------------------------------------

#: Second values for a key, the first of which the class and the model take.
CANDIDATES = (True, False, 3, 7, 0.37, "relu", "gelu", "x", ["x"], {"0": "x"})
SECOND = {
    "max_position_embeddings": 64,
    "max_target_positions": 64,
    "n_positions": 64,
    "image_size": 12,  # as many patches as before
    "patch_size": 6,
    "dtype": "float64",
    "out_features": ["stage1"],
    "out_indices": [1],
    "_out_features": ["stage2"],
    "_out_indices": [2],
    "begin_suppress_tokens": [3],
    "decoder_vocab_size": 30,
    "pad_token_id": 2,
    "dense_act_fn": "silu",
    "classifier_pooling": "mean",
}
#: Keys that transformers takes only beside others.
NEEDS = {"add_cross_attention": {"is_decoder": True}}
#: Keys for which it takes no second value.
ONE_VALUE = {
    "attn_implementation",
    "experts_implementation",
    "_attn_implementation",
    "return_dict",  # Dinov2 calls its embeddings with it
    "model_type",
    "torch_dtype",
    "max_source_positions",  # Whisper has as many tokens
}


#: Where transformers 5.23 is wrong: Falcon adds a mask of true and false to the scores.
WRONG = {"falcon": {"output_attentions"}}


def second_values(cls, key):
    old = fields_of(cls).get(cls.attribute_map.get(key, key))
    if key in SECOND:
        return [SECOND[key]]
    near = {int: lambda: [old + 1], float: lambda: [old / 2, 0.37]}.get(type(old), list)
    return [v for v in (*near(), *CANDIDATES) if v != old or type(v) is not type(old)]


def second_value(case, key):
    """The first that the config class takes beside the options of the case."""
    for value in second_values(case.config_class, key):
        with contextlib.suppress(Exception):
            case.config(**{key: value})
            return value
    raise AssertionError(f"{case.kind} takes no second value for {key}")


def outputs(model, case):
    """What attention gives in each layer, on the same tokens whatever the rest of the model does."""
    first, random = run(model, case)[0], np.random.default_rng(0)
    given = [None if a is None else random.standard_normal(a.shape) for a in first[:2]]
    return [y for *_, y in run(model, case, given=given)]


def assert_same_attention(case, changes, **beside):
    before = outputs(build(case, **beside).double(), case)
    after = outputs(build(case, **beside, **changes).double(), case)
    for expected, found in zip(before, after, strict=True):
        assert relative(found, expected) < 1e-6  # some keys change the precision


@pytest.mark.slow
@pytest.mark.parametrize("kind", first(6, PLAIN))
def test_keys_that_do_not_matter(kind):
    """All of them changed at once, and those that need others beside them one by one."""
    case = PLAIN[kind]
    keys = {*case.family.keys.harmless, *HARMLESS} - ONE_VALUE - WRONG.get(kind, set())
    changes = {key: second_value(case, key) for key in sorted(keys) if key not in NEEDS}
    assert len(changes) > 60
    assert_same_attention(case, changes)
    for key in NEEDS.keys() & case.family.keys.harmless:
        assert_same_attention(case, {key: True}, **NEEDS[key])


def test_the_experiment_notices_what_matters():
    with pytest.raises(AssertionError):
        assert_same_attention(PLAIN["llama"], {"rope_parameters": {"rope_theta": 3.0}})


# ---- values of any kind ----------------------------------------------------------------------------

HOSTILE = (
    None,
    True,
    -1,
    0,
    1,
    3,
    1e308,
    1e-308,
    10**400,
    0.5,
    -0.0,
    float("nan"),
    float("inf"),
    "x",
    "default",
    [],
)
HOSTILE += ([None, None], ["full_attention"] * 2, {}, {"rope_type": "yarn"}, {"x": {"y": 1}}, 2**24)


@pytest.mark.slow
@pytest.mark.parametrize("kind", PLAIN)
def test_any_value_is_read_or_refused(kind):
    case = PLAIN[kind]
    family, own = case.family, case.config().to_dict()
    given = {k: v for k, v in own.items() if k in family.keys.known and not callable(v)}
    tables = [{}, *({"rope_type": name} for name in EVERY_ROPE)]
    for key, value in itertools.product(family.keys.read, HOSTILE):
        _read_or_refused(family, given | {key: value})
    for name, value, table in itertools.product(_TABLE, HOSTILE, tables):
        if "rope_parameters" in family.keys.read:
            _read_or_refused(family, given | {"rope_parameters": table | {name: value}})


def _read_or_refused(family, values):
    with contextlib.suppress(SpecError):
        resolved = replace(family.keys.resolve(Config("config.json", values)), tokens=9)
        if family.distances:
            table = family.distances(resolved)
            assert np.ptp(table.rows(np.arange(-300, 300))) < table.buckets
        spec, weights = family.describe(resolved, 1)
        assert all(np.isfinite(array).all() for array in weights.values())
        assert spec.rotary is None or spec.rotary.base > 0
