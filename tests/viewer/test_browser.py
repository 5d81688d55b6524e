"""The page in a real browser: what is seen, the keyboard, links, players, narrow windows, light and dark."""

import subprocess
from fractions import Fraction
from io import BytesIO

import av
import numpy as np
import pytest
import selenium
from chromium import run_chromium
from command_line import COMMAND
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select
from selenium.webdriver.support.wait import WebDriverWait

from asyncwds.testing import make_shard

pytestmark = pytest.mark.slow
assert selenium  # what the file is left out without
SECONDS = 3


def film():
    """Large enough to be sent by ranges; how long it is stands at its end."""
    out = BytesIO()
    noise = np.random.default_rng(0)
    with av.open(out, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(10), options={"crf": "2", "preset": "ultrafast", "g": "5"})
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for _ in range(SECONDS * 10):
            frame = av.VideoFrame.from_ndarray(noise.integers(0, 256, (240, 320, 3), np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return out.getvalue()


@pytest.fixture(scope="module")
def address(shards, tmp_path_factory):
    """Of a page over 30 samples, and one with a film."""
    folder = tmp_path_factory.mktemp("viewed")
    for name, data in shards.items():
        (folder / name).write_bytes(data)
    (folder / "s3.tar").write_bytes(make_shard([{"__key__": "film", "mp4": film(), "txt": "noise"}]))
    command = [*COMMAND, "view", str(folder / "s{0..3}.tar"), "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        yield process.stdout.readline().split()[0]
        process.terminate()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with run_chromium(tmp_path_factory.mktemp("chromium")) as started:
        yield started


class Screen:
    def __init__(self, browser, address):
        self.browser = browser
        self.address = address
        self.resize(1200, 900)

    def resize(self, width, height):
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def open(self, fragment=""):
        self.browser.get("about:blank")
        self.browser.get(self.address + fragment)

    def run(self, script, *arguments):
        return self.browser.execute_script(script, *arguments)

    def wait(self, script, *arguments):
        return WebDriverWait(self.browser, 60, 0.05).until(lambda _: self.run(script, *arguments))

    def text(self, where):
        return self.browser.find_element(By.CSS_SELECTOR, where).text

    def find(self, where):
        return self.browser.find_element(By.CSS_SELECTOR, where)

    def cards(self, first):
        """Waits until the grid begins with that key."""
        self.wait("return document.querySelector('#grid .open')?.textContent.includes(arguments[0])", first)

    def press(self, *keys):
        ActionChains(self.browser).send_keys(*keys).perform()


@pytest.fixture
def screen(browser, address):
    browser.get_log("browser")
    shown = Screen(browser, address)
    yield shown
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


def test_the_grid_shows_pictures_texts_and_players(screen):
    screen.open()
    screen.cards("a/0000")
    screen.wait("return document.querySelector('#status').textContent === '31 samples in 4 shards'")
    screen.wait("return [...document.querySelectorAll('.card:first-child img')].every(image => image.naturalWidth > 0)")
    assert screen.run("return document.querySelectorAll('.card:first-child img').length") == 4
    screen.wait("return document.querySelector('.card').textContent.includes('caption of 0')")
    assert str(2**60) in screen.text(".card")
    assert screen.run("return document.querySelectorAll('.card:nth-child(2) audio').length") == 1
    assert "<script>" in screen.text(".card:nth-child(2)")
    assert screen.browser.title == "s0.tar … s3.tar | shards"


def test_the_keyboard(screen):
    screen.open()
    screen.cards("a/0000")
    focused = "return document.activeElement.dataset.number === arguments[0]"
    screen.press(Keys.ARROW_RIGHT)
    screen.wait(focused, "0")
    screen.press(Keys.ARROW_RIGHT, Keys.ARROW_DOWN)
    wide = screen.run(
        "const t = [...document.querySelectorAll('.card')].map(c => c.offsetTop); return t.filter(x => x === t[0]).length"
    )
    screen.wait(focused, str(1 + wide))
    screen.press(Keys.ENTER)
    screen.wait("return document.querySelector('#detail[open] img')")
    screen.press(Keys.ARROW_RIGHT)
    screen.wait("return document.querySelector('#detail-key').textContent === arguments[0]", f"a/{2 + wide:04d}")
    assert screen.run("return location.hash") == f"#sample={2 + wide}"
    screen.press(Keys.ESCAPE)
    screen.wait("return !document.querySelector('#detail').open")
    screen.wait(focused, str(2 + wide))
    screen.press(Keys.PAGE_DOWN)
    screen.cards("a/0024")
    screen.press(Keys.HOME)
    screen.cards("a/0000")
    screen.press(Keys.END)
    screen.wait(focused, "30")
    screen.press("g")
    screen.wait("return document.activeElement.id === 'jump-number'")
    screen.press("17", Keys.ENTER)
    screen.wait(focused, "17")
    screen.press("?")
    screen.wait("return document.querySelector('#help').open")
    screen.press(Keys.ESCAPE, "/")
    screen.wait("return document.activeElement.id === 'search-text'")
    screen.press("a/002", Keys.ENTER)
    screen.cards("a/0020")
    screen.wait("return document.querySelectorAll('.card').length === 10")


def test_links(screen):
    screen.open("#sample=12")
    screen.wait("return document.querySelector('#detail-key').textContent === 'a/0012'")
    screen.open("#key=a%2F0021")
    screen.wait("return document.querySelector('#detail-key').textContent === 'a/0021'")
    screen.wait("return location.hash === '#sample=21'")
    screen.open("#search=nothing")
    screen.wait("return document.querySelector('#found').textContent.includes('No key contains')")
    screen.open("#first=20")
    screen.cards("a/0020")
    screen.run("document.querySelector('#previous').click()")
    screen.cards("a/0000")


def test_conditions(screen):
    screen.open()
    screen.cards("a/0000")
    screen.press("w")
    screen.wait("return document.activeElement.id === 'where-text'")
    screen.press("cls == 1 and json.size.width >= 120", Keys.ENTER)
    screen.cards("a/0022")
    assert screen.run("return document.querySelectorAll('.card').length") == 3
    assert "Samples where" in screen.text("#found")
    screen.open("#where=cls%20%3D%3D%202")
    screen.cards("a/0002")


def test_players_seek(screen):
    screen.open("#sample=30")
    screen.wait("return document.querySelector('#detail video')?.readyState >= 1")
    film = "const film = document.querySelector('#detail video'); "
    assert abs(screen.run(f"{film} return film.duration") - SECONDS) < 0.2
    screen.run(
        f"{film} window.seeked = false; film.onseeked = () => window.seeked = true; film.currentTime = arguments[0]", SECONDS - 1
    )
    screen.wait("return window.seeked")
    screen.wait(f"{film} return film.readyState >= 2 && film.currentTime === arguments[0]", SECONDS - 1)
    screen.open("#sample=1")
    screen.wait("return document.querySelector('#detail audio')?.duration === 0.5")


def test_colours_are_chosen(screen):
    screen.open("#sample=0")
    screen.wait("return document.querySelectorAll('#detail img').length === 4")
    part = "const part = document.querySelector('#detail [aria-label=\"depth.png\"]'); "
    screen.wait(f"{part} return part?.textContent.includes('uint16, 32 x 48, 0 to 61400')")
    Select(screen.find('#detail [aria-label="depth.png"] select')).select_by_value("grey")
    screen.wait(
        f"{part} return part.querySelector('img').src.endsWith('map=grey') && part.querySelector('img').naturalWidth === 48"
    )


def test_histograms(screen):
    screen.open()
    screen.cards("a/0000")
    screen.press("h")
    screen.wait("return document.querySelectorAll('#chart rect').length > 3")
    assert "Of all 31 samples" in screen.text("#chart-status")
    Select(screen.find("#measure")).select_by_visible_text("cls: value")
    screen.wait("return document.querySelectorAll('#chart .bars li').length === 3")
    assert "1 have no such value" in screen.text("#chart-status")
    assert "cls" in screen.run("return decodeURIComponent(location.hash)")
    screen.press(Keys.ESCAPE)
    screen.find("#show-samples").click()
    screen.cards("a/0000")


def test_a_bar_leads_to_its_samples(screen):
    """By the pointer and by the keyboard; and back again."""
    screen.open("#histogram=cls: value")
    screen.wait("return document.querySelectorAll('#chart .bars a').length === 3")
    screen.find("#chart .bars li:nth-child(2) a svg").click()
    screen.cards("a/0001")
    assert screen.run("return document.querySelector('#where-text').value") == "cls == 1"
    assert screen.run("return decodeURIComponent(location.hash.replaceAll('+', ' '))") == "#where=cls == 1"
    assert screen.run("return document.querySelectorAll('.card').length") == 10
    screen.run("history.back()")
    screen.wait("return document.querySelectorAll('#chart .bars a').length === 3")
    Select(screen.find("#measure")).select_by_visible_text("json: size.width")
    screen.wait("return document.querySelectorAll('#chart li').length === 30")
    screen.open("#histogram=whole sample: size")
    screen.wait("return document.querySelectorAll('#chart svg a').length >= 2")
    links = "document.querySelectorAll('#chart svg a')"
    name = screen.run(f"return {links}[1].getAttribute('aria-label')")
    screen.run("document.querySelector('#measure').focus()")
    screen.press(Keys.TAB, Keys.TAB)
    assert screen.run(f"return document.activeElement === {links}[1]")
    screen.press(Keys.ENTER)
    screen.wait("return document.querySelector('#where-text').value.includes('nbytes')")
    screen.wait("return document.querySelectorAll('.card').length > 0 && document.querySelector('#grid').ariaBusy === null")
    shown = screen.run("return document.querySelectorAll('.card').length")
    assert name.endswith(f": {shown} samples, show them")
    assert screen.run("return document.activeElement.id") == "samples"


@pytest.mark.parametrize("fragment", ["", "#sample=1", "#histogram=jpg: size"])
def test_everything_has_a_name(screen, fragment):
    screen.open(fragment)
    screen.wait("return document.querySelector('.card img, #detail img, #chart svg')")
    screen.wait("return document.querySelector('#grid').ariaBusy === null")
    inside = "#detail " if "sample" in fragment else ""  # what is behind a dialog is not there for anyone
    names = [
        f"{inside}{name}"
        for name in ("button", "input", "select", "audio", "video", "img", "section", "a", "[role=img], [role=group]")
    ]
    found = [element for element in screen.browser.find_elements(By.CSS_SELECTOR, ", ".join(names)) if element.is_displayed()]
    assert found
    assert [element.get_attribute("outerHTML") for element in found if not element.accessible_name] == []
    for name in ("main", "header", "h1"):
        assert screen.run("return document.querySelectorAll(arguments[0]).length", name) == 1


CONTRASTS = """
const light = (text) => {
  const [r, g, b] = text.match(/[\\d.]+/g).slice(0, 3).map((c) => c / 255)
    .map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const behind = (element) => {
  for (let at = element; at; at = at.parentElement) {
    const colour = getComputedStyle(at).backgroundColor;
    if (!/, 0\\)$|transparent/.test(colour)) return colour;
  }
  throw new Error("nothing behind it");
};
const found = [];
for (const element of document.querySelectorAll("body *")) {
  const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
  if (!own || !element.checkVisibility() || element.disabled || element.closest("option, svg")) continue;
  const [a, b] = [light(getComputedStyle(element).color), light(behind(element))].sort((x, y) => y - x);
  if ((a + 0.05) / (b + 0.05) < 4.5) found.push(element.outerHTML.slice(0, 200));
}
return found;
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(screen, scheme):
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    screen.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    for fragment in ("", "#sample=1", "#histogram=cls: value"):
        screen.open(fragment)
        screen.wait("return document.querySelector('.card img, #detail img, #chart svg')")
        assert screen.run(CONTRASTS) == []


@pytest.mark.parametrize("fragment", ["", "#sample=1", "#histogram=jpg: size", "#histogram=cls: value"])
def test_a_narrow_window(screen, fragment):
    screen.resize(320, 640)
    screen.open(fragment)
    screen.wait("return document.querySelector('.card img, #detail img, #chart svg')")
    assert screen.run("return document.documentElement.scrollWidth <= innerWidth")
    assert screen.run("const body = document.querySelector('#detail-body'); return body.scrollWidth <= body.clientWidth")
