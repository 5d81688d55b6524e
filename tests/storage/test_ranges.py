"""What a range request says and what its answer means: plain functions, no server."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from asyncwds.errors import ChangedError, FetchError, WdsError
from asyncwds.storage import Answer, ObjectRange
from asyncwds.storage.ranges import check_answer, check_unsatisfied, range_headers

URL = "http://host/a.tar"


def asked(start: int = 100, stop: int | None = 200, identity: str | None = None) -> ObjectRange:
    return ObjectRange(URL, start, stop, identity)


@pytest.mark.parametrize(
    ("start", "stop", "header"),
    [(0, None, "bytes=0-"), (0, 1, "bytes=0-0"), (5, 10, "bytes=5-9"), (5, None, "bytes=5-"), (5, 5, "bytes=5-5")],
)
def test_the_range_header(start: int, stop: int | None, header: str) -> None:
    assert range_headers(asked(start, stop)) == {"Range": header, "Accept-Encoding": "identity"}


@pytest.mark.parametrize(
    ("identity", "sent"),
    [('"abc"', '"abc"'), ('W/"abc"', None), ("Wed, 21 Oct 2015 07:28:00 GMT", None), (None, None)],
)
def test_only_a_strong_etag_is_sent(identity: str | None, sent: str | None) -> None:
    assert range_headers(asked(identity=identity)).get("If-Match") == sent


def headers(**values: str | None) -> CIMultiDict[str]:
    return CIMultiDict({name.replace("_", "-"): value for name, value in values.items() if value is not None})


@pytest.mark.parametrize(
    ("question", "content_range", "total", "end"),
    [
        (asked(), "bytes 100-199/1000", 1000, 200),
        (asked(), "Bytes 100-199/1000", 1000, 200),
        (asked(), "bytes 100-149/150", 150, 150),
        (asked(), "bytes 100-149/1000", 1000, 200),  # a part of the range only: the body is short
        (asked(), "bytes 100-999/1000", 1000, 200),  # more than the range: the surplus is cut off
        (asked(), "bytes 100-199/*", None, 200),
        (asked(), "bytes 100-149/*", None, 150),
        (asked(stop=None), "bytes 100-999/1000", 1000, 1000),
        (asked(stop=None), "bytes 100-999/*", None, 1000),
        (asked(stop=5000), "bytes 100-999/1000", 1000, 1000),
    ],
)
@pytest.mark.parametrize("status", [200, 206])
def test_ranges(question: ObjectRange, content_range: str, total: int | None, end: int, status: int) -> None:
    promise = check_answer(question, status, headers(Content_Range=content_range, ETag='"e"'))
    assert promise == (Answer(100, total, '"e"', ranged=True), end)


@pytest.mark.parametrize("question", [asked(), asked(stop=None), asked(0, 0)])
@pytest.mark.parametrize(("length", "total"), [("1000", 1000), ("150", 150), ("0", 0), (None, None)])
def test_without_ranges_it_is_the_whole_object(question: ObjectRange, length: str | None, total: int | None) -> None:
    assert check_answer(question, 200, headers(Content_Length=length)) == (Answer(0, total, None, ranged=False), total)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "bytes",
        "bytes 100-199",
        "bytes 100-99/1000",
        "bytes 100-1000/1000",
        "lines 100-199/1000",
        "bytes */1000",
        "bytes -5-9/10",
    ],
)
def test_senseless_ranges_may_be_asked_for_again(value: str) -> None:
    with pytest.raises(FetchError, match="Content-Range") as caught:
        check_answer(asked(), 206, headers(Content_Range=value))
    assert (caught.value.retryable, caught.value.url, caught.value.offset) == (True, URL, 100)


@given(st.text(), st.integers(0, 10**30), st.sampled_from([200, 206]))
def test_any_header_gives_an_answer_or_our_error(value: str, start: int, status: int) -> None:
    try:
        promise = check_answer(asked(start, None), status, headers(Content_Range=value))
    except WdsError:
        return
    assert promise.answer.start == start


@pytest.mark.parametrize(
    ("known", "now", "same"),
    [
        ('"a"', '"a"', True),
        ('W/"a"', '"a"', True),
        ('"a"', 'W/"a"', True),
        ('"a"', '"b"', False),
        ('"a"', None, False),
        (None, '"b"', True),
    ],
)
def test_identities(known: str | None, now: str | None, same: bool) -> None:
    answer = headers(Content_Range="bytes 100-199/1000", ETag=now)
    if same:
        assert check_answer(asked(identity=known), 206, answer).answer.identity == now
    else:
        with pytest.raises(ChangedError):
            check_answer(asked(identity=known), 206, answer)


def test_the_date_stands_in_for_an_etag() -> None:
    date = "Wed, 21 Oct 2015 07:28:00 GMT"
    answer = headers(Content_Range="bytes 100-199/1000", Last_Modified=date)
    assert check_answer(asked(), 206, answer).answer.identity == date
    both = headers(Content_Range="bytes 100-199/1000", Last_Modified=date, ETag='"e"')
    assert check_answer(asked(), 206, both).answer.identity == '"e"'


@pytest.mark.parametrize(
    ("start", "content_range", "page", "total"),
    [
        (0, "bytes */0", b"", 0),
        (0, None, b"", 0),
        (100, "bytes */100", b"", 100),
        (100, "bytes */7", b"", 7),
        (100, None, b"<Error><Code>InvalidRange</Code><ActualObjectSize>50</ActualObjectSize></Error>", 50),
    ],
)
def test_nothing_from_the_end_on(start: int, content_range: str | None, page: bytes, total: int) -> None:
    promise = check_unsatisfied(asked(start, None), headers(Content_Range=content_range), page)
    assert promise == (Answer(start, total, None, ranged=True), start)


@pytest.mark.parametrize("content_range", ["bytes */101", None])
def test_416_where_there_should_be_bytes(content_range: str | None) -> None:
    with pytest.raises(FetchError) as caught:
        check_unsatisfied(asked(), headers(Content_Range=content_range), b"")
    assert (caught.value.status, caught.value.retryable) == (416, False)


def test_416_of_another_object() -> None:
    with pytest.raises(ChangedError):
        check_unsatisfied(asked(identity='"a"'), headers(Content_Range="bytes */50", ETag='"b"'), b"")
