"""Schemes that a process registers, and what a record may say."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import asyncwds as wds
from asyncwds import Http, Retry
from asyncwds.errors import ChecksumError, FetchError, SpecError
from asyncwds.runtime import Counters
from asyncwds.settings import Access
from asyncwds.storage import Layers, MemoryFetcher, StreamOutput, open_storage, own_schemes
from asyncwds.testing import make_samples, make_shard, read

SHARD = make_shard(make_samples(3))
Register = Callable[..., None]


def serve(*urls: str, **options: Any) -> Callable[..., MemoryFetcher]:
    """A reader that has the same shard at all these urls."""
    return lambda settings, access, counters: MemoryFetcher(dict.fromkeys(urls, SHARD), counters=counters, **options)


@pytest.fixture
def register() -> Iterator[Register]:
    """`register(names, reader=…, …)` until the end of the test."""
    undo = []

    def register(*names: str, **record: Any) -> None:
        undo.append(wds.register_scheme(wds.Scheme(names=names, **record)))

    yield register
    for each in undo:
        each()


def test_registered_until_it_is_taken_back() -> None:
    dataset = wds.WebDataset("bar://b/a.tar")
    unregister = wds.register_scheme(wds.Scheme(names=("bar", "baz"), reader=serve("bar://b/a.tar", "baz://b/a.tar")))
    assert [len(list(ds)) for ds in (dataset, wds.WebDataset("baz://b/a.tar"), wds.WebDataset(["bar://b/a.tar"]))] == [3] * 3
    unregister()
    unregister()
    with pytest.raises(SpecError, match="no storage for bar: urls"):
        list(dataset)


def test_it_goes_before_ours_and_the_last_one_counts(register: Register) -> None:
    register("s3", reader=serve("s3://b/a.tar"))
    assert len(list(wds.WebDataset("s3://b/a.tar"))) == 3
    register("s3", reader=serve("s3://b/b.tar"))
    assert len(list(wds.WebDataset("s3://b/b.tar"))) == 3


def test_it_goes_before_the_programs_of_gopen(register: Register, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.tar"
    register("scp", reader=serve("scp://b/a.tar"), output=lambda _, url: StreamOutput(path.open("wb"), url, close=True))
    with wds.gopen("scp://b/a.tar") as file:
        assert file.read() == SHARD
    with wds.TarWriter("scp://b/a.tar") as writer:
        writer.write(next(make_samples(1)))
    assert len(list(wds.WebDataset(str(path)))) == 1
    monkeypatch.setitem(wds.gopen_schemes, "scp", lambda url, mode, bufsize: path.open(mode))
    with wds.gopen("scp://b/a.tar") as file:
        assert file.read() == path.read_bytes(), "what stands in gopen_schemes goes before all"


async def test_errors_that_may_pass_are_tried_again_unless_the_record_says_otherwise(register: Register) -> None:
    failures = iter([FetchError("busy", retryable=True)] * 2)

    async def steer(url: str, offset: int | None) -> None:
        if offset is None and (failure := next(failures, None)):
            raise failure

    register("once", reader=serve("once://a", steer=steer), layers=lambda _: Layers(retry=False))
    register("again", reader=serve("again://a", steer=steer))
    counters = Counters()
    fetcher = open_storage(Access(Http(), Retry(backoff=0.001)), counters)
    with pytest.raises(FetchError, match="busy"):
        await read(fetcher, "once://a")
    assert (await read(fetcher, "again://a"))[1] == SHARD
    assert counters.retries == 1
    await fetcher.aclose()


def test_what_is_written_by_blocking_calls(register: Register, tmp_path) -> None:
    register("out", reader=serve(), output=lambda _, url: StreamOutput((tmp_path / "a.tar").open("wb"), url, close=True))
    with wds.TarWriter("out://a.tar") as writer:
        writer.write(next(make_samples(1)))
    assert len(list(wds.WebDataset(str(tmp_path / "a.tar")))) == 1


def test_what_can_only_be_read(register: Register) -> None:
    register("bar", reader=serve("bar://b/a.tar", "bar://b/*.tar"))
    with pytest.raises(SpecError, match="nothing writes to bar: urls; there is .*s3:.*file:, pipe:"):
        wds.TarWriter("bar://b/a.tar")
    assert len(list(wds.WebDataset("bar://b/*.tar"))) == 3, "no lister: the url is taken as it is"


def test_layers_that_the_reader_is_not_made_for(register: Register) -> None:
    register("bar", reader=serve("bar://b/a.tar"), layers=lambda _: Layers(stated_checksums=True))
    with pytest.raises(SpecError, match="MemoryFetcher"):
        list(wds.WebDataset("bar://b/a.tar"))


def test_checksums_may_be_required(register: Register) -> None:
    register("bar", reader=serve("bar://b/a.tar"), layers=lambda _: Layers(checksum="required"))
    with pytest.raises((SpecError, ChecksumError), match="checksum"):
        list(wds.WebDataset("bar://b/a.tar"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"names": ("Bar",), "reader": serve()},
        {"names": "bar", "reader": serve()},
        {"names": ("bar",), "reader": None},
        {"names": ("bar",), "reader": lambda: None},
        {"names": ("bar",), "reader": serve(), "lister": lambda settings: None},
    ],
)
def test_records_that_make_no_sense(wrong: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match="Scheme: "):
        wds.Scheme(**wrong)


def test_only_records_are_registered() -> None:
    with pytest.raises(SpecError, match="scheme must be"):
        wds.register_scheme("bar")  # type: ignore[arg-type]


@pytest.mark.parametrize("storage", [object(), {"s3://": 1}, {}, {"pipe:": wds.S3()}, {"s3://": wds.Command()}, Http()])
def test_what_is_no_settings_of_a_store_is_refused(storage: Any) -> None:
    with pytest.raises(SpecError, match="storage"):
        wds.WebDataset("a.tar", storage=storage)


def test_every_store_has_one_record() -> None:
    names = {*["s3", "gs", "az", "abfs", "abfss", "hf", "ais", "http", "https", "file", "pipe", "-"]}
    assert own_schemes().keys() == names
    assert {name for name in names if name in wds.gopen_schemes} == names - {"file", "-"}
