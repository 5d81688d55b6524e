"""The server is checked with raw sockets and the standard library's client: its bytes are what other tests rely on."""

from __future__ import annotations

import gzip
import http.client
import socket
import ssl
import urllib.request

import pytest
import trustme

from asyncwds.testing import Fault, FaultServer, ForwardProxy, leaks, make_pieces

DATA = bytes(range(256)) * 4000


def talk(server: FaultServer, name: str = "a", method: str = "GET", *, sock: socket.socket | None = None, **headers: str) -> bytes:
    """Everything that comes after one request that asks to close (or, on a given socket, the first piece)."""
    own = sock or socket.create_connection((server.host, server.port), timeout=10)
    lines = [f"{method} /{name} HTTP/1.1", "Host: x", *(f"{key.replace('_', '-')}: {value}" for key, value in headers.items())]
    own.sendall("\r\n".join([*lines, "", ""]).encode())
    with own:
        received = b""
        while data := own.recv(1 << 20):
            received += data
        return received


def ask(server: FaultServer, name: str = "a", method: str = "GET", **headers: str) -> tuple[int, http.client.HTTPMessage, bytes]:
    connection = http.client.HTTPConnection(server.host, server.port, timeout=10)
    try:
        connection.request(method, f"/{name}", headers={key.replace("_", "-"): value for key, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


@pytest.fixture(scope="module", params=["memory", "pieces", "folder"])
def bucket(request, tmp_path_factory):
    if request.param == "folder":
        folder = tmp_path_factory.mktemp("bucket")
        (folder / "a").write_bytes(DATA)
        objects = folder
    else:
        objects = {"a": DATA if request.param == "memory" else [DATA[:1000], b"", DATA[1000:5000], DATA[5000:]]}
    with FaultServer(objects) as server:
        yield server


@pytest.fixture
def small():
    with FaultServer({"a": DATA[:1000]}) as server:
        yield server


def test_a_whole_object(bucket):
    status, headers, body = ask(bucket)
    assert (status, body) == (200, DATA)
    assert headers["Content-Length"] == str(len(DATA))
    assert headers["Accept-Ranges"] == "bytes"


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [
        ("0-0", 0, 1),
        ("900-4999", 900, 5000),
        ("4999-5000", 4999, 5001),
        ("1000000-", 1_000_000, 1_024_000),
        ("-5", 1_023_995, 1_024_000),
        ("1023999-9999999", 1_023_999, 1_024_000),
    ],
)
def test_ranges(bucket, asked, start, stop):
    status, headers, body = ask(bucket, Range=f"bytes={asked}")
    assert (status, body) == (206, DATA[start:stop])
    assert headers["Content-Range"] == f"bytes {start}-{stop - 1}/{len(DATA)}"


@pytest.mark.parametrize("asked", ["bytes=0-1,5-6", "bytes=-", "bytes=7-2", "pages=1-2"])
def test_ranges_that_mean_nothing_are_ignored(bucket, asked):
    assert ask(bucket, Range=asked)[0] == 200


def test_a_range_outside_is_416_with_the_size(bucket):
    status, headers, _ = ask(bucket, Range="bytes=1024000-")
    assert (status, headers["Content-Range"]) == (416, f"bytes */{len(DATA)}")


def test_head_and_conditions(bucket):
    status, headers, body = ask(bucket, method="HEAD")
    assert (status, headers["Content-Length"], body) == (200, str(len(DATA)), b"")
    etag = headers["ETag"]
    assert ask(bucket, Range="bytes=0-9", If_Match=etag)[0] == 206
    assert ask(bucket, Range="bytes=0-9", If_Match='"other"')[0] == 412
    assert ask(bucket, Range="bytes=0-9", If_Range=etag)[0] == 206
    assert ask(bucket, Range="bytes=0-9", If_Range='"other"')[0] == 200


def test_what_is_not_there_and_what_is_not_allowed(bucket):
    assert ask(bucket, "b")[0] == 404
    assert ask(bucket, "../../etc/passwd")[0] == 404
    assert ask(bucket, method="DELETE")[0] == 405


def test_a_replaced_object_has_another_etag(bucket):
    bucket.put("dir/b c", b"one")
    first = ask(bucket, "dir/b%20c?signature=x")
    assert first[2] == b"one"
    assert bucket.put("dir/b c", b"three") == bucket.url("dir/b c")
    assert ask(bucket, "dir/b%20c")[1]["ETag"] != first[1]["ETag"]


def test_a_folder_cannot_be_written_above(tmp_path):
    with pytest.raises(ValueError, match="not below"):
        FaultServer(tmp_path).put("../b", b"")


def test_pieces_are_the_archive(tmp_path):
    pieces = make_pieces(3, size=1000)
    with FaultServer({"a": pieces}) as server:
        assert ask(server)[2] == b"".join(pieces)


def test_counters_and_the_record_of_requests(small):
    connection = http.client.HTTPConnection(small.host, small.port, timeout=10)
    for _ in range(2):
        connection.request("GET", "/a?x=1", headers={"X-Token": "t"})
        connection.getresponse().read()
    counters = small.counters
    assert (counters.requests, counters.bytes_sent, counters.by_path["a"]) == (2, 2000, 2)
    assert (counters.connections_made, counters.open_connections, counters.peak_connections) == (1, 1, 1)
    assert small.requests[0].headers["x-token"] == "t"
    assert small.requests[0].target == "/a?x=1"
    connection.close()


@pytest.mark.parametrize("at", [0, 1, 999, 1000])
def test_a_cut_comes_at_its_byte(small, at):
    small.add(Fault(cut_at=at))
    head, _, body = talk(small).partition(b"\r\n\r\n")
    assert b"Content-Length: 1000" in head
    assert body == DATA[:at]


@pytest.mark.parametrize("at", [0, 1, 999_999])
def test_a_reset_comes_at_its_byte(at):
    with FaultServer({"a": DATA}, faults=[Fault(reset_at=at)]) as server:
        received = b""
        with socket.create_connection((server.host, server.port), timeout=10) as sock:
            sock.sendall(b"GET /a HTTP/1.1\r\n\r\n")
            with pytest.raises(ConnectionResetError):
                while True:
                    received += sock.recv(1 << 16)
        assert received.partition(b"\r\n\r\n")[2] == DATA[:at]


@pytest.mark.parametrize("fault", [Fault(stall_at=10), Fault(stall_headers=True)])
def test_a_stall_lasts_until_the_client_leaves(small, fault):
    small.add(fault)
    with leaks(), socket.create_connection((small.host, small.port), timeout=0.1) as sock:
        sock.sendall(b"GET /a HTTP/1.1\r\n\r\n")
        received = b""
        with pytest.raises(TimeoutError):
            while True:
                received += sock.recv(1 << 16)
        assert received.partition(b"\r\n\r\n")[2] == (DATA[:10] if fault.stall_at else b"")
        assert small.counters.in_flight == 1


def test_chunks_with_and_without_their_end(small):
    small.add(Fault(chunked=True, times=1), Fault(chunked=True, cut_at=1000, times=1), Fault(chunked=True, cut_at=10))
    assert ask(small)[2] == DATA[:1000]
    body = talk(small).partition(b"\r\n\r\n")[2]
    assert body == b"3e8\r\n" + DATA[:1000] + b"\r\n"
    with pytest.raises(http.client.IncompleteRead):
        ask(small)


def test_without_a_length_the_end_is_the_close(small):
    small.add(Fault(no_length=True))
    head, _, body = talk(small).partition(b"\r\n\r\n")
    assert b"Content-Length" not in head
    assert body == DATA[:1000]


def test_extra_bytes_come_after_the_announced_ones(small):
    small.add(Fault(extra_bytes=3, headers={"Connection": "close"}))
    assert talk(small, Connection="close").endswith(DATA[990:1000] + bytes(3))


def test_closing_without_an_answer_and_only_on_reuse(small):
    small.add(Fault(close_without_answer=True, on_reuse=True))
    connection = http.client.HTTPConnection(small.host, small.port, timeout=10)
    connection.request("GET", "/a")
    assert connection.getresponse().read() == DATA[:1000]
    connection.request("GET", "/a")
    with pytest.raises(http.client.RemoteDisconnected):
        connection.getresponse()
    connection.close()


def test_statuses_and_retry_after(small):
    small.add(
        Fault(status=503, retry_after=2, times=1),
        Fault(status=429, retry_after="soon", body=b"slow down", times=1),
        Fault(status=299),
    )
    assert (ask(small)[:2])[1]["Retry-After"] == "2"
    status, headers, body = ask(small)
    assert (status, headers["Retry-After"], body) == (429, "soon", b"slow down")
    assert ask(small, Range="bytes=0-1")[::2] == (299, DATA[:2])


def test_odd_answers(small):
    small.add(
        Fault(html=True, times=1),
        Fault(no_ranges=True, times=1),
        Fault(wrong_range=5, times=1),
        Fault(etag='"other"', times=1),
        Fault(etag='"other"', ignore_conditions=True, times=1),
        Fault(content_encoding="gzip", times=1),
        Fault(content_encoding="br", headers={"content-LENGTH": "7", "ETag": None}),
    )
    asked = {"Range": "bytes=10-19", "If_Match": ask_etag(small)}
    assert ask(small, **asked)[2].startswith(b"<!DOCTYPE html>")
    assert ask(small, **asked)[0] == 200
    assert ask(small, **asked)[1]["Content-Range"] == "bytes 15-24/1000"
    assert ask(small, **asked)[0] == 412
    assert ask(small, **asked)[1]["ETag"] == '"other"'
    _, headers, body = ask(small, **asked)
    assert (headers["Content-Encoding"], gzip.decompress(body)) == ("gzip", DATA[10:20])
    head = talk(small, Connection="close").partition(b"\r\n\r\n")[0]
    assert b"Content-Encoding: br" in head
    assert b"content-LENGTH: 7" in head
    assert b"Content-Length" not in head
    assert b"ETag" not in head


def ask_etag(server: FaultServer) -> str:
    with FaultServer({"a": DATA[:1000]}) as twin:
        return ask(twin)[1]["ETag"]


def test_redirects_lead_to_other_hosts(small):
    with FaultServer({}, host="127.0.0.2", faults=[Fault(redirect_to=small.url()[:-1] + "{path}?signed", status=307)]) as door:
        status, headers, _ = ask(door)
        assert (status, headers["Location"]) == (307, small.url("a") + "?signed")
        with urllib.request.urlopen(door.url("a"), timeout=10) as answer:
            assert answer.read() == DATA[:1000]


def test_which_requests_a_fault_applies_to(small):
    small.put("b", b"")
    small.add(Fault(status=500, path="a", only_after_requests=1, every=2, times=2))
    assert [ask(small, "b")[0], *(ask(small)[0] for _ in range(7))] == [200, 200, 200, 500, 200, 500, 200, 200]
    small.add(Fault(status=500))
    small.clear()
    assert ask(small)[0] == 200


def test_too_many_at_once_are_asked_to_slow_down():
    with FaultServer({"a": DATA[:1000]}, max_in_flight=1) as server, socket.create_connection((server.host, server.port)) as sock:
        server.add(Fault(stall_headers=True, times=1))
        sock.sendall(b"GET /a HTTP/1.1\r\n\r\n")
        while not server.counters.in_flight:
            pass
        assert ask(server)[::2] == (503, b"<Error><Code>SlowDown</Code></Error>")


def test_nonsense_and_early_leavers_do_not_end_the_server(small):
    with socket.create_connection((small.host, small.port)) as sock:
        sock.sendall(b"nonsense\r\n\r\n")
        assert sock.recv(100) == b""
    with socket.create_connection((small.host, small.port)) as sock:
        sock.sendall(b"GET /a HT")
    assert ask(small)[0] == 200


def test_nothing_is_left_of_a_server_with_open_connections():
    with leaks(), FaultServer({"a": DATA}, faults=[Fault(stall_at=5)]) as server:
        connection = http.client.HTTPConnection(server.host, server.port, timeout=10)
        connection.request("GET", "/a")
        assert connection.getresponse().read(5) == DATA[:5]
        connection.close()
        idle = socket.create_connection((server.host, server.port))
        server.__exit__()
        idle.close()


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def client_context(authority):
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture
def tls_server(authority, tmp_path):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    (tmp_path / "a").write_bytes(DATA)
    with FaultServer(tmp_path, ssl_context=context) as server:
        yield server


def test_tls(tls_server, client_context):
    with leaks():
        with urllib.request.urlopen(tls_server.url("a"), context=client_context, timeout=10) as answer:
            assert answer.read() == DATA
        tls_server.add(Fault(cut_at=100, times=1), Fault(reset_at=100_000))
        with (
            urllib.request.urlopen(tls_server.url("a"), context=client_context, timeout=10) as answer,
            pytest.raises(http.client.IncompleteRead) as cut,
        ):
            answer.read()
        assert cut.value.partial == DATA[:100]
        # Python before 3.11.9 and 3.12.3 takes a reset under TLS for an end.
        with (
            urllib.request.urlopen(tls_server.url("a"), context=client_context, timeout=10) as answer,
            pytest.raises((ConnectionResetError, http.client.IncompleteRead)),
        ):
            answer.read()


def test_tls_survives_clients_that_do_not_speak_it(tls_server, client_context):
    with socket.create_connection((tls_server.host, tls_server.port), timeout=10) as sock:
        sock.sendall(b"GET /a HTTP/1.1\r\n\r\n")
        while sock.recv(100):
            pass
    with urllib.request.urlopen(tls_server.url("a"), context=client_context, timeout=10) as answer:
        assert answer.read() == DATA


def test_a_proxy_passes_on_http_and_tunnels_https(small, tls_server, client_context):
    with leaks(), ForwardProxy() as proxy:
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({"http": proxy.url, "https": proxy.url}),
            urllib.request.HTTPSHandler(context=client_context),
        )
        for url, data in ((small.url("a") + "?x", DATA[:1000]), (tls_server.url("a"), DATA)):
            with opener.open(url, timeout=10) as answer:
                assert answer.read() == data
        assert [(request.method, request.target) for request in proxy.requests] == [
            ("GET", small.url("a") + "?x"),
            ("CONNECT", f"127.0.0.1:{tls_server.port}"),
        ]
        assert small.requests[-1].target == "/a?x"


