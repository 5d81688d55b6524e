"""Where S3 is and who asks, by AWS's variables and files; and that credentials which end are replaced in time."""

import hashlib
import json
import os
import sys
import uuid
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from aiohttp import web
from objectstore import NOBODY, READER, Identity, ObjectStore
from webapps import serve

from asyncwds import S3, Http, Retry, WebDataset
from asyncwds.errors import AccessError, SpecError
from asyncwds.runtime import Counters
from asyncwds.settings import Access
from asyncwds.storage import ExpiringToken, open_storage
from asyncwds.storage.stores.s3.auth import Keys, Login, login
from asyncwds.testing import make_samples, make_shard, read

DATA = b"0123456789" * 1000


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without AWS files, and an environment without AWS variables; nobody asks a metadata service."""
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return tmp_path


def log_in(**settings: Any) -> Login:
    return login(S3(**settings)).value


# -- where


ANYBODY = {"anonymous": True}


def test_without_any_setting_it_is_aws() -> None:
    assert log_in(anonymous=True) == Login(None, "us-east-1", "auto", None)


def test_an_endpoint_by_its_variables_and_files(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "config").write_text(
        "[default]\nendpoint_url = http://all.example\nregion = eu-west-2\n"
        "[profile mine]\nservices = local\ns3 =\n    addressing_style = path\n"
        "[services local]\ns3 =\n    endpoint_url = http://local.example/\n"
    )
    assert log_in(**ANYBODY) == Login("http://all.example", "eu-west-2", "auto", None)
    assert log_in(profile="mine", **ANYBODY) == Login("http://local.example", "us-east-1", "path", None)
    monkeypatch.setenv("AWS_PROFILE", "mine")
    assert log_in(**ANYBODY).endpoint == "http://local.example"
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://any.example")
    assert log_in(**ANYBODY).endpoint == "http://any.example"
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://s3.example")
    assert log_in(**ANYBODY).endpoint == "http://s3.example"
    assert log_in(endpoint="https://given.example/", addressing="virtual", **ANYBODY)[0:3] == (
        "https://given.example",
        "us-east-1",
        "virtual",
    )
    monkeypatch.setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")
    assert log_in(**ANYBODY).endpoint is None


def test_a_region_by_its_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-north-1")
    assert log_in(**ANYBODY).region == "eu-north-1"
    monkeypatch.setenv("AWS_REGION", "eu-south-1")
    assert log_in(**ANYBODY).region == "eu-south-1"
    assert log_in(region="ap-east-1", **ANYBODY).region == "ap-east-1"


@pytest.mark.parametrize(
    "endpoint", ["storage.example", "ftp://storage.example", "http://", "http://user:secret@host", "http://h?x=y"]
)
@pytest.mark.parametrize("from_environment", [False, True])
def test_endpoints_that_are_none(endpoint: str, from_environment: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if from_environment:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    with pytest.raises(SpecError, match="endpoint") as caught:
        log_in(endpoint=None if from_environment else endpoint, **ANYBODY)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(("profile", "config"), [("none", ""), ("mine", "[profile mine]\nservices = none\n"), ("mine", "[profile")])
def test_configurations_that_make_no_sense(home: Path, profile: str, config: str) -> None:
    (home / "config").write_text(config)
    with pytest.raises(SpecError, match="AWS's configuration"):
        log_in(profile=profile, anonymous=True)


# -- who


def test_credentials_from_each_place(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "credentials").write_text("[default]\naws_access_key_id = file\naws_secret_access_key = secret\n")
    assert log_in().keys == Keys("file", "secret", None)
    (home / "config").write_text(
        "[profile mine]\naws_access_key_id = mine\naws_secret_access_key = secret\naws_session_token = t\n"
    )
    assert log_in(profile="mine").keys == Keys("mine", "secret", "t")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "env")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    assert log_in().keys == Keys("env", "secret", None)
    assert log_in(profile="mine").keys == Keys("mine", "secret", "t")
    assert log_in(access_key="given", secret_key="secret", session_token="t").keys == Keys("given", "secret", "t")
    assert log_in(get_keys=lambda: ("from", "a function", None)).keys == Keys("from", "a function", None)


def soon() -> str:
    return (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")


def from_vendor(name: str) -> dict[str, str]:
    """As the services for containers and instances answer."""
    return {"AccessKeyId": name, "SecretAccessKey": "secret", "Token": "token", "Expiration": soon(), "Code": "Success"}


def test_credentials_of_a_container(monkeypatch: pytest.MonkeyPatch) -> None:
    async def service(request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == "Bearer pod"
        return web.json_response(from_vendor("container"))

    with serve(service) as (origin,):
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{origin}/credentials")
        monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "Bearer pod")
        assert_leased(login(S3()), Keys("container", "secret", "token"))


def test_credentials_of_an_instance(monkeypatch: pytest.MonkeyPatch) -> None:
    async def service(request: web.Request) -> web.Response:
        if request.method == "PUT":
            return web.Response(text="session")
        assert request.headers["x-aws-ec2-metadata-token"] == "session"
        if request.path.endswith("/reader"):
            return web.json_response(from_vendor("instance"))
        return web.Response(text="reader")

    with serve(service) as (origin,):
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "false")
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", f"{origin}/")
        assert_leased(login(S3()), Keys("instance", "secret", "token"))


def test_credentials_by_web_identity(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As pods of Kubernetes have them (IRSA)."""

    async def service(request: web.Request) -> web.Response:
        asked = await request.post()
        assert (asked["Action"], asked["WebIdentityToken"]) == ("AssumeRoleWithWebIdentity", "a token of the cluster")
        keys = "<AccessKeyId>web</AccessKeyId><SecretAccessKey>secret</SecretAccessKey><SessionToken>token</SessionToken>"
        result = f"<Credentials>{keys}<Expiration>{soon()}</Expiration></Credentials>"
        text = f"<AssumeRoleWithWebIdentityResult>{result}</AssumeRoleWithWebIdentityResult>"
        return web.Response(
            text=f"<AssumeRoleWithWebIdentityResponse>{text}</AssumeRoleWithWebIdentityResponse>", content_type="text/xml"
        )

    (home / "token").write_text("a token of the cluster")
    with serve(service) as (origin,):
        monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/reader")
        monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(home / "token"))
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", origin)
        assert_leased(login(S3()), Keys("web", "secret", "token"))


