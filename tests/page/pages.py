"""Pages to look at, and what is in them."""

import json
import re
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser

from cortico import compile_attention
from cortico.anatomy import audit
from cortico.experiment.activity import observe
from cortico.page import Page, page_html
from tests.cases import CASES

CASE = {case.name: case for case in CASES}

#: Text that would run, or break the page, if it were not made safe.
HOSTILE = (
    "</script><script>window.hacked = 1</script><img src=x onerror='window.hacked = 2'> & $title"
)
TOKENS = ("the", "<b>bold</b>", HOSTILE, "&amp;", "\u2028end")

VOID = {"meta", "link", "input", "br", "img", "hr"}


@cache
def page(name: str, passes: str = "none", title: str = "a page", activity: bool = True) -> Page:
    """The page of a case of `tests/cases.py` on its first example."""
    case = CASE[name]
    spec = replace(case.spec, name=title)
    compilation = compile_attention(spec, case.weights, passes=passes)
    inputs = {key: array[0] for key, array in case.inputs.items()}
    seen = observe(compilation.circuit, inputs) if activity else None
    circuit = seen.circuit if seen else compilation.circuit
    return Page(circuit, audit(circuit), spec, compilation.steps, (), seen, TOKENS)


def data_of(html: str) -> dict:
    """The JSON in a page."""
    text = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.S)
    return json.loads(text[1])


class Outline(HTMLParser):
    """Elements with their attributes, ids, texts; complains of elements that are not closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open, self.elements, self.ids, self.text = [], [], [], []
        self.feed(html)
        assert self.open == [], self.open

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.elements.append((tag, found))
        if "id" in found:
            self.ids.append(found["id"])
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, (tag, self.getpos())

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("script", "style"):
            self.text.append(data)


def outline(name: str, **options) -> Outline:
    return Outline(page_html(page(name, **options)))
