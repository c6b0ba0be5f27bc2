"""Arguments of commands: the type of a field says what argparse is told of it."""

import argparse
from pathlib import Path

import pytest

from cortico.cli.arguments import CommandArguments, argument


class Base(CommandArguments):
    place: Path = argument()
    flag: bool = argument("--flag")


class Arguments(Base):
    many: tuple[str, ...] = argument("--many")
    few: int | None = argument("--few-ones", apart="one")
    other: str = argument("--other", apart="one", default="x")


def read(*texts):
    parser = argparse.ArgumentParser()
    Arguments.add_to(parser)
    return vars(Arguments.of(parser.parse_args(texts)))


def test_types():
    nothing = {"place": Path("a"), "flag": False, "many": (), "few": None, "other": "x"}
    assert read("a") == nothing
    assert read("a", "--flag", "--few-ones", "3", "--many", "b", "--many", "c") == {
        **nothing,
        "flag": True,
        "many": ("b", "c"),
        "few": 3,
    }
    for wrong in ((), ("a", "--few-ones", "x"), ("a", "--few-ones", "3", "--other", "y")):
        with pytest.raises(SystemExit):
            read(*wrong)
