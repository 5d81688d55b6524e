"""`HttpFetcher` under `Retrying` against a server that misbehaves: the exact bytes, or a typed error; and what was asked for."""

import asyncio
import gzip
import random
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
import trustme

from asyncwds import Http, Retry
from asyncwds.errors import (
    AccessError,
    ChangedError,
    FetchError,
    FetchTimeoutError,
    NotFoundError,
    ShortBodyError,
    ThrottledError,
)
from asyncwds.runtime import Counters
from asyncwds.settings import Access
from asyncwds.storage import Answer, HttpFetcher, ObjectRange, Retrying
from asyncwds.testing import Fault, FaultServer, ForwardProxy, leaks, read

DATA = random.Random(1).randbytes(300_000)
OTHER = random.Random(2).randbytes(300_000)
QUICK = Retry(tries=3, backoff=0.001, backoff_max=0.005, retry_after_max=0.02, connect_timeout=10, stall_timeout=5)
IMPATIENT = replace(QUICK, connect_timeout=0.2, stall_timeout=0.2)  # on a busy machine a sound server may be given up too
PLAIN = Http(trust_env=False)


lent: ContextVar[int] = ContextVar("lent", default=0)


@pytest.fixture(autouse=True, params=[0, 8 << 20], ids=["", "into_a_buffer"])
def lending(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every fault, met by aiohttp's own reading of bodies and by ours."""
    token = lent.set(request.param)
    yield
    lent.reset(token)


@dataclass
class Fetched:
    """What a fetch brought, and what it took."""

    answer: Answer
    data: bytes
    counters: Counters
    pauses: list[float] = field(default_factory=list)


async def fetch(
    url: str,
    start: int = 0,
    stop: int | None = None,
    identity: str | None = None,
    *,
    retry: Retry = QUICK,
    http: Http = PLAIN,
) -> Fetched:
    counters = Counters()
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    fetcher = Retrying(HttpFetcher(Access(http, retry), counters), retry, counters, sleep=sleep, now=lambda: sum(pauses))
    try:
        async with leaks():
            answer, data = await read(fetcher, url, start, stop, identity, lent=lent.get())
            await fetcher.aclose()
        return Fetched(answer, data, counters, pauses)
    finally:
        await fetcher.aclose()


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer({"a.tar": DATA}) as server:
        yield server


@pytest.fixture
def other() -> Iterator[FaultServer]:
    """Another host, as far as HTTP goes."""
    with FaultServer({"a.tar": DATA, "b.tar": OTHER}) as server:
        yield server


def ranges(server: FaultServer) -> list[str]:
    return [request.headers["range"] for request in server.requests]


@asynccontextmanager
async def talking(answer: bytes) -> AsyncIterator[str]:
    """URL of a server that sends these bytes at once, whatever it is asked."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    listener = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with listener:
        host, port = listener.sockets[0].getsockname()
        yield f"http://{host}:{port}/a.tar"


# 1 DNS failure, refused, connect timeout


# Names are looked up in threads of the loop, which go with it: such tests are not coroutines, to see the loop's end.


def test_fault_01_a_host_without_address() -> None:
    with pytest.raises(FetchError, match=r"no address was found for host 'no-such-host\.invalid'") as caught:
        asyncio.run(fetch("http://no-such-host.invalid/a.tar", retry=replace(QUICK, connect_timeout=30)))
    assert caught.value.attempts == QUICK.tries
    assert caught.value.url == "http://no-such-host.invalid/a.tar"


async def test_fault_01_a_port_where_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(FetchError, match=f"no connection to 127.0.0.1:{port}: Connection refused") as caught:
        await fetch(f"http://127.0.0.1:{port}/a.tar")
    assert caught.value.attempts == QUICK.tries


async def test_fault_01_a_connection_that_is_never_accepted() -> None:
    # With its backlog full, Linux drops what else wants to connect.
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        address = full.getsockname()
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(address)
        with pytest.raises(FetchTimeoutError, match=r"no connection to 127\.0\.0\.1 within 0\.1 s") as caught:
            await fetch(f"http://127.0.0.1:{address[1]}/a.tar", retry=replace(QUICK, connect_timeout=0.1))
        for filler in fillers:
            filler.close()
    assert caught.value.attempts == QUICK.tries


@pytest.mark.parametrize("url", ["ftp://host/a.tar", "http:///a.tar", "http://host:99999/a.tar", "a.tar", "http://a..b/a.tar"])
def test_what_is_no_http_url_is_not_tried_again(url: str) -> None:
    with pytest.raises(FetchError) as caught:
        asyncio.run(fetch(url))
    assert (caught.value.url, caught.value.attempts, caught.value.retryable) == (url, 1, False)


# 2 TLS failure


@dataclass
class Tls:
    """A certificate for 127.0.0.1, as files, and a server that shows it."""

    ca_file: str
    client_cert: tuple[str, str]
    context: ssl.SSLContext


@pytest.fixture
def tls(tmp_path: Path) -> Tls:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    client = authority.issue_cert("client@example.com")
    client.private_key_pem.write_to_path(tmp_path / "client.key")
    client.cert_chain_pems[0].write_to_path(tmp_path / "client.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.configure_trust(context)
    return Tls(str(tmp_path / "ca.pem"), (str(tmp_path / "client.pem"), str(tmp_path / "client.key")), context)


@pytest.fixture
def secure(tls: Tls) -> Iterator[FaultServer]:
    with FaultServer({"a.tar": DATA}, ssl_context=tls.context) as server:
        yield server


async def test_fault_02_a_certificate_of_an_unknown_authority_is_refused_once(secure: FaultServer) -> None:
    with pytest.raises(FetchError, match=r"certificate cannot be trusted .* Http\(ca_file") as caught:
        await fetch(secure.url("a.tar"))
    assert (caught.value.attempts, secure.counters.requests) == (1, 0)


def test_fault_02_a_certificate_for_another_host_is_refused_once(secure: FaultServer, tls: Tls) -> None:
    with pytest.raises(FetchError, match="certificate") as caught:
        asyncio.run(fetch(secure.url("a.tar").replace("127.0.0.1", "localhost"), http=replace(PLAIN, ca_file=tls.ca_file)))
    assert (caught.value.attempts, secure.counters.requests) == (1, 0)


@pytest.mark.parametrize("how", ["ca_file", "SSL_CERT_FILE", "verify=False"])
async def test_fault_02_a_certificate_that_the_user_trusts(
    secure: FaultServer, tls: Tls, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if how == "SSL_CERT_FILE":
        monkeypatch.setenv("SSL_CERT_FILE", tls.ca_file)
    http = replace(PLAIN, ca_file=tls.ca_file if how == "ca_file" else None, verify=how != "verify=False")
    assert (await fetch(secure.url("a.tar"), http=http)).data == DATA


async def test_fault_02_resets_and_early_leaving_over_tls(secure: FaultServer, tls: Tls) -> None:
    secure.add(Fault(reset_at=100_000, times=1))
    http = replace(PLAIN, ca_file=tls.ca_file)
    assert (await fetch(secure.url("a.tar"), http=http)).data == DATA
    fetcher = HttpFetcher(Access(http, QUICK), Counters())
    async with leaks():
        async with fetcher.open(ObjectRange(secure.url("a.tar"))) as body:
            await anext(aiter(body))
        await fetcher.aclose()


async def test_fault_02_a_server_that_wants_a_client_certificate(secure: FaultServer, tls: Tls) -> None:
    tls.context.verify_mode = ssl.CERT_REQUIRED
    http = replace(PLAIN, ca_file=tls.ca_file)
    with pytest.raises(FetchError):
        await fetch(secure.url("a.tar"), http=http)
    assert (await fetch(secure.url("a.tar"), http=replace(http, client_cert=tls.client_cert))).data == DATA


async def test_fault_02_no_tls_where_it_is_expected(server: FaultServer) -> None:
    with pytest.raises(FetchError) as caught:
        await fetch(server.url("a.tar").replace("http:", "https:"), retry=replace(QUICK, connect_timeout=0.1))
    assert caught.value.attempts == QUICK.tries


async def test_fault_02_a_handshake_that_never_ends() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute, pytest.raises(FetchTimeoutError, match="no connection"):
        await fetch(
            f"https://127.0.0.1:{mute.getsockname()[1]}/", retry=replace(QUICK, tries=1, connect_timeout=0.1, stall_timeout=20)
        )


# 3 and 4: statuses that pass


@pytest.mark.parametrize("status", [429, 503])
async def test_fault_03_throttling_passes(server: FaultServer, status: int) -> None:
    server.add(Fault(status=status, times=2))
    fetched = await fetch(server.url("a.tar"))
    assert fetched.data == DATA
    assert (fetched.counters.throttled, fetched.counters.retries, fetched.counters.requests) == (2, 2, 3)
    assert server.counters.connections_made == 1  # a refusal leaves the connection as good as before


@pytest.mark.parametrize(
    ("asked", "least"),
    [
        ("0.015", 0),  # no number of seconds that HTTP knows
        ("0", 0),
        ("86400", QUICK.retry_after_max),
        ("9" * 5000, QUICK.retry_after_max),
        ("-5", 0),
        ("soon", 0),
        pytest.param(format_datetime(datetime.now(UTC) + timedelta(days=1), usegmt=True), QUICK.retry_after_max, id="tomorrow"),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
    ],
    ids=["fraction", "zero", "a_day", "absurd", "negative", "text", "a_date_to_come", "a_date_gone_by"],
)
async def test_fault_03_retry_after_is_obeyed_up_to_a_cap(server: FaultServer, asked: str, least: float) -> None:
    server.add(Fault(status=503, retry_after=asked, times=1))
    fetched = await fetch(server.url("a.tar"))
    assert fetched.data == DATA
    assert len(fetched.pauses) == 1
    assert least <= fetched.pauses[0] <= least + QUICK.backoff_max


async def test_fault_03_throttling_that_does_not_pass(server: FaultServer) -> None:
    server.add(Fault(status=503, retry_after=7, body=b"<Error><Code>SlowDown</Code><Message>Reduce your rate.</Message></Error>"))
    with pytest.raises(ThrottledError, match=r"503 Service Unavailable: SlowDown; Reduce your rate\..*after 3 attempts") as caught:
        await fetch(server.url("a.tar"))
    assert (caught.value.status, caught.value.retry_after, caught.value.attempts) == (503, 7.0, 3)
    assert server.counters.requests == 3


@pytest.mark.parametrize("status", [408, 425, 500, 502, 504])
async def test_fault_04_a_server_in_trouble(server: FaultServer, status: int) -> None:
    server.add(Fault(status=status, times=2))
    fetched = await fetch(server.url("a.tar"), 1000, 2000)
    assert fetched.data == DATA[1000:2000]
    assert (fetched.counters.throttled, fetched.counters.retries) == (0, 2)


@pytest.mark.parametrize("status", [500, 502, 504])
async def test_fault_04_a_server_that_stays_in_trouble(server: FaultServer, status: int) -> None:
    server.add(Fault(status=status))
    with pytest.raises(FetchError, match=str(status)) as caught:
        await fetch(server.url("a.tar"))
    assert (caught.value.status, caught.value.attempts, server.counters.requests) == (status, 3, 3)


@pytest.mark.parametrize("code", ["RequestTimeout", "InternalError"])
async def test_fault_04_what_s3_says_with_status_400(server: FaultServer, code: str) -> None:
    server.add(Fault(status=400, body=f"<Error><Code>{code}</Code></Error>".encode(), times=1))
    assert (await fetch(server.url("a.tar"))).data == DATA


@pytest.mark.parametrize("status", [405, 409, 418])
async def test_other_statuses_are_not_tried_again(server: FaultServer, status: int) -> None:
    server.add(Fault(status=status))
    with pytest.raises(FetchError, match=str(status)) as caught:
        await fetch(server.url("a.tar"))
    assert (type(caught.value), caught.value.status, server.counters.requests) == (FetchError, status, 1)


# 5 and 6: statuses that don't


@pytest.mark.parametrize(
    "fault",
    [Fault(status=401), Fault(status=403), Fault(status=400, body=b"<Error><Code>ExpiredToken</Code></Error>")],
)
async def test_fault_05_credentials_are_refused(server: FaultServer, fault: Fault) -> None:
    server.add(fault)
    with pytest.raises(AccessError) as caught:
        await fetch(server.url("a.tar"), 5, 10)
    assert (caught.value.status, caught.value.offset, server.counters.requests) == (fault.status, 5, 1)


async def test_fault_05_credentials_that_expire_before_a_resume(server: FaultServer) -> None:
    server.add(Fault(cut_at=1000, times=1), Fault(status=403))
    with pytest.raises(AccessError) as caught:
        await fetch(server.url("a.tar"))
    assert caught.value.offset == 1000


async def test_fault_05_secrets_stay_out_of_messages(server: FaultServer) -> None:
    server.add(Fault(status=403))
    with pytest.raises(AccessError) as caught:
        await fetch(server.url("a.tar").replace("//", "//user:secret@") + "?X-Amz-Signature=secret")
    assert "secret" not in str(caught.value)
    assert "secret" not in repr(caught.value.__dict__)


@pytest.mark.parametrize("status", [404, 410])
async def test_fault_06_an_object_that_is_not_there(server: FaultServer, status: int) -> None:
    server.add(Fault(status=status))
    with pytest.raises(NotFoundError, match="check the URL|410") as caught:
        await fetch(server.url("a.tar"))
    assert (caught.value.status, server.counters.requests) == (status, 1)


@pytest.mark.parametrize(("name", "hint"), [("made", True), ("made/train", True), ("a.tar", False)])
async def test_fault_06_a_name_that_may_be_a_folder(server: FaultServer, name: str, hint: bool) -> None:
    with pytest.raises(NotFoundError) as caught:
        await fetch(server.url(f"none/{name}"))
    assert ("a folder of shards ends in a slash" in str(caught.value)) is hint


async def test_fault_06_an_object_that_is_there_later(server: FaultServer) -> None:
    server.add(Fault(status=404, times=1))
    with pytest.raises(NotFoundError):
        await fetch(server.url("a.tar"))
    assert (await fetch(server.url("a.tar"))).data == DATA


# 7 redirects


async def test_fault_07_a_chain_over_hosts_keeps_the_range_and_the_location_as_it_is(
    server: FaultServer, other: FaultServer
) -> None:
    signed = other.url("b.tar") + "?X-Amz-Signature=a%2Fb%3D&plus=+&tilde=%7E&lower=%2f"
    server.add(
        Fault(path="a.tar", status=307, redirect_to="/second"),
        Fault(path="second", status=308, redirect_to="../third?x=1"),
        Fault(path="third", status=303, redirect_to=signed),
    )
    fetched = await fetch(server.url("a.tar"), 100, 200)
    assert fetched.data == OTHER[100:200]
    assert ranges(server) + ranges(other) == ["bytes=100-199"] * 4
    assert other.url().rstrip("/") + other.requests[0].target == signed
    assert fetched.counters.requests == 4
    assert server.counters.connections_made == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_fault_07_every_kind_of_redirect(server: FaultServer, other: FaultServer, status: int) -> None:
    server.add(Fault(status=status, redirect_to=other.url("b.tar")))
    assert (await fetch(server.url("a.tar"))).data == OTHER


async def test_fault_07_headers_go_only_where_they_are_meant_to_go(server: FaultServer, other: FaultServer) -> None:
    server.add(Fault(redirect_to=other.url("b.tar")))
    http = replace(PLAIN, headers={server.url().rstrip("/"): {"Authorization": "Bearer secret", "X-Team": "vision"}})
    assert (await fetch(server.url("a.tar"), http=http)).data == OTHER
    assert server.requests[0].headers["authorization"] == "Bearer secret"
    assert server.requests[0].headers["x-team"] == "vision"
    assert not {"authorization", "x-team"} & set(other.requests[0].headers)


async def test_fault_07_a_login_in_the_url_is_for_its_host_alone(server: FaultServer, other: FaultServer) -> None:
    server.add(Fault(path="a.tar", redirect_to="/here"), Fault(path="here", redirect_to=other.url("b.tar")))
    assert (await fetch(server.url("a.tar").replace("//", "//user:p%40ss@"))).data == OTHER
    assert [request.headers.get("authorization") for request in server.requests] == ["Basic dXNlcjpwQHNz"] * 2
    assert "authorization" not in other.requests[0].headers


async def test_fault_07_every_resume_begins_at_the_first_url(server: FaultServer, other: FaultServer) -> None:
    server.add(Fault(redirect_to=other.url("b.tar")))
    other.add(Fault(cut_at=1000, times=1))
    assert (await fetch(server.url("a.tar"))).data == OTHER
    assert ranges(server) == ranges(other) == ["bytes=0-", "bytes=1000-"]


async def test_fault_07_a_loop_ends(server: FaultServer) -> None:
    server.add(Fault(redirect_to="{path}"))
    with pytest.raises(FetchError, match="more than 10 redirects"):
        await fetch(server.url("a.tar"))
    assert server.counters.requests == 11


@pytest.mark.parametrize("fault", [Fault(redirect_to="file:///etc/passwd"), Fault(status=302)])
async def test_fault_07_redirects_to_nowhere(server: FaultServer, fault: Fault) -> None:
    server.add(fault)
    with pytest.raises(FetchError, match="redirect"):
        await fetch(server.url("a.tar"))
    assert server.counters.requests == 1


# 8 to 10: bodies that end early


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault(reset_at=100_000, times=1), id="08_reset"),
        pytest.param(Fault(cut_at=100_000, times=1), id="09_closed_under_content_length"),
        pytest.param(Fault(cut_at=100_000, times=1, no_length=True), id="10_closed_without_content_length"),
        pytest.param(Fault(reset_at=100_000, times=1, no_length=True), id="08_reset_without_content_length"),
        pytest.param(Fault(cut_at=100_000, times=1, chunked=True), id="10_chunked_without_terminator"),
    ],
)
async def test_fault_08_09_10_only_what_is_missing_is_asked_for_again(server: FaultServer, fault: Fault) -> None:
    server.add(fault)
    fetched = await fetch(server.url("a.tar"), 1000)
    assert fetched.data == DATA[1000:]
    assert ranges(server) == ["bytes=1000-", "bytes=101000-"]
    assert server.requests[1].headers["if-match"] == fetched.answer.identity
    assert server.counters.bytes_sent == fetched.counters.bytes == len(DATA) - 1000
    assert (fetched.counters.requests, fetched.counters.retries) == (2, 1)


@pytest.mark.parametrize("at", [0, 1, 299_999])
@pytest.mark.parametrize("kind", ["08_reset", "09_cut"])
async def test_fault_08_09_wherever_it_breaks(server: FaultServer, kind: str, at: int) -> None:
    server.add(Fault(reset_at=at, times=1) if kind == "08_reset" else Fault(cut_at=at, times=1))
    fetched = await fetch(server.url("a.tar"))
    assert fetched.data == DATA
    assert ranges(server) == ["bytes=0-", f"bytes={at}-"]


@pytest.mark.parametrize(
    ("fault", "size"),
    [
        (Fault(cut_at=30_000), 30_000),
        (Fault(cut_at=280_000), 280_000),
        (Fault(cut_at=30_000, chunked=True), 30_000),
        (Fault(cut_at=30_000, no_ranges=True, no_length=True), 30_000),
        (Fault(headers={"Connection": "close"}), 300_000),
    ],
    ids=["small", "large", "chunked", "no_length", "whole"],
)
async def test_fault_09_what_came_before_the_end_of_the_connection_is_given_out_after_it(
    server: FaultServer, fault: Fault, size: int
) -> None:
    server.add(fault)
    fetcher = HttpFetcher(Access(PLAIN, QUICK), Counters())
    buffer = memoryview(bytearray(lent.get())) if lent.get() else None
    got = bytearray()
    async with fetcher.open(ObjectRange(server.url("a.tar"), 0, 300_000), buffer=buffer) as body:
        await asyncio.sleep(0.1)  # the server sends all it will and closes
        with suppress(ShortBodyError):
            async for chunk in body:
                got += chunk
    await fetcher.aclose()
    assert got == DATA[:size]


async def test_fault_09_any_progress_starts_the_count_anew(server: FaultServer) -> None:
    server.add(Fault(cut_at=50_000))
    fetched = await fetch(server.url("a.tar"))
    assert fetched.data == DATA
    assert ranges(server) == [f"bytes={start}-" for start in range(0, 300_000, 50_000)]
    assert server.counters.bytes_sent == len(DATA)


async def test_fault_09_without_progress_it_ends(server: FaultServer) -> None:
    server.add(Fault(cut_at=1000, times=1), Fault(cut_at=0))
    with pytest.raises(ShortBodyError) as caught:
        await fetch(server.url("a.tar"))
    assert (caught.value.offset, caught.value.attempts, caught.value.url) == (1000, QUICK.tries, server.url("a.tar"))


@pytest.mark.parametrize("kind", [Fault(), Fault(chunked=True)], ids=["09_content_length", "10_chunked"])
async def test_fault_09_10_without_ranges_what_was_delivered_is_dropped(server: FaultServer, kind: Fault) -> None:
    server.add(replace(kind, no_ranges=True, cut_at=100_000, times=1), replace(kind, no_ranges=True))
    fetched = await fetch(server.url("a.tar"))
    assert fetched.data == DATA
    assert not fetched.answer.ranged
    assert ranges(server) == ["bytes=0-", "bytes=100000-"]


async def test_fault_08_a_reset_where_only_the_end_of_the_connection_ends_the_body(server: FaultServer) -> None:
    server.add(Fault(no_ranges=True, no_length=True, reset_at=1000, times=1))
    assert (await fetch(server.url("a.tar"))).data == DATA


async def test_fault_10_where_nothing_tells_the_length_only_the_archive_can_tell(server: FaultServer) -> None:
    server.add(Fault(no_ranges=True, no_length=True, cut_at=1000))
    fetched = await fetch(server.url("a.tar"))
    assert fetched.data == DATA[:1000]
    assert (fetched.answer.total, fetched.answer.ranged) == (None, False)


# 11 stalls


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault(stall_headers=True, times=1), id="before_the_answer"),
        pytest.param(Fault(stall_at=0, times=1), id="after_headers"),
        pytest.param(Fault(stall_at=100_000, times=1), id="in_the_body"),
        pytest.param(Fault(drip=40, times=1), id="byte_by_byte"),
    ],
)
async def test_fault_11_a_stall(server: FaultServer, fault: Fault) -> None:
    server.add(fault)
    fetched = await fetch(server.url("a.tar"), retry=replace(IMPATIENT, tries=20))
    assert fetched.data == DATA
    assert fetched.counters.retries >= 1
    asked = int(ranges(server)[1].removeprefix("bytes=").removesuffix("-"))
    assert asked == (fault.stall_at or asked)
    assert fetched.counters.bytes == len(DATA)


@pytest.mark.parametrize("fault", [Fault(stall_headers=True), Fault(stall_at=0)])
async def test_fault_11_a_stall_at_every_attempt(server: FaultServer, fault: Fault) -> None:
    server.add(fault)
    with pytest.raises(FetchTimeoutError, match=r"no answer within|stalled for") as caught:
        await fetch(server.url("a.tar"), retry=replace(QUICK, tries=2, connect_timeout=0.1, stall_timeout=0.1))
    assert caught.value.attempts == 2


async def test_fault_11_a_reader_that_takes_its_time_is_no_stall(server: FaultServer) -> None:
    server.put("big.tar", DATA * 20)
    counters = Counters()
    fetcher = HttpFetcher(Access(PLAIN, replace(QUICK, stall_timeout=0.5)), counters)
    received = bytearray()
    async with fetcher.open(ObjectRange(server.url("big.tar"))) as body:
        async for chunk in body:
            if len(received) < 1000:
                await asyncio.sleep(1.2)
            received += chunk
    await fetcher.aclose()
    assert received == DATA * 20
    assert counters.requests == 1


# 12 and 13: other bytes than those asked for


async def test_fault_12_bytes_beyond_the_announced_length(server: FaultServer) -> None:
    server.put("big.tar", DATA * 20)
    server.add(Fault(extra_bytes=100))
    fetched = await fetch(server.url("big.tar"))
    assert fetched.data == DATA * 20
    assert fetched.counters.bytes == len(DATA) * 20


@pytest.mark.parametrize("announced", [True, False])
async def test_fault_12_more_than_the_range_asked_for_is_cut_off(server: FaultServer, announced: bool) -> None:
    span = "bytes 100-299999/300000" if announced else "bytes 100-199/300000"
    server.add(Fault(body=DATA[100:], status=206, headers={"Content-Range": span}))
    server.add(Fault(body=DATA[100:], headers={"Content-Range": span}))
    fetched = await fetch(server.url("a.tar"), 100, 200)
    assert fetched.data == DATA[100:200]
    assert fetched.counters.bytes == 100


async def test_fault_12_an_answer_in_one_piece_with_bytes_beyond_it_is_no_sound_http() -> None:
    answer = b"HTTP/1.1 206 Partial Content\r\nContent-Length: 5\r\nContent-Range: bytes 0-4/5\r\n\r\nhello and more"
    async with talking(answer) as url:
        with pytest.raises(FetchError, match="no sound HTTP") as caught:
            await fetch(url)
    assert caught.value.attempts == QUICK.tries


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault(wrong_range=512, times=2), id="another_range"),
        pytest.param(Fault(headers={"Content-Range": "bytes 500-0/300000"}, times=2), id="a_senseless_range"),
        pytest.param(Fault(headers={"Content-Range": "lines 1-2/3"}, times=2), id="another_unit"),
        pytest.param(Fault(headers={"Content-Range": None}, times=2), id="206_without_range"),
    ],
)
async def test_fault_13_a_wrong_range_is_asked_for_again(server: FaultServer, fault: Fault) -> None:
    server.add(fault)
    fetched = await fetch(server.url("a.tar"), 1000, 2000)
    assert fetched.data == DATA[1000:2000]
    assert ranges(server) == ["bytes=1000-1999"] * 3


async def test_fault_13_a_wrong_range_at_every_attempt(server: FaultServer) -> None:
    server.add(Fault(wrong_range=512))
    with pytest.raises(FetchError, match="a range from byte 1512 where 1000 was asked for") as caught:
        await fetch(server.url("a.tar"), 1000, 2000)
    assert caught.value.attempts == QUICK.tries


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        pytest.param("", "answer 206 without a Content-Range", id="no_range"),
        pytest.param("Content-Range: bytes 7-11/20\r\n", "a range from byte 7 where 0 was asked for", id="another_range"),
        pytest.param("Content-Range: bytes 0-4/5\r\nContent-Length: 6\r\n", "no sound HTTP.*Content-Length", id="two_lengths"),
    ],
)
async def test_fault_13_answers_that_are_never_sound_are_not_waited_for(headers: str, said: str) -> None:
    answer = f"HTTP/1.1 206 Partial Content\r\nContent-Length: 5\r\n{headers}\r\nhello".encode()
    async with talking(answer) as url:
        with pytest.raises(FetchError, match=said) as caught:
            await fetch(url, 0, 5, retry=replace(QUICK, tries=None))
    assert caught.value.attempts == 6


async def test_fault_13_a_shorter_range_than_asked_for_is_completed(server: FaultServer) -> None:
    server.add(Fault(body=DATA[1000:1500], status=206, headers={"Content-Range": "bytes 1000-1499/300000"}, times=1))
    assert (await fetch(server.url("a.tar"), 1000, 2000)).data == DATA[1000:2000]
    assert ranges(server) == ["bytes=1000-1999", "bytes=1500-1999"]


@pytest.mark.parametrize("size", ["bytes */300000", None])
@pytest.mark.parametrize("status", [400, 416, 501])
async def test_fault_13_where_ranges_are_refused_the_whole_object_is_asked_for(
    server: FaultServer, status: int, size: str | None
) -> None:
    server.add(Fault(range_status=status, headers={"Content-Range": size}, times=1))
    server.add(Fault(range_status=status, cut_at=1000, times=2), Fault(range_status=status))
    fetched = await fetch(server.url("a.tar"), 0, 2000)
    assert fetched.answer == Answer(0, len(DATA), fetched.answer.identity, ranged=False)
    assert fetched.data == DATA
    assert [request.headers.get("range") for request in server.requests] == ["bytes=0-1999", None, None, None]


async def test_fault_13_ranges_are_refused_to_whoever_goes_on_with_a_state(server: FaultServer) -> None:
    identity = (await fetch(server.url("a.tar"), 0, 10)).answer.identity
    server.add(Fault(range_status=501))
    fetched = await fetch(server.url("a.tar"), 1000, 2000, identity)
    assert (fetched.answer.ranged, fetched.data) == (False, DATA)


async def test_fault_13_a_refusal_after_a_range_is_believed(server: FaultServer) -> None:
    server.add(Fault(cut_at=1000, times=1), Fault(status=400))
    with pytest.raises(FetchError, match="400"):
        await fetch(server.url("a.tar"), 0, 2000)
    assert ranges(server) == ["bytes=0-1999", "bytes=1000-1999"]


@pytest.mark.parametrize("status", [400, 501])
async def test_fault_13_a_refusal_with_a_range_and_without_is_an_error(server: FaultServer, status: int) -> None:
    server.add(Fault(range_status=400, times=1), Fault(status=status))
    with pytest.raises(FetchError, match=f"answered {status} .* with a range it was answered by 400") as caught:
        await fetch(server.url("a.tar"))
    assert (caught.value.status, caught.value.attempts) == (status, 1)


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_fault_13_other_refusals_are_believed(server: FaultServer, status: int) -> None:
    server.add(Fault(range_status=status))
    with pytest.raises(FetchError):
        await fetch(server.url("a.tar"))
    assert server.counters.requests == 1


async def test_fault_13_200_to_a_range_is_the_whole_object(server: FaultServer) -> None:
    server.add(Fault(no_ranges=True))
    fetched = await fetch(server.url("a.tar"), 1000, 2000)
    assert fetched.answer == Answer(0, len(DATA), fetched.answer.identity, ranged=False)
    assert fetched.data == DATA


async def test_fault_13_200_to_the_range_of_a_resume(server: FaultServer) -> None:
    server.add(Fault(cut_at=500, times=1), Fault(no_ranges=True))
    fetched = await fetch(server.url("a.tar"), 1000, 2000)
    assert (fetched.answer.start, fetched.answer.ranged, fetched.data) == (1000, True, DATA[1000:2000])


async def test_fault_13_200_with_content_range_is_a_range(server: FaultServer) -> None:
    server.add(Fault(status=200))
    fetched = await fetch(server.url("a.tar"), 1000, 2000)
    assert (fetched.answer.start, fetched.answer.ranged, fetched.data) == (1000, True, DATA[1000:2000])


# 14 the object changes


@pytest.mark.parametrize("ignore_conditions", [False, True], ids=["answered_412", "seen_in_the_etag"])
async def test_fault_14_another_etag_after_a_break(server: FaultServer, ignore_conditions: bool) -> None:
    server.add(Fault(cut_at=1000, times=1), Fault(etag='"other"', ignore_conditions=ignore_conditions))
    with pytest.raises(ChangedError, match="replaced while it was read") as caught:
        await fetch(server.url("a.tar"))
    assert (caught.value.offset, server.counters.requests) == (1000, 2)


async def test_fault_14_another_size_after_a_break_where_there_is_no_etag(server: FaultServer) -> None:
    server.add(Fault(headers={"ETag": None}, cut_at=1000, times=1))
    changed = {"ETag": None, "Content-Range": "bytes 1000-300000/300001"}
    server.add(Fault(headers=changed))
    with pytest.raises(ChangedError, match="from 300000 to 300001") as caught:
        await fetch(server.url("a.tar"))
    assert caught.value.offset == 1000


async def test_fault_14_another_date_where_there_is_no_etag(server: FaultServer) -> None:
    old, new = "Wed, 21 Oct 2015 07:28:00 GMT", "Thu, 22 Oct 2015 07:28:00 GMT"
    server.add(Fault(headers={"ETag": None, "Last-Modified": old}, cut_at=1000, times=2))
    server.add(Fault(headers={"ETag": None, "Last-Modified": new}))
    with pytest.raises(ChangedError) as caught:
        await fetch(server.url("a.tar"))
    assert (caught.value.offset, server.counters.requests) == (2000, 3)
    assert not any("if-match" in request.headers for request in server.requests)


async def test_fault_14_a_weak_etag_is_compared_but_not_sent(server: FaultServer) -> None:
    server.add(Fault(headers={"ETag": 'W/"1"'}, cut_at=1000, times=2), Fault(headers={"ETag": 'W/"2"'}))
    with pytest.raises(ChangedError) as caught:
        await fetch(server.url("a.tar"))
    assert (caught.value.offset, server.counters.requests) == (2000, 3)
    assert not any("if-match" in request.headers for request in server.requests)


async def test_fault_14_another_object_without_ranges(server: FaultServer) -> None:
    server.add(Fault(no_ranges=True, cut_at=1000, times=1), Fault(no_ranges=True, ignore_conditions=True, etag='"other"'))
    with pytest.raises(ChangedError):
        await fetch(server.url("a.tar"))


# 15 and 16: something else than the object


async def test_fault_15_gzip_passes_as_it_is(server: FaultServer) -> None:
    server.add(Fault(content_encoding="gzip", no_ranges=True))
    fetched = await fetch(server.url("a.tar"))
    assert gzip.decompress(fetched.data) == DATA
    assert fetched.answer.total == len(fetched.data)
    assert server.requests[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("encoding", ["identity", "aws-chunked", "gzip, identity", "GZIP", "zstd"])
async def test_fault_15_encodings_that_the_archive_shows_itself(server: FaultServer, encoding: str) -> None:
    server.add(Fault(headers={"Content-Encoding": encoding}))
    assert (await fetch(server.url("a.tar"), 0, 1000)).data == DATA[:1000]


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, br"])
async def test_fault_15_encodings_that_nothing_here_reads(server: FaultServer, encoding: str) -> None:
    server.add(Fault(headers={"Content-Encoding": encoding}))
    with pytest.raises(FetchError, match=f"Content-Encoding '{encoding}'"):
        await fetch(server.url("a.tar"))
    assert server.counters.requests == 1


async def test_fault_16_a_page_in_place_of_the_rest_is_another_object(server: FaultServer) -> None:
    server.add(Fault(cut_at=1000, times=1), Fault(html=True))
    with pytest.raises(ChangedError) as caught:
        await fetch(server.url("a.tar"))
    assert caught.value.offset == 1000


async def test_fault_16_a_page_in_place_of_the_object_is_left_to_the_tar_layer(server: FaultServer) -> None:
    server.add(Fault(html=True))
    fetched = await fetch(server.url("a.tar"))
    assert fetched.data.startswith(b"<!DOCTYPE html>")
    assert not fetched.answer.ranged


# 17 and 18: connections


@pytest.mark.parametrize("fault", [Fault(on_reuse=True, close_without_answer=True), Fault(headers={"Connection": "close"})])
async def test_fault_17_connections_that_are_not_kept(server: FaultServer, fault: Fault) -> None:
    server.add(fault)
    counters = Counters()
    fetcher = Retrying(HttpFetcher(Access(PLAIN, QUICK), counters), QUICK, counters)
    for start in range(0, 50_000, 10_000):
        assert (await read(fetcher, server.url("a.tar"), start, start + 10_000))[1] == DATA[start : start + 10_000]
    await fetcher.aclose()


async def test_fault_17_connections_that_close_while_they_are_idle(server: FaultServer) -> None:
    counters = Counters()
    fetcher = HttpFetcher(Access(PLAIN, QUICK), counters)
    assert (await read(fetcher, server.url("a.tar")))[1] == DATA
    address = (server.host, server.port)
    server.__exit__()
    with FaultServer({"a.tar": DATA}, host=address[0], port=address[1]) as again:
        assert (await read(fetcher, again.url("a.tar")))[1] == DATA
        await fetcher.aclose()


async def test_fault_17_a_server_that_closes_without_an_answer(server: FaultServer) -> None:
    server.add(Fault(close_without_answer=True))
    with pytest.raises(FetchError, match="the connection broke") as caught:
        await fetch(server.url("a.tar"))
    assert caught.value.attempts == QUICK.tries


async def test_fault_18_a_proxy(server: FaultServer) -> None:
    with ForwardProxy() as proxy:
        assert (await fetch(server.url("a.tar"), 5, 500, http=replace(PLAIN, proxy=proxy.url))).data == DATA[5:500]
        assert [request.target for request in proxy.requests] == [server.url("a.tar")]


async def test_fault_18_a_tunnel_shows_the_proxy_nothing(secure: FaultServer, tls: Tls) -> None:
    with ForwardProxy() as proxy:
        headers = {secure.url(): {"Authorization": "Bearer secret"}}
        http = replace(PLAIN, proxy=proxy.url, ca_file=tls.ca_file, headers=headers)
        assert (await fetch(secure.url("a.tar"), http=http)).data == DATA
        assert [(request.method, "authorization" in request.headers) for request in proxy.requests] == [("CONNECT", False)]
    assert secure.requests[0].headers["authorization"] == "Bearer secret"


async def test_fault_18_the_proxy_of_the_environment(server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    with ForwardProxy() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        for http, asked in ((Http(), 1), (Http(trust_env=False), 1)):
            assert (await fetch(server.url("a.tar"), http=http)).data == DATA
            assert len(proxy.requests) == asked
        monkeypatch.setenv("no_proxy", server.host)
        assert (await fetch(server.url("a.tar"), http=Http())).data == DATA
        assert len(proxy.requests) == 1


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_fault_18_a_proxy_that_is_not_there(server: FaultServer, scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(FetchError, match="no connection"):
        await fetch(server.url("a.tar").replace("http:", f"{scheme}:"), http=replace(PLAIN, proxy=f"127.0.0.1:{port}"))


async def test_fault_18_a_proxy_that_refuses() -> None:
    async with talking(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n") as url:
        for scheme in ("http", "https"):
            with pytest.raises(FetchError, match="407 .*the proxy wants credentials") as caught:
                await fetch(f"{scheme}://localhost/a.tar", http=replace(PLAIN, proxy=url))
            assert (caught.value.status, caught.value.attempts) == (407, 1)


async def test_fault_18_a_proxy_that_gets_its_credentials(server: FaultServer) -> None:
    with ForwardProxy() as proxy:
        await fetch(server.url("a.tar"), http=replace(PLAIN, proxy=proxy.url.replace("//", "//user:pass@")))
        assert proxy.requests[0].headers["proxy-authorization"] == "Basic dXNlcjpwYXNz"
    assert "proxy-authorization" not in server.requests[0].headers
