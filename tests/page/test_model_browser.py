"""The page of a whole model in Chromium: from levels to blocks, areas and cells, and back; quick, and without errors."""

import pytest

from cortico.page.model import write_model_page
from tests.page.model_pages import page
from tests.page.pages import HOSTILE
from tests.page.test_browser import WIDE, Browser, chromium, pytestmark  # noqa: F401


@pytest.fixture
def open_model(chromium, tmp_path):  # noqa: F811
    """Opens a page from file://; afterwards nothing may have gone wrong or come from elsewhere."""

    def browse(name="encoder", address="", width=WIDE, **options):
        write_model_page(page(name, **options), tmp_path / "page.html")
        browser = Browser(chromium)
        browser.resize(width)
        chromium.get((tmp_path / "page.html").as_uri() + address)
        return browser

    chromium.get_log("browser")
    yield browse
    assert chromium.get_log("browser") == []
    assert chromium.execute_script("return performance.getEntriesByType('resource').length") == 0


def walk(browser):
    return browser.one("#walk").text


def shown(browser):
    """The circuits that can be seen."""
    sections = browser.all(".distinct")
    return [s.get_attribute("id") for s in sections if s.is_displayed()]


def follow(browser, words):
    """A click on a link of the walk."""
    links = browser.all("#walk a")
    next(each for each in links if each.text == words).click()


def test_from_the_model_to_a_cell(open_model):
    browser = open_model()
    assert "layer[1]" in walk(browser) and shown(browser) == []
    follow(browser, "layer[1]")
    assert "attention" in walk(browser) and "parameters" in walk(browser)
    follow(browser, "attention")
    assert shown(browser) == ["block-attention"]
    assert "x from layer[0].feed_forward_norm.y" in walk(browser)
    follow(browser, "2")
    assert browser.run("location.hash") == "#/layer[1].attention.area[2]"
    browser.click("#walk button.link")
    assert browser.one("#attention-detail").text.startswith("superficial")
    assert (
        browser.one("#attention-laminar-population-superficial").get_attribute("aria-pressed")
        == "true"
    )
    browser.driver.back()
    assert browser.run("location.hash") == "#/layer[1].attention"
    follow(browser, "layer[0]")  # of those that are the same
    assert browser.run("location.hash") == "#/layer[0].attention"


def test_from_the_picture(open_model):
    """A block of levels that are drawn once is that of the level where one is."""
    browser = open_model(address="#/layer[1]")
    browser.one("[data-block='layer[0].feed_forward']").click()
    assert browser.run("location.hash") == "#/layer[1].feed_forward"
    assert "chosen" in browser.one("[data-block='layer[0].feed_forward']").get_attribute("class")
    assert shown(browser) == ["block-feed_forward"]
    browser.one("[data-block='embedding']").click()
    assert shown(browser) == ["block-embedding"]


def test_the_keyboard(open_model):
    browser = open_model()
    browser.run("document.querySelector('[data-block=\"layer[0].attention\"]').focus()")
    browser.press("\ue007")
    assert shown(browser) == ["block-attention"]
    browser.one("#attention-tab-laminar").send_keys("\ue014")
    assert browser.one("#attention-view-areas").is_displayed()
    browser.click("#attention-areas-area-3")
    assert browser.run("location.hash") == "#/layer[0].attention.area[3]"


@pytest.mark.full
def test_what_wires_join(open_model):
    browser = open_model("translator", "#/decoder.layer[1].cross_attention")
    assert "context from encoder.norm.y" in walk(browser)
    follow(browser, "encoder.norm.y")
    assert browser.run("location.hash") == "#/encoder.norm"
    assert "y to decoder.layer[0].cross_attention.context" in walk(browser)
    assert shown(browser) == ["block-norm"]


def test_sections_are_no_places(open_model):
    browser = open_model(address="#/layer[1].attention")
    browser.click("nav a[href='#proof']")
    assert browser.run("location.hash") == "#proof"
    assert shown(browser) == ["block-attention"]


@pytest.mark.full
def test_an_address_of_nothing(open_model):
    browser = open_model(address="#/layer[9].attention.area[77]")
    assert shown(browser) == [] and "Levels" in walk(browser)


@pytest.mark.full
def test_names_are_text(open_model):
    browser = open_model("vectors", title=HOSTILE)
    assert browser.run("window.hacked") is None and browser.all("img") == []


@pytest.mark.full
@pytest.mark.parametrize("width", [400, 1280])
def test_nothing_is_wider_than_the_window(open_model, width):
    browser = open_model("translator", "#/decoder.layer[1].cross_attention.area[1]", width)
    assert browser.run("document.documentElement.scrollWidth") <= width


def test_it_is_quick(open_model):
    browser = open_model()
    assert browser.run("performance.getEntriesByType('navigation')[0].loadEventEnd") < 3000
