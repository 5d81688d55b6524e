"""Shards with fields of all kinds, and a page over them."""

import json
import wave
from contextlib import asynccontextmanager
from io import BytesIO

import aiohttp
import numpy as np
import pytest
from PIL import Image

from asyncwds.testing import make_shard
from asyncwds.viewer import open_viewer

ACTIVE = {"html": b"<script>document.title = 'taken over'</script>", "svg": b"<svg onload=\"document.title = 'taken over'\"/>"}


def encoded(pixels, form):
    out = BytesIO()
    Image.fromarray(pixels).save(out, form)
    return out.getvalue()


def array(numbers):
    out = BytesIO()
    np.save(out, numbers)
    return out.getvalue()


def sound():
    out = BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(8000))
    return out.getvalue()


def one_sample(number):
    """All that is not large; the classes 0 to 2, and a width that grows."""
    ramp = np.arange(32 * 48).reshape(32, 48)
    return {
        "__key__": f"a/{number:04d}",
        "jpg": encoded(np.full((32, 48, 3), 20 * (number % 10), np.uint8), "jpeg"),
        "mask.png": encoded((ramp % 5).astype(np.uint8), "png"),
        "depth.png": encoded((ramp * 40).astype(np.uint16), "png"),
        "npy": array(ramp.astype(np.float32)),
        "txt": f"caption of {number}",
        "json": json.dumps({"size": {"width": 100 + number}, "id": 2**60 + number}),
        "cls": str(number % 3),
    }


@pytest.fixture(scope="session")
def shards():
    samples = [one_sample(number) for number in range(30)]
    samples[1] |= {"wav": sound(), "bin": bytes(range(256)), **ACTIVE}
    return {f"s{number}.tar": make_shard(samples[10 * number : 10 * number + 10]) for number in range(3)}


@pytest.fixture
def folder(tmp_path, shards):
    for name, data in shards.items():
        (tmp_path / name).write_bytes(data)
    return tmp_path


class Page:
    """What a browser would ask for. `get` gives the JSON, `fetch` status, headers and bytes."""

    def __init__(self, address, session):
        self.address = address
        self.session = session

    async def fetch(self, path, **options):
        async with self.session.get(self.address + path, **options) as answer:
            return answer.status, answer.headers, await answer.read()

    async def get(self, path, /, **query):
        status, _, data = await self.fetch(path, params=query)
        assert status == 200, data
        return json.loads(data)

    async def known(self, samples=None):
        """Waits until the shards are known, or so many samples."""
        while True:
            state = await self.get("api/state")
            if state["complete"] if samples is None else state["samples"] >= samples:
                return state

    async def fields(self, number):
        """The numbers of the fields of a sample, by name."""
        found = await self.get("api/samples", numbers=number)
        return {field["name"]: index for index, field in enumerate(found["samples"][0]["fields"])}


@pytest.fixture
def open_page():
    @asynccontextmanager
    async def opened(urls, **options):
        async with aiohttp.ClientSession() as session, open_viewer(urls, **options) as address:
            yield Page(address, session)

    return opened
