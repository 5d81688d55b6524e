"""The page of samples in a real browser: pictures and players work under its policy, and it fits into narrow windows."""

import io
import wave

import numpy as np
import pytest
import selenium
from chromium import run_chromium
from PIL import Image

from asyncwds.testing import make_shard
from asyncwds.tools import Inputs, write_contact_sheet

pytestmark = pytest.mark.slow
assert selenium  # what the file is left out without

ATTACK = "<script>document.title = 'taken over'</script><img src=x onerror=\"document.title = 'taken over'\">"


def sample():
    picture, sound = io.BytesIO(), io.BytesIO()
    Image.fromarray(np.full((60, 90, 3), 99, np.uint8)).save(picture, "jpeg")
    with wave.open(sound, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(8000))
    return {"__key__": "k" * 90, "jpg": picture.getvalue(), "wav": sound.getvalue(), "txt": ATTACK, "json": f'["{"x" * 5000}"]'}


PLAYED = """
const [player, done] = [document.querySelector("audio"), arguments[0]];
player.onloadedmetadata = () => done(player.duration);
player.onerror = () => done(player.error.message);
player.load();
player.preload = "metadata";
"""


def test_a_page_in_wide_and_narrow_windows(tmp_path):
    (tmp_path / "a.tar").write_bytes(make_shard([sample()] + [{"__key__": f"{n}", "txt": "x"} for n in range(20)]))
    write_contact_sheet(Inputs(urls=[f"{tmp_path}/a.tar"]), f"{tmp_path}/sheet.html")
    with run_chromium(tmp_path / "profile") as browser:
        for width in (1200, 320):
            metrics = {"width": width, "height": 640, "deviceScaleFactor": 1, "mobile": False}
            browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
            browser.get((tmp_path / "sheet.html").as_uri())
            browser.execute_script("document.querySelector('details').open = true")
            assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")
            assert browser.execute_script("return [...document.images].map(image => image.naturalWidth)") == [90]
            assert browser.title.endswith("a.tar")
        assert browser.execute_async_script(PLAYED) == 0.5
        assert browser.get_log("browser") == []
