"""The page in Chromium: hover, click, search, keyboard, no network, no errors, narrow and wide."""

import shutil
import time

import numpy as np
import pytest

from cortico.page import write_page
from tests.page.pages import HOSTILE, TOKENS, page

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
from selenium.webdriver.common.action_chains import ActionChains  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="Chromium and ChromeDriver are not installed"
)

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WIDE, NARROW = 1280, 400


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


class Browser:
    """A page that is open, and short ways to say what one does with it."""

    def __init__(self, driver):
        self.driver = driver

    def run(self, script):
        return self.driver.execute_script(f"return {script}")

    def one(self, css):
        return self.driver.find_element(By.CSS_SELECTOR, css)

    def all(self, css):
        return self.driver.find_elements(By.CSS_SELECTOR, css)

    def hover(self, css):
        ActionChains(self.driver).move_to_element(self.one(css)).perform()

    def press(self, *keys):
        ActionChains(self.driver).send_keys(*keys).perform()

    def click(self, css):
        self.run(f"document.querySelector({css!r}).scrollIntoView({{block: 'center'}})")
        self.one(css).click()

    def resize(self, width, height=900):
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    @property
    def detail(self):
        return self.one("#detail").text


@pytest.fixture
def open_page(chromium, tmp_path):
    """Opens a page from file://; afterwards nothing may have gone wrong or come from elsewhere."""

    def browse(name="bert", width=WIDE, **options):
        write_page(page(name, **options), tmp_path / "page.html")
        browser = Browser(chromium)
        browser.resize(width)
        chromium.get((tmp_path / "page.html").as_uri())
        return browser

    chromium.get_log("browser")
    yield browse
    assert chromium.get_log("browser") == []
    assert chromium.execute_script("return performance.getEntriesByType('resource').length") == 0


def lit(browser):
    return {e.get_attribute("id") for e in browser.all("#view-laminar .lit")}


# ---- the circuit ---------------------------------------------------------------------------------


def test_hover_shows_a_population(open_page):
    browser = open_page()
    assert "Point at a cell" in browser.detail
    browser.hover("#laminar-population-deep")
    assert browser.detail.startswith("deep\npyramidal PT")
    for words in ("deep[h, i, j, c] = basal · apical / shunt", "200 neurons", "contested", "value"):
        assert words in browser.detail
    wires = {f"laminar-projection-{n}" for n in ("value", "gate", "shunt", "output")}
    ends = {
        f"laminar-population-{n}" for n in ("deep", "core_source", "gated_mask", "pool", "relay")
    }
    assert lit(browser) == wires | ends
    browser.hover("h1")
    assert "Point at a cell" in browser.detail and lit(browser) == set()


def test_hover_shows_a_pathway(open_page):
    browser = open_page()
    ActionChains(browser.driver).move_by_offset(1, 1).perform()
    browser.run(
        "document.querySelector('#laminar-projection-gate .reach')"
        ".dispatchEvent(new PointerEvent('pointerover', {bubbles: true}))"
    )
    assert browser.detail.startswith("gate")
    assert "gated_mask → deep.apical" in browser.detail
    links = [a.get_attribute("href") for a in browser.all("#detail a")]
    assert links and all(link.startswith("https://doi.org/10.") for link in links)


def test_a_click_pins_and_escape_lets_go(open_page):
    browser = open_page()
    browser.click("#laminar-population-pool text")
    browser.hover("h1")
    assert browser.detail.startswith("pool")
    pressed = browser.all("#view-laminar [aria-pressed='true']")
    assert [e.get_attribute("id") for e in pressed] == ["laminar-population-pool"]
    browser.click("#detail button.link")
    assert browser.detail.startswith("pool_mask")
    browser.press(Keys.ESCAPE)
    assert "Point at a cell" in browser.detail


