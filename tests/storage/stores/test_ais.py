"""`ais://` against a cluster of our own: redirects followed once and verbatim, checksums, prefetch jobs, uploads."""

import asyncio
import logging
import pickle
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import store_access
import xxhash  # noqa: F401 - the cluster has it
from aistore import Cluster, run_aistore
from store_access import DATA, PART, PLAIN, read_in_parts, stores

import asyncwds as wds
from asyncwds import AIStore, Http, Retry
from asyncwds.errors import AccessError, ChangedError, ChecksumError, NotFoundError, ShortBodyError, SpecError
from asyncwds.runtime import Counters, MiB
from asyncwds.settings import Storage
from asyncwds.storage import AisStore, find
from asyncwds.storage.stores.ais.scheme import http_for
from asyncwds.storage.stores.ais.store import ObjectAddress, parse_address
from asyncwds.storage.stores.auth import BearerToken
from asyncwds.testing import CHECKS, make_samples, make_shard, read

fetching = partial(store_access.fetching, ("ais://",))
listed = partial(store_access.listed, AisStore)
upload = partial(store_access.upload, AisStore)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    with run_aistore() as started:
        monkeypatch.setenv("AIS_ENDPOINT", started.gateway)
        for name in ("AIS_AUTHN_TOKEN", "USE_AIS_FOR"):
            monkeypatch.delenv(name, raising=False)
        started.put("b", "a.tar", DATA)
        yield started


@pytest.mark.parametrize("verify", [False, True])
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_it_passes_the_contract(cluster: Cluster, check: Callable, verify: bool) -> None:
    def put(name: str, data: bytes) -> str:
        cluster.put("b", name, data)
        return f"ais://b/{name}"

    async with fetching(AIStore(verify=verify)) as fetcher:
        await check(fetcher, put)


async def test_the_gateway_is_asked_each_time(cluster: Cluster) -> None:
    async with fetching() as fetcher:
        answer, _ = await read(fetcher, "ais://b/a.tar", 0, PART)
        assert await read_in_parts(fetcher, "ais://b/a.tar", answer.identity) == DATA
    assert (cluster.count("GET gateway"), cluster.count("GET target")) == (5, 5)


async def test_fault_03_what_a_target_does_not_serve_is_asked_of_the_gateway_again(cluster: Cluster) -> None:
    counters = Counters()
    cluster.busy = 2
    async with fetching(counters=counters) as fetcher:
        assert (await read(fetcher, "ais://b/a.tar"))[1] == DATA
    assert (cluster.count("GET gateway"), counters.retries) == (3, 2)


ODD = ["ü/ä ö.tar", "a+b&c=d?e#f.tar", "100%.tar", "a%20b%2Fc.tar", "x/[y]/z.tar", "~.tar", "a?x=1"]


@pytest.mark.parametrize("name", ODD)
async def test_names_with_any_characters(cluster: Cluster, name: str) -> None:
    cluster.put("b", name, DATA)
    async with fetching() as fetcher:
        assert (await read(fetcher, f"ais://b/{name}", 7, 99))[1] == DATA[7:99]
    assert f"ais://b/{name}" in await listed(AIStore(), "ais://b/", deep=True)


async def test_members_of_an_archive(cluster: Cluster) -> None:
    sample = next(make_samples(1, fields=("bin",)))
    cluster.put("b", "s.tar", make_shard([sample]))
    async with fetching() as fetcher:
        assert (await read(fetcher, f"ais://b/s.tar?archpath={sample['__key__']}.bin"))[1] == sample["bin"]
        with pytest.raises(NotFoundError, match="not in the archive"):
            await read(fetcher, "ais://b/s.tar?archpath=none")


@pytest.mark.parametrize("versions", [True, False])
async def test_fault_14_a_replaced_object_is_refused(cluster: Cluster, versions: bool) -> None:
    cluster.versions = versions
    async with fetching() as fetcher:
        answer, _ = await read(fetcher, "ais://b/a.tar", 0, PART)
        assert await read_in_parts(fetcher, "ais://b/a.tar", answer.identity) == DATA
        cluster.put("b", "a.tar", DATA[::-1])
        with pytest.raises(ChangedError):
            await read(fetcher, "ais://b/a.tar", PART, 2 * PART, answer.identity)


