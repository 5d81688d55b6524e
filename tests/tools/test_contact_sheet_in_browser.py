"""The page of samples in a real browser: pictures and players work under its policy, and it fits into narrow windows."""

import io
import wave
from fractions import Fraction

import av
import numpy as np
import pytest
import selenium
from chromium import run_chromium
from PIL import Image

from asyncwds.testing import make_shard
from asyncwds.tools import Inputs, write_contact_sheet

pytestmark = pytest.mark.slow
assert selenium  # what the file is left out without

SMALL = 50_000
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


def film():
    """A second of it."""
    out = io.BytesIO()
    with av.open(out, "w", format="webm") as container:
        stream = container.add_stream("libvpx", rate=Fraction(10))
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for shade in range(10):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 20 * shade, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return out.getvalue()


PLAYED = """
const [player, done] = [document.querySelector(arguments[0]), arguments[1]];
player.onloadedmetadata = () => done(player.duration);
player.onerror = () => done(player.error.message);
player.load();
player.preload = "metadata";
"""


def test_a_page_in_wide_and_narrow_windows(tmp_path):
    (tmp_path / "a.tar").write_bytes(make_shard([sample()] + [{"__key__": f"{n}", "txt": "x"} for n in range(20)]))
    write_contact_sheet(Inputs(urls=[f"{tmp_path}/a.tar"]), f"{tmp_path}/sheet.html")
    films = {"small": film(), "large": film() + bytes(SMALL)}
    (tmp_path / "film.tar").write_bytes(make_shard([{"__key__": key, "webm": data} for key, data in films.items()]))
    with run_chromium(tmp_path / "profile") as browser:
        for width in (1200, 320):
            metrics = {"width": width, "height": 640, "deviceScaleFactor": 1, "mobile": False}
            browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
            browser.get((tmp_path / "sheet.html").as_uri())
            browser.execute_script("document.querySelector('details').open = true")
            assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")
            assert browser.execute_script("return [...document.images].map(image => image.naturalWidth)") == [90]
            assert browser.title.endswith("a.tar")
        assert browser.execute_async_script(PLAYED, "audio") == 0.5
        write_contact_sheet(Inputs(urls=[f"{tmp_path}/film.tar"]), f"{tmp_path}/film.html", max_embedded=SMALL)
        browser.get((tmp_path / "film.html").as_uri())
        assert browser.execute_async_script(PLAYED, "video") == pytest.approx(1, abs=0.2)
        assert browser.execute_script("return document.querySelector('video').poster").startswith("data:image/jpeg;base64,")
        assert browser.execute_script("return [...document.images].map(image => [image.alt, image.naturalWidth])") == [
            ["first frame of webm of sample large", 64]
        ]
        assert browser.get_log("browser") == []
