"""Every error that asyncwds raises on purpose. Anything else that comes out of it is a bug of the library.

WdsError                       url, offset, key say where, as far as known
├─ SpecError                   wrong argument or URL pattern            (is a ValueError)
├─ FetchError                  a body could not be read or written      (is an OSError)
│  ├─ NotFoundError            there is no such object                  (is a FileNotFoundError)
│  ├─ AccessError              not allowed: credentials, permissions    (is a PermissionError)
│  ├─ FetchTimeoutError        no connection or no byte in time         (is a TimeoutError)
│  ├─ ThrottledError           the server keeps asking to slow down
│  ├─ ShortBodyError           the body ended before its announced end
│  ├─ ChecksumError            the bytes are not those that were stored
│  └─ ChangedError             the object was replaced while it was read
│     └─ StaleIndexError       a shard is another one than its index is of
├─ TarError                    the bytes are no sound tar archive       (is a tarfile.ReadError)
│  ├─ TruncatedTarError        the archive ends before its end mark
│  └─ TarHeaderError           a header fails its checksum or makes no sense
│     └─ TrailingBytesError    something stands behind a whole archive
├─ SampleError                 one sample is wrong, the shard goes on   (is a ValueError)
│  ├─ EmptyEpochError          every sample of an epoch was handed to a handler
│  ├─ DuplicateFieldError      two members give the same field
│  ├─ RepeatedKeyError         members of a sample stand apart
│  ├─ DecodeError              a field's bytes could not be decoded
│  └─ EncodeError              a field's value could not be written as bytes
├─ NoSuchSampleError           no sample has this number or key         (is a KeyError, and an IndexError)
├─ CacheError                  the local cache cannot be used           (is an OSError)
├─ LostSamplesError            a tool lost samples: its own error
├─ SharedMemoryError           no room for a loader's batches           (is an OSError)
└─ BridgeError                 an iterator used after a fork, or closed (is a RuntimeError)
   └─ WorkerDiedError          a process of a loader ended by itself
"""

from __future__ import annotations

import re
import tarfile
from typing import Any

from asyncwds.formatting.texts import printable

# What stands before a secret, as group 1, and the secret. In abfs://CONTAINER@ACCOUNT it is no login that precedes the @.
_SECRETS = [
    re.compile(r"(?i)((?<=://)(?<!abfs://)(?<!abfss://))[^/?#\s]+(?=@)"),
    # In a query: signatures, those of nginx (md5) among them, and tokens.
    re.compile(r"(?i)([?&][^=&\s]*(?:sig|token|credential|secret|key|pass|pwd|policy|auth|md5|hmac|jwt)[^=&\s]*=)[^&\s'\"]+"),
    # On a command line: variables and long options, headers, curl's -u.
    re.compile(
        r"(?i)((?<![^\s'\":;])-{0,2}[\w-]{0,40}(?:secret|token|passw|pwd|api_?key|access_?key|account_?key)[\w-]{0,40}=)[^\s&'\"]+"
    ),
    re.compile(
        r"(?i)((?:authorization|x-api-key|auth-token|private-token)['\"]?\s*[:=]\s*['\"]?(?:(?:bearer|basic|token)\s+)?)[^\s'\"]+"
    ),
    re.compile(r"((?<!\S)(?:-u|--user|--proxy-user)[\s=]*['\"]?[^\s:'\"]+:)[^\s'\"]+"),
]


# What an error of a worker is in torch's DataLoader, which makes it anew from its text and the worker's traceback.
_FROM_WORKER = re.compile(r"Caught \w+ in [\w ]+\.\nOriginal Traceback")


def redact(url: str) -> str:
    """The URL, command or message without what must not be logged: users and passwords, signatures, tokens."""
    for secret in _SECRETS:
        url = secret.sub(r"\1***", url)
    return url


