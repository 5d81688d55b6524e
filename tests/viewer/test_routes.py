"""What the page is told: samples, fields, texts, pictures, search, histograms; of local shards and over HTTP."""

import asyncio
import gzip
import json
from io import BytesIO

import aiohttp
import numpy as np
import pytest
from PIL import Image

import asyncwds as wds
from asyncwds.testing import Fault, FaultServer, make_samples, make_shard
from asyncwds.viewer import open_viewer

LARGE = 3 << 20


@pytest.mark.parametrize("with_index", [True, False])
@pytest.mark.parametrize("remote", [True, False])
async def test_samples_by_number(folder, open_page, with_index, remote):
    if with_index:
        wds.save_index(wds.make_index(str(folder / "s{0..2}.tar")))
    with FaultServer(folder) as server:
        urls = server.url("s") + "{0..2}.tar" if remote else str(folder / "s{0..2}.tar")
        async with open_page(urls) as page:
            state = await page.known()
            assert (state["samples"], state["shards"], state["problems"]) == (30, 3, [])
            assert {each["name"]: each["samples"] for each in state["fields"]}["wav"] == 1
            found = await page.get("api/samples", first=8, count=4)
            assert [each["key"] for each in found["samples"]] == ["a/0008", "a/0009", "a/0010", "a/0011"]
            assert [each["ordinal"] for each in found["samples"]] == [8, 9, 0, 1]
            assert found["total"] == 30
            assert (await page.get("api/samples", first=28))["samples"][-1]["key"] == "a/0029"


async def test_each_kind_of_field(folder, shards, open_page):
    async with open_page(str(folder / "s0.tar")) as page:
        await page.known()
        fields = await page.fields(1)
        texts = (await page.get("api/texts", numbers="1,2"))["texts"]
        assert texts[f"1/{fields['txt']}"]["text"] == "caption of 1"
        assert json.loads(texts[f"1/{fields['json']}"]["text"])["id"] == 2**60 + 1
        assert f"2/{(await page.fields(2))['cls']}" in texts
        shown = {name: await page.get(f"api/text/1/{fields[name]}") for name in ("npy", "bin", "depth.png", "svg")}
        assert shown["npy"]["text"] == "float32, 32 x 48, 0 to 1535, mean 767.5"
        assert shown["depth.png"]["text"].startswith("uint16, 32 x 48, 0 to 61400")
        assert (shown["bin"]["form"], shown["bin"]["text"][:21]) == ("hex", "0000  00 01 02 03 04 ")
        assert shown["svg"]["text"].startswith("<svg")
        for name, kind in {"jpg": "JPEG", "mask.png": "PNG", "depth.png": "PNG", "npy": "PNG"}.items():
            status, headers, data = await page.fetch(f"image/1/{fields[name]}", params={"size": 24})
            with Image.open(BytesIO(data)) as image:
                assert (status, image.format, image.size) == (200, kind, (24, 16))
                assert headers["Content-Type"] == Image.MIME[kind]


async def test_colour_maps(folder, open_page):
    async with open_page(str(folder / "s0.tar")) as page:
        await page.known()
        fields = await page.fields(0)

        async def colours(name, how):
            _, _, data = await page.fetch(f"image/0/{fields[name]}", params={"map": how})
            with Image.open(BytesIO(data)) as image:
                return np.asarray(image.convert("RGB"))

        assert len(np.unique((await colours("mask.png", "auto")).reshape(-1, 3), axis=0)) == 5  # a colour for each class
        depth = await colours("depth.png", "auto")
        assert depth[0, 0].tolist() == [68, 1, 84]
        assert depth[-1, -1].tolist() == [253, 231, 37]
        grey = await colours("npy", "grey")
        assert (grey[:, :, 0] == grey[:, :, 2]).all()
        assert grey[-1, -1, 0] == 255
        status, _, data = await page.fetch(f"image/0/{fields['npy']}", params={"map": "none"})
        assert status == 422
        assert "auto, grey, depth, labels" in json.loads(data)["error"]


async def test_what_is_no_picture_is_an_error_of_that_field(open_page, tmp_path):
    (tmp_path / "bad.tar").write_bytes(
        make_shard([{"__key__": "x", "jpg": b"no image", "png": b"%!PS-Adobe EPSF\n", "npy": b"", "json": b"{", "npz": b"PK"}])
    )
    async with open_page(str(tmp_path / "bad.tar")) as page:
        await page.known()
        fields = await page.fields(0)
        for name in ("jpg", "png", "npy", "npz", "json"):
            status, _, data = await page.fetch(f"image/0/{fields[name]}")
            assert status == 422
            assert "it cannot be shown" in json.loads(data)["error"]
        assert (await page.get(f"api/text/0/{fields['json']}"))["text"] == "{"