KINDS = ["xxhash2", "md5", "sha256", pytest.param("crc32c", marks=pytest.mark.needs("google_crc32c"))]


@pytest.mark.parametrize("kind", KINDS)
async def test_fault_26_a_flipped_byte_of_an_object_that_is_read_at_once(cluster: Cluster, kind: str) -> None:
    cluster.hash = kind
    cluster.put("b", "a.tar", DATA)
    async with fetching() as fetcher:
        assert (await read(fetcher, "ais://b/a.tar", 0, len(DATA), lent=len(DATA)))[1] == DATA
        cluster.flip("b", "a.tar", 12_345)
        for stop in (None, len(DATA), len(DATA) + 1):
            with pytest.raises(ChecksumError) as caught:
                await read(fetcher, "ais://b/a.tar", 0, stop)
            assert (caught.value.url, caught.value.retryable) == ("ais://b/a.tar", False)
        assert len(await read_in_parts(fetcher, "ais://b/a.tar")) == len(DATA)  # what is a part has no checksum of its own


SHARD = make_shard(make_samples(200, size=3000, fields=("bin",)))


def in_small_parts(settings: AIStore | None = None, **options: Any) -> wds.WebDataset:
    prefetch = wds.Prefetch(connections=4, part_bytes=100_000)
    return wds.WebDataset("ais://b/s.tar", prefetch=prefetch, http=PLAIN, storage=settings, **options)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("verify", [False, True])