def test_keyboard_reaches_every_population(open_page):
    browser = open_page()
    seen = []
    for _ in range(40):
        browser.press(Keys.TAB)
        found = browser.run("document.activeElement.id")
        if found.startswith("laminar-population-"):
            seen.append(found.removeprefix("laminar-population-"))
            assert browser.detail.startswith(seen[-1])
            style = "getComputedStyle(document.activeElement).outlineStyle"
            assert browser.run(style) == "solid"
    assert seen == [p.name for p in page("bert").circuit.populations]


def test_enter_pins_what_has_the_focus(open_page):
    browser = open_page()
    browser.run("document.querySelector('#laminar-population-mask').focus()")
    browser.press(Keys.ENTER)
    browser.run("document.querySelector('#query').focus()")
    browser.hover("h1")
    assert browser.detail.startswith("mask")


def test_tabs_and_zoom(open_page):
    browser = open_page()
    browser.one("#tab-laminar").send_keys(Keys.ARROW_RIGHT)
    assert browser.run("document.activeElement.id") == "tab-areas"
    assert browser.one("#view-areas").is_displayed()
    assert not browser.one("#view-laminar").is_displayed()
    width = "document.querySelector('#view-areas svg').getBoundingClientRect().width"
    before = browser.run(width)
    browser.click("#zoom-in")
    assert browser.run(width) == pytest.approx(1.25 * before, rel=0.01)
    browser.one("#view-areas").send_keys("-")
    assert browser.run(width) == pytest.approx(before, rel=0.01)
    browser.one("#view-areas").send_keys("+++++")
    ActionChains(browser.driver).drag_and_drop_by_offset(
        browser.one("#view-areas"), -120, 0
    ).perform()
    assert browser.run("document.querySelector('#view-areas').scrollLeft") > 100
    browser.click("#zoom-fit")
    assert browser.run(width) == pytest.approx(before, rel=0.01)


# ---- the input -----------------------------------------------------------------------------------


def test_an_area_leads_to_its_microcolumns(open_page):
    browser = open_page(title="areas", name="gpt2")
    browser.click("#tab-areas")
    browser.click("#areas-area-1")
    assert browser.one("#microcolumns").text == "Area 1: its microcolumns"
    assert browser.run("document.activeElement.id") == "microcolumns"
    gate = page("gpt2").activity.attention.gate
    browser.click("[data-query='4'][data-source='2']")
    place = browser.one(".place").text
    assert place.startswith("Area 1, query “") and "end”, source “</script>" in place
    share = 100 * gate[1, 4, 2]
    assert f"{share:.1f} %" in place or f"{share:.0f} %" in place
    rates = page("gpt2").activity.rates
    row = {r.find_element(By.TAG_NAME, "th").text: r.text for r in browser.all(".cells tbody tr")}
    assert f"{rates['mask'][1, 4, 2]:.3g}"[:4] in row["mask"]
    total = rates["superficial"][1, 4, 2].sum()
    assert "4 cells" in row["superficial"]
    assert f"sum {total:.3g}".replace("-", "−")[:8] in row["superficial"]


def test_words_that_are_masked_in(open_page):
    browser = open_page()
    browser.click(".words button:nth-child(3)")
    gate = page("bert").activity.attention.gate
    for area, row in enumerate(browser.all(".areas tr")):
        first = row.find_element(By.CSS_SELECTOR, ".share").get_property("textContent")
        best = int(np.argmax(gate[area, 2]))
        assert first.startswith(TOKENS[best])
    shown = [
        b.get_property("textContent")
        for b in browser.all(".words")[1].find_elements(By.TAG_NAME, "button")
    ]
    assert [text.startswith(token) for text, token in zip(shown, TOKENS, strict=True)] == [True] * 5


def test_it_starts_in_the_middle(open_page):
    browser = open_page()
    best = int(np.argmax(page("bert").activity.attention.gate[0, 2]))
    here = browser.one(".grid [aria-selected='true']")
    assert (here.get_attribute("data-query"), here.get_attribute("data-source")) == ("2", str(best))