def test_credentials_of_single_sign_on(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def service(request: web.Request) -> web.Response:
        assert request.headers["x-amz-sso_bearer_token"] == "logged in"
        ends = 1000 * (datetime.now(UTC) + timedelta(hours=1)).timestamp()
        found = {"accessKeyId": "sso", "secretAccessKey": "secret", "sessionToken": "token", "expiration": int(ends)}
        return web.json_response({"roleCredentials": found})

    start = "https://example.awsapps.com/start"
    (home / "config").write_text(
        f"[profile sso]\nsso_start_url = {start}\nsso_region = eu-west-1\nsso_account_id = 123456789012\nsso_role_name = reader\n"
    )
    cache = home / "sso"
    cache.mkdir()
    (cache / f"{hashlib.sha1(start.encode()).hexdigest()}.json").write_text(
        json.dumps({"accessToken": "logged in", "expiresAt": soon(), "startUrl": start, "region": "eu-west-1"})
    )
    monkeypatch.setattr("botocore.credentials.SSOProvider._SSO_TOKEN_CACHE_DIR", str(cache))
    with serve(service) as (origin,):
        monkeypatch.setenv("AWS_ENDPOINT_URL_SSO", origin)
        assert_leased(login(S3(profile="sso")), Keys("sso", "secret", "token"))


def assert_leased(lease: ExpiringToken[Login], keys: Keys) -> None:
    """Such credentials end, and are got anew before that."""
    assert lease.value.keys == keys
    assert not lease.ends_within(1800)
    assert lease.ends_within(5400)


def test_no_credentials_at_all() -> None:
    with pytest.raises(AccessError, match="set AWS_ACCESS_KEY_ID .*anonymous=True.*--anonymous"):
        log_in()


def test_a_function_that_has_none() -> None:
    def get_keys() -> tuple[str, str, None]:
        raise LookupError("the vault is closed")

    with pytest.raises(AccessError, match="the vault is closed"):
        log_in(get_keys=get_keys)
    with pytest.raises(AccessError, match="get_keys"):
        log_in(get_keys=lambda: "a string")


def test_a_variable_that_is_missing_beside_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "env")
    with pytest.raises(AccessError, match="missing: AWS_SECRET_ACCESS_KEY"):
        log_in()


def test_a_service_for_credentials_that_cannot_be_reached(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "token").write_text("token")
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/reader")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(home / "token"))
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(AccessError, match="cannot be reached") as caught:
        log_in()
    assert caught.value.retryable


@pytest.mark.parametrize(
    "settings",
    [
        {"access_key": "a"},
        {"secret_key": "a"},
        {"anonymous": True, "access_key": "a", "secret_key": "b"},
        {"anonymous": True, "get_keys": print},
        {"addressing": "host"},
        {"part_bytes": 1 << 20},
    ],
    ids=str,
)
def test_settings_that_make_no_sense(settings: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match="^S3: "):
        S3(**settings)


# -- credentials that end


