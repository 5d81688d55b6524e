"""`Retrying` around a fetcher that fails by plan."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncwds import Retry
from asyncwds.errors import AccessError, ChangedError, FetchError, ShortBodyError, ThrottledError
from asyncwds.runtime import Counters
from asyncwds.storage import Answer, ObjectRange, Retrying
from asyncwds.testing import read

DATA = random.Random(1).randbytes(1000)
RETRY = Retry(tries=3, backoff=0.1, backoff_max=1.0, retry_after_max=5.0, stall_bytes=1)
PASSING = FetchError("passing", retryable=True)


@dataclass(frozen=True)
class Turn:
    """How one `open` goes: refused, or broken when `breaks_at` bytes of its body were given (None: a good body)."""

    refused: FetchError | None = None
    breaks_at: int | None = None
    error: FetchError = PASSING
    ranged: bool = True
    total: int | None = len(DATA)
    data: bytes = DATA
    chunk: int = 100


class Flaky:
    """A fetcher with one turn after another, then good ones; knows what it was asked for and what it has open."""

    def __init__(self, *turns: Turn, then: Turn | None = None) -> None:
        self._turns = list(turns)
        self._then = then or Turn()
        self.asked: list[tuple[int, int | None, str | None]] = []
        self.open_now = 0
        self.closed = False

    @asynccontextmanager
    async def open(self, wanted: ObjectRange, *, buffer: memoryview | None = None) -> AsyncIterator["FlakyBody"]:
        assert wanted.url == "u"
        self.asked.append((wanted.start, wanted.stop, wanted.identity))
        turn = self._turns.pop(0) if self._turns else self._then
        if turn.refused is not None:
            raise turn.refused
        assert self.open_now == 0, "the body that broke is still open"
        self.open_now += 1
        try:
            begin = wanted.start if turn.ranged else 0
            data = turn.data[begin : wanted.stop if turn.ranged else None]
            yield FlakyBody(Answer(begin, turn.total, "id", turn.ranged), data, turn, buffer if turn.ranged else None)
        finally:
            self.open_now -= 1

    async def aclose(self) -> None:
        self.closed = True


@dataclass
class FlakyBody:
    answer: Answer
    data: bytes
    turn: Turn
    buffer: memoryview | None

    async def __aiter__(self) -> AsyncIterator[bytes | memoryview]:
        end = len(self.data) if self.turn.breaks_at is None else min(self.turn.breaks_at, len(self.data))
        for start in range(0, end, self.turn.chunk):
            chunk = self.data[start : min(start + self.turn.chunk, end)]
            if self.buffer is None:
                yield chunk
            else:
                self.buffer[start : start + len(chunk)] = chunk
                yield self.buffer[start : start + len(chunk)]
        if self.turn.breaks_at is not None:
            raise self.turn.error


class Naps(list[float]):
    """Pauses that are over at once, on a clock of their own."""

    async def __call__(self, seconds: float) -> None:
        self.append(seconds)

    def now(self) -> float:
        return sum(self)


async def fetch(
    flaky: Flaky, start: int = 0, stop: int | None = None, identity: str | None = None, *, retry: Retry = RETRY
) -> tuple[Answer, bytes, Counters, Naps]:
    counters, naps = Counters(), Naps()
    retrying = Retrying(flaky, retry, counters, sleep=naps, now=naps.now)
    try:
        answer, data = await read(retrying, "u", start, stop, identity, lent=len(DATA))
    finally:
        assert flaky.open_now == 0
    assert counters.retries == len(naps)
    return answer, data, counters, naps


async def test_what_is_good_is_asked_for_once() -> None:
    flaky = Flaky()
    answer, data, _, naps = await fetch(flaky, 5, 500, "id")
    assert (answer, data, naps) == (Answer(5, 1000, "id", ranged=True), DATA[5:500], [])
    assert flaky.asked == [(5, 500, "id")]


async def test_a_broken_body_goes_on_where_it_broke_pinned_to_what_it_was() -> None:
    flaky = Flaky(Turn(breaks_at=150), Turn(breaks_at=150), Turn(refused=PASSING))
    _, data, _, _ = await fetch(flaky, 100)
    assert data == DATA[100:]
    assert flaky.asked == [(100, None, None), (250, None, "id"), (400, None, "id"), (400, None, "id")]


async def test_pauses_are_random_below_a_bound_that_doubles() -> None:
    flaky = Flaky(then=Turn(refused=PASSING))
    bounds = [0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0]
    runs = []
    for _ in range(20):
        counters, naps = Counters(), Naps()
        with pytest.raises(FetchError) as caught:
            retry = Retry(tries=8, backoff=0.1, backoff_max=1.0)
            await read(Retrying(flaky, retry, counters, sleep=naps, now=naps.now), "u")
        assert caught.value.attempts == 8
        assert len(naps) == counters.retries == 7
        runs.append(naps)
    for bound, pauses in zip(bounds, zip(*runs, strict=True), strict=True):
        assert all(0 <= pause <= bound for pause in pauses)
        assert max(pauses) - min(pauses) > bound / 4  # 20 of them all in a quarter of the range: never


@pytest.mark.parametrize(("asked", "least"), [(None, 0.0), (0.0, 0.0), (3.0, 3.0), (120.0, 5.0), (1e300, 5.0)])
async def test_retry_after_comes_before_the_jitter_and_has_a_cap(asked: float | None, least: float) -> None:
    flaky = Flaky(Turn(refused=ThrottledError("slow down", retryable=True, retry_after=asked)))
    _, data, _, naps = await fetch(flaky)
    assert data == DATA
    assert least <= naps[0] <= least + 0.1


async def test_it_gives_up_after_so_many_tries_without_a_byte() -> None:
    flaky = Flaky(Turn(breaks_at=100), then=Turn(breaks_at=0))
    with pytest.raises(FetchError, match="passing") as caught:
        await fetch(flaky)
    assert caught.value.attempts == RETRY.tries
    assert len(flaky.asked) == 1 + RETRY.tries


@pytest.mark.parametrize("tries", [1, 2, 8])
async def test_a_body_that_brings_enough_each_time_is_followed_to_its_end(tries: int) -> None:
    flaky = Flaky(then=Turn(breaks_at=1))
    _, data, counters, _ = await fetch(flaky, 900, retry=replace(RETRY, tries=tries))
    assert data == DATA[900:]
    assert counters.retries == 99  # the break after the last byte needs none


async def test_fault_11_a_byte_in_each_answer_is_no_progress() -> None:
    counters, naps = Counters(), Naps()
    retry = replace(RETRY, tries=5, stall_bytes=100)
    retrying = Retrying(Flaky(then=Turn(breaks_at=1)), retry, counters, sleep=naps, now=naps.now)
    with pytest.raises(FetchError) as caught:
        await read(retrying, "u")
    assert (caught.value.attempts, counters.retries) == (5, 4)


@pytest.mark.parametrize("turns", [[Turn(refused=AccessError("no"))], [Turn(breaks_at=0, error=AccessError("no"))]])
async def test_what_will_not_pass_is_not_tried_again(turns: list[Turn]) -> None:
    flaky = Flaky(*turns)
    with pytest.raises(AccessError) as caught:
        await fetch(flaky)
    assert (caught.value.attempts, len(flaky.asked)) == (1, 1)


@pytest.mark.parametrize("turn", [Turn(refused=PASSING), Turn(breaks_at=0)])
async def test_one_try_is_one_request(turn: Turn) -> None:
    flaky = Flaky(turn)
    with pytest.raises(FetchError):
        await fetch(flaky, retry=Retry(tries=1))
    assert len(flaky.asked) == 1


async def test_without_ranges_what_was_delivered_is_dropped() -> None:
    flaky = Flaky(Turn(ranged=False, breaks_at=150), Turn(ranged=False, breaks_at=120), then=Turn(ranged=False, chunk=1000))
    answer, data, counters, _ = await fetch(flaky, 100, 500)
    assert (answer.start, answer.ranged, data) == (0, False, DATA)
    assert flaky.asked == [(100, 500, None), (150, None, "id"), (150, None, "id")]
    assert counters.retries == 2


async def test_another_size_is_another_object() -> None:
    with pytest.raises(ChangedError, match="from 1000 to 1001 bytes") as caught:
        await fetch(Flaky(Turn(breaks_at=100), then=Turn(total=1001)))
    assert (caught.value.offset, caught.value.url) == (100, "u")


async def test_an_unknown_size_is_no_other_size() -> None:
    assert (await fetch(Flaky(Turn(breaks_at=100), then=Turn(total=None))))[1] == DATA


async def test_a_stream_that_is_shorter_the_second_time_is_short() -> None:
    short = Turn(ranged=False, total=None, data=DATA[:50])
    with pytest.raises(ShortBodyError, match="50 bytes before what was read") as caught:
        await fetch(Flaky(Turn(ranged=False, total=None, breaks_at=100), then=short))
    assert caught.value.attempts == RETRY.tries


async def test_a_source_that_goes_on_beyond_the_break_is_refused() -> None:
    class Skipping(Flaky):
        def open(self, wanted: ObjectRange, *, buffer: memoryview | None = None):
            return super().open(replace(wanted, start=wanted.start + 10 if wanted.start else 0), buffer=buffer)

    with pytest.raises(FetchError, match="went on at byte 110") as caught:
        await fetch(Skipping(Turn(breaks_at=100)))
    assert not caught.value.retryable


@pytest.mark.parametrize(("stop", "total"), [(None, 1000), (700, 1000), (700, None)])
async def test_a_break_after_the_last_byte_is_no_break(stop: int | None, total: int | None) -> None:
    flaky = Flaky(Turn(breaks_at=5000, total=total))
    assert (await fetch(flaky, 0, stop))[1] == DATA[:stop]
    assert len(flaky.asked) == 1


@pytest.mark.parametrize("turn", [Turn(refused=PASSING), Turn(breaks_at=100)])
async def test_fault_37_cancelled_in_a_pause_it_leaves_nothing(turn: Turn) -> None:
    pausing = asyncio.Event()

    async def sleep(_: float) -> None:
        pausing.set()
        await asyncio.Event().wait()

    flaky = Flaky(turn)
    task = asyncio.create_task(read(Retrying(flaky, RETRY, Counters(), sleep=sleep), "u"))
    await pausing.wait()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert flaky.open_now == 0


async def test_errors_of_the_consumer_pass_through() -> None:
    flaky = Flaky()
    with pytest.raises(ZeroDivisionError):
        async with Retrying(flaky, RETRY, Counters()).open(ObjectRange("u")):
            1 / 0  # noqa: B018
    assert (flaky.open_now, len(flaky.asked)) == (0, 1)


async def test_closing_closes_what_is_inside() -> None:
    flaky = Flaky()
    await Retrying(flaky, RETRY, Counters()).aclose()
    assert flaky.closed


turns = st.builds(
    Turn,
    refused=st.sampled_from([None, None, None, PASSING]),
    breaks_at=st.none() | st.integers(0, 1200),
    ranged=st.booleans(),
    total=st.sampled_from([1000, None]),
    chunk=st.integers(1, 1100),
)


@given(st.lists(turns, max_size=6), st.integers(0, 1000), st.none() | st.integers(0, 1200))
def test_whatever_goes_wrong_the_bytes_are_right(plan: list[Turn], start: int, stop: int | None) -> None:
    if stop is not None:
        stop = max(start, stop)
    answer, data, _, _ = asyncio.run(fetch(Flaky(*plan), start, stop, retry=Retry(tries=10)))
    assert data == DATA[answer.start : stop if answer.ranged else None]


async def test_a_slow_start_is_logged_once(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asyncwds.storage.layers.patience.SLOW", 0.05)

    class Silent(Flaky):
        @asynccontextmanager
        async def open(self, *_: object, **__: object) -> AsyncIterator[FlakyBody]:
            await asyncio.Event().wait()
            yield FlakyBody(Answer(0, None, None, ranged=True), b"", Turn(), None)

    retrying = Retrying(Silent(), RETRY, Counters())
    opening = [asyncio.create_task(read(retrying, "https://data.example/a.tar")) for _ in range(3)]
    await asyncio.sleep(0.3)
    for task in opening:
        task.cancel()
    await asyncio.wait(opening)
    assert [record.getMessage() for record in caplog.records] == ["nothing has come from https://data.example yet, after 3 s"]
