from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile

import pytest

import asyncwds as wds
from asyncwds import Prefetch
from asyncwds.compat import gopen
from asyncwds.errors import NotFoundError, SpecError
from asyncwds.testing import Fault, FaultServer, leaks, make_shard

DATA = os.urandom(3_000_000)


@pytest.fixture
def schemes():
    """Put back as they were."""
    before = dict(wds.gopen_schemes)
    yield wds.gopen_schemes
    wds.gopen_schemes.clear()
    wds.gopen_schemes.update(before)


@pytest.mark.parametrize("prefetch", [None, Prefetch(connections=4, part_bytes=100_000)])
def test_an_http_url_is_a_file_that_is_fetched_while_it_is_read(prefetch):
    with FaultServer({"x": DATA}) as server, leaks():
        with wds.gopen(server.url("x"), prefetch=prefetch) as file:
            assert file.read(10) == DATA[:10]
            assert file.read(2_000_000) == DATA[10:2_000_010]
            assert file.read() == DATA[2_000_010:]
            assert file.read(1) == b""
        assert file.closed
        assert gopen.reader(server.url("x")).read() == DATA


def test_lines_and_archives():
    shard = make_shard([{"__key__": "k", "txt": "x"}])
    with FaultServer({"lines": b"a\nbc\n", "tar": shard}) as server, leaks():
        with wds.gopen(server.url("lines")) as file:
            assert list(file) == [b"a\n", b"bc\n"]
        with wds.gopen(server.url("tar")) as file, tarfile.open(fileobj=file, mode="r|*") as archive:
            assert archive.next().name == "k.txt"


def test_a_file_that_is_left_early_or_dropped_stops_the_engine():
    with FaultServer({"x": DATA}) as server, leaks():
        file = wds.gopen(server.url("x"))
        file.read(10)
        file.close()
        file.close()
        file = wds.gopen(server.url("x"))
        file.read(10)
        del file
        wds.gopen(server.url("x"))


def test_what_breaks_is_retried_and_what_fails_is_raised_where_the_bytes_should_be():
    with FaultServer({"x": DATA}, faults=[Fault(reset_at=500_000, times=1)]) as server:
        assert wds.gopen(server.url("x"), retry=wds.Retry(backoff=0)).read() == DATA
    with FaultServer({}) as server, leaks():
        file = wds.gopen(server.url("missing"))
        with pytest.raises(NotFoundError):
            file.read()
        file.close()


def test_local_files_and_standard_streams(tmp_path, monkeypatch):
    path = tmp_path / "a b.bin"
    for url in (str(path), f"file:{path}", f"file://{str(path).replace(' ', '%20')}"):
        with wds.gopen(url, "wb") as file:
            file.write(b"abc")
        with wds.gopen(url) as file:
            assert file.read() == b"abc"
        path.unlink()
    code = "import asyncwds as wds; wds.gopen('-', 'wb').write(wds.gopen('-').read()[::-1])"
    done = subprocess.run([sys.executable, "-c", code], input=b"abc", capture_output=True, timeout=100, check=True)
    assert done.stdout == b"cba"
    path.write_bytes(b"abc")
    monkeypatch.setenv("GOPEN_BUFFER", "0")
    with wds.gopen(str(path)) as file:
        assert isinstance(file, io.FileIO)


def test_commands(tmp_path):
    with leaks():
        with wds.gopen("pipe:printf abc") as file:
            assert file.read() == b"abc"
        with wds.gopen(f"pipe:cat > {tmp_path}/x", "wb") as file:
            file.write(b"abc")
    assert (tmp_path / "x").read_bytes() == b"abc"


@pytest.mark.parametrize(("url", "mode", "message"), [("x", "r", "mode must be"), ("nobody://x", "rb", "no gopen handler")])
def test_what_cannot_be_opened(url, mode, message):
    with pytest.raises(SpecError, match=message):
        wds.gopen(url, mode)


