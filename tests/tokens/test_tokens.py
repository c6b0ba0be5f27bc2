"""Inputs of tokens: what they are given as, what they read as, and what is refused."""

import numpy as np
import pytest

from cortico.backends.reference import ReferenceBackend
from cortico.ir import CircuitBuilder, CircuitError, Input, InputKind, Role, SpecError
from cortico.ir.analysis.inputs import bind_symbols, given_inputs
from cortico.ir.network import Node, network
from cortico.ir.text import parse_circuit, print_circuit
from tests.tokens.circuits import EMBEDDING, ROWS, VOCABULARY, embedding, expected, weights

CIRCUIT = embedding()


def refused(ids, match):
    with pytest.raises(SpecError, match=match):
        given_inputs(CIRCUIT, {"tokens": ids})


# ---- what it means -----------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(5,), (2, 5), (2, 3, ROWS)])
@pytest.mark.parametrize("kind", [np.uint8, np.int64])
def test_tokens_read_as_one_hot(shape, kind):
    rng = np.random.default_rng(0)
    ids, given = rng.integers(0, VOCABULARY, shape).astype(kind), weights(rng)
    found = ReferenceBackend().run(CIRCUIT, {"tokens": ids}, given)
    for name, wanted in expected(ids, given).items():
        np.testing.assert_allclose(found[name], wanted, rtol=1e-12)


def test_ids_may_be_a_list():
    arrays, symbols = given_inputs(CIRCUIT, {"tokens": [0, VOCABULARY - 1, 3]})
    assert arrays["tokens"].dtype.kind == "i" and symbols == {"n": 3}


def test_a_symbol_gets_its_size_from_ids():
    assert bind_symbols(CIRCUIT, {"tokens": np.zeros((4, 7), int)}) == {"n": 7}


# ---- what is refused ---------------------------------------------------------------------------------


def test_a_number_out_of_range_is_named_with_its_place():
    ids = np.zeros((2, 4), int)
    ids[1, 2] = VOCABULARY
    refused(ids, r"'tokens' must hold whole numbers from 0 to 10, found 11 at \[1, 2\]")
    ids[1, 2] = -1
    refused(ids, r"found -1 at \[1, 2\]")
    ids[1, 2] = VOCABULARY - 1
    given_inputs(CIRCUIT, {"tokens": ids})


@pytest.mark.parametrize(
    ("ids", "found"),
    [
        ([1.0, 1.5], "found 1.5, of type float64"),
        ([1.0, 2.0], "found 1.0, of type float64"),
        ([1.0, np.nan], "found nan, of type float64"),
        ([True, False], "found True, of type bool"),
    ],
)
def test_what_is_no_whole_number_is_refused(ids, found):
    refused(np.array(ids), f"must hold whole numbers from 0 to 10, {found}")


def test_missing_and_misshapen_ids():
    with pytest.raises(SpecError, match=r"input 'tokens' is missing, expected shape \('n',\)"):
        given_inputs(CIRCUIT, {})
    with pytest.raises(SpecError, match=r"has shape \(\), expected \(…, n\), none empty"):
        given_inputs(CIRCUIT, {"tokens": np.array(3)})


def test_more_tokens_than_the_table_has_rows():
    given = weights(np.random.default_rng(0))
    told = "positions: 10 tokens, the table position_table has 9 rows"
    with pytest.raises(SpecError, match=told):
        ReferenceBackend().run(CIRCUIT, {"tokens": np.zeros(ROWS + 1, int)}, given)


# ---- declaring ---------------------------------------------------------------------------------------


def test_the_text_keeps_the_kind():
    assert "input tokens (n, 11) token" in print_circuit(CIRCUIT)
    again = parse_circuit(print_circuit(CIRCUIT))
    assert again == CIRCUIT and again.inputs[0].kind is InputKind.TOKEN


def test_a_builder_takes_the_kind_by_name():
    builder = CircuitBuilder("tokens")
    builder.input("tokens", ("n", 5), "token")
    builder.axis("i", Role.COLUMN, "n")
    with pytest.raises(CircuitError, match="no output"):
        builder.build()
    assert Input("tokens", ("n", 5), InputKind.TOKEN).given == ("n",)


@pytest.mark.parametrize("shape", ["n, n", ""])
def test_the_last_side_is_a_number(shape):
    text = EMBEDDING.replace(
        "input tokens (n, 11) token", f"input other (n, 11)\ninput t ({shape}) token"
    )
    with pytest.raises(
        CircuitError, match=r"'t' of tokens has shape .* expected a number as last side"
    ):
        parse_circuit(text.replace("tokens[", "other["))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("position_table (9, 4)", "position_table (9, 5)"),
        ("position_table (9, 4)", "position_table (9)"),
        ("positions (n, 4) = rows(position_table)", "positions (n, 4) = rows()"),
        ("start (n) = first()", "start (n) = first(W_E)"),
    ],
)
def test_formulas_of_other_shapes(old, new):
    with pytest.raises(CircuitError, match=r"formula (rows|first) cannot make"):
        parse_circuit(EMBEDDING.replace(old, new))


def test_a_table_of_known_size_is_long_enough():
    text = EMBEDDING.replace("column n", "column 10").replace("(n", "(10")
    with pytest.raises(CircuitError, match="rows cannot make 'positions'"):
        parse_circuit(text)
    parse_circuit(text.replace("(9, 4)", "(10, 4)"))


def test_wires_of_tokens_begin_at_tokens():
    tokens, node = Input("tokens", ("n", 11), InputKind.TOKEN), Node("embedding", CIRCUIT)
    wires, outputs = [("tokens", "embedding.tokens")], {"y": "embedding.y"}
    made = network("one", [tokens], [node], wires, outputs)
    assert made.flatten().inputs == (tokens,)
    rates = (Input("tokens", ("n", 11)),)
    with pytest.raises(CircuitError, match="tokens is a rate, expected a token"):
        network("one", rates, [node], wires, outputs)
