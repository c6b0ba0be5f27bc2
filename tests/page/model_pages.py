"""Pages of whole models to look at."""

from dataclasses import replace
from functools import cache

from cortico import compile_model
from cortico.page.model import ModelPage, model_page_html
from cortico.spec.model_weights import random_model
from tests.backends.networks.models import SPECS


@cache
def page(name: str, title: str = "a model", passes: str = "default", **sizes: int) -> ModelPage:
    """The page of a model of `tests/backends/networks/models.py`."""
    spec = replace(SPECS[name], name=title)
    made = compile_model(spec, random_model(spec, 0), passes)
    return ModelPage(made.network, spec, made.steps, sizes=sizes)


@cache
def html_of(name: str, title: str = "a model", **sizes: int) -> str:
    return model_page_html(page(name, title, **sizes))
