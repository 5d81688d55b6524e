"""One page of HTML with samples in it: nothing of a sample is read as HTML, nothing is fetched, all of it is there or nothing."""

import io
import json
import re
import wave
from base64 import b64decode
from html.parser import HTMLParser

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from tqdm import tqdm

from asyncwds.cli import main
from asyncwds.errors import SpecError, TarError
from asyncwds.testing import make_shard
from asyncwds.tools import Inputs, Selection, write_contact_sheet

tqdm.monitor_interval = 0  # it is a thread that stays
EVIL = "\x1b[2J\u202e</script><script>alert(1)</script>\"'><img src=x onerror=alert(1)>&amp;"
NAME = "\x1b\u202e\"'><script>&amp;"
POLICY = "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'"
ATTRIBUTES = {
    *("http-equiv", "charset", "content", "name", "lang", "rel", "href", "class", "dir"),
    *("src", "alt", "controls", "preload", "poster", "aria-label"),
}
ELEMENTS = {
    *("html", "head", "meta", "title", "link", "style", "body", "header", "h1", "main", "ol", "li", "article", "h2", "p", "b"),
    *("span", "i", "bdi", "figure", "figcaption", "img", "audio", "video", "details", "summary", "pre", "footer"),
}


def encoded(image, form="png"):
    with io.BytesIO() as file:
        image.save(file, form)
        return file.getvalue()


def sound(seconds):
    with io.BytesIO() as out:
        with wave.open(out, "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(8000)
            file.writeframes(bytes(int(16000 * seconds)))
        return out.getvalue()


IMAGE = Image.fromarray(np.full((600, 900, 3), (10, 200, 30), np.uint8))
SAMPLES = [
    {"__key__": "a/0", "png": encoded(IMAGE), "cls": "3", "json": '{"width": 7}', "wav": sound(0.5)},
    {"__key__": "a/1", "png": b"no image", "json": "{broken", "txt": "long " * 10_000, "wav": sound(2)},
    {"__key__": f"a/{NAME}", "txt": f"{EVIL}\nsecond\tline", f"{NAME}.txt": EVIL, "json": json.dumps({EVIL: EVIL}), "bin": b"\0\1"},
]


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.elements, self.texts, self.inside = [], [], [""]
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.inside.append(tag)

    def handle_data(self, data):
        if self.inside[-1] != "style":
            self.texts.append(data)

    def of(self, name):
        return [attributes for tag, attributes in self.elements if tag == name]


@pytest.fixture
def shard(tmp_path):
    (tmp_path / "a.tar").write_bytes(make_shard(SAMPLES))
    return str(tmp_path / "a.tar")


@pytest.fixture
def page(shard, tmp_path):
    report = write_contact_sheet(Inputs(urls=[shard]), str(tmp_path / "new" / "sheet.html"), max_embedded=20_000)
    assert (report.samples_in, report.samples_out) == (3, 3)
    return Page((tmp_path / "new" / "sheet.html").read_text("utf-8"))


def test_nothing_of_a_sample_is_html(page):
    assert {name for name, _ in page.elements} <= ELEMENTS
    assert {attribute for _, attributes in page.elements for attribute in attributes} <= ATTRIBUTES
    text = "".join(page.texts)
    for evil, number in ((EVIL, 2), (NAME, 2)):
        assert text.count(evil.replace("\x1b", "\\x1b").replace("\u202e", "\\u202e")) >= number
    assert all(char.isprintable() or char == "\n" for char in text)


def test_nothing_is_fetched(page):
    assert page.of("meta")[1] == {"http-equiv": "Content-Security-Policy", "content": POLICY}
    fetched = [attributes[name] for _, attributes in page.elements for name in ("src", "href", "poster") if name in attributes]
    assert len(fetched) == 3
    assert all(each.startswith("data:") for each in fetched)


def test_what_is_shown(page):
    (picture,) = page.of("img")
    assert picture["alt"] == "png of sample a/0"
    with Image.open(io.BytesIO(b64decode(picture["src"].partition(",")[2]))) as image:
        assert image.size == (320, 213)
    (player,) = page.of("audio")
    assert player["aria-label"] == "wav of sample a/0"
    assert b64decode(player["src"].partition(",")[2]) == SAMPLES[0]["wav"]
    text = "".join(page.texts)
    for words in (
        "sample 0 of ",
        "at byte 0",
        "this is no image",
        "this is no JSON",
        "not in this page",
        '"width": 7',
        "3 samples",
    ):
        assert words in text
    assert len(page.of("details")) == 4  # JSON, what should be JSON, and the long text, which is cut
    assert len(text) < 30_000


@pytest.mark.parametrize("target", ["sheet.html", "-"])
def test_the_command(shard, target, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, ["show", shard, "--html", target, "--field", "cls"])
    assert (done.exit_code, "1 sample in " in done.stderr) == (0, True)
    found = done.stdout if target == "-" else (tmp_path / target).read_text()
    assert "2 left out: no such field" in found
    assert found.endswith("</html>\n")


def test_all_of_it_or_nothing(shard, tmp_path):
    target = tmp_path / "sheet.html"
    (tmp_path / "cut.tar").write_bytes(make_shard(SAMPLES)[:9_000])
    with pytest.raises(TarError):
        write_contact_sheet(Inputs(urls=[f"{tmp_path}/cut.tar"]), str(target))
    assert not target.exists()
    write_contact_sheet(Inputs(urls=[shard]), str(target), Selection(limit=1))
    before = target.read_bytes()
    with pytest.raises(SpecError, match="--force"):
        write_contact_sheet(Inputs(urls=[shard]), str(target))
    assert target.read_bytes() == before
    report = write_contact_sheet(Inputs(urls=[f"{tmp_path}/cut.tar"], on_error="skip"), str(target), force=True)
    assert report.status == 4
    assert re.search("damaged: .*cut.tar", target.read_text())


def test_a_hundred_samples_unless_a_number_is_given(tmp_path):
    (tmp_path / "a.tar").write_bytes(make_shard([{"__key__": f"{n:03d}", "txt": "x"} for n in range(101)]))
    for options, number, notes in (([], 100, 1), (["-n", "101"], 101, 0)):
        done = CliRunner().invoke(main, ["show", f"{tmp_path}/a.tar", "--html", f"{tmp_path}/{number}.html", *options])
        assert ((tmp_path / f"{number}.html").read_text().count("<article>"), done.stderr.count("-n says")) == (number, notes)


@pytest.mark.parametrize(("options", "words"), [(["--force"], "is for --html"), (["--html", "x.html", "--json"], "two ways")])
def test_options_that_make_no_sense(options, words, shard):
    done = CliRunner().invoke(main, ["show", shard, *options])
    assert (done.exit_code, words in done.stderr) == (1, True)
