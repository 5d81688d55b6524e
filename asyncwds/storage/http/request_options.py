"""What goes out with a request besides the question: credentials, proxy, TLS; from `Http` and from the environment."""

from __future__ import annotations

import netrc
import os
import ssl
import warnings
from base64 import b64encode
from functools import cached_property, lru_cache
from pathlib import Path
from urllib.request import getproxies, proxy_bypass

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from asyncwds.errors import FetchError, SpecError, redact
from asyncwds.formatting.texts import printable
from asyncwds.runtime.recorder import Recorder, Span
from asyncwds.runtime.security import secure_mode
from asyncwds.settings.access import Http
from asyncwds.storage.object_store import StoreRequest


@lru_cache(maxsize=1024)
def http_url(text: str) -> URL:
    """The URL of an object, verbatim, since signatures cover its escapes; only what no request may contain is escaped.

    Raises FetchError if it is none of http or https.
    """
    url = _verbatim(text)
    if url.scheme not in ("http", "https") or not url.raw_host:
        raise FetchError("this is no http or https URL", url=text)
    return url


def redirect_target(asked: str, hop: URL, location: str | None) -> URL:
    """Where an answer to a request for `hop` points, taken verbatim. Raises FetchError if that is nowhere to go."""
    if location is None:
        raise FetchError("the server answered with a redirect that leads nowhere (no Location header)", url=asked)
    target = hop.join(_verbatim(location))
    if target.scheme not in ("http", "https") or not target.raw_host:
        raise FetchError(f"the server redirects to a {target.scheme!r} URL; only http and https are followed", url=asked)
    if (hop.scheme, target.scheme) == ("https", "http") and secure_mode():
        raise FetchError("the server redirects from https to http, which is not followed, because WDS_SECURE is set", url=asked)
    return target


def _verbatim(text: str) -> URL:
    return URL(text, encoded=text.isascii() and text.isprintable() and " " not in text)


class RequestOptions:
    """Answers for one URL at a time, so that a redirect to another host takes nothing along that is not for that host.

    aiohttp reads the environment too (`trust_env`), but in two executor threads for each request. Without `logins` those of
    ~/.netrc are left out.
    """

    def __init__(self, http: Http, *, logins: bool = True) -> None:
        self._http = http
        self._reads_netrc = http.trust_env and logins
        prefixes = {_plain(URL(prefix, encoded=True)): headers for prefix, headers in http.headers.items()}
        self._prefixes = sorted(prefixes.items(), key=lambda item: len(item[0]))  # the closest one has the last word
        self._proxies: dict[tuple[str, str, int | None], URL | None] = {}

    def headers(self, url: URL) -> CIMultiDict[str]:
        """Headers for `url`: an Authorization of `Http.headers` goes before one in the URL, that before ~/.netrc."""
        found: CIMultiDict[str] = CIMultiDict()
        login = (url.user, url.password or "") if url.user is not None else self._logins.get(url.host or "")
        if login is not None:
            found["Authorization"] = "Basic " + b64encode(":".join(login).encode()).decode()
        for prefix, headers in self._prefixes:
            if _plain(url).startswith(prefix):
                found.update(headers)
        return found

    def proxy(self, url: URL) -> URL | None:
        """The proxy to take for `url`. The environment is asked once for each host."""
        if self._http.proxy is not None:
            return _proxy_url(self._http.proxy)
        if not self._http.trust_env:
            return None
        origin = (url.scheme, url.raw_host or "", url.port)
        if origin not in self._proxies:
            named = getproxies().get(url.scheme)
            bypassed = named is None or proxy_bypass(f"{url.raw_host}:{url.port}")
            self._proxies[origin] = None if named is None or bypassed else _proxy_url(named)
        return self._proxies[origin]

    @cached_property
    def _logins(self) -> dict[str, tuple[str, str]]:
        return _netrc_logins() if self._reads_netrc else {}

    @cached_property
    def tls(self) -> ssl.SSLContext:
        """Made at the first https URL: reading the system's certificates takes some 20 ms. SSL_CERT_FILE works as in `ssl`.

        Raises SpecError if `ca_file` or `client_cert` cannot be used.
        """
        http = self._http
        try:
            context = ssl.create_default_context(cafile=http.ca_file)
            if http.client_cert is not None:
                context.load_cert_chain(*http.client_cert)
        except OSError as error:
            raise SpecError(f"Http(ca_file={http.ca_file!r}, client_cert={http.client_cert!r}) cannot be used: {error}") from error
        if not http.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        context.set_alpn_protocols(["http/1.1"])
        return context


def without_login(url: URL) -> URL:
    return url if url.raw_user is None else url.with_user(None)


def _plain(url: URL) -> str:
    """For comparing beginnings: port and first slash always stand there, so that no host begins like another, and no login."""
    return f"{url.scheme}://{(url.raw_host or '').lower()}:{url.port}{url.raw_path_qs}"


def _proxy_url(text: str) -> URL:
    url = URL(text if "://" in text else f"http://{text}")
    if url.scheme not in ("http", "https"):
        raise SpecError(
            f"proxies are spoken to in http or https, not {url.scheme!r}: set HTTP_PROXY, HTTPS_PROXY or Http(proxy=...)"
        )
    return url


def _netrc_logins() -> dict[str, tuple[str, str]]:
    """Host → (user, password) of the file that NETRC names, or ~/.netrc.

    Its `default` entry is left out: it would give a password to every host that a redirect names.
    """
    path = Path(os.environ.get("NETRC") or Path.home() / ".netrc")
    try:
        hosts = netrc.netrc(str(path)).hosts
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, netrc.NetrcParseError) as error:
        warnings.warn(printable(f"{path} is not used: {error}"), stacklevel=2)
        return {}
    return {host: (login, password) for host, (login, _, password) in hosts.items() if host != "default"}


def begin_request(trace: Recorder, request: StoreRequest, hop: URL) -> Span:
    """From now until all is closed that was opened, the body above all."""
    return trace.begin("request", request.method, url=redact(str(hop)), range=request.headers.get("Range", ""))


def note_answer(span: Span, http: aiohttp.ClientResponse) -> None:
    """`connection` is the local port: the same one is the same connection. One that is free again already is not known."""
    span.inner("first byte", span.began)
    span.args["status"] = http.status
    transport = http.connection and http.connection.transport
    if transport is not None and (address := transport.get_extra_info("sockname")):
        span.args["connection"] = address[1] if isinstance(address, tuple) else str(address)
