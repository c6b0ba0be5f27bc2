"""docs/pictures.md shows what `docs/draw_pictures.py` draws now; `make golden` draws it anew."""

import runpy
import shutil
from pathlib import Path

import pytest

from tests.needs import needs_weights

DOCS = Path(__file__).parents[2] / "docs"
FOLDER = DOCS / "pictures"
MOST = 1_000_000  #: bytes of all pictures


@pytest.mark.slow
@needs_weights
def test_pictures_are_as_the_script_draws_them(request, tmp_path):
    draw_all = runpy.run_path(str(DOCS / "draw_pictures.py"))["draw_all"]
    for path in draw_all(tmp_path):
        stored = FOLDER / path.name
        if request.config.getoption("--update-golden"):
            shutil.copy(path, stored)
        if path.stem == "activity":  # colours may differ by a shade between machines
            continue
        assert path.read_bytes() == stored.read_bytes(), f"{stored} differs: run `make golden`"


def test_pictures_are_shown_and_small():
    text = (DOCS / "pictures.md").read_text(encoding="utf-8")
    stored = [path for path in FOLDER.iterdir() if path.suffix in (".svg", ".png")]
    assert all(f"pictures/{path.name}" in text for path in stored)
    assert sum(path.stat().st_size for path in stored) < MOST
    assert {path.suffix for path in stored} == {".svg", ".png"}


@pytest.mark.parametrize("name", ["laminar", "areas", "microcolumn", "matrix"])
def test_pictures_hold_every_pathway_of_the_layer(name):
    text = (FOLDER / f"{name}.svg").read_text(encoding="utf-8")
    wanted = ("key", "query", "value", "output") if name == "areas" else ("score", "gate", "shunt")
    assert all(f'id="projection-{each}"' in text for each in wanted)
