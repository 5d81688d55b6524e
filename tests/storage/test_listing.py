"""Patterns in urls are looked up: in real buckets, at real index pages, in any state of the caller's event loop."""

import asyncio
import functools
import http.server
import pickle
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest
from nginx import Nginx
from objectstore import NOBODY, READER, ObjectStore

from asyncwds import S3, Http, Retry, WebDataset, open_samples
from asyncwds.errors import AccessError, FetchError, NotFoundError, SpecError
from asyncwds.settings import Access, Storage
from asyncwds.storage import MemoryFetcher, expand_and_list
from asyncwds.storage.stores.web.store import links
from asyncwds.testing import Fault, FaultServer, leaks, make_samples, make_shard

NAMES = [
    "a-0.tar",
    "a-1.tar",
    "b.tar",
    "sub/a-2.tar",
    "sub/deep/er/c.tar",
    "other/a-3.tar",
    ".hidden.tar",
    ".dir/x.tar",
    "a b+ü%41.tar",
]
FOUND = {
    "*.tar": ["a b+ü%41.tar", "a-0.tar", "a-1.tar", "b.tar"],
    "a-?.tar": ["a-0.tar", "a-1.tar"],
    "a-[1-9].tar": ["a-1.tar"],
    "a-[!1].tar": ["a-0.tar"],
    "a b+ü*": ["a b+ü%41.tar"],
    "*/a-*": ["other/a-3.tar", "sub/a-2.tar"],
    "s*/d*/*/*.tar": ["sub/deep/er/c.tar"],
    "s*/deep/er/c.tar": ["sub/deep/er/c.tar"],
    "**/*.tar": ["a b+ü%41.tar", "a-0.tar", "a-1.tar", "b.tar", "other/a-3.tar", "sub/a-2.tar", "sub/deep/er/c.tar"],
    "**/a-*": ["a-0.tar", "a-1.tar", "other/a-3.tar", "sub/a-2.tar"],
    "sub/**": ["sub/a-2.tar", "sub/deep/er/c.tar"],
    "s*/**/c.tar": ["sub/deep/er/c.tar"],
    ".*.tar": [".hidden.tar"],
    ".d*/*": [".dir/x.tar"],
    "{b,a-[01]}*": ["b.tar", "a-0.tar", "a-1.tar"],
}
QUICK = Retry(tries=2, backoff=0.01)


def look_up(urls: str | list[str], storage: Storage | None = None, retry: Retry = QUICK) -> list[str]:
    return expand_and_list(urls, Access(Http(), retry, storage or {}))


# -- buckets


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=pytest.mark.needs("botocore")) for name in ("seaweedfs", "juicefs")]
)
def bucket(request: pytest.FixtureRequest) -> tuple[str, Storage]:
    """The URL of a folder with `NAMES` in it, and how to get there."""
    store: ObjectStore = request.getfixturevalue(request.param)
    folder = uuid.uuid4().hex
    for name in NAMES:
        store.put(f"{folder}/{name}", b"")
    return f"s3://shards/{folder}/", {"s3://": store.settings()}


@pytest.mark.parametrize("pattern", FOUND)
def test_patterns_in_buckets(bucket: tuple[str, Storage], pattern: str) -> None:
    folder, storage = bucket
    assert look_up(folder + pattern, storage) == [folder + name for name in FOUND[pattern]]


@pytest.mark.parametrize("pattern", ["none/*", "a-*.tgz", "b.tar/*", "*/none/*", "**/none"])
def test_nothing_that_matches_is_an_error(bucket: tuple[str, Storage], pattern: str) -> None:
    folder, storage = bucket
    with pytest.raises(SpecError, match="nothing matches the pattern") as caught:
        look_up([folder + "b.tar", folder + pattern], storage)
    assert caught.value.url == folder + pattern


def test_a_folder_in_a_bucket_without_shards_says_what_would_do(bucket: tuple[str, Storage]) -> None:
    folder, storage = bucket
    with pytest.raises(SpecError, match=r"no shards in this folder.*/none/\*\*/\*\.tar") as caught:
        look_up(folder + "none/", storage)
    assert caught.value.url == folder + "none/"


def test_a_bucket_by_its_bare_name_says_what_its_folder_is(bucket: tuple[str, Storage]) -> None:
    with pytest.raises(SpecError, match="s3://shards/ is the folder"):
        list(WebDataset("s3://shards", storage=bucket[1]))


def test_thousands_of_keys_come_in_pages(seaweedfs: ObjectStore) -> None:
    folder = uuid.uuid4().hex
    keys = [f"{folder}/{number:05d}.tar" for number in range(1250)]
    with closing(_Putter(seaweedfs, 8)) as putter:
        putter.put(keys)
    urls = [f"s3://shards/{key}" for key in keys]
    storage = {"s3://": seaweedfs.settings()}
    assert look_up(f"s3://shards/{folder}/*.tar", storage) == urls
    assert look_up(f"s3://shards/{folder}/**", storage) == urls
    assert look_up(f"s3://shards/{folder}/01*[05].tar", storage) == urls[1000::5]