@pytest.fixture
def writable():
    with FaultServer({}, writable=True) as server:
        yield server


def put(server: FaultServer, body: object, name: str = "new") -> int:
    connection = http.client.HTTPConnection(server.host, server.port, timeout=10)
    try:
        connection.request("PUT", f"/{name}", body=body)
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()


@pytest.mark.parametrize("pieces", [[DATA], [DATA[:1], DATA[1:1000], DATA[1000:]], [b""]], ids=["one", "several", "nothing"])
@pytest.mark.parametrize("chunked", [False, True])
def test_an_upload_is_stored(writable, pieces, chunked):
    body = iter([piece for piece in pieces if piece]) if chunked else b"".join(pieces)
    assert put(writable, body) == 201
    assert writable.get("new") == b"".join(pieces)
    assert ("transfer-encoding" in writable.requests[-1].headers) == chunked
    assert put(writable, b"newer") == 201
    assert ask(writable, "new")[2] == b"newer"


def test_a_folder_takes_uploads_too(tmp_path):
    with FaultServer(tmp_path, writable=True) as server:
        assert put(server, b"data", "sub/new") == 201
    assert (tmp_path / "sub" / "new").read_bytes() == b"data"


def test_uploads_are_refused_unless_it_is_writable(small):
    assert put(small, b"x") == 405
    assert small.get("new") is None