def test_it_says_what_it_opens_on_request(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("GOPEN_VERBOSE", "1")
    wds.gopen(f"{tmp_path}/x", "wb").close()
    assert capsys.readouterr().err == f"GOPEN {tmp_path}/x\n"


def test_rewriting(monkeypatch, tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    monkeypatch.setenv("GOPEN_REWRITE", f"s3://bucket={tmp_path};http=nothing;")
    with wds.gopen("s3://bucket/x") as file:
        assert file.read() == b"abc"
    (tmp_path / "s.tar").write_bytes(make_shard([{"__key__": "k", "txt": "x"}]))
    assert [sample["__url__"] for sample in wds.WebDataset("s3://bucket/s.tar")] == ["s3://bucket/s.tar"]
    monkeypatch.setenv("GOPEN_REWRITE", "no rule")
    with pytest.raises(SpecError, match="without '='"):
        wds.gopen("s3://bucket/x")


@pytest.mark.parametrize("url", ["/etc/hostname", "file:/etc/hostname", "pipe:true", "scp://host/x", "sftp://host/x"])
def test_secure_mode(monkeypatch, url):
    monkeypatch.setenv("WDS_SECURE", "1")
    with pytest.raises(ValueError, match="WDS_SECURE"):
        wds.gopen(url)
    with pytest.raises(ValueError, match="WDS_SECURE"):
        list(wds.WebDataset(url))
    monkeypatch.setenv("GOPEN_REWRITE", "a=b")
    with pytest.raises(ValueError, match="GOPEN_REWRITE"):
        wds.gopen(url)


def test_a_scheme_of_ones_own(schemes, tmp_path):
    (tmp_path / "s.tar").write_bytes(make_shard([{"__key__": f"k{n}", "txt": "x"} for n in range(3)]))
    calls = []

    def opened(url, mode="rb", bufsize=8192, **options):
        calls.append((url, mode, options))
        return (tmp_path / url.removeprefix("mine://")).open(mode)

    schemes["mine"] = opened
    with leaks():
        assert [sample["__key__"] for sample in wds.WebDataset("mine://s.tar")] == ["k0", "k1", "k2"]
        pipeline = wds.DataPipeline(wds.SimpleShardList("mine://s.tar"), wds.tarfile_to_samples())
        assert len(list(pipeline)) == 3
        with wds.gopen("mine://s.tar", option=1) as file:
            assert len(file.read()) == (tmp_path / "s.tar").stat().st_size
    assert calls == [("mine://s.tar", "rb", {})] * 2 + [("mine://s.tar", "rb", {"option": 1})]


def test_a_scheme_that_was_the_librarys(schemes, tmp_path):
    original = schemes["http"]
    with FaultServer({"s.tar": make_shard([{"__key__": "k", "txt": "x"}])}) as server:
        schemes["http"] = lambda url, mode, bufsize: original(url.replace("signed-", ""), mode, bufsize)
        assert len(list(wds.WebDataset(server.url("signed-s.tar")))) == 1
    schemes["__default__"] = lambda url, mode, bufsize: (tmp_path / url.rpartition("/")[2]).open(mode)
    (tmp_path / "s.tar").write_bytes(make_shard([{"__key__": "k", "txt": "x"}]))
    assert len(list(wds.WebDataset("whatever://s.tar"))) == 1


def test_schemes_by_way_of_aistore(schemes, monkeypatch, tmp_path):
    (tmp_path / "s.tar").write_bytes(make_shard([{"__key__": "k", "txt": "x"}]))
    schemes["ais"] = lambda url, mode, bufsize: (tmp_path / url.rpartition("/")[2]).open(mode)
    monkeypatch.setenv("USE_AIS_FOR", "s3:http")
    for url in ("s3://bucket/s.tar", "http://host/s.tar", "ais://bucket/s.tar"):
        assert len(list(wds.WebDataset(url))) == 1
        wds.gopen(url).close()


def test_writing_to_a_server():
    with FaultServer({}, writable=True) as server:
        url = server.url("x")
        with leaks():
            with wds.gopen(url, "wb") as file:
                assert file.write(DATA[:1_000_000]) == 1_000_000
                file.write(memoryview(DATA)[1_000_000:])
                assert server.get("x") is None
            assert server.get("x") == DATA
            with pytest.raises(ValueError, match="closed"):
                file.write(b"x")


def test_what_is_not_written_to_its_end_is_not_there():
    with FaultServer({}, writable=True) as server, leaks():
        with pytest.raises(ZeroDivisionError), wds.gopen(server.url("x"), "wb") as file:
            file.write(DATA)
            raise ZeroDivisionError
        wds.gopen(server.url("x"), "wb").write(DATA)
        assert server.get("x") is None


def test_a_write_that_is_refused():
    with FaultServer({}) as server, leaks():
        file = wds.gopen(server.url("x"), "wb")
        with pytest.raises(wds.errors.FetchError):
            file.close()
