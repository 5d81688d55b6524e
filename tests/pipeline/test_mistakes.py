"""A pipeline that is put together wrongly is an error whatever the handlers say, and so is an epoch that they left empty."""

from __future__ import annotations

import pickle
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

import asyncwds as wds
from asyncwds.errors import EmptyEpochError, SpecError
from asyncwds.testing import make_shard

SKIP = wds.ignore_and_continue


@pytest.fixture
def shard(tmp_path: Path) -> str:
    """Six samples."""
    path = tmp_path / "a.tar"
    path.write_bytes(make_shard([{"__key__": f"k{n}", "cls": str(n), "txt": "text"} for n in range(6)]))
    return str(path)


def from_shards(*stages: Any) -> Any:
    return lambda shard: wds.DataPipeline(wds.SimpleShardList(shard), *stages)


WRONG: dict[str, Any] = {
    "decode behind batched": lambda shard: wds.WebDataset(shard).batched(2).decode(handler=SKIP),
    "decode behind listed": lambda shard: wds.WebDataset(shard).listed(2).decode(handler=SKIP),
    "decode twice": lambda shard: wds.WebDataset(shard).decode().decode(handler=SKIP),
    "decode behind to_tuple": lambda shard: wds.WebDataset(shard).to_tuple("cls").decode(handler=SKIP),
    "xdecode behind to_tuple": lambda shard: wds.WebDataset(shard).to_tuple("cls").xdecode(handler=SKIP),
    "xdecode twice": lambda shard: wds.WebDataset(shard).decode().xdecode(cls=False, handler=SKIP),
    "to_tuple twice": lambda shard: wds.WebDataset(shard).to_tuple("cls").to_tuple("cls", handler=SKIP),
    "to_tuple behind listed": lambda shard: wds.WebDataset(shard).listed(2).to_tuple("cls", handler=SKIP),
    "rename behind to_tuple": lambda shard: wds.WebDataset(shard).to_tuple("cls").rename(SKIP, label="cls"),
    "map_dict behind to_tuple": lambda shard: wds.WebDataset(shard).to_tuple("cls").map_dict(SKIP, cls=int),
    "associate behind to_tuple": lambda shard: wds.WebDataset(shard).to_tuple("cls").associate({}, SKIP),
    "extract_keys behind to_tuple": lambda shard: wds.WebDataset(shard).to_tuple("cls").extract_keys("cls", handler=SKIP),
    "rename_keys behind to_tuple": lambda shard: wds.WebDataset(shard).to_tuple("cls").rename_keys(label="cls", handler=SKIP),
    "map_tuple on dicts": lambda shard: wds.WebDataset(shard).map_tuple(int, handler=SKIP),
    "unbatched on samples": lambda shard: wds.WebDataset(shard).unbatched(SKIP),
    "unlisted on samples": lambda shard: wds.WebDataset(shard).unlisted(),
    "batched on numbers": lambda shard: wds.WebDataset(shard).map(len).batched(2, handler=SKIP),
    "decode on shards": from_shards(wds.decode(handler=SKIP)),
    "decode with partial on shards, then to_tuple": from_shards(wds.decode(partial=True), wds.to_tuple("cls", handler=SKIP)),
    "xdecode on shards": from_shards(wds.xdecode(handler=SKIP)),
    "to_tuple on shards": from_shards(wds.to_tuple("cls", handler=SKIP)),
    "rename on shards": from_shards(wds.rename(SKIP, label="cls")),
    "map_dict on shards": from_shards(wds.map_dict(SKIP, cls=int)),
    "extract_keys on shards": from_shards(wds.extract_keys("cls", handler=SKIP)),
    "rename_keys on shards": from_shards(wds.rename_keys(label="cls", handler=SKIP)),
    "associate on shards": from_shards(wds.associate({}, SKIP)),
    "tar_file_expander on shards": from_shards(lambda shards: wds.tar_file_expander(shards, SKIP)),
    "group_by_keys on shards": from_shards(lambda shards: wds.group_by_keys(shards, handler=SKIP)),
    "to_tuple on files": from_shards(wds.url_opener, wds.tar_file_expander, wds.to_tuple("cls", handler=SKIP)),
    "a scheme that nothing opens": lambda _: wds.url_opener(["nosuch://a.tar"], SKIP),
}


@pytest.mark.parametrize("make", WRONG.values(), ids=WRONG)
def test_a_pipeline_put_together_wrongly_is_a_spec_error_whatever_the_handler(shard: str, make: Any) -> None:
    with pytest.raises(SpecError):
        list(make(shard))


def test_the_error_says_what_belongs_where(shard: str) -> None:
    for name, message in {
        "decode twice": r"fields that are bytes, not int as 'cls' is; decoded twice.*key=k0",
        "to_tuple twice": "to_tuple needs samples that are dicts, not tuple; it belongs before to_tuple and batched",
        "decode on shards": "not urls of shards; tarfile_to_samples",
        "to_tuple on files": "not files of archives; group_by_keys",
        "map_tuple on dicts": "to_tuple belongs before it",
    }.items():
        with pytest.raises(SpecError, match=message):
            list(WRONG[name](shard))