def test_an_upload_that_is_broken_off_is_not_stored(writable):
    for head in (b"Content-Length: 100\r\n\r\nabc", b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"):
        with socket.create_connection((writable.host, writable.port), timeout=10) as sock:
            sock.sendall(b"PUT /new HTTP/1.1\r\n" + head)
            sock.shutdown(socket.SHUT_WR)
            assert sock.recv(100) == b""
    assert writable.get("new") is None


def test_it_says_when_to_go_on(writable):
    with socket.create_connection((writable.host, writable.port), timeout=10) as sock:
        sock.sendall(b"PUT /new HTTP/1.1\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b"abc")
        assert sock.recv(100).startswith(b"HTTP/1.1 201 ")
    assert writable.get("new") == b"abc"


@pytest.mark.parametrize(
    ("fault", "chunked", "status"),
    [
        (Fault(status=503), False, 503),
        (Fault(status=403, early=True), False, 403),
        (Fault(status=204), False, 204),
        (Fault(redirect_to="http://elsewhere/"), False, 302),
        (Fault(wants_length=True), True, 411),
        (Fault(wants_length=True), False, 201),
        (Fault(status=507, body=b"full"), True, 507),
    ],
    ids=str,
)
def test_faults_of_uploads(writable, fault, chunked, status):
    writable.add(fault)
    assert put(writable, iter([b"abc"]) if chunked else b"abc") == status
    assert (writable.get("new") is not None) == (status < 300)


def test_an_upload_is_reset_at_a_byte(writable):
    writable.add(Fault(upload_reset_at=50_000))
    with pytest.raises(OSError):
        put(writable, DATA)
    assert writable.get("new") is None


def test_an_upload_stalls_at_a_byte(writable):
    writable.add(Fault(upload_stall_at=50_000))
    with socket.create_connection((writable.host, writable.port), timeout=0.5) as sock, pytest.raises(TimeoutError):
        sock.sendall(b"PUT /new HTTP/1.1\r\nContent-Length: 1000000000\r\n\r\n")
        while True:
            sock.sendall(DATA)
    assert writable.get("new") is None
