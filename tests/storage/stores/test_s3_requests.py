"""What is sent to S3: addresses, signatures, beside botocore's own client; and what becomes of redirects and refusals.

The services here are applications of the test's, which real ones cannot be told to be.
"""

import asyncio
import logging
import pickle
import re
import ssl
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import botocore.session
import pytest
import trustme
from aiohttp import web
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSPreparedRequest, AWSRequest, AWSResponse
from botocore.config import Config
from botocore.credentials import Credentials
from urllib3 import HTTPResponse
from webapps import ranged, serve

from asyncwds import S3, Http, Prefetch, Retry, WebDataset
from asyncwds.errors import AccessError, FetchError, SpecError
from asyncwds.runtime import Counters
from asyncwds.settings import Access
from asyncwds.storage import Fetcher, S3Store, StoreRequest, Transport, open_storage
from asyncwds.storage.stores.s3.auth import Keys, Login
from asyncwds.storage.stores.s3.auth import login as log_in
from asyncwds.storage.stores.s3.store import endpoint_url, parse_address, query_string
from asyncwds.testing import ForwardProxy, make_samples, make_shard, read

DATA = bytes(range(256)) * 40
KEYS = {"access_key": "AKTEST", "secret_key": "SKTESTSKTEST"}


# -- addresses


BUCKETS = ["bucket", "my-bucket", "my.bucket", "UPPER", "under_score", "-ab", "a" * 64]
SERVICES = [
    (None, "eu-north-1", "auto"),
    (None, "cn-north-1", "auto"),
    (None, "us-east-1", "virtual"),
    (None, "us-east-1", "path"),
    ("http://127.0.0.1:9000", "us-east-1", "virtual"),
    ("http://storage.example:9000", "us-east-1", "virtual"),
    ("https://storage.example", "eu-north-1", "virtual"),
    ("https://storage.example", "eu-north-1", "auto"),
]


@pytest.mark.parametrize(("endpoint", "region", "addressing"), SERVICES)
def test_addresses_are_those_of_the_vendors_client(endpoint: str | None, region: str, addressing: str) -> None:
    settings = Config(s3={"addressing_style": addressing, "us_east_1_regional_endpoint": "regional"}, parameter_validation=False)
    theirs = botocore.session.Session().create_client(
        "s3", region, endpoint_url=endpoint, config=settings, aws_access_key_id="AKTEST", aws_secret_access_key="SKTEST"
    )
    sent: list[str] = []

    def answer(request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        sent.append(request.url)
        return AWSResponse(request.url, 200, {}, HTTPResponse(BytesIO(), preload_content=False))

    theirs.meta.events.register("before-send.s3", answer)
    key = "a b/ü+%41?.tar"
    # Theirs puts a name with a dot even before an IP address.
    buckets = [bucket for bucket in BUCKETS if "." not in bucket or "127.0.0.1" not in str(endpoint)]
    for bucket in buckets:
        theirs.head_object(Bucket=bucket, Key=key)
    theirs.close()
    who = Login(endpoint, region, addressing, None)
    assert [endpoint_url(parse_address(f"s3://{bucket}/{key}"), who, region) for bucket in buckets] == sent


@pytest.mark.parametrize("region", ["eu-north-1", "us-gov-west-1"])
@pytest.mark.parametrize("variant", ["fips", "dualstack", "accelerate", "fips dualstack", "accelerate dualstack"])
def test_so_are_those_of_fips_dual_stack_and_acceleration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, region: str, variant: str
) -> None:
    """By the same file and variables for both."""
    (tmp_path / "config").write_text("[default]\ns3 =\n" + f"    use_accelerate_endpoint = {'accelerate' in variant}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_USE_FIPS_ENDPOINT", str("fips" in variant).lower())
    monkeypatch.setenv("AWS_USE_DUALSTACK_ENDPOINT", str("dualstack" in variant).lower())
    who = log_in(S3(anonymous=True, region=region)).value
    buckets = ["bucket"] if "accelerate" in variant else ["bucket", "my.bucket"]  # theirs refuses the second
    assert [endpoint_url(parse_address(f"s3://{bucket}/a"), who, region) for bucket in buckets] == vendors_urls(region, buckets)