class WdsError(Exception):
    """Base of all errors. `url` is redacted; `offset` [bytes] is in the (decompressed) shard; `key` names the sample.

    As a string it is redacted too, and one line of printable characters, whatever names in shards and answers of servers hold.
    Only what torch's DataLoader passes on from a worker has the lines of the worker's traceback.
    """

    url: str | None
    offset: int | None
    key: str | None

    def __init__(self, message: str, *, url: str | None = None, offset: int | None = None, key: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.url = None if url is None else redact(url)
        self.offset = offset
        self.key = key

    def __str__(self) -> str:
        where = {"url": self.url, "offset": self.offset, "key": self.key}
        known = ", ".join(f"{name}={value}" for name, value in where.items() if value is not None)
        message = redact(self.message)
        text = f"{message} ({known})" if known else message
        # The marker begins the message: what shards and servers say stands behind words of ours.
        return "\n".join(map(printable, text.split("\n"))) if _FROM_WORKER.match(text) else printable(text)

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions pickle as type(*args); ours would lose their keywords on the way out of a DataLoader worker.
        return _rebuild, (type(self), self.message, dict(self.__dict__))


def _rebuild(kind: type[WdsError], message: str, state: dict[str, Any]) -> WdsError:
    error = kind(message)
    error.__dict__.update(state)
    return error


class SpecError(WdsError, ValueError):
    """An argument or a URL pattern makes no sense. Raised when a dataset is described or iteration starts."""


class FetchError(WdsError, OSError):
    """A body could not be read or written, and trying again did not help or would not.

    `attempts` counts the requests made, in `waited` [s]; `status` is the HTTP status or a command's exit status.
    `retryable`, `retry_after` [s] and `retry_for` [s], if that is of use for so long only, are advice to whoever wraps the fetcher
    that raised it. `unsound`: an answer came that broke the rules of HTTP, which a broken proxy may do; it is asked for again a few
    times only.
    """

    def __init__(
        self,
        message: str,
        *,
        url: str | None = None,
        offset: int | None = None,
        key: str | None = None,
        status: int | None = None,
        attempts: int = 1,
        retryable: bool = False,
        retry_after: float | None = None,
        retry_for: float | None = None,
        unsound: bool = False,
    ) -> None:
        super().__init__(message, url=url, offset=offset, key=key)
        self.status = status
        self.attempts = attempts
        self.retryable = retryable
        self.retry_after = retry_after
        self.retry_for = retry_for
        self.unsound = unsound
        self.waited = 0.0

    def __str__(self) -> str:
        waited = f" in {self.waited:.0f} s" if self.waited >= 1 else ""
        tried = f", after {self.attempts} attempts{waited}" if self.attempts > 1 else ""
        return WdsError.__str__(self) + tried


class NotFoundError(FetchError, FileNotFoundError):
    """There is no such object (404, 410, or no such file)."""


class AccessError(FetchError, PermissionError):
    """The object may not be read or written (401, 403, file permissions)."""


class FetchTimeoutError(FetchError, TimeoutError):
    """No connection, or no byte for `Retry.stall_timeout`, and so at every attempt."""


class ThrottledError(FetchError):
    """The server answered 429, 503 or SlowDown at every attempt."""


class ShortBodyError(FetchError):
    """Bodies ended before their announced length, at every attempt."""


class ChecksumError(FetchError):
    """The bytes of an object are not those of which the store keeps the checksum; known after its samples were given out."""


class ChangedError(FetchError):
    """The object's identity (ETag, size, modification time) changed between two requests: it was replaced."""


class StaleIndexError(ChangedError):
    """A shard is another one than its index was made of: its ETag, its size, or what stands where a sample should be.

    `indexed` and `found` are what the index says, and what was found.
    """

    indexed: str | None = None
    found: str | None = None


class TarError(WdsError, tarfile.ReadError):
    """The bytes are no sound tar archive."""


class TruncatedTarError(TarError):
    """The archive ends before its end-of-archive mark; samples are missing. `cut` is False where it ends behind a whole member."""

    cut = True


class TarHeaderError(TarError):
    """A member's header fails its checksum or makes no sense (also: an HTML page or an empty file in place of a shard)."""


class TrailingBytesError(TarHeaderError):
    """Behind the end of a whole archive, or of the compression around it, stands something else. All samples have come.

    An error only with `strict=True`: otherwise a ShardWarning says it.
    """


class ShardWarning(UserWarning):
    """A shard is not as it should be, and all of its samples are read: an error with `strict=True`."""


class SkipWarning(UserWarning):
    """What `skip=` names did not occur in an epoch."""


class ResumeWarning(UserWarning):
    """To go on from a state will take longer than it has to, or a stage is not what it was said to be."""


class SampleError(WdsError, ValueError):
    """One sample is wrong; the shard can go on after it."""


class EmptyEpochError(SampleError):
    """Nothing came out of an epoch, because handlers were asked about all of it; `failed` says how often."""

    def __init__(
        self, message: str, *, url: str | None = None, offset: int | None = None, key: str | None = None, failed: int = 0
    ) -> None:
        super().__init__(message, url=url, offset=offset, key=key)
        self.failed = failed


class IncompleteEpochError(WdsError, RuntimeError):
    """An epoch does not add up: samples are missing, and no handler, stage or loop left them out. `report` is its `Report`."""

    def __init__(
        self, message: str, *, url: str | None = None, offset: int | None = None, key: str | None = None, report: Any = None
    ) -> None:
        super().__init__(message, url=url, offset=offset, key=key)
        self.report = report


class DuplicateFieldError(SampleError):
    """Two members with the same key give the same field."""


class RepeatedKeyError(SampleError):
    """A key comes again in a shard, after others: members of one sample that stand apart are several samples.

    An error only with `strict=True`: otherwise a ShardWarning says it for the first of a shard.
    """


class DecodeError(SampleError):
    """A field's bytes could not be decoded; `field` is its name, the cause is `__cause__`.

    `k` and `sample` are for code that was written for WebDataset's DecodingError. The sample stays in its process.
    """

    field: str | None = None
    sample: Any = None

    @property
    def k(self) -> str | None:
        return self.field

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, {**self.__dict__, "sample": None})


class EncodeError(SampleError):
    """A field's value could not be written as bytes; `field` is its name, the cause is `__cause__`."""

    field: str | None = None


class NoSuchSampleError(WdsError, KeyError, IndexError):
    """An index has no sample of this number, or none with this key."""


class CacheError(WdsError, OSError):
    """The folder of a cache cannot be made, or a file cannot be kept where its path is asked for. All else is a warning."""


class BridgeError(WdsError, RuntimeError):
    """An iterator was used after it was closed, or in another process than the one that made it."""


class WorkerDiedError(BridgeError):
    """A process of a `loader` ended before its work: killed, crashed, or by sys.exit. `exitcode` is below 0 for a signal."""

    pid: int | None = None
    exitcode: int | None = None


class LostSamplesError(WdsError):
    """A tool read samples that it neither wrote nor dropped for a reason: a bug of the tool, or of the function it was given."""


class SharedMemoryError(WdsError, OSError):
    """There is no room for the batches of a `loader`: in the folder of its shared memory, or by a limit of the process."""