def test_arrow_keys_move_between_microcolumns(open_page):
    browser = open_page()
    browser.click("[data-query='0'][data-source='0']")
    browser.run("document.querySelector('.grid [tabindex=\"0\"]').focus()")
    browser.press(Keys.ARROW_DOWN, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    here = browser.one(".grid [aria-selected='true']")
    assert (here.get_attribute("data-query"), here.get_attribute("data-source")) == ("1", "2")
    assert browser.run("document.activeElement.getAttribute('aria-selected')") == "true"
    assert len(browser.all(".grid [tabindex='0']")) == 1


@pytest.mark.parametrize("name", ["memory_causal", "everything", "cross_padded"])
def test_other_circuits(open_page, name):
    browser = open_page(name)
    browser.click("#tab-areas")
    browser.click("#areas-area-1, #areas-area-0-1")
    assert browser.one("#microcolumns").text.startswith("Area ")
    assert len(browser.all(".cells tbody tr")) == len(page(name).circuit.populations)
    if name == "memory_causal":
        assert "keep a memory" in browser.one(".columns").text


def test_without_an_input(open_page):
    browser = open_page(activity=False)
    assert "--input x.npy" in browser.one("#activity").text
    browser.click("#tab-areas")
    browser.click("#areas-area-0")
    assert browser.one("#view-microcolumn").is_displayed()


# ---- search --------------------------------------------------------------------------------------


def test_search(open_page):
    browser = open_page()
    browser.one("#query").send_keys("poo")
    found = [b.text for b in browser.all("#found button")]
    assert found[0].startswith("pool PV") and any("pool_mask" in f for f in found)
    browser.press(Keys.ARROW_DOWN, Keys.ENTER)
    assert browser.detail.startswith("pool\n")
    browser.one("#query").clear()
    browser.one("#query").send_keys("W_O", Keys.ENTER)
    assert browser.detail.startswith("output")
    browser.one("#query").clear()
    browser.one("#query").send_keys("nothing like it")
    assert not browser.one("#found").is_displayed()
    assert browser.one("#found-status").get_property("textContent") == "0 found"


# ---- safety, size, speed -------------------------------------------------------------------------


def test_names_and_tokens_are_text(open_page):
    browser = open_page(title=HOSTILE)
    assert browser.run("window.hacked") is None
    assert browser.driver.title == HOSTILE
    assert browser.one("h1").text == HOSTILE
    browser.one("#query").send_keys("script")
    assert HOSTILE in browser.one("#found").text
    browser.click(".words button:nth-child(3)")
    assert browser.run("window.hacked") is None and browser.all("img, b") == []


@pytest.mark.parametrize("width", [WIDE, NARROW])
@pytest.mark.parametrize("name", ["bert", "everything", "memory_causal"])
def test_nothing_is_wider_than_the_window(open_page, name, width):
    browser = open_page(name, width=width)
    assert browser.run("document.documentElement.scrollWidth") <= width
    outside = browser.run(
        "[...document.querySelectorAll('body *')].filter(e => !e.closest('.scroll, .view, .hidden, .skip')"
        f" && e.getBoundingClientRect().right > {width + 1}).map(e => e.tagName + e.className)"
    )
    assert outside == []


def test_it_is_quick(open_page):
    """With all of 200 microcolumns; that of MiniLM is measured in docs/pictures.md."""
    start = time.perf_counter()
    browser = open_page()
    assert browser.run("performance.getEntriesByType('navigation')[0].loadEventEnd") < 3000
    assert time.perf_counter() - start < 10


@pytest.mark.slow
def test_reduced_motion(open_page):
    browser = open_page()
    feature = {"features": [{"name": "prefers-reduced-motion", "value": "reduce"}]}
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", feature)
    duration = "getComputedStyle(document.querySelector('.view svg g')).transitionDuration"
    assert browser.run(duration) == "0s" and browser.run("calm.matches")
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert browser.run(duration) != "0s"