def vendors_urls(region: str, buckets: list[str]) -> list[str]:
    """Where botocore's client would look for an object "a"."""
    sent: list[str] = []

    def answer(request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        sent.append(request.url)
        return AWSResponse(request.url, 200, {}, HTTPResponse(BytesIO(), preload_content=False))

    client = botocore.session.Session().create_client("s3", region, aws_access_key_id="AKTEST", aws_secret_access_key="SKTEST")
    client.meta.events.register("before-send.s3", answer)
    for bucket in buckets:
        client.head_object(Bucket=bucket, Key="a")
    client.close()
    return sent


def test_what_cannot_be_accelerated_is_read_without_it() -> None:
    who = Login(None, "eu-north-1", "auto", None, "s3-accelerate.dualstack")
    assert (
        endpoint_url(parse_address("s3://my.bucket/a"), who, "eu-north-1")
        == "https://s3.dualstack.eu-north-1.amazonaws.com/my.bucket/a"
    )


def test_acceleration_and_fips_exclude_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config").write_text("[default]\nuse_fips_endpoint = true\ns3 =\n    use_accelerate_endpoint = true\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    with pytest.raises(SpecError, match="exclude each other"):
        log_in(S3(anonymous=True))


# -- signatures


async def signed(call: StoreRequest, settings: S3) -> tuple[str, dict[str, str]]:
    transport = Transport(Access(), Counters())
    store = S3Store(settings, transport)
    request = await store.sign(call)
    await store.aclose()
    assert request is not None
    return request.url, dict(request.headers)


OTHER = S3(**KEYS, session_token="T", endpoint="http://h:1", requester_pays=True)
CALLS = [
    StoreRequest("GET", "s3://bucket/a b/\u00fc+%41?.tar", {"Range": "bytes=0-9", "If-Match": '"x"'}),
    StoreRequest("GET", "s3://bucket/", query={"list-type": "2", "prefix": "a b/+\u00fc&=", "delimiter": "/"}),
    StoreRequest("PUT", "s3://bucket/a", {"Content-Type": "application/x-tar"}, {"partNumber": "1", "uploadId": "x/y=="}, b"data"),
    StoreRequest("PUT", "s3://bucket/a", body=bytes(1_000_000)),
    StoreRequest("POST", "s3://bucket/a", query={"uploads": ""}),
    StoreRequest("DELETE", "s3://bucket/a", query={"uploadId": "x"}),
]


@pytest.mark.parametrize("call", CALLS, ids=lambda call: f"{call.method} {len(call.body)} {dict(call.query)}")
@pytest.mark.parametrize("settings", [S3(**KEYS), OTHER], ids=["aws", "other"])
async def test_signatures_verify(call: StoreRequest, settings: S3) -> None:
    """As the service does it: the same signer, from what has arrived."""
    url, headers = await signed(call, settings)
    assert headers.items() >= call.headers.items()
    assert headers.get("x-amz-request-payer") == ("requester" if settings.requester_pays else None)
    assert headers.get("X-Amz-Security-Token") == settings.session_token
    covered = re.search("SignedHeaders=([^,]*)", headers["Authorization"])
    assert covered is not None
    assert {"host", "x-amz-date", *(name.lower() for name in call.headers)} <= set(covered[1].split(";"))
    request = AWSRequest(
        call.method, url, {name: value for name, value in headers.items() if name.lower() in covered[1]}, call.body
    )
    request.context["timestamp"] = headers["X-Amz-Date"]
    signer = S3SigV4Auth(Credentials("AKTEST", "SKTESTSKTEST", settings.session_token), "s3", "us-east-1")
    signature = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
    assert headers["Authorization"].endswith(f"Signature={signature}")


async def test_what_may_be_changed_on_the_way_is_not_signed() -> None:
    _, headers = await signed(StoreRequest("GET", "s3://bucket/a", {"Accept-Encoding": "identity"}), S3(**KEYS))
    assert headers["Accept-Encoding"] == "identity"
    assert "accept-encoding" not in headers["Authorization"]


async def test_a_session_token_is_covered() -> None:
    _, headers = await signed(CALLS[0], OTHER)
    assert "x-amz-security-token" in headers["Authorization"]


async def test_anonymous_requests_say_nothing_of_who_asks() -> None:
    call = StoreRequest("GET", "s3://bucket/a", {"Range": "bytes=0-9"})
    assert await signed(call, S3(anonymous=True)) == ("https://bucket.s3.us-east-1.amazonaws.com/a", {"Range": "bytes=0-9"})


def test_queries_are_sorted_and_escaped_as_signatures_want_it() -> None:
    assert query_string(StoreRequest("GET", "s3://b/", query={"b": "/ +", "a": ""})) == "?a=&b=%2F%20%2B"
    assert query_string(StoreRequest("GET", "s3://b/")) == ""


# -- services that answer as the test wants


def scope(request: web.Request) -> tuple[str, str]:
    """The access key and the region that a request was signed with."""
    found = re.search(r"Credential=([^/]*)/\d*/([^/]*)/s3/aws4_request", request.headers.get("Authorization", ""))
    return (found[1], found[2]) if found else ("", "")


def xml_error(status: int, code: str, more: str = "", headers: dict[str, str] | None = None) -> web.Response:
    text = f"<Error><Code>{code}</Code><Message>not so</Message>{more}</Error>"
    return web.Response(status=status, text=text, content_type="application/xml", headers=headers)


@asynccontextmanager
async def open_s3(settings: S3, counters: Counters, http: Http | None = None) -> AsyncIterator[Fetcher]:
    fetcher = open_storage(Access(http or Http(), Retry(tries=2, backoff=0.01, hedge=None), {"s3://": settings}), counters)
    yield fetcher
    await fetcher.aclose()


@contextmanager
def elsewhere(answer: str, seen: list[web.Request]) -> Iterator[str]:
    """A service that has its objects in eu-north-1, and says so to those who ask for another region."""

    async def handler(request: web.Request) -> web.StreamResponse:
        seen.append(request)
        if scope(request)[1] == "eu-north-1":
            return ranged(request, DATA, {"ETag": '"1"'})
        return wrong_region(answer)

    with serve(handler) as (origin,):
        yield origin


def wrong_region(how: str) -> web.Response:
    if how == "header":
        return web.Response(status=301, headers={"x-amz-bucket-region": "eu-north-1"})
    if how == "code":
        return xml_error(400, "AuthorizationHeaderMalformed", "<Region>eu-north-1</Region>")
    if how == "endpoint":
        return xml_error(301, "PermanentRedirect", "<Endpoint>bucket.s3-eu-north-1.amazonaws.com</Endpoint>")
    location = {"Location": "http://127.0.0.1:1/", "x-amz-bucket-region": "eu-north-1"}
    return xml_error(307, "TemporaryRedirect", headers=location)


@pytest.mark.parametrize("how", ["header", "code", "endpoint", "temporary"])
async def test_the_right_region_is_learned_once_for_each_bucket(how: str) -> None:
    seen: list[web.Request] = []
    counters = Counters()
    with elsewhere(how, seen) as origin:
        async with open_s3(S3(endpoint=origin, verify=False, **KEYS), counters) as fetcher:
            for _ in range(3):
                assert (await read(fetcher, "s3://bucket/a", 10, 20))[1] == DATA[10:20]
            await read(fetcher, "s3://other/a")
    assert [scope(request)[1] for request in seen] == ["us-east-1", *["eu-north-1"] * 3, "us-east-1", "eu-north-1"]
    assert counters.retries == 0


async def test_many_requests_at_once_learn_it_together() -> None:
    seen: list[web.Request] = []
    with elsewhere("code", seen) as origin:
        async with open_s3(S3(endpoint=origin, **KEYS), Counters()) as fetcher:
            await asyncio.gather(*(read(fetcher, "s3://bucket/a", start, start + 10) for start in range(20)))


async def test_a_region_that_is_not_right_either_is_no_endless_loop() -> None:
    async def handler(request: web.Request) -> web.Response:
        wanted = "eu-north-1" if scope(request)[1] != "eu-north-1" else "eu-south-1"
        return xml_error(400, "AuthorizationHeaderMalformed", f"<Region>{wanted}</Region>")

    counters = Counters()
    with serve(handler) as (origin,):
        async with open_s3(S3(endpoint=origin, **KEYS), counters) as fetcher:
            with pytest.raises(FetchError, match="AuthorizationHeaderMalformed"):
                await read(fetcher, "s3://bucket/a")
    assert counters.requests == 3


@pytest.mark.parametrize("date", ["Wed, 21 Oct 2015 07:28:00 GMT", "yesterday", None], ids=["wrong", "senseless", "none"])
async def test_fault_33_a_clock_that_nothing_puts_right_is_an_error(date: str | None) -> None:
    async def handler(request: web.Request) -> web.Response:
        answer = xml_error(403, "RequestTimeTooSkewed")
        answer.headers["Date"] = date or ""
        return answer

    counters = Counters()
    with serve(handler) as (origin,):
        async with open_s3(S3(endpoint=origin, **KEYS), counters) as fetcher:
            with pytest.raises(AccessError, match=r"RequestTimeTooSkewed.*clock") as caught:
                await read(fetcher, "s3://bucket/a")
    assert caught.value.status == 403
    assert counters.requests == (2 if date and "2015" in date else 1)


async def test_amazons_hosts_and_the_redirect_between_them(tmp_path: Path) -> None:
    hosts: list[str] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        hosts.append(request.host)
        if request.host == "bucket.s3.eu-north-1.amazonaws.com":
            return ranged(request, DATA, {"ETag": '"1"'})
        return xml_error(301, "PermanentRedirect", headers={"x-amz-bucket-region": "eu-north-1"})

    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("*.s3.us-east-1.amazonaws.com", "*.s3.eu-north-1.amazonaws.com").configure_cert(tls)
    with serve(handler, tls=tls) as (origin,):
        endpoint_url = origin.partition("://")[2]
        names = [f"bucket.s3.{region}.amazonaws.com" for region in ("us-east-1", "eu-north-1")]
        with ForwardProxy(hosts=dict.fromkeys(names, endpoint_url)) as proxy:
            async with open_s3(
                S3(verify=False, **KEYS), Counters(), Http(proxy=proxy.url, ca_file=str(tmp_path / "ca.pem"))
            ) as fetcher:
                assert (await read(fetcher, "s3://bucket/a"))[1] == DATA
                assert (await read(fetcher, "s3://bucket/b"))[1] == DATA
    assert hosts == ["bucket.s3.us-east-1.amazonaws.com", *["bucket.s3.eu-north-1.amazonaws.com"] * 2]


async def test_fault_07_what_says_who_asks_is_not_sent_on_to_another_host() -> None:
    seen: list[web.Request] = []

    async def other(request: web.Request) -> web.StreamResponse:
        seen.append(request)
        return ranged(request, DATA, {"ETag": '"1"'})

    async def moved(request: web.Request) -> web.Response:
        return web.Response(status=307, headers={"Location": f"{elsewhere}/cdn/a?x=%2F"})

    with serve(moved, other) as (origin, elsewhere):
        async with open_s3(S3(endpoint=origin, session_token="TOKEN", requester_pays=True, **KEYS), Counters()) as fetcher:
            assert (await read(fetcher, "s3://bucket/a", 10, 20, '"1"'))[1] == DATA[10:20]
    (request,) = seen
    assert (request.headers["Range"], request.headers["If-Match"], request.raw_path) == ("bytes=10-19", '"1"', "/cdn/a?x=%2F")
    assert not [name for name in request.headers if name.lower().startswith(("x-amz", "authorization", "cookie"))]


@pytest.mark.parametrize(
    "answer", [(403, "ExpiredToken"), (400, "ExpiredToken"), (403, "AccessDenied"), (401, "Unauthorized")], ids=str
)
def test_fault_05_credentials_that_expire_in_mid_epoch(answer: tuple[int, str]) -> None:
    """Each is good for ten requests; whoever uses it for longer is refused."""
    shard = make_shard(make_samples(200, size=5000))
    uses: Counter[str] = Counter()
    asked: list[str] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        uses[scope(request)[0]] += 1
        return xml_error(*answer) if uses[scope(request)[0]] > 10 else ranged(request, shard, {"ETag": '"1"'})

    def get_keys() -> tuple[str, str, str]:
        asked.append("")
        return f"AK{len(asked)}", "secret", "token"

    with serve(handler) as (origin,):
        storage = S3(endpoint=origin, get_keys=get_keys)
        prefetch = Prefetch(connections=4, part_bytes=32_768)
        dataset = WebDataset("s3://bucket/a.tar", storage=storage, prefetch=prefetch, retry=Retry(hedge=None))
        keys = [sample["__key__"] for sample in dataset]
    assert keys == [f"{number:06d}" for number in range(200)]
    assert dataset.stats().retries == 0
    answered = sum(min(10, times) for times in uses.values())  # more than there are parts where a slow one was split
    assert answered >= -(-len(shard) // 32_768)
    assert len(asked) == -(-answered // 10)


def test_credentials_are_in_no_error_no_log_and_no_repr(caplog: pytest.LogCaptureFixture) -> None:
    """Also where somebody sets all loggers to DEBUG, botocore's among them."""

    async def handler(request: web.Request) -> web.Response:
        return xml_error(403, "AccessDenied", f"<StringToSign>{request.headers['x-amz-security-token']}</StringToSign>")

    secrets = ("SECRETKEY", "SESSIONTOKEN")
    caplog.set_level(logging.DEBUG)
    with serve(handler) as (origin,):
        storage = S3(endpoint=origin, access_key="AK", secret_key=secrets[0], session_token=secrets[1])
        dataset = WebDataset("s3://bucket/a.tar", storage=storage)
        with pytest.raises(AccessError) as caught:
            list(dataset)
    told = [repr(storage), repr(dataset), repr(dataset.stats()), str(caught.value), repr(caught.value), caplog.text]
    told += [str(pickle.dumps(caught.value)), repr(caught.value.__dict__), repr(Keys("AK", *secrets)), repr(log_in(storage).value)]
    assert not [text for text in told for secret in (*secrets, "Signature=") if secret in text]
    for thing in (storage, dataset):
        with pytest.raises(SpecError, match="not pickled"):
            pickle.dumps(thing)


def find_keys() -> tuple[str, str, None]:
    return "AKTEST", "SKTESTSKTEST", None


def test_settings_without_secrets_are_pickled() -> None:
    storage = S3(endpoint="http://h", region="r", profile="p", requester_pays=True, get_keys=find_keys)
    assert pickle.loads(pickle.dumps(storage)) == storage
    assert b"SKTEST" not in pickle.dumps(WebDataset("s3://b/a.tar", storage=storage))


def test_without_the_extra_the_error_names_it() -> None:
    program = (
        "import sys; sys.modules['botocore'] = None\n"
        "import asyncwds\n"
        "try: list(asyncwds.WebDataset('s3://b/a.tar'))\n"
        "except asyncwds.errors.SpecError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=100, check=True)
    assert "pip install 'asyncwds[s3]'" in done.stdout
    assert "url=s3://b/a.tar" in done.stdout
