"""What a range request says and what its answer means (RFC 9110: 8.8, 13.1, 14). Plain functions of headers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from asyncwds.errors import ChangedError, FetchError
from asyncwds.storage.base import Answer, ObjectRange

PARTIAL = 206
_SATISFIED = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)", re.IGNORECASE)
_UNSATISFIED = re.compile(r"bytes \*/(\d+)", re.IGNORECASE)
_ACTUAL_SIZE = re.compile(rb"<ActualObjectSize>(\d+)</ActualObjectSize>")  # S3 says it in the page, not in a header

# The tar layer knows compressed archives by their magic, so these pass as they are; sizes and ranges are those of the
# encoded bytes. S3 gateways leave "aws-chunked" behind from an upload; it says nothing about the body.
_PASSED_ENCODINGS = frozenset({"", "identity", "gzip", "x-gzip", "zstd", "aws-chunked"})


# What servers say that have no ranges, to one that would have given the whole; they say it to other things too.
_REFUSES_RANGES = frozenset({400, 416, 501})


def range_headers(wanted: ObjectRange) -> dict[str, str]:
    """Always a range, from 0 too: its answer tells whether the server has ranges, and the size."""
    # There is no way to ask for no bytes: the one that an empty range asks for is not delivered.
    last = "" if wanted.stop is None else max(wanted.stop, wanted.start + 1) - 1
    return {"Range": f"bytes={wanted.start}-{last}", **whole_headers(wanted)}


def whole_headers(wanted: ObjectRange) -> dict[str, str]:
    """Of a request for the object that the range is one of."""
    headers = {"Accept-Encoding": "identity"}
    # If-Match compares strongly: a weak ETag never matches, and a date is none.
    if wanted.identity is not None and wanted.identity.startswith('"'):
        headers["If-Match"] = wanted.identity
    return headers


def may_refuse_ranges(error: FetchError) -> bool:
    """Whether a request without a range may fare better."""
    return error.status in _REFUSES_RANGES and type(error) is FetchError and not error.retryable


class Promise(NamedTuple):
    """What a good answer promises: `end` is the offset [bytes] at which its body has to end, None if it does not say.

    Without ranges that is the object's end, whatever was asked for: asking again for more of it would begin at byte 0.
    """

    answer: Answer
    end: int | None


class ObjectMetadata(NamedTuple):
    """What an answer says of the object as a whole: `Answer.identity` and `Answer.checksum`."""

    identity: str | None
    checksum: str | None = None


def metadata_of(headers: Mapping[str, str]) -> ObjectMetadata:
    """Where HTTP says it."""
    return ObjectMetadata(headers.get("ETag") or headers.get("Last-Modified"))


class _Span(NamedTuple):
    start: int
    stop: int
    total: int | None


def check_answer(wanted: ObjectRange, status: int, headers: Mapping[str, str], metadata: ObjectMetadata | None = None) -> Promise:
    """Checks the answer to a request that succeeded (200 or 206) against what was wanted.

    Raises ChangedError if it is another object than before, FetchError if it is not the range asked for or in an encoding
    that nothing here can read.
    """
    metadata = metadata or metadata_of(headers)
    _check_encoding(wanted, headers)
    check_identity(wanted, metadata.identity)
    span = _span(wanted, headers)
    if span is None:
        if status == PARTIAL:
            raise _unsound(wanted, "answer 206 without a Content-Range header")
        total = int(headers["Content-Length"]) if "Content-Length" in headers else None
        return Promise(Answer(0, total, metadata.identity, ranged=False, checksum=metadata.checksum), total)
    # Also with status 200: `rclone serve s3` answers ranges so.
    if span.start != wanted.start:
        raise _unsound(wanted, f"the server sent a range from byte {span.start} where {wanted.start} was asked for")
    end = span.stop if span.total is None else span.total
    if wanted.stop is not None:
        end = min(wanted.stop, end)
    return Promise(Answer(span.start, span.total, metadata.identity, ranged=True, checksum=metadata.checksum), end)


def check_unsatisfied(
    wanted: ObjectRange, headers: Mapping[str, str], page: bytes, metadata: ObjectMetadata | None = None, *, stated: bool = False
) -> Promise:
    """The same for status 416: the object ends at or before `wanted.start`, so there are no bytes.

    `stated`: only where the answer says so, which one that refuses all ranges does not.
    """
    size = _UNSATISFIED.fullmatch(headers.get("Content-Range", "")) or _ACTUAL_SIZE.search(page)
    total = int(size[1]) if size else 0 if wanted.start == 0 and not stated else None
    if total is None or total > wanted.start:
        message = "answer 416 (range not satisfiable), but the object does not end there"
        raise FetchError(message, url=wanted.url, offset=wanted.start, status=416)
    metadata = metadata or metadata_of(headers)
    if metadata.identity is not None:  # most servers leave it out here
        check_identity(wanted, metadata.identity)
    return Promise(Answer(wanted.start, total, metadata.identity, ranged=True, checksum=metadata.checksum), wanted.start)


def check_identity(wanted: ObjectRange, identity: str | None) -> None:
    if wanted.identity is not None and _weak(wanted.identity) != _weak(identity):
        message = f"the object was replaced while it was read: it was {wanted.identity} and is {identity or 'without ETag'} now"
        raise ChangedError(message, url=wanted.url, offset=wanted.start)


def _weak(identity: str | None) -> str | None:
    return None if identity is None else identity.removeprefix("W/")


def _span(wanted: ObjectRange, headers: Mapping[str, str]) -> _Span | None:
    value = headers.get("Content-Range")
    if value is None:
        return None
    if value == "bytes 0--1/0":  # azurite, of an empty blob
        return _Span(0, 0, 0)
    found = _SATISFIED.fullmatch(value.strip())
    if found is not None:
        start, stop, total = int(found[1]), int(found[2]) + 1, None if found[3] == "*" else int(found[3])
        if start < stop and (total is None or stop <= total):
            return _Span(start, stop, total)
    raise _unsound(wanted, f"the answer's Content-Range makes no sense: {value!r}")


def _unsound(wanted: ObjectRange, message: str) -> FetchError:
    return FetchError(message, url=wanted.url, offset=wanted.start, retryable=True, unsound=True)


def _check_encoding(wanted: ObjectRange, headers: Mapping[str, str]) -> None:
    value = headers.get("Content-Encoding")
    if value and not _PASSED_ENCODINGS.issuperset(part.strip().lower() for part in value.split(",")):
        message = f"the server sent Content-Encoding {value!r} unasked; store the shard without it, or compressed with gzip or zstd"
        raise FetchError(message, url=wanted.url, offset=wanted.start)
