"""A model is as it was after `undo()`, and when replacing fails; saved, it is the library's own."""

import pytest
import torch
from safetensors.torch import load_file

from cortico import SpecError, from_transformers, replace_attention
from cortico.live import replacing
from tests.compiler.frontends.families.cases import CASES
from tests.compiler.frontends.families.models import build, inputs_of
from tests.live.models import largest, writer


def parts(model):
    """Every module by its place and identity, and every hook."""
    found = {name: id(module) for name, module in model.named_modules()}
    hooks = [(n, [*m._forward_pre_hooks], [*m._forward_hooks]) for n, m in model.named_modules()]
    return list(found.items()), hooks


def answer(model):
    with torch.no_grad():
        return model(**inputs_of(model))[0]


@pytest.mark.parametrize("name", ["bert", "llama", "bart cross"])
def test_the_same_modules_come_back(name):
    model = build(CASES[name])
    before, expected = parts(model), answer(model)
    replaced = replace_attention(model)
    between = dict(parts(model)[0])
    assert all(
        between[place] != where for place, where in before[0] if place in seats(replaced, model)
    )
    replaced.undo()
    assert parts(model) == before and (answer(model) == expected).all()
    replaced.undo()  # a second time it does nothing
    assert parts(model) == before


def seats(replaced, model):
    afters = {id(swap.after) for swap in replaced.swaps}
    found = {name for name, module in model.named_modules() if id(module) in afters}
    assert len(found) == len(replaced.swaps) > 0
    return found


def test_an_error_in_a_with_undoes():
    model = build(CASES["gpt2"])
    before = parts(model)
    with pytest.raises(KeyError), replace_attention(model):
        raise KeyError
    assert parts(model) == before


def test_an_error_while_replacing_changes_nothing(monkeypatch):
    model = build(CASES["bert"])
    before, swap = parts(model), replacing.Swap.swap

    def fails_at_the_last(self, found, put):
        if self.name == "dense" and self.parent is model.encoder.layer[1].attention.output:
            raise MemoryError
        swap(self, found, put)

    monkeypatch.setattr(replacing.Swap, "swap", fails_at_the_last)
    with pytest.raises(MemoryError):
        replace_attention(model)
    assert parts(model) == before


def test_what_was_put_there_since_stays():
    model = build(CASES["llama"])
    replaced = replace_attention(model)
    mine = torch.nn.Identity()
    model.layers[1].self_attn = mine
    with pytest.raises(
        SpecError, match=r"self_attn is by now a Identity, which cortico did not put"
    ):
        replaced.undo()
    assert type(model.layers[0].self_attn).__name__ == "LiveAttention"  # all or none
    assert model.layers[1].self_attn is mine


def test_emitted_code_computes_and_the_library_does_not():
    """What the library's own modules hold does not matter, and they are never called."""
    model = build(CASES["bert"])
    expected = answer(model)
    with replace_attention(model) as replaced:
        for swap in replaced.swaps:
            swap.before.register_forward_hook(lambda *_: pytest.fail("the library attends"))
            for parameter in swap.before.parameters():
                parameter.data.zero_()
        assert largest(answer(model), expected) < 1e-5
    with pytest.raises(pytest.fail.Exception, match="the library attends"):
        answer(model)


def test_distinct_specs_are_compiled_once():
    with replace_attention(build(CASES["qwen2 late window"])) as replaced:
        assert len(replaced.swaps) == 2 and len(replaced.sources) == 2
    with replace_attention(build(CASES["llama"])) as replaced:
        assert len(replaced.swaps) == 2 and len(replaced.sources) == 1
        assert "class Attention(nn.Module)" in replaced.sources[0]


@pytest.mark.parametrize("name", ["bert", "gpt2", "vit"])
def test_saved_is_the_library_s_own(name, tmp_path):
    model = build(CASES[name])
    model.save_pretrained(tmp_path / "before")
    before = model.state_dict()
    with replace_attention(model):
        model.save_pretrained(tmp_path / "between")
        assert model.state_dict().keys() == before.keys()
        with pytest.raises(SpecError, match=r"emitted code: undo\(\) before weights are loaded"):
            model.load_state_dict(before)
    ours, theirs = (load_file(tmp_path / f / "model.safetensors") for f in ("between", "before"))
    assert ours.keys() == theirs.keys() and all((ours[k] == theirs[k]).all() for k in ours)


def test_cast_and_moved_is_the_model_with_all_that_comes_back():
    model = build(CASES["gpt2"])
    with replace_attention(model):
        model.double()
        assert answer(model).dtype is torch.float64
    assert {p.dtype for p in model.parameters()} == {torch.float64}
    assert answer(model).dtype is torch.float64


def test_hidden_states_are_recorded_before_and_after():
    """The library hooks attention when it first records: into the modules that come back, too."""
    model = writer("llama", "eager")
    words = torch.arange(3, 12)[None]
    with torch.no_grad():
        with replace_attention(model):
            between = model(words, output_hidden_states=True).hidden_states
        after = model(words, output_hidden_states=True, output_attentions=True)
        with replace_attention(model):  # hooks of the library's own do not matter
            again = model(words, output_hidden_states=True).hidden_states
    assert len(after.attentions) == 2
    for ours, theirs, twice in zip(between, after.hidden_states, again, strict=True):
        assert largest(ours, theirs) < 1e-5 and largest(twice, theirs) < 1e-5


def test_replaced_attention_is_not_read_or_replaced_again():
    model = build(CASES["llama"])
    with replace_attention(model):
        for call in (from_transformers, replace_attention):
            with pytest.raises(
                SpecError, match=r"LiveAttention of cortico.live.modules, expected tr"
            ):
                call(model)
    from_transformers(model)