class Vendor:
    """A `credential_process` of a profile: it gives out the keys of `identities`, one a call, the last one for ever."""

    def __init__(self, folder: Path, *identities: Identity, seconds: float | None = None) -> None:
        self._calls = folder / "calls"
        self._calls.touch()
        (folder / "identities").write_text(json.dumps(identities))
        script = folder / "vendor.py"
        script.write_text(
            "import json, sys\n"
            "from datetime import UTC, datetime, timedelta\n"
            f"calls = open({str(self._calls)!r}, 'a+')\n"
            "calls.write('x'); calls.seek(0); number = len(calls.read())\n"
            f"identities = json.load(open({str(folder / 'identities')!r}))\n"
            "access, secret = identities[min(number, len(identities)) - 1]\n"
            "answer = {'Version': 1, 'AccessKeyId': access, 'SecretAccessKey': secret}\n"
            f"seconds = {seconds!r}\n"
            "if seconds is not None:\n"
            "    answer |= {'Expiration': (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat(), 'SessionToken': ''}\n"
            "print(json.dumps(answer))\n"
        )
        (folder / "config").write_text(f"[profile vendor]\ncredential_process = {sys.executable} {script}\n")

    @property
    def calls(self) -> int:
        return len(self._calls.read_text())


async def test_fault_05_credentials_are_renewed_at_their_end(seaweedfs: ObjectStore, home: Path) -> None:
    url = seaweedfs.put(uuid.uuid4().hex, DATA)
    vendor = Vendor(home, READER, seconds=2)
    counters = Counters()
    async with AsyncExitStack() as open_now:
        fetcher = open_storage(Access(Http(), Retry(), {"s3://": S3(endpoint=seaweedfs.url, profile="vendor")}), counters)
        open_now.push_async_callback(fetcher.aclose)
        before = 0
        began = datetime.now(UTC)
        while datetime.now(UTC) < began + timedelta(seconds=4):
            assert (await read(fetcher, url))[1] == DATA
            before = before or vendor.calls
    assert 2 * before <= vendor.calls <= 4 * before
    assert counters.retries == 0


async def test_fault_05_what_was_refused_is_asked_for_again(seaweedfs: ObjectStore, home: Path) -> None:
    url = seaweedfs.put(uuid.uuid4().hex, DATA)
    vendor = Vendor(home, NOBODY, READER)
    counters = Counters()
    settings = S3(endpoint=seaweedfs.url, profile="vendor", verify=False)
    fetcher = open_storage(Access(Http(), Retry(hedge=None), {"s3://": settings}), counters)
    assert (await read(fetcher, url))[1] == DATA
    assert (await read(fetcher, url))[1] == DATA
    await fetcher.aclose()
    assert (counters.requests, counters.retries, vendor.calls) == (3, 0, 2)


async def test_fault_05_what_is_refused_again_is_an_error(seaweedfs: ObjectStore, home: Path) -> None:
    url = seaweedfs.put(uuid.uuid4().hex, DATA)
    Vendor(home, NOBODY, Identity("AKOTHER", "x"))
    counters = Counters()
    fetcher = open_storage(Access(Http(), Retry(hedge=None), {"s3://": S3(endpoint=seaweedfs.url, profile="vendor")}), counters)
    with pytest.raises(AccessError):
        await read(fetcher, url)
    await fetcher.aclose()
    assert counters.requests == 2


def test_fault_05_a_file_of_credentials_that_changes_in_mid_epoch(seaweedfs: ObjectStore, home: Path) -> None:
    """As where another process keeps the file up to date; the old ones are refused once."""
    folder = uuid.uuid4().hex
    for number in range(8):
        seaweedfs.put(f"{folder}/{number}.tar", make_shard(make_samples(50, size=1000, prefix=f"{number}-")))
    text = "[default]\naws_access_key_id = {}\naws_secret_access_key = {}\n"
    (home / "credentials").write_text(text.format(*READER))
    dataset = WebDataset(
        f"s3://shards/{folder}/*.tar", storage=S3(endpoint=seaweedfs.url), prefetch=1, handler=_replace_when_refused(home, text)
    )
    (home / "credentials").write_text(text.format(*NOBODY))
    samples = list(dataset)
    # The first shard was asked for with credentials that are no good; others perhaps, before the handler had written new ones.
    read = [sample["__key__"][0] for sample in samples[::50]]
    assert 0 < len(read) < 8
    assert read == list("01234567")[-len(read) :]


def _replace_when_refused(home: Path, text: str) -> Callable[[Exception], bool]:
    def handler(error: Exception) -> bool:
        assert isinstance(error, AccessError)
        (home / "credentials").write_text(text.format(*READER))
        return True

    return handler


def test_botocore_finds_the_same(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its client is the reference for where an S3 endpoint is configured."""
    (home / "config").write_text("[default]\nservices = local\n[services local]\ns3 =\n    endpoint_url = http://local.example\n")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "env")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    client = botocore.session.Session().create_client("s3", region_name="us-east-1")
    assert client.meta.endpoint_url == log_in().endpoint
    client.close()
