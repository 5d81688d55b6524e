"""`hf://` against a hub of our own: redirects that end, ranges that are signed, tokens, rate limits, listings."""

import pickle
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import store_access
from hub import Hub, run_hub
from store_access import DATA, PART, read_in_parts

import asyncwds as wds
from asyncwds import Http, HuggingFace, Retry
from asyncwds.errors import AccessError, ChangedError, NotFoundError, SpecError, ThrottledError
from asyncwds.runtime import Counters
from asyncwds.settings import Access
from asyncwds.storage import HfStore, open_storage
from asyncwds.storage.stores.auth import BearerToken
from asyncwds.storage.stores.hf.store import Address, parse_address
from asyncwds.testing import CHECKS, make_samples, make_shard, read

fetching = partial(store_access.fetching, ("hf://",))
listed = partial(store_access.listed, HfStore)
REPO = "datasets/who/shards"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with run_hub() as started:
        monkeypatch.setenv("HF_ENDPOINT", started.origin)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        started.put(REPO, "a.tar", DATA)
        yield started


@pytest.mark.parametrize("direct", [False, True], ids=["from the CDN", "from the hub"])
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_it_passes_the_contract(hub: Hub, check: Callable, direct: bool) -> None:
    def put(name: str, data: bytes) -> str:
        hub.put(REPO, name, data)
        hub.expire()
        if direct:
            hub.direct.add(name)
        return f"hf://{REPO}/{name}"

    async with fetching() as fetcher:
        await check(fetcher, put)


async def test_a_file_is_resolved_once_for_all_its_parts(hub: Hub) -> None:
    async with fetching() as fetcher:
        answer, first = await read(fetcher, f"hf://{REPO}/a.tar", 0, PART)
        assert first == DATA[:PART]
        assert await read_in_parts(fetcher, f"hf://{REPO}/a.tar", answer.identity) == DATA
    assert (hub.count("HEAD hub"), hub.count("GET cdn"), hub.count("GET hub")) == (1, 5, 0)


@pytest.mark.parametrize("status", [401, 403, 410])
async def test_fault_05_urls_that_end_are_resolved_again_once_for_all_who_wait(hub: Hub, status: int) -> None:
    async with fetching() as fetcher:
        answer, _ = await read(fetcher, f"hf://{REPO}/a.tar", 0, PART)
        hub.expire(status)
        assert await read_in_parts(fetcher, f"hf://{REPO}/a.tar", answer.identity) == DATA
    assert hub.count("HEAD hub") == 2


@pytest.mark.parametrize(("bound", "resolved"), [("no", 1), ("asked", 1), ("always", 6)])
async def test_urls_bound_to_a_range_are_resolved_with_that_range(hub: Hub, bound: str, resolved: int) -> None:
    hub.bound = bound
    async with fetching() as fetcher:
        await read(fetcher, f"hf://{REPO}/a.tar", 0, PART)
        assert await read_in_parts(fetcher, f"hf://{REPO}/a.tar") == DATA
    assert hub.count("HEAD hub") == resolved


async def test_a_url_that_is_refused_whatever_is_tried_is_an_error(hub: Hub) -> None:
    hub.shut = True
    async with fetching() as fetcher:
        with pytest.raises(AccessError) as caught:
            await read(fetcher, f"hf://{REPO}/a.tar")
    assert (caught.value.status, caught.value.url, hub.count("cdn")) == (403, f"hf://{REPO}/a.tar", 2)


async def test_fault_14_a_file_that_was_replaced_is_refused(hub: Hub) -> None:
    async with fetching() as fetcher:
        answer, _ = await read(fetcher, f"hf://{REPO}/a.tar", 0, PART)
        hub.put(REPO, "a.tar", DATA[::-1])
        hub.expire()
        with pytest.raises(ChangedError):
            await read(fetcher, f"hf://{REPO}/a.tar", PART, 2 * PART, answer.identity)


