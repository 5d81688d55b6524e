"""Which credentials and which proxy go with which URL."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from yarl import URL

from asyncwds import Http
from asyncwds.errors import FetchError, SpecError
from asyncwds.storage.http.request_options import RequestOptions, http_url, redirect_target

PREFIX = "https://data.example"


def headers(url: str, http: Http) -> dict[str, str]:
    return dict(RequestOptions(http).headers(http_url(url)))


@pytest.mark.parametrize("prefix", [PREFIX, PREFIX + "/", PREFIX + ":443", PREFIX + "/private/"])
@pytest.mark.parametrize(
    ("url", "sent"),
    [
        ("https://data.example/private/a.tar", True),
        ("https://data.example:443/private/a.tar", True),
        ("https://data.example.evil/private/a.tar", False),
        ("https://data.example@evil/private/a.tar", False),
        ("https://data.example:8443/private/a.tar", False),
        ("http://data.example/private/a.tar", False),
        ("https://evil/https://data.example/private/a.tar", False),
    ],
)
def test_headers_go_to_their_prefix_alone(prefix: str, url: str, sent: bool) -> None:
    http = Http(headers={prefix: {"X-Key": "1"}}, trust_env=False)
    assert headers(url, http).get("X-Key") == ("1" if sent else None)


def test_the_closest_prefix_has_the_last_word() -> None:
    http = Http(
        headers={PREFIX + "/private/": {"authorization": "inner"}, PREFIX: {"Authorization": "outer", "X": "1"}},
        trust_env=False,
    )
    assert headers(PREFIX + "/a.tar", http) == {"Authorization": "outer", "X": "1"}
    inner = headers(PREFIX + "/private/a.tar", http)
    assert sorted(inner.values()) == ["1", "inner"]


@pytest.fixture
def netrc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "netrc"
        path.write_text(text)
        monkeypatch.setenv("NETRC", os.fspath(path))
        return path

    return write


def test_logins_come_from_netrc_the_url_and_the_headers(netrc: Callable[[str], Path]) -> None:
    netrc("machine data.example login me password secret\ndefault login you password other\n")
    assert headers(PREFIX + "/a", Http()) == {"Authorization": "Basic bWU6c2VjcmV0"}
    assert headers("https://other.example/a", Http()) == {}
    assert headers(PREFIX + "/a", Http(trust_env=False)) == {}
    assert headers("https://user:p%40ss@data.example/a", Http()) == {"Authorization": "Basic dXNlcjpwQHNz"}
    assert headers("https://user@data.example/a", Http(headers={PREFIX: {"authorization": "own"}})).popitem()[1] == "own"


def test_a_netrc_that_cannot_be_read_is_told_and_not_used(netrc: Callable[[str], Path]) -> None:
    path = netrc("nonsense")
    with pytest.warns(UserWarning, match=f"{path} is not used"):
        assert headers(PREFIX + "/a", Http()) == {}


def test_no_netrc_is_nothing_to_tell(netrc: Callable[[str], Path]) -> None:
    netrc("").unlink()
    assert headers(PREFIX + "/a", Http()) == {}


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    return monkeypatch


def test_proxies(clean_environment: pytest.MonkeyPatch) -> None:
    clean_environment.setenv("HTTPS_PROXY", "http://proxy:3128")
    clean_environment.setenv("no_proxy", "inside.example,data.example:8443")
    outgoing = RequestOptions(Http())
    assert outgoing.proxy(URL("https://data.example/a")) == URL("http://proxy:3128")
    assert outgoing.proxy(URL("http://data.example/a")) is None
    assert outgoing.proxy(URL("https://data.example:8443/a")) is None
    assert outgoing.proxy(URL("https://host.inside.example/a")) is None
    assert RequestOptions(Http(trust_env=False)).proxy(URL("https://data.example/a")) is None
    assert RequestOptions(Http(proxy="other:1")).proxy(URL("https://inside.example/a")) == URL("http://other:1")


def test_a_socks_proxy_is_refused(clean_environment: pytest.MonkeyPatch) -> None:
    clean_environment.setenv("https_proxy", "socks5://proxy:1080")
    with pytest.raises(SpecError, match="socks5"):
        RequestOptions(Http()).proxy(URL("https://data.example/a"))


@pytest.mark.parametrize("http", [Http(ca_file="/no/such/file"), Http(client_cert=("/no/such/file", "/no/such/key"))])
def test_certificates_that_are_not_there(http: Http) -> None:
    with pytest.raises(SpecError, match="/no/such/file"):
        _ = RequestOptions(http).tls


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/x%2Fy?sig=a%2Fb%3D&p=+&t=%7E", "http://h:81/x%2Fy?sig=a%2Fb%3D&p=+&t=%7E"),
        ("x?y", "http://h:81/d/x?y"),
        ("?y", "http://h:81/d/e?y"),
        ("//o/x", "http://o/x"),
        ("https://o:444/x", "https://o:444/x"),
        ("http://o/ü x", "http://o/%C3%BC%20x"),
        ("http://o/a\r\nb", "http://o/ab"),
    ],
)
def test_locations(location: str, target: str) -> None:
    assert str(redirect_target("asked", http_url("http://h:81/d/e?q=1"), location)) == target


@pytest.mark.parametrize("location", [None, "ftp://o/x", "file:///x", "data:,x"])
def test_locations_that_lead_nowhere(location: str | None) -> None:
    with pytest.raises(FetchError, match="redirect"):
        redirect_target("asked", http_url("http://h/"), location)