# -- epochs that handlers left empty


def broken(_: Any) -> Any:
    raise KeyError("missing")


FAILING: dict[str, Any] = {
    "map": ((wds.map(broken, SKIP),), 6),
    "behind another stage": ((wds.map(dict), wds.shuffle(3), wds.select(broken, SKIP)), 6),
    "decode": ((wds.decode(decoders={"txt": broken}, handler=SKIP),), 6),
    "a missing field": ((wds.to_tuple("jpg", handler=SKIP),), 6),
    "batches": ((wds.batched(4, broken, handler=SKIP),), 2),
    "batches, the last one dropped": ((wds.batched(4, broken, partial=False, handler=SKIP),), 1),
    "the second of two": ((wds.select(lambda sample: sample["cls"] > b"2"), wds.map(broken, SKIP)), 3),
    "two as one": ((wds.filters.compose2(wds.map(broken, SKIP), wds.to_tuple("cls", handler=SKIP)),), 6),
    "a handler that ends": ((wds.map(broken, wds.ignore_and_stop),), 1),
}


@pytest.mark.parametrize(("stages", "failed"), FAILING.values(), ids=FAILING)
async def test_an_epoch_of_nothing_but_failures_is_an_error(shard: str, stages: Any, failed: int) -> None:
    dataset = wds.WebDataset(shard).compose(*stages)
    for _ in range(2):
        with pytest.raises(EmptyEpochError, match=rf"{failed}, were handed to a handler; the first: \w+") as caught:
            list(dataset)
        assert caught.value.failed == failed == dataset.stats().samples_failed
    with pytest.raises(EmptyEpochError):
        [item async for item in dataset]
    assert list(wds.WebDataset(shard, empty_check=False).compose(*stages)) == []


def test_the_error_names_the_first_cause_and_arrives_whole(shard: str) -> None:
    with pytest.raises(EmptyEpochError, match=r"KeyError: 'missing'; in stage map\(broken\), sample 'k0'") as caught:
        list(wds.WebDataset(shard).map(broken, SKIP))
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (str(copy), copy.failed) == (str(caught.value), 6)


def broken_but(good: str) -> Any:
    return lambda sample: sample if sample["__key__"] == good else broken(sample)


def test_what_is_left_out_without_an_error_is_no_failure(shard: str) -> None:
    dataset = wds.WebDataset(shard)
    assert list(dataset.map(lambda sample: None if sample["cls"] > b"2" else broken(sample), SKIP)) == []
    assert list(dataset.select(lambda sample: False if sample["cls"] > b"2" else broken(sample), SKIP)) == []
    assert list(dataset.map(lambda _: None).map(broken, SKIP)) == []
    for good in ("k0", "k3", "k5"):
        assert [sample["__key__"] for sample in dataset.map(broken_but(good), SKIP)] == [good]
        assert list(dataset.map(broken_but(good), SKIP).select(lambda _: False)) == []


def test_a_consumer_who_leaves_early_hears_nothing(shard: str) -> None:
    iterator = iter(wds.WebDataset(shard).map(broken_but("k5"), SKIP))
    iterator.close()


@pytest.mark.parametrize("handler", [wds.ignore_and_continue, wds.ignore_and_stop])
async def test_shards_that_all_fail_are_counted(tmp_path: Path, handler: Any) -> None:
    missing = [str(tmp_path / f"{name}.tar") for name in "ab"]
    possible = {2} if handler is wds.ignore_and_continue else {1, 2}  # the second may have failed before the handler is asked
    for dataset in (
        wds.WebDataset(missing, handler=handler),
        wds.DataPipeline(wds.SimpleShardList(missing), wds.tarfile_to_samples(handler)),
    ):
        with pytest.raises(EmptyEpochError, match=r"[12] shards and 0 samples.*NotFoundError.*a\.tar") as caught:
            list(dataset)
        assert caught.value.failed in possible
    async with wds.open_samples(missing, handler=handler) as samples:
        with pytest.raises(EmptyEpochError):
            await anext(samples)
    assert list(wds.WebDataset(missing, handler=handler, empty_check=False)) == []


PAYLOAD = {"__key__": "a", "jpg": b"x" * 1_000_000}


@pytest.mark.parametrize(
    "make",
    [
        lambda: wds.WebDataset([b"x" * 1_000_000]),
        lambda: list(wds.DataPipeline([[PAYLOAD]], wds.tarfile_to_samples())),
        lambda: list(wds.url_opener([PAYLOAD])),
        lambda: list(wds.tar_file_expander([PAYLOAD])),
        lambda: wds.DataPipeline().invoke(5, [PAYLOAD]),
        lambda: wds.DataPipeline().invoke(MappingProxyType(PAYLOAD), iter(())),
    ],
)
def test_an_error_shows_no_payload(make: Any) -> None:
    with pytest.raises(SpecError) as caught:
        make()
    assert len(str(caught.value)) < 400
