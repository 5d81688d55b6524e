"""Settings of object stores: plain data. What is left out comes from the vendor's own environment variables and files.

Secrets are not shown by `repr`, and settings that hold some refuse to be pickled, so that they end up in no file: for other
processes put them into the environment, or give a function that finds them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, Literal
from urllib.parse import urlsplit

from asyncwds import checks
from asyncwds.errors import SpecError
from asyncwds.runtime.units import GiB, KiB, MiB

Expiring = tuple[str, float]
"""A token and its end [s since 1970]."""


@dataclass(frozen=True, slots=True)
class S3:
    """How `s3://bucket/key` urls are read and written: Amazon's service and those that are compatible with it.

    What is left out comes from AWS's environment variables and files, credentials from all places that AWS's own tools know.

    endpoint        URL of the service, unless it is AWS: `https://storage.example:9000`
    region          of the buckets; where the service says that a bucket has another one, that is taken
    profile         of ~/.aws/config and ~/.aws/credentials
    anonymous       send requests unsigned
    requester_pays  agree to pay for what is read
    addressing      "path": https://endpoint/bucket/key; "virtual": https://bucket.endpoint/key; "auto": as the profile says, or
                    else "virtual" on AWS, for buckets whose name allows that, and "path" elsewhere
    access_key, secret_key, session_token
                    credentials
    get_keys        a function that returns such a triple (None where there is no session token), and may be pickled; called in a
                    thread, and again when the service refuses what it returned
    part_bytes      size [bytes] of the parts of an upload, at most 10000; four are in memory at a time
    verify          ask for the checksum of each shard, by one small request (HEAD) behind its first, to compare the bytes with
    """

    endpoint: str | None = None
    region: str | None = None
    profile: str | None = None
    anonymous: bool = False
    requester_pays: bool = False
    addressing: Literal["auto", "path", "virtual"] = "auto"
    access_key: str | None = field(default=None, repr=False)
    secret_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)
    get_keys: Callable[[], tuple[str, str, str | None]] | None = field(default=None, repr=False)
    part_bytes: int = 16 * MiB
    verify: bool = True

    def __post_init__(self) -> None:
        _check(self, "anonymous", "access_key", "get_keys")
        if (self.access_key is None) != (self.secret_key is None):
            raise SpecError("S3: access_key and secret_key go together")
        checks.one_of("S3: addressing", self.addressing, ("auto", "path", "virtual"))
        checks.whole("S3: part_bytes", self.part_bytes, 5 * MiB, 5 * GiB)
        checks.flags(self, "requester_pays")
        checks.texts(self, "region", "profile", "session_token")

    def __reduce__(self) -> tuple[Any, ...]:
        return _pickled(self, "secret_key", "session_token")


@dataclass(frozen=True, slots=True)
class HuggingFace:
    """How `hf://datasets/USER/NAME@REV/PATH` urls are read (models without a first word, `hf://spaces/…`).

    endpoint   URL of the hub; else HF_ENDPOINT, or https://huggingface.co
    token      in place of the one that huggingface_hub finds (HF_TOKEN, `hf auth login`)
    get_token  a function that returns a token, and may be pickled; called in a thread, and again when the hub refuses the token
    anonymous  show no token, though there is one
    """

    endpoint: str | None = None
    token: str | None = field(default=None, repr=False)
    get_token: Callable[[], str] | None = field(default=None, repr=False)
    anonymous: bool = False

    def __post_init__(self) -> None:
        _check(self, "token", "get_token", "anonymous")

    def __reduce__(self) -> tuple[Any, ...]:
        return _pickled(self, "token")


@dataclass(frozen=True, slots=True)
class AIStore:
    """How `ais://bucket/object` urls are read and written, and those of the schemes in USE_AIS_FOR.

    endpoint   URL of a gateway; else AIS_ENDPOINT, or http://localhost:8080
    token      of the cluster's authentication service; else AIS_AUTHN_TOKEN
    get_token  a function that returns one, and may be pickled; called in a thread, and again when the gateway refuses the token
    verify     read each shard as one stream, and take none that cannot be compared with a checksum that the cluster keeps.
               Otherwise shards are read in parts, many at once, and compared where that is possible and nothing is cached
    part_bytes size [bytes] of the parts of an upload, four of which are in memory at a time. What fits into one is put in one
               go; clusters before AIStore 4.0 know no other way
    """

    endpoint: str | None = None
    token: str | None = field(default=None, repr=False)
    get_token: Callable[[], str] | None = field(default=None, repr=False)
    verify: bool = False
    part_bytes: int = 16 * MiB

    def __post_init__(self) -> None:
        _check(self, "token", "get_token")
        checks.whole("AIStore: part_bytes", self.part_bytes, 1)
        checks.flags(self, "verify")

    def __reduce__(self) -> tuple[Any, ...]:
        return _pickled(self, "token")


@dataclass(frozen=True, slots=True)
class GCS:
    """How `gs://` urls are read and written. Credentials are found by google-auth, as by Google's own tools.

    endpoint          URL of the service; else STORAGE_EMULATOR_HOST, or https://storage.googleapis.com
    credentials_file  in place of the one that GOOGLE_APPLICATION_CREDENTIALS names
    get_token         a function that returns an access token and its end [s since 1970], and may be pickled; called in a thread
    anonymous         send requests without credentials, as is always done with an emulator
    user_project      project that pays for requests to buckets whose requester pays
    part_bytes        size [bytes] of the parts of an upload, a multiple of 256 KiB
    """

    endpoint: str | None = None
    credentials_file: str | None = None
    get_token: Callable[[], Expiring] | None = field(default=None, repr=False)
    anonymous: bool = False
    user_project: str | None = None
    part_bytes: int = 16 * MiB

    def __post_init__(self) -> None:
        _check(self, "credentials_file", "get_token", "anonymous")
        checks.texts(self, "user_project")
        if checks.whole("GCS: part_bytes", self.part_bytes, 1) % (256 * KiB):
            raise SpecError(f"GCS: part_bytes must be a multiple of 256 KiB: {self.part_bytes!r}")


@dataclass(frozen=True, slots=True)
class Azure:
    """How `az://container/path` and `abfs[s]://container@account.dfs.core.windows.net/path` urls are read and written.

    The first of these counts that is given: `account_key`, `sas_token`, `get_token`, `anonymous`, then what the connection string
    holds, then AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_KEY, then AZURE_STORAGE_SAS_TOKEN, then what azure-identity finds.

    account            name of the storage account; a url that names one goes before it; else AZURE_STORAGE_ACCOUNT_NAME
    endpoint           URL of its blob service; else https://ACCOUNT.blob.core.windows.net
    connection_string  as the portal shows it; else AZURE_STORAGE_CONNECTION_STRING
    get_token          a function that returns an access token and its end [s since 1970], and may be pickled; called in a thread
    anonymous          send requests without credentials: for public containers
    part_bytes         size [bytes] of the blocks of an upload, at most 50000; four are in memory at a time
    """

    account: str | None = None
    endpoint: str | None = None
    connection_string: str | None = field(default=None, repr=False)
    account_key: str | None = field(default=None, repr=False)
    sas_token: str | None = field(default=None, repr=False)
    get_token: Callable[[], Expiring] | None = field(default=None, repr=False)
    anonymous: bool = False
    part_bytes: int = 16 * MiB

    def __post_init__(self) -> None:
        _check(self, "account_key", "sas_token", "get_token", "anonymous", "connection_string")
        checks.whole("Azure: part_bytes", self.part_bytes, 1, 4000 * MiB)
        checks.texts(self, "account")

    def __reduce__(self) -> tuple[Any, ...]:
        return _pickled(self, "connection_string", "account_key", "sas_token")


@dataclass(frozen=True, slots=True)
class FileSystem:
    """How urls of any other scheme are read: with the fsspec file system of that name, in threads.

    options  arguments for it, besides what it takes from the url: `{"username": "me", "key_filename": "id"}` for `sftp://`
    threads  reads at a time
    """

    options: dict[str, Any] = field(default_factory=dict, repr=False)
    threads: int = 8

    def __post_init__(self) -> None:
        checks.whole("FileSystem: threads", self.threads, 1)
        checks.mapping("FileSystem: options", self.options)

    def __reduce__(self) -> tuple[Any, ...]:
        return _pickled(self, "options")


@dataclass(frozen=True, slots=True)
class Command:
    """How `pipe:` urls are read.

    check  a command that fails is an error, also after all data. False is for commands that always end so: what they wrote
           counts, and a shard that is cut is an error still
    """

    check: bool = True

    def __post_init__(self) -> None:
        checks.flags(self, "check")


def _check(settings: Any, *names: str) -> None:
    """Of the named ones, which are functions (`get_`), flags (`anonymous`) and text, one can be given."""
    for name in names:
        label = f"{type(settings).__name__}: {name}"
        if name.startswith("get_"):
            checks.function(label, getattr(settings, name), optional=True, takes=0)
        elif name == "anonymous":
            checks.flag(label, settings.anonymous)
        elif name == "credentials_file":
            checks.path(label, settings.credentials_file, optional=True)
        else:
            checks.text(label, getattr(settings, name), optional=True)
    if hasattr(settings, "endpoint"):
        checks.texts(settings, "endpoint")
    if getattr(settings, "endpoint", None) is not None and "@" in urlsplit(settings.endpoint).netloc:
        raise SpecError(f"{type(settings).__name__}: an endpoint has no user and password in it", url=settings.endpoint)
    given = [name for name in names if getattr(settings, name) not in (None, False)]
    if len(given) > 1:
        raise SpecError(f"{type(settings).__name__}: only one of {' and '.join(given)} can be given")


def _pickled(settings: Any, *secrets: str) -> tuple[Any, ...]:
    for name in secrets:
        if getattr(settings, name):
            raise SpecError(
                f"{type(settings).__name__}({name}=...) is not pickled, so that it ends up in no file; for other processes put it "
                "into the environment, or give a function that finds it"
            )
    return type(settings), tuple(getattr(settings, entry.name) for entry in fields(settings))