def test_fault_26_a_flipped_byte_of_a_shard(cluster: Cluster, kind: str, verify: bool) -> None:
    """Read in parts, four at once, or as one stream: the error comes after the last byte, and names the shard."""
    cluster.hash = kind
    cluster.put("b", "s.tar", SHARD)
    ds = in_small_parts(AIStore(verify=verify))
    assert sum(1 for _ in ds) == 200
    assert ds.stats().in_flight_peak == (1 if verify else 4)
    cluster.flip("b", "s.tar", len(SHARD) // 2)
    seen = []
    with pytest.raises(ChecksumError, match=f"the {len(SHARD)} bytes that came") as caught:
        seen.extend(iter(ds))
    assert (caught.value.url, ds.stats().shards_failed) == ("ais://b/s.tar", 1)


def test_what_ends_a_shard_early_is_told_and_not_its_checksum(cluster: Cluster) -> None:
    cluster.put("b", "s.tar", SHARD)
    cluster.cut = 1000
    seen = []
    with pytest.raises(ShortBodyError) as caught:
        seen.extend(iter(in_small_parts(retry=Retry(tries=1, hedge=None, stall_bytes=MiB))))
    assert caught.value.url == "ais://b/s.tar"
    assert 0 < len(seen) < 200


def test_a_flipped_byte_goes_unnoticed_where_there_is_no_checksum(cluster: Cluster) -> None:
    cluster.hash = "none"
    cluster.put("b", "s.tar", SHARD)
    cluster.flip("b", "s.tar", len(SHARD) // 2)
    assert sum(1 for _ in in_small_parts()) == 200


def test_checksums_of_ranges_are_none_of_the_shard(cluster: Cluster) -> None:
    cluster.put("b", "s.tar", SHARD)
    cluster.of_ranges = True
    assert sum(1 for _ in in_small_parts()) == 200


def test_fault_26_an_object_that_is_read_as_a_file_is_compared_too(cluster: Cluster) -> None:
    cluster.put("b", "s.tar", SHARD)
    options = {"prefetch": wds.Prefetch(connections=4, part_bytes=100_000), "http": PLAIN}
    with wds.gopen("ais://b/s.tar", **options) as file:
        assert file.read() == SHARD
    cluster.flip("b", "s.tar", len(SHARD) // 2)
    with wds.gopen("ais://b/s.tar", **options) as file, pytest.raises(ChecksumError):
        file.read()


def test_fault_26_nothing_damaged_is_kept_where_shards_are_verified(cluster: Cluster, tmp_path: Path) -> None:
    cluster.put("b", "s.tar", SHARD)
    cluster.flip("b", "s.tar", 100_000)  # in a payload, and in what is written before the end is known
    ds = in_small_parts(AIStore(verify=True), cache_dir=str(tmp_path))
    for _ in range(2):
        with pytest.raises(ChecksumError):
            list(ds)
        assert [path.name for path in tmp_path.rglob("*.part")] == []
    cluster.flip("b", "s.tar", 100_000)  # back: the same object as before, but for what the cache may have of it
    for _ in range(2):
        assert [sample["bin"] for sample in ds] == [sample["bin"] for sample in make_samples(200, size=3000, fields=("bin",))]
    assert ds.stats().cached == len(SHARD)


async def test_verifying_goes_on_where_a_body_broke(cluster: Cluster) -> None:
    counters = Counters()
    cluster.cut = 3
    async with fetching(AIStore(verify=True), counters=counters) as fetcher:
        assert (await read(fetcher, "ais://b/a.tar"))[1] == DATA
    assert counters.retries == 3
    assert counters.bytes == len(DATA)


async def test_verifying_wants_a_checksum(cluster: Cluster) -> None:
    cluster.hash = "none"
    cluster.put("b", "a.tar", DATA)
    async with fetching(AIStore(verify=True)) as fetcher:
        with pytest.raises(SpecError, match="checksum"):
            await read(fetcher, "ais://b/a.tar")
    async with fetching() as fetcher:
        assert (await read(fetcher, "ais://b/a.tar"))[1] == DATA


async def test_without_xxhash_nothing_is_compared_unless_it_is_asked_for(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xxhash", None)
    async with fetching() as fetcher:
        assert (await read(fetcher, "ais://b/a.tar"))[1] == DATA
    cluster.put("b", "s.tar", SHARD)
    assert sum(1 for _ in in_small_parts()) == 200
    async with fetching(AIStore(verify=True)) as fetcher:
        with pytest.raises(SpecError, match=r"asyncwds\[ais\]"):
            await read(fetcher, "ais://b/a.tar")


async def test_fault_07_the_token_goes_to_the_gateway_alone(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster.token = "secret"
    monkeypatch.setenv("AIS_AUTHN_TOKEN", "secret")
    async with fetching() as fetcher:
        assert await read_in_parts(fetcher, "ais://b/a.tar") == DATA
    shown = {(line.split()[1], headers.get("Authorization")) for line, headers in cluster.requests}
    assert shown == {("gateway", "Bearer secret"), ("target", None)}


async def test_fault_05_tokens_that_end_in_mid_epoch_are_taken_anew(cluster: Cluster) -> None:
    tokens = ["t1"]
    cluster.token = "t1"
    async with fetching(AIStore(get_token=lambda: tokens[-1])) as fetcher:
        assert await read_in_parts(fetcher, "ais://b/a.tar") == DATA
        cluster.token = "t2"
        tokens.append("t2")
        assert await read_in_parts(fetcher, "ais://b/a.tar") == DATA
        cluster.token = "t3"
        asked = cluster.count("GET gateway")
        with pytest.raises(AccessError, match="invalid token") as caught:
            await read(fetcher, "ais://b/a.tar")
    assert (caught.value.status, cluster.count("GET gateway") - asked) == (401, 1)
    assert "t2" not in f"{caught.value!r}{caught.value.__dict__}"


async def test_fault_06_what_there_is_not_is_named(cluster: Cluster) -> None:
    async with fetching() as fetcher:
        for url in ("ais://b/none.tar", "ais://none/a.tar"):
            with pytest.raises(NotFoundError, match="does not exist") as caught:
                await read(fetcher, url)
            assert caught.value.url == url


async def test_other_clouds_by_way_of_the_cluster(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster.put("b", "a.tar", b"of s3", provider="aws")
    cluster.put("b", "a.tar", b"of gs", provider="gcp")
    monkeypatch.setenv("USE_AIS_FOR", "gs:s3")
    async with fetching() as fetcher:
        assert (await read(fetcher, "s3://b/a.tar"))[1] == b"of s3"
        assert (await read(fetcher, "gs://b/a.tar"))[1] == b"of gs"
        assert (await read(fetcher, "ais://b/a.tar"))[1] == DATA
        assert (await read(fetcher, "ais://b/a.tar?provider=aws"))[1] == b"of s3"
    assert await listed(AIStore(), "s3://b/", deep=True) == ["s3://b/a.tar"]


def test_which_settings_hold_for_other_clouds(monkeypatch: pytest.MonkeyPatch) -> None:
    mine, keys = AIStore(endpoint="http://mine"), wds.S3(anonymous=True)
    monkeypatch.setenv("USE_AIS_FOR", "gs:s3")

    def settings_for(url: str, storage: Storage) -> object:
        store = find(url, storage)
        return store and store.settings

    assert settings_for("gs://b/a", {"ais://": mine}) is mine
    assert settings_for("s3://b/a", {"ais://": mine, "s3://": keys}) is keys
    assert isinstance(settings_for("s3://b/a", {}), AIStore)
    assert not isinstance(settings_for("az://b/a", {}), AIStore)


def test_addresses() -> None:
    assert parse_address("ais://b/x/y?z=1") == ObjectAddress("b", "x/y?z=1", {"provider": "ais"})
    assert parse_address("ais://b/x?archpath=m%20n&provider=gcp") == ObjectAddress("b", "x", {"provider": "gcp", "archpath": "m n"})
    assert parse_address("az://b/x") == ObjectAddress("b", "x", {"provider": "azure"})
    for wrong in ("ais:///x", "sftp://b/x"):
        with pytest.raises(SpecError):
            parse_address(wrong)


def test_certificates_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIS_CLIENT_CA", "ca.pem")
    monkeypatch.setenv("AIS_CRT", "me.crt")
    monkeypatch.setenv("AIS_CRT_KEY", "me.key")
    assert http_for(AIStore(), Http()) == Http(ca_file="ca.pem", client_cert=("me.crt", "me.key"))
    assert http_for(AIStore(), Http(ca_file="mine")).ca_file == "mine"


async def test_listings(cluster: Cluster) -> None:
    names = [f"train/{number:04}.tar" for number in range(2100)] + ["train/sub/x.tar", "train/sub/y.tar"]
    for name in names:
        cluster.put("b", name, b"")
    assert await listed(AIStore(), "ais://b/train/", deep=True) == [f"ais://b/{name}" for name in names]
    assert cluster.count("GET gateway") == 3
    assert await listed(AIStore(), "ais://b/train/000", deep=False) == [f"ais://b/{name}" for name in names[:10]]
    assert await listed(AIStore(), "ais://b/", deep=False) == ["ais://b/a.tar", "ais://b/train/"]
    assert [url for url in await listed(AIStore(), "ais://b/train/", deep=False) if "sub" in url] == ["ais://b/train/sub/"]
    with pytest.raises(NotFoundError):
        await listed(AIStore(), "ais://none/", deep=True)


def read_when(condition: Callable[[], Any], ds: wds.WebDataset) -> int:
    """How many samples there are; the reader stays open until the condition holds, which is for its jobs to bring about."""
    count = 0
    for _ in ds:
        while not condition():
            time.sleep(0.01)
        count += 1
    return count


def test_shards_that_come_soon_are_fetched_by_the_cluster_in_advance(cluster: Cluster) -> None:
    names = [f"{number:02}.tar" for number in range(20)]
    for name in names:
        cluster.put("far", name, make_shard(make_samples(2)), provider="aws")
    ds = wds.WebDataset([f"ais://far/{name}?provider=aws" for name in names], prefetch=2, http=PLAIN)
    assert read_when(lambda: cluster.prefetched, ds) == 40
    assert [name for bucket, job in cluster.prefetched for name in job if bucket == "far"] == names[4:]
    cluster.put("b", "s.tar", make_shard(make_samples(2)))
    assert sum(1 for _ in wds.WebDataset(["ais://b/s.tar"] * 20, prefetch=2, http=PLAIN)) == 40
    assert {bucket for bucket, _ in cluster.prefetched} == {"far"}


def test_with_a_cache_only_what_it_does_not_have_is_fetched_in_advance(cluster: Cluster, tmp_path: Path) -> None:
    names = [f"{number:02}.tar" for number in range(20)]
    for name in names:
        cluster.put("far", name, make_shard(make_samples(2)), provider="aws")
    kept = [f"ais://far/{name}?provider=aws" for name in names[6:10]]
    assert sum(1 for _ in wds.WebDataset(kept, prefetch=2, http=PLAIN, cache_dir=str(tmp_path))) == 8
    assert cluster.prefetched == []
    ds = wds.WebDataset([f"ais://far/{name}?provider=aws" for name in names], prefetch=2, http=PLAIN, cache_dir=str(tmp_path))
    assert read_when(lambda: cluster.prefetched, ds) == 40
    assert [name for _, job in cluster.prefetched for name in job] == names[4:6] + names[10:]
    assert sum(1 for _ in ds) == 40
    assert len(cluster.prefetched) == 1


async def test_a_prefetch_job_that_is_refused_is_told_and_does_not_matter(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    async with stores(AisStore, AIStore()) as store:
        with caplog.at_level(logging.WARNING):
            store.upcoming(["s3://none/a.tar", "ais://b/a.tar"])
            await asyncio.gather(*store._jobs)
    assert "does not exist" in caplog.text
    assert cluster.prefetched == []


async def test_a_prefetch_job_under_way_ends_with_the_reader(cluster: Cluster) -> None:
    async with stores(AisStore, AIStore()) as store:
        store.upcoming(["s3://b/a.tar"])


@pytest.mark.parametrize("size", [0, 99_999, 100_000, 100_001, 400_000])
async def test_uploads(cluster: Cluster, size: int) -> None:
    cluster.token = "secret"
    await upload(AIStore(token="secret", part_bytes=PART), "ais://b/ü 1?.tar", DATA[:size])
    assert cluster.objects["ais", "b"]["ü 1?.tar"].data == DATA[:size]
    assert cluster.uploads == {}
    assert cluster.count("uploadId") == (0 if size <= PART else 2 * (-(-size // PART) + 1))
    assert {headers.get("Authorization") for line, headers in cluster.requests if " target " in line} == {None}


async def test_an_upload_that_is_aborted_leaves_nothing(cluster: Cluster) -> None:
    await upload(AIStore(part_bytes=PART), "ais://b/new.tar", DATA, commit=False)
    assert list(cluster.objects["ais", "b"]) == ["a.tar"]
    assert cluster.uploads == {}
    assert cluster.count("DELETE target") == 1


async def test_fault_03_an_upload_is_made_again_where_a_target_is_busy(cluster: Cluster) -> None:
    cluster.busy = 3
    await upload(AIStore(part_bytes=PART), "ais://b/new.tar", DATA)
    assert cluster.objects["ais", "b"]["new.tar"].data == DATA


async def test_fault_05_an_upload_without_a_token_is_refused(cluster: Cluster) -> None:
    cluster.token = "secret"
    for size in (10, len(DATA)):
        with pytest.raises(AccessError):
            await upload(AIStore(part_bytes=PART), "ais://b/new.tar", DATA[:size])
    assert list(cluster.objects["ais", "b"]) == ["a.tar"]


def test_shards_are_written_and_read_again(cluster: Cluster) -> None:
    with wds.ShardWriter("ais://b/out-%02d.tar", maxcount=5, storage=AIStore(part_bytes=2000), verbose=0) as writer:
        for sample in make_samples(12):
            writer.write(sample)
    assert [sample["__key__"] for sample in wds.WebDataset("ais://b/out-*.tar")] == [f"{index:06}" for index in range(12)]


def test_secrets_are_neither_shown_nor_pickled() -> None:
    assert "secret" not in repr(AIStore(token="secret"))
    assert "secret" not in repr(BearerToken("secret"))
    with pytest.raises(SpecError, match="not pickled"):
        pickle.dumps(AIStore(token="secret"))
    assert pickle.loads(pickle.dumps(AIStore(verify=True))) == AIStore(verify=True)
    with pytest.raises(SpecError):
        AIStore(part_bytes=0)