class _Putter:
    """Puts many empty objects in a few threads: one at a time takes too long."""

    def __init__(self, store: ObjectStore, threads: int) -> None:
        self._store = store
        self._threads = threads

    def put(self, keys: list[str]) -> None:
        put_all = [threading.Thread(target=self._put, args=(keys[number :: self._threads],)) for number in range(self._threads)]
        for thread in put_all:
            thread.start()
        for thread in put_all:
            thread.join()

    def _put(self, keys: list[str]) -> None:
        for key in keys:
            self._store.client.put_object(Bucket=self._store.bucket, Key=key, Body=b"")

    def close(self) -> None:
        self._store.client.close()


def test_a_key_with_brackets_needs_no_pattern(seaweedfs: ObjectStore) -> None:
    folder = uuid.uuid4().hex
    url = seaweedfs.put(f"{folder}/run[1]/a?.tar", b"")
    seaweedfs.put(f"{folder}/run1/ab.tar", b"")
    storage = {"s3://": seaweedfs.settings()}
    assert look_up(url, storage) == [url]
    assert look_up(f"s3://shards/{folder}/run[1]/ab.tar", storage) == [f"s3://shards/{folder}/run1/ab.tar"]


def test_who_may_not_list_is_told(seaweedfs: ObjectStore) -> None:
    for settings in (seaweedfs.settings(NOBODY), S3(endpoint=seaweedfs.url, anonymous=True)):
        with pytest.raises(AccessError) as caught:
            look_up("s3://shards/x/*", {"s3://": settings})
        assert caught.value.url == "s3://shards/"
    with pytest.raises(SpecError):
        look_up("s3://public/none/*", {"s3://": S3(endpoint=seaweedfs.url, anonymous=True)})
    with pytest.raises(NotFoundError, match="NoSuchBucket"):
        look_up("s3://none/*", {"s3://": seaweedfs.settings(READER)})


@pytest.mark.needs("botocore")
def test_an_answer_that_is_no_listing() -> None:
    with FaultServer({"b/": b"<html>"}) as server, pytest.raises(FetchError, match="no XML"):
        look_up("s3://b/*", {"s3://": S3(endpoint=server.url().rstrip("/"), anonymous=True)})


# -- index pages


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("index")
    for name in NAMES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


@pytest.fixture(scope="module", params=["python", "nginx"])
def web(request: pytest.FixtureRequest, files: Path) -> Iterator[str]:
    """The URL of a folder with `NAMES` in it."""
    if request.param == "nginx":
        nginx: Nginx = request.getfixturevalue("nginx")
        (nginx.files / files.name).symlink_to(files)
        yield nginx.url("index", f"{files.name}/")
        return
    handler = functools.partial(_Quiet, directory=str(files))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize("pattern", [pattern for pattern in FOUND if "?" not in pattern])
def test_patterns_at_index_pages(web: str, pattern: str) -> None:
    # nginx does not list what begins with a dot.
    if pattern.startswith(".") and "/index/" in web:
        with pytest.raises((SpecError, NotFoundError)):
            look_up(web + pattern)
        return
    assert look_up(web + pattern) == [web + quote(name) for name in FOUND[pattern]]


def test_folders_that_are_not_there(web: str) -> None:
    with pytest.raises(NotFoundError):
        look_up(web + "none/*.tar")
    with pytest.raises(SpecError, match="nothing matches"):
        look_up(web + "*.tgz")


@pytest.mark.parametrize("status", [403, 404, 405])
def test_a_server_that_lists_no_folders_is_told_of_wildcards(status: int) -> None:
    with FaultServer({}, faults=[Fault(status=status)]) as server:
        with pytest.raises(FetchError, match=r"wildcards need a page that lists the folder, and the server.*\{000") as caught:
            look_up(server.url() + "*.tar")
        assert (caught.value.status, server.counters.requests) == (status, 1)


def test_a_page_without_files_is_told_of_wildcards() -> None:
    with FaultServer({}, faults=[Fault(html=True)]) as server, pytest.raises(SpecError, match="wildcards need a page"):
        look_up(server.url() + "*.tar")


def test_a_dataset_from_an_index_page(nginx: Nginx) -> None:
    folder = nginx.files / uuid.uuid4().hex
    folder.mkdir()
    for number in range(3):
        (folder / f"ü {number}.tar").write_bytes(make_shard(make_samples(10, prefix=f"{number}-")))
    dataset = WebDataset(nginx.url("index", f"{folder.name}/*.tar"))
    assert [sample["__key__"] for sample in dataset][::10] == ["0-000000", "1-000000", "2-000000"]