async def test_fault_07_the_token_goes_to_the_hub_alone(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    hub.tokens.add("hf_secret")
    hub.private.add(REPO)
    async with fetching() as fetcher:
        assert await read_in_parts(fetcher, f"hf://{REPO}/a.tar") == DATA
    shown = [(line.split()[1], headers.get("Authorization")) for line, headers in hub.requests]
    assert set(shown) == {("hub", "Bearer hf_secret"), ("cdn", None)}


async def test_without_a_token_there_is_no_authorization_at_all(hub: Hub) -> None:
    async with fetching(HuggingFace(anonymous=True)) as fetcher:
        await read(fetcher, f"hf://{REPO}/a.tar")
    assert not [headers for _, headers in hub.requests if "Authorization" in headers]


async def test_fault_05_a_token_that_was_replaced_is_taken_anew(hub: Hub) -> None:
    tokens = iter(["hf_old", "hf_new"])
    hub.tokens.add("hf_new")
    hub.private.add(REPO)
    async with fetching(HuggingFace(get_token=lambda: next(tokens))) as fetcher:
        assert (await read(fetcher, f"hf://{REPO}/a.tar"))[1] == DATA
    assert hub.count("HEAD hub") == 2


async def test_fault_05_a_wrong_token_and_a_private_repository_are_access_errors(hub: Hub) -> None:
    hub.private.add(REPO)
    for settings in (HuggingFace(token="hf_wrong"), HuggingFace(anonymous=True)):
        async with fetching(settings) as fetcher:
            with pytest.raises(AccessError, match="hub says") as caught:
                await read(fetcher, f"hf://{REPO}/a.tar")
        assert caught.value.status == 401
        assert "hf_wrong" not in f"{caught.value!r}{settings!r}{caught.value.__dict__}"


async def test_fault_03_the_wait_that_the_rate_limit_asks_for_is_kept(hub: Hub) -> None:
    counters = Counters()
    hub.limit(0, seconds=1)
    async with fetching(counters=counters) as fetcher:
        assert (await read(fetcher, f"hf://{REPO}/a.tar"))[1] == DATA
    # 4 tries with pauses of 50 ms at most would not get there.
    assert (counters.throttled, hub.count("HEAD hub")) == (1, 2)


async def test_fault_03_a_rate_limit_that_stays_is_a_throttled_error(hub: Hub) -> None:
    hub.limit(0, seconds=3600)
    retry = Retry(tries=2, backoff=0.01, retry_after_max=0.01)
    fetcher = open_storage(Access(Http(trust_env=False), retry), Counters())
    with pytest.raises(ThrottledError) as caught:
        await read(fetcher, f"hf://{REPO}/a.tar")
    await fetcher.aclose()
    assert (caught.value.attempts, caught.value.retry_after) == (2, 3600)


async def test_fault_06_what_there_is_not_is_named(hub: Hub) -> None:
    async with fetching() as fetcher:
        for url, code in ((f"hf://{REPO}/b.tar", "EntryNotFound"), (f"hf://{REPO}@v9/a.tar", "RevisionNotFound")):
            with pytest.raises(NotFoundError, match=code) as caught:
                await read(fetcher, url)
            assert caught.value.url == url


ODD = ["ü/ä ö.tar", "a+b&c=d?e#f.tar", "100%.tar", "a%20b.tar", "x/[y]/z.tar", "~.tar"]


@pytest.mark.parametrize("path", ODD)
async def test_paths_with_any_characters_and_revisions(hub: Hub, path: str) -> None:
    hub.put(REPO, path, DATA, revision="refs/pr/7")
    hub.direct.add(path)
    async with fetching() as fetcher:
        assert (await read(fetcher, f"hf://{REPO}@refs/pr/7/{path}"))[1] == DATA
        hub.direct.clear()
        assert (await read(fetcher, f"hf://{REPO}@refs%2Fpr%2F7/{path}", 5))[1] == DATA[5:]


def test_addresses() -> None:
    assert parse_address("hf://datasets/u/n/a/b.tar") == Address("datasets", "u/n", "main", "a/b.tar")
    assert parse_address("hf://u/n@v1.0/a@b.tar") == Address("models", "u/n", "v1.0", "a@b.tar")
    assert parse_address("hf://models/u/n@refs/convert/parquet/x.tar") == Address("models", "u/n", "refs/convert/parquet", "x.tar")
    assert parse_address("hf://spaces/u/n@a%2Fb/x.tar") == Address("spaces", "u/n", "a/b", "x.tar")
    with pytest.raises(SpecError):
        parse_address("hf://datasets")


@pytest.fixture
def folders(hub: Hub) -> Hub:
    for number in range(2500):
        hub.put(REPO, f"train/{number:05}.tar", b"")
    for path in ("train/sub/x.tar", "val/ü 1.tar", "top.tar"):
        hub.put(REPO, path, b"")
    return hub


async def test_listings_are_paged(folders: Hub) -> None:
    assert await listed(HuggingFace(), f"hf://{REPO}/train/000", deep=False) == [
        f"hf://{REPO}/train/{number:05}.tar" for number in range(100)
    ]
    assert len(await listed(HuggingFace(), f"hf://{REPO}/train/", deep=True)) == 2501
    assert folders.count("GET hub") == 6


async def test_listings_of_one_folder_and_of_all_below(folders: Hub) -> None:
    root = f"hf://{REPO}/"
    assert await listed(HuggingFace(), root, deep=False) == [f"{root}a.tar", f"{root}top.tar", f"{root}train/", f"{root}val/"]
    assert await listed(HuggingFace(), f"{root}va", deep=True) == [f"{root}val/ü 1.tar"]
    assert f"{root}train/sub/" in await listed(HuggingFace(), f"{root}train/", deep=False)
    folders.put("who/model", "w.tar", b"", revision="v1")
    assert await listed(HuggingFace(), "hf://who/model@v1/", deep=False) == ["hf://who/model@v1/w.tar"]


async def test_listings_show_the_token_and_keep_the_rate_limit(folders: Hub) -> None:
    folders.tokens.add("hf_secret")
    folders.private.add(REPO)
    folders.limit(1, seconds=1)
    assert len(await listed(HuggingFace(token="hf_secret"), f"hf://{REPO}/", deep=True)) == 2504
    with pytest.raises(AccessError):
        await listed(HuggingFace(), f"hf://{REPO}/", deep=True)


@pytest.mark.needs("huggingface_hub")
def test_the_hub_is_one_for_its_own_client_too(folders: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import HfApi, hf_hub_download
    from tqdm import tqdm

    monkeypatch.setattr(tqdm, "monitor_interval", 0)  # of its progress bars, which leave a thread otherwise

    folders.put("who/model", "w.tar", DATA)
    api = HfApi(endpoint=folders.origin, token=False)
    entries = api.list_repo_tree("who/shards", "train", repo_type="dataset", recursive=True)
    assert len(list(entries)) == 2502
    for repo, kind, path, direct in (("who/shards", "dataset", "a.tar", False), ("who/model", "model", "w.tar", True)):
        folders.direct = {path} if direct else set()
        found = hf_hub_download(repo, path, repo_type=kind, endpoint=folders.origin, cache_dir=tmp_path, token=False)
        assert Path(found).read_bytes() == DATA


@pytest.mark.needs("huggingface_hub")
async def test_the_token_of_a_login(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    (tmp_path / "token").write_text("hf_of_a_login\n")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))  # it looks at HF_HOME when it is imported
    hub.tokens.add("hf_of_a_login")
    hub.private.add(REPO)
    async with fetching() as fetcher:
        assert (await read(fetcher, f"hf://{REPO}/a.tar"))[1] == DATA


def test_secrets_are_neither_shown_nor_pickled() -> None:
    secret = HuggingFace(token="hf_secret")
    assert "hf_secret" not in repr(secret)
    with pytest.raises(SpecError, match="not pickled"):
        pickle.dumps(secret)
    assert pickle.loads(pickle.dumps(HuggingFace(endpoint="http://hub"))) == HuggingFace(endpoint="http://hub")
    with pytest.raises(SpecError, match="only one of"):
        HuggingFace(token="a", anonymous=True)
    assert "hf_secret" not in repr(BearerToken("hf_secret"))


async def test_samples_of_a_data_set(hub: Hub) -> None:
    hub.put(REPO, "s-0.tar", make_shard(make_samples(6)))
    hub.put(REPO, "s-1.tar", make_shard(make_samples(6, prefix="b")))
    ds = wds.WebDataset(f"hf://{REPO}/s-{{0..1}}.tar", prefetch=2)
    assert [sample["__key__"] async for sample in ds] == [sample["__key__"] for sample in ds]
    assert ds.stats().samples == 12


async def test_offline(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    async with fetching() as fetcher:
        with pytest.raises(SpecError, match="HF_HUB_OFFLINE"):
            await read(fetcher, f"hf://{REPO}/a.tar")
    assert hub.requests == []