@pytest.mark.parametrize(
    ("asked", "status", "part"),
    [
        (None, 200, slice(None)),
        ("bytes=0-99", 206, slice(0, 100)),
        (f"bytes={LARGE // 2}-", 206, slice(LARGE // 2, None)),
        ("bytes=-10", 206, slice(-10, None)),
        ("bytes=0-1,5-6", 200, slice(None)),
        (f"bytes={LARGE}-", 416, slice(0, 0)),
    ],
)
async def test_ranges_of_a_large_field_are_ranges_of_its_shard(open_page, asked, status, part):
    (sample,) = make_samples(1, size=LARGE, fields=("mp4",))
    with FaultServer({"a.tar": make_shard([sample])}) as server:
        async with open_page(server.url("a.tar")) as page:
            await page.known()
            before = server.counters.bytes_sent
            found, headers, data = await page.fetch("field/0/0", headers={"Range": asked} if asked else {})
            assert (found, data) == (status, sample["mp4"][part])
            assert headers.get("Accept-Ranges", "bytes") == "bytes"
            if status == 206:
                start, stop, _ = part.indices(LARGE)
                assert headers["Content-Range"] == f"bytes {start}-{stop - 1}/{LARGE}"
                assert server.counters.bytes_sent - before <= stop - start + 512
            async with page.session.head(page.address + "field/0/0") as answer:
                assert answer.headers["Content-Length"] == str(LARGE)


async def test_a_shard_that_was_replaced_meanwhile_is_noticed(open_page):
    (sample,) = make_samples(1, size=LARGE, fields=("mp4",))
    shard = make_shard([sample])
    with FaultServer({"a.tar": shard}) as server:
        async with open_page(server.url("a.tar")) as page:
            await page.known()
            server.put("a.tar", shard[: LARGE // 2])  # another one: its ETag differs
            status, _, data = await page.fetch("field/0/0")
            assert status == 502
            assert "ChangedError" in json.loads(data)["error"]


async def test_search(folder, open_page):
    async with open_page(str(folder / "s{0..2}.tar")) as page:
        await page.known()
        assert await page.get("api/search", text="000") == {"numbers": list(range(10)), "after": None}
        assert await page.get("api/search", text="a/", count=12) == {"numbers": list(range(12)), "after": 12}
        assert await page.get("api/search", text="a/", count=20, after=12) == {"numbers": list(range(12, 30)), "after": None}
        assert (await page.get("api/search", text="nothing"))["numbers"] == []
        assert (await page.get("api/search", text="a/0021", exact=1))["numbers"] == [21]
        assert (await page.fetch("api/search?text=a/002&exact=1"))[0] == 404


@pytest.mark.parametrize(
    ("where", "numbers"),
    [
        ("cls == 1 and json.size.width >= 120", [22, 25, 28]),
        ("size(wav) > 0", [1]),
        ('key.startswith("a/001") and len(txt) == 13 and not cls', [12, 15, 18]),
        ("json.id == 1152921504606846977", [1]),
        ("nothing > 1", []),
    ],
)
async def test_conditions(folder, open_page, where, numbers):
    async with open_page(str(folder / "s{0..2}.tar")) as page:
        await page.known()
        assert await page.get("api/where", where=where) == {"numbers": numbers, "after": None, "failed": 0}


async def test_conditions_a_page_at_a_time_and_what_cannot_be_told(open_page, tmp_path):
    samples = [{"__key__": f"{number}", "json": "{}" if number % 4 else "{no json"} for number in range(100)]
    (tmp_path / "a.tar").write_bytes(make_shard(samples))
    async with open_page(str(tmp_path / "a.tar")) as page:
        await page.known()
        first = await page.get("api/where", where="has(json)", count=60)
        assert (first["numbers"], first["after"], first["failed"]) == (list(range(60)), 60, 0)
        odd = await page.get("api/where", where="json.x is None", count=6)
        assert odd == {"numbers": [1, 2, 3, 5, 6, 7], "after": 8, "failed": 2}
        status, _, data = await page.fetch("api/where", params={"where": "__import__('os')"})
        assert (status, "no function" in json.loads(data)["error"]) == (422, True)


async def test_a_page_of_small_samples_comes_by_few_requests(folder, open_page):
    wds.save_index(wds.make_index(str(folder / "s{0..2}.tar")))
    with FaultServer(folder) as server:
        async with open_page(server.url() + "s{0..2}.tar") as page:
            await page.known()
            before = server.counters.requests
            samples = (await page.get("api/samples", first=0, count=20))["samples"]
            texts = (await page.get("api/texts", numbers=",".join(str(sample["number"]) for sample in samples)))["texts"]
            assert len(texts) == 62  # txt, json and cls of each, html and svg of one
            for number in range(20):
                assert (await page.fetch(f"image/{number}/0"))[0] == 200
            assert server.counters.requests - before <= 4


async def test_a_condition_on_sizes_reads_no_field(folder, open_page):
    wds.save_index(wds.make_index(str(folder / "s{0..2}.tar")))
    with FaultServer(folder) as server:
        async with open_page(server.url() + "s{0..2}.tar") as page:
            await page.known()
            before = server.counters.requests
            assert len((await page.get("api/where", where="size(jpg) > 100", count=200))["numbers"]) == 30
            assert server.counters.requests == before


async def test_histograms(folder, open_page):
    async with open_page(str(folder / "s{0..2}.tar")) as page:
        await page.known()
        measures = {each.pop("label"): each for each in await page.get("api/measures")}
        assert {"jpg: size", "txt: length", "cls: value", "json: size.width"} <= measures.keys()
        sizes = await page.get("api/histogram", **measures["jpg: size"])
        assert (sizes["count"], sum(bar["count"] for bar in sizes["bars"]), sizes["read"]) == (30, 30, 30)
        classes = await page.get("api/histogram", **measures["cls: value"])
        assert classes["bars"] == [{"name": name, "count": 10, "where": f"cls == {name}"} for name in ("0", "1", "2")]
        widths = await page.get("api/histogram", **measures["json: size.width"])
        assert (widths["count"], widths["missing"]) == (30, 0)
        lengths = await page.get("api/histogram", **measures["txt: length"])
        assert [(bar["name"], bar["count"]) for bar in lengths["bars"]] == [("12", 10), ("13", 20)]
        missing = await page.get("api/histogram", field="wav", of="length")
        assert (missing["count"], missing["missing"]) == (1, 29)


def odd_sample(number):
    """What is hard to name, and to compare."""
    value = {
        "list": [0] * (number % 4),
        "class": "quoted\n'é\"" if number % 2 else "x" * (200 + number),
        "no name": number % 3 == 0,
        "float": number / 7,
        "none": None if number % 2 else 1,
        "deep": {"id": 2**60 + number % 2, "7": "seven"},
    }
    words = ("dog", "3", "2.50", " true\n", "")[number % 5]
    return {
        "__key__": f"odd {number}",
        "json": json.dumps(value),
        "my-depth.npy": bytes(number),
        "cls": words,
        "txt": "word " * number,
        "txt.gz": gzip.compress(words.encode()),
    }


async def test_a_bar_leads_to_the_samples_that_are_counted_in_it(folder, open_page):
    """Of each measure there is."""
    (folder / "s3.tar").write_bytes(make_shard([odd_sample(number) for number in range(50)]))
    without = set()
    async with open_page(str(folder / "s{3,0}.tar")) as page:
        await page.known()
        for measure in await page.get("api/measures"):
            label = measure.pop("label")
            found = await page.get("api/histogram", **measure)
            for bar in found["bars"]:
                if bar["where"] is None:
                    without.add(f"{label} {bar.get('name')}")
                    continue
                held = await page.get("api/where", where=bar["where"], count=200)
                assert (held["after"], len(held["numbers"])) == (None, bar["count"]), (label, bar)
    assert len([name for name in without if not name.startswith("txt.gz")]) == 1
    assert "json: none null" in without


async def test_samples_are_there_while_the_headers_are_still_read(open_page):
    """The second shard is not answered before the first one has been looked at; in a shard, what is read so far."""
    shards = {f"{number}.tar": make_shard(make_samples(40, size=100_000, prefix=f"{number}/")) for number in range(2)}
    with FaultServer(shards, faults=[Fault(path="1.tar", stall_headers=True, times=1), Fault(path="0.tar", delay=0.005)]) as server:
        async with open_page(server.url() + "{0..1}.tar") as page:
            state = await page.known(samples=5)
            assert not state["complete"]
            assert (await page.get("api/samples", numbers=4))["samples"][0]["key"] == "0/000004"
            state = await page.known(samples=40)
            assert (state["complete"], state["ready"]) == (False, 1)
            status, _, data = await page.fetch("api/samples?numbers=40")
            assert (status, "so far" in json.loads(data)["error"]) == (404, True)


async def test_what_is_wrong_is_said_and_the_rest_is_there(folder, shards, open_page):
    (folder / "s1.tar").write_bytes(shards["s1.tar"][:20_000])
    (folder / "s2.tar.wdsindex").write_bytes(b"no index")
    async with open_page([str(folder / f"s{number}.tar") for number in range(4)]) as page:
        state = await page.known()
        assert 20 <= state["samples"] < 30
        assert [problem["shard"].rpartition("/")[2] for problem in state["problems"]] == ["s1.tar", "s2.tar", "s3.tar"]
        last = (await page.get("api/samples", numbers=state["samples"] - 1))["samples"][0]
        assert last["key"] == "a/0029"


async def test_an_index_of_another_shard_is_noticed(folder, shards, open_page):
    wds.save_index(wds.make_index(str(folder / "s0.tar")))
    moved = bytearray(shards["s0.tar"])
    moved[:6] = b"b/0000"
    (folder / "s0.tar").write_bytes(moved)
    async with open_page(str(folder / "s0.tar")) as page:
        await page.known()
        status, _, data = await page.fetch("field/0/0")
        assert status == 502
        assert "StaleIndexError" in json.loads(data)["error"]
        assert (await page.fetch("field/1/0"))[0] == 200


async def test_compressed_shards_are_unpacked_beside(folder, shards, open_page, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "unpacked"))
    (tmp_path / "unpacked").mkdir()
    packed = make_shard(make_samples(5, size=3000, prefix="z"), compress="gz")
    (folder / "z.tar.gz").write_bytes(packed)
    (folder / "cut.tar.gz").write_bytes(packed[:8000])
    async with open_page([str(folder / "s0.tar"), str(folder / "z.tar.gz"), str(folder / "cut.tar.gz")]) as page:
        state = await page.known()
        assert state["samples"] >= 16
        sample = (await page.get("api/samples", numbers=12))["samples"][0]
        assert (sample["key"], sample["shard"]) == ("z000002", str(folder / "z.tar.gz"))
        expected = list(make_samples(5, size=3000, prefix="z"))[2]["bin"]
        assert (await page.fetch(f"field/12/{(await page.fields(12))['bin']}"))[2] == expected
    assert list((tmp_path / "unpacked").iterdir()) == []


async def test_an_index_that_is_given(folder, open_page):
    wds.save_index(wds.make_index(str(folder / "s{0..2}.tar")), str(folder / "all.wdsindex"))
    async with open_page(str(folder / "s{0..2}.tar"), index=str(folder / "all.wdsindex")) as page:
        assert (await page.known())["samples"] == 30
        assert not list(folder.glob("*.tar.wdsindex"))
    with pytest.raises(wds.errors.SpecError, match="the index has no such shard"):
        async with open_viewer(str(folder / "s{0..2}.tar"), index=wds.make_index(str(folder / "s0.tar"))):
            pass


async def test_a_cache_keeps_what_was_looked_at(folder, open_page, tmp_path):
    with FaultServer(folder) as server:
        async with open_page(server.url("s0.tar"), cache=wds.Cache(tmp_path / "cache")) as page:
            await page.known()
            first = await page.fetch("field/3/0")
        async with open_page(server.url("s0.tar"), cache=wds.Cache(tmp_path / "cache")) as page:
            await page.known()
            assert (await page.fetch("field/3/0"))[2] == first[2]


async def test_leaving_ends_what_is_under_way(open_page):
    """A field that never comes, and shards that never answer: no task, thread or socket stays."""
    shard = make_shard(make_samples(2, size=LARGE, fields=("mp4",)))
    with FaultServer({"a.tar": shard, "b.tar": shard}, faults=[Fault(path="b.tar", stall_headers=True)]) as server:
        async with open_page(server.url() + "{a,b}.tar") as page:
            await page.known(samples=2)
            server.add(Fault(path="a.tar", stall_at=1000))
            stuck = asyncio.create_task(page.fetch("field/0/0"))
            while server.counters.in_flight < 2:  # noqa: ASYNC110 - the server is in another thread
                await asyncio.sleep(0.01)
        with pytest.raises(aiohttp.ClientError):
            await stuck