# The pages of Apache have links to sort by, to the folder above, and absolute paths.
APACHE = """<html><body><h1>Index of /d</h1><table>
<tr><th><a href="?C=N;O=D">Name</a></th><th><a href="?C=M;O=A">Last modified</a></th></tr>
<tr><td><a href="/">Parent Directory</a></td></tr>
<tr><td><a href="a%20b.tar">a b.tar</a></td></tr> <tr><td><A HREF='c&amp;d.tar'>c&amp;d.tar</a></td></tr>
<tr><td><a href="/d/abs.tar">abs.tar</a></td></tr> <tr><td><a href="sub/">sub/</a></td></tr>
<tr><td><a href="http://h/d/full.tar">x</a> <a href="http://elsewhere/d/no.tar">x</a> <a href="a%20b.tar">icon</a></td></tr>
<tr><td><a href="sub/deep.tar">x</a> <a href="../up.tar">x</a> <a href="./">x</a> <a href="#top">x</a> <a name="x">x</a></td></tr>
</table></body></html>"""


def test_links_that_lead_one_level_down() -> None:
    assert list(links("http://h/d/", APACHE)) == [
        "http://h/d/a%20b.tar",
        "http://h/d/c&d.tar",
        "http://h/d/abs.tar",
        "http://h/d/sub/",
        "http://h/d/full.tar",
    ]


def test_folders_that_lead_in_a_circle_end() -> None:
    with FaultServer({}) as server:
        for depth in range(40):
            server.put("a/" * (depth + 1), b'<a href="a/">a/</a>')
        with pytest.raises(FetchError, match="nested"):
            look_up(server.url("a/") + "**")


# -- in any state of the caller's loop


def test_without_a_loop_and_within_one(bucket: tuple[str, Storage]) -> None:
    folder, storage = bucket
    expected = look_up(folder + "*.tar", storage)

    async def within() -> list[str]:
        return look_up(folder + "*.tar", storage)

    with leaks():
        assert asyncio.run(within()) == expected
    # `asyncio.run` in this thread would have taken its loop away.
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    look_up(folder + "*.tar", storage)
    assert asyncio.get_event_loop_policy().get_event_loop() is loop
    asyncio.set_event_loop(None)
    loop.close()


async def test_open_samples_looks_up_on_its_own_loop(seaweedfs: ObjectStore) -> None:
    folder = uuid.uuid4().hex
    for number in range(2):
        seaweedfs.put(f"{folder}/{number}.tar", make_shard(make_samples(10)))
    storage = seaweedfs.settings()
    async with leaks(), open_samples(f"s3://shards/{folder}/*.tar", storage=storage) as samples:
        assert len([sample async for sample in samples]) == 20
    with pytest.raises(SpecError, match="nothing matches"):
        async with open_samples(f"s3://shards/{folder}/*.zip", storage=storage):
            pass


def find_keys() -> tuple[str, str, None]:
    return *READER, None


def test_a_dataset_is_expanded_once_and_pickled_with_what_was_found(seaweedfs: ObjectStore) -> None:
    folder = uuid.uuid4().hex
    seaweedfs.put(f"{folder}/0.tar", make_shard(make_samples(10)))
    dataset = WebDataset(f"s3://shards/{folder}/*.tar", storage=S3(endpoint=seaweedfs.url, get_keys=find_keys))
    seaweedfs.put(f"{folder}/1.tar", make_shard(make_samples(10)))
    assert len(list(pickle.loads(pickle.dumps(dataset)))) == 10


def test_secure_mode_looks_into_allowed_schemes_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WDS_SECURE", "1")
    monkeypatch.setenv("WDS_SCHEMES", "https:gs")
    with FaultServer({}) as server:
        for url in (server.url() + "*.tar", "s3://b/*.tar"):
            with pytest.raises(SpecError, match="not looked up.*WDS_SCHEMES"):
                look_up(url)
        assert not server.counters.requests


def test_who_brings_a_fetcher_brings_its_urls() -> None:
    assert "s3://b/*.tar" in repr(WebDataset("s3://b/*.tar", fetcher=lambda: MemoryFetcher({})))


def test_urls_without_wildcards_cost_nothing() -> None:
    program = "import sys\nfrom asyncwds import WebDataset\nWebDataset('s3://b/{000..999}.tar')\nprint('aiohttp' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=100, check=True)
    assert done.stdout == "False\n"


def test_ctrl_c_ends_it() -> None:
    """The server answers after a minute. Sent once it is asked: during imports Python may lose an interrupt in its callbacks."""
    with FaultServer({}, first_byte_delay=60) as server:
        program = (
            "import threading, asyncwds\n"
            f"try: asyncwds.WebDataset('{server.url()}*.tar')\n"
            "except KeyboardInterrupt: print('interrupted', threading.active_count())\n"
        )
        command = [sys.executable, "-c", program]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
            while not server.counters.requests and child.poll() is None:
                time.sleep(0.01)
            child.send_signal(signal.SIGINT)
            said = child.communicate(timeout=100)
    assert said == ("interrupted 1\n", "")


def test_one_pattern_that_fails_stops_the_others() -> None:
    with FaultServer({}, faults=[Fault(path="slow/", stall_headers=True)]) as server:
        patterns = [server.url("slow/") + "*.tar", server.url("none/") + "*.tar"]
        with leaks(), pytest.raises(NotFoundError):
            look_up(patterns, retry=Retry(stall_timeout=600))
