"""Keys of config.json for whole models: each is on a list, defaults are transformers', and the lists are right."""

import contextlib
import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
import transformers

from cortico.frontends.config import Config
from cortico.frontends.keys import FIXED
from cortico.frontends.keys import HARMLESS as OF_ALL
from cortico.frontends.model import HARMLESS, Model
from cortico.frontends.whole_models import read_model
from cortico.ir.errors import SpecError
from tests.compiler.frontends.families import test_keys as of_attention
from tests.compiler.frontends.families.models import relative
from tests.compiler.frontends.whole.cases import PLAIN
from tests.compiler.frontends.whole.test_whole_models import outputs_of, save
from tests.covering import first


def family_of(kind):
    """The family, of a model of two stacks that of its first part."""
    families = of_attention.PLAIN
    found = next(case.family for case in families.values() if kind in case.family.model_types)
    assert isinstance(found.model, Model)
    return found


@pytest.mark.parametrize("kind", PLAIN)
def test_what_is_harmless_to_attention_is_on_a_list(kind):
    """What is on none would be refused, though transformers writes it."""
    family = family_of(kind)
    model, keys = family.model, family.model.keys(family.keys)
    assert family.keys.harmless <= keys.known
    assert not model.harmless & (HARMLESS | OF_ALL)
    assert not keys.harmless & {*model.read, *model.fixed}
    assert not model.read.keys() & {*model.fixed, *FIXED}


#: Keys that are no fields of a class, and what transformers takes where they are absent.
ABSENT = {
    "dtype": None,
    "torch_dtype": None,
    "hidden_act": None,
    "hidden_activation": None,
    "vocab_size": None,
    "dense_act_fn": None,
    "is_gated_act": None,
    "scale_decoder_outputs": None,
    "tie_word_embeddings": None,
}


@pytest.mark.parametrize("kind", PLAIN)
def test_defaults_are_those_of_transformers(kind):
    own, model = of_attention.fields_of(PLAIN[kind].config_class), family_of(kind).model
    for key, value in {**model.read, **model.fixed}.items():
        assert value == own.get(key, ABSENT.get(key, value)), key


#: Values for keys of which few are understood.
SECOND = {
    "num_ln_in_parallel_attn": 2,
    "pad_token_id": 4,
    "hidden_act": "tanh",
    "hidden_activation": "tanh",
    "activation": "tanh",
    "activation_function": "tanh",
    "classifier_activation": "tanh",
    "feed_forward_proj": "gated-silu",
    "norm_type": "rmsnorm",
    "dtype": "bfloat16",
    "torch_dtype": "bfloat16",
    "intermediate_size": 12,
}
#: Of what these say, something else says it first: a matrix in the file, another name, one table for both stacks.
SECONDARY = {
    "tie_word_embeddings": lambda spec: spec.readout is None or not spec.readout.tied,
    "torch_dtype": lambda spec: True,
    "decoder_vocab_size": lambda spec: True,
}


def changed(value, key):
    if key in SECOND:
        return SECOND[key]
    if isinstance(value, bool):
        return not value
    return 3 if value is None else value * 2


@pytest.mark.parametrize("kind", first(12, PLAIN))
def test_keys_that_are_read_matter(kind, tmp_path):
    """Another value gives another spec, or one that does not fit the tensors: it is not passed over."""
    model = family_of(kind).model
    case = _with_head(kind)
    save(case, tmp_path)
    file = tmp_path / "config.json"
    values, before = json.loads(file.read_text()), read_model(tmp_path, **case.read)[0]
    for key in model.read:
        if key in SECONDARY and SECONDARY[key](before):
            continue
        values.pop("scale_decoder_outputs", None)  # counts before tie_word_embeddings
        value = values.get(key, model.read[key])
        file.write_text(json.dumps(values | {key: changed(value, key)}))
        assert _noticed(tmp_path, case, before), (kind, key)


def _with_head(kind):
    """A case of this type whose model has logits: some keys are of these."""
    from tests.compiler.frontends.whole.cases import CASES

    found = [case for case in CASES.values() if case.config_class.model_type == kind]
    return next((case for case in found if not case.cls.endswith("Model")), found[0])


@pytest.mark.parametrize("kind", PLAIN)
def test_classes_are_those_of_transformers(kind):
    """Each is there, and a model of this family; a type of model has one of each kind."""
    family = family_of(kind)
    types = {getattr(transformers, name).config_class.model_type for name in family.model.heads}
    assert types == set(family.model_types)


def _noticed(folder, case, before):
    try:
        return read_model(folder, **case.read)[0] != before
    except SpecError:
        return True


#: `pad_token_id` of families whose positions begin behind it; the others do not heed it.
ONE_VALUE = {*of_attention.ONE_VALUE, "vocab_size", "output_hidden_states"}


@pytest.mark.slow
@pytest.mark.parametrize("kind", first(6, PLAIN))
def test_keys_that_do_not_matter(kind):
    """All of them changed at once leave all outputs of transformers as they are."""
    family, case = family_of(kind), _with_head(kind)
    read = {*family.model.read, *family.keys.read, *family.model.fixed, *family.keys.same}
    keys = {*family.model.keys(family.keys).harmless, *OF_ALL} - ONE_VALUE - read
    keys -= of_attention.WRONG.get(kind, set())
    own = replace(of_attention.PLAIN[_title(kind)], options=case.options)
    changes = {key: of_attention.second_value(own, key) for key in sorted(keys)}
    assert len(changes) > 60
    before, after = (
        outputs_of_case(replace(case, options=case.options | o)) for o in ({}, changes)
    )
    assert before.keys() == after.keys()
    for name, expected in before.items():
        assert relative(after[name], expected) < 1e-6, name


def _title(kind):
    return next(title for title, case in of_attention.PLAIN.items() if case.model_type == kind)


def outputs_of_case(case):
    return outputs_of(case.build().double(), **case.arguments)


def test_the_experiments_notice_what_matters():
    case = PLAIN["llama"]
    other = replace(case, options=case.options | {"rms_norm_eps": 0.5})
    found = (outputs_of_case(each)["logits"] for each in (case, other))
    assert not np.allclose(*found)


@pytest.mark.slow
@pytest.mark.parametrize("kind", PLAIN)
def test_any_value_is_read_or_refused(kind):
    """Of whatever type and size: by an error of ours, if it is refused."""
    family, own = family_of(kind), PLAIN[kind].config_class(**PLAIN[kind].options).to_dict()
    model, keys = family.model, family.model.keys(family.keys)
    given = {k: v for k, v in own.items() if k in keys.known and not callable(v)}
    described = family.describe(replace(family.keys.resolve(Config("c", given)), tokens=9), 0)
    for key, value in itertools.product(model.read, of_attention.HOSTILE):
        with contextlib.suppress(SpecError):
            config = keys.resolve(Config("config.json", given | {key: value}))
            stack = model.stack(config, *([described[0]] for _ in model.parts))
            assert stack.embedding.model == described[0].model or kind in (
                "electra",
                "albert",
                "opt",
            )
            model.table(config)
            for head in model.heads.values():
                readout = head.readout(config) if head.readout else None
                assert readout is None or readout.logits.model > 0
