"""Lists of contents: the samples of shards with the sizes of their fields, of which little is fetched."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from asyncwds.engine import HeaderStream
from asyncwds.errors import NotFoundError, TarHeaderError, TruncatedTarError, WdsError
from asyncwds.runtime import Counters, KiB
from asyncwds.settings import Access
from asyncwds.shards import Shard
from asyncwds.storage import FileFetcher, HttpFetcher, MemoryFetcher
from asyncwds.testing import Fault, FaultServer, leaks, make_shard

Listed = list[tuple[str, dict[str, int]]]


def sized(*sizes: int, prefix: str = "") -> list[dict[str, Any]]:
    return [{"__key__": f"{prefix}{n}", "bin": bytes(size), "txt": "x" * (n % 3)} for n, size in enumerate(sizes)]


def contents(samples: list[dict[str, Any]]) -> Listed:
    return [(sample["__key__"], {"bin": len(sample["bin"]), "txt": len(sample["txt"])}) for sample in samples]


MIXES = {
    "small": sized(*[100] * 300),
    "around blocks": sized(0, 1, 511, 512, 513, 1024),
    "large": sized(300_000, 500_001, 1_000_000, 70_000),
    "around what is worth a request": sized(*[64 * KiB + d for d in (-1025, -513, -1, 0, 1, 512, 9000)]),
    "small ones behind large ones": sized(900_000, *[50] * 500, 800_000, *[2000] * 50, 7_000_000, 1),
    "none": sized(),
}


async def listed(
    fetcher: Any, *urls: str, at_once: int = 3, counters: Counters | None = None, local: bool = False
) -> tuple[Listed, WdsError | None]:
    """What came, and the error that followed."""
    shards = iter([Shard(url, index) for index, url in enumerate(urls)])
    stream = HeaderStream(shards, fetcher, counters or Counters(), at_once, local=local)
    found: Listed = []
    try:
        while (block := await stream.next_block()) is not None:
            found += [(each["__key__"], {k: v for k, v in each.items() if k[0] != "_"}) for each in block.samples]
            if block.error is not None:
                assert isinstance(block.error, WdsError)
                return found, block.error
        return found, None
    finally:
        await stream.aclose()


@pytest.mark.parametrize("form", ["ustar", "gnu", "pax"])
@pytest.mark.parametrize("mix", MIXES)
@pytest.mark.parametrize(("chunk_bytes", "ranged", "has_size"), [(700, True, True), (1 << 20, True, False), (5000, False, True)])
async def test_the_sizes_of_all_fields(mix: str, form: Any, chunk_bytes: int, ranged: bool, has_size: bool) -> None:
    samples = MIXES[mix]
    objects = {"a": make_shard(samples, format=form)}
    fetcher = MemoryFetcher(objects, chunk_bytes=chunk_bytes, ranged=ranged, sized=has_size)
    assert await listed(fetcher, "a") == (contents(samples), None)
    assert fetcher.closed


@pytest.mark.parametrize("compress", ["gz", "bz2", "xz"])
async def test_compressed_shards_are_read_whole(compress: Any) -> None:
    samples = MIXES["large"]
    assert await listed(MemoryFetcher({"a": make_shard(samples, compress=compress)}), "a") == (contents(samples), None)


async def test_extended_headers_and_long_names() -> None:
    samples = [{**sample, "__key__": "k" * 300 + sample["__key__"]} for sample in sized(200_000, 3, 400_000)]
    for form in ("gnu", "pax"):
        assert await listed(MemoryFetcher({"a": make_shard(samples, format=form)}), "a") == (contents(samples), None)


async def test_shards_in_order_and_so_many_at_once() -> None:
    shards = {f"s{n}": sized(*[200_000] * n, prefix=f"{n}-") for n in range(9)}
    fetcher = MemoryFetcher({url: make_shard(samples) for url, samples in shards.items()})
    peak = 0

    async def steer(_url: str, _offset: int | None) -> None:
        nonlocal peak
        peak = max(peak, fetcher.open_now)
        await asyncio.sleep(0)

    fetcher = MemoryFetcher({url: make_shard(samples) for url, samples in shards.items()}, steer=steer)
    counters = Counters()
    found, error = await listed(fetcher, *shards, at_once=4, counters=counters)
    assert found == [each for samples in shards.values() for each in contents(samples)]
    assert (error, peak, counters.shards) == (None, 4, len(shards))


@pytest.mark.parametrize(
    ("damage", "kind", "samples"),
    [
        (lambda data: data[: -1024 - 512 * 30], TruncatedTarError, 2),
        (lambda data: data[:900_000], TruncatedTarError, 1),
        (lambda data: data[:700_928] + b"x" * 512 + data[701_440:], TarHeaderError, 0),
        (lambda _: b"", TarHeaderError, 0),
        (lambda _: b"<html>" * 100, TarHeaderError, 0),
    ],
)
async def test_unsound_archives(damage: Any, kind: type[WdsError], samples: int) -> None:
    objects = {"good": make_shard(sized(5)), "bad": damage(make_shard(sized(700_000, 700_000, 700_000)))}
    found, error = await listed(MemoryFetcher(objects), "good", "bad", "good")
    assert type(error) is kind
    assert len(found) == 1 + samples


async def test_a_shard_that_is_not_there() -> None:
    found, error = await listed(MemoryFetcher({"a": make_shard(sized(5))}), "a", "b")
    assert (len(found), type(error)) == (1, NotFoundError)


SERVED: Mapping[str, list[dict[str, Any]]] = {f"{n}.tar": sized(*[400_000] * 20, prefix=f"{n}-") for n in range(3)}


async def over_http(counters: Counters, **server: Any) -> tuple[Listed, WdsError | None]:
    with FaultServer({name: make_shard(samples) for name, samples in SERVED.items()}, **server) as served:
        urls = [served.url(name) for name in SERVED]
        with leaks():
            return await listed(HttpFetcher(Access(), counters), *urls, counters=counters)


async def test_over_http_headers_are_fetched_and_payloads_are_not() -> None:
    counters = Counters()
    expected = [each for samples in SERVED.values() for each in contents(samples)]
    assert await over_http(counters) == (expected, None)
    whole = sum(len(make_shard(samples)) for samples in SERVED.values())
    assert counters.bytes < whole / 20
    assert counters.requests <= len(expected) + 2 * len(SERVED)


@pytest.mark.parametrize(
    "fault", [Fault(no_ranges=True), Fault(no_ranges=True, chunked=True), Fault(no_ranges=True, only_after_requests=9)]
)
async def test_servers_without_ranges_are_read_whole(fault: Fault) -> None:
    counters = Counters()
    found, error = await over_http(counters, faults=[fault])
    assert (len(found), error) == (60, None)


def files(folder: Path) -> list[str]:
    """Whole shards, and damaged ones."""
    shards = {f"{number}.tar": make_shard(mix) for number, mix in enumerate(MIXES.values())}
    large = shards["2.tar"]
    shards |= {"cut.tar": large[:900_000], "in a header.tar": large[:600], "trailing.tar": large + b"x" * 512, "none.tar": b""}
    shards |= {"flipped.tar": large[:301_100] + b"\xff" + large[301_101:], "packed.tar": make_shard(MIXES["large"], compress="gz")}
    for name, data in shards.items():
        (folder / name).write_bytes(data)
    return [str(folder / name) for name in (*shards, "not there.tar", "")]


async def test_files_are_read_as_they_would_be_fetched(tmp_path: Path) -> None:
    """The same samples, at the same places, and the same errors; fewer calls."""
    for url in files(tmp_path):
        found = []
        for local in (True, False):
            with leaks():
                samples, error = await listed(FileFetcher(Counters()), url, local=local)
            found.append(
                ([(key, {k: (int(v), v.start, v.stop) for k, v in fields.items()}) for key, fields in samples], str(error))
            )
        assert found[0] == found[1], url
