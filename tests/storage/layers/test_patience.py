"""`Patience`: how long one waits for a host, how often it is asked meanwhile, and what is logged of that."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from asyncwds import Retry
from asyncwds.errors import FetchError, NotFoundError, SpecError, ThrottledError
from asyncwds.runtime import Counters
from asyncwds.storage.layers.patience import Patience, Streak, host_of

URL = "https://user:secret@data.example:8443/a.tar?sig=secret"
HOST = "https://***@data.example:8443"


def down(**advice) -> FetchError:
    return FetchError("no connection", url=URL, **{"retryable": True, **advice})


@dataclass
class Time:
    """A clock whose pauses are over at once."""

    now: float = 1000.0
    pauses: list[float] = field(default_factory=list)

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.pauses.append(seconds)
        await asyncio.sleep(0)

    def patience(self, counters: Counters | None = None, **retry) -> Patience:
        return Patience(Retry(**retry), counters or Counters(), self.sleep, lambda: self.now)


@dataclass
class Server:
    """Requests to it take `takes` [s] and fail with what `error` gives, until `back_at`."""

    time: Time
    back_at: float = float("inf")
    error: Callable[[], FetchError] = down
    takes: float = 0.0
    asked: list[float] = field(default_factory=list)

    async def __call__(self) -> str:
        self.asked.append(self.time.now)
        self.time.now += self.takes
        if self.time.now < self.back_at:
            raise self.error()
        return "answer"


async def test_it_lasts_for_some_minutes_by_default_with_pauses_of_seconds() -> None:
    time = Time()
    server = Server(time)
    with pytest.raises(FetchError, match=r"after \d+ attempts in 300 s") as caught:
        await time.patience().call(URL, server)
    assert caught.value.waited == pytest.approx(300)
    assert caught.value.attempts == len(server.asked)
    assert server.asked[-1] == pytest.approx(1300)  # the last attempt at the very end
    assert 2.0 < max(time.pauses) <= 5.0
    assert 60 < len(server.asked) < 300


@pytest.mark.parametrize(
    ("retry", "least", "most"),
    [
        ({"patience": 20.0}, 20.0, 20.0),
        ({"patience": 0.0}, 0.0, 0.0),
        ({"tries": 1}, 0.0, 0.0),
        ({"tries": 4, "backoff": 1.0}, 0.0, 7.0),
        ({"tries": 10_000, "patience": 20.0}, 20.0, 20.0),
        ({"patience": 20.0, "backoff": 0.0, "tries": 50}, 0.0, 0.0),
    ],
)
async def test_whatever_bound_is_reached_first_ends_it(retry: dict, least: float, most: float) -> None:
    time = Time()
    with pytest.raises(FetchError) as caught:
        await time.patience(**retry).call(URL, Server(time))
    assert least - 1e-6 <= time.now - 1000 <= most + 1e-6
    assert caught.value.attempts <= retry.get("tries", 1_000_000)


@pytest.mark.parametrize(("retry", "said"), [({"patience": -1}, "patience"), ({"tries": 0}, "tries")])
def test_bounds_that_make_no_sense_are_refused(retry: dict, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        Retry(**retry)


@pytest.mark.parametrize("away", [3.0, 30.0, 299.0])
async def test_who_comes_back_in_time_is_found(away: float) -> None:
    time = Time()
    server = Server(time, back_at=1000 + away)
    counters = Counters()
    assert await time.patience(counters).call(URL, server) == "answer"
    assert time.now <= 1000 + away + 5
    assert counters.retries == len(server.asked) - 1


async def test_time_without_requests_does_not_count() -> None:
    time = Time()
    patience = time.patience()
    for _ in range(5):
        assert await patience.call(URL, Server(time, back_at=time.now + 10)) == "answer"
        time.now += 1000
        with pytest.raises(NotFoundError):
            await patience.call(URL, Server(time, error=lambda: NotFoundError("no such object", url=URL)))
        time.now += 1000


async def test_a_failure_of_long_ago_does_not_count() -> None:
    time = Time()
    patience = time.patience()
    with pytest.raises(FetchError):
        await patience.call(URL, Server(time), limit=10)
    time.now += 1000
    began = time.now
    assert await patience.call(URL, Server(time, back_at=began + 60)) == "answer"


async def test_progress_begins_it_anew() -> None:
    time = Time()
    patience, streak = time.patience(patience=10), Streak()
    for _ in range(20):
        server = Server(time, back_at=time.now + 8)
        assert await patience.again(URL, server, down(), streak) == "answer"
        streak.progressed()
    assert time.now > 1100


async def test_a_body_that_brings_nothing_is_given_up_though_its_host_answers() -> None:
    time = Time()
    patience, streak = time.patience(patience=10), Streak()
    with pytest.raises(FetchError, match="in 10 s"):
        while True:
            await patience.again(URL, Server(time, back_at=0), down(), streak)
    assert time.now == pytest.approx(1010)


@pytest.mark.parametrize(("answered", "seconds"), [(False, 8.0), (True, 300.0)])
async def test_a_name_that_nobody_knows_is_waited_for_where_it_was_known_before(answered: bool, seconds: float) -> None:
    time = Time()
    patience = time.patience()
    if answered:
        await patience.call(URL, Server(time, back_at=0))
    with pytest.raises(FetchError):
        await patience.call(URL, Server(time, error=lambda: down(retry_for=8.0)))
    assert time.now - 1000 == pytest.approx(seconds)


async def test_answers_that_break_the_rules_of_http_are_asked_for_a_few_times_and_the_host_is_not_down() -> None:
    time = Time()
    patience = time.patience()
    server = Server(time, error=lambda: down(unsound=True))
    with pytest.raises(FetchError, match="after 6 attempts"):
        await patience.call(URL, server)
    assert await patience.call(URL, Server(time, back_at=0)) == "answer"
    assert len(time.pauses) == 5


async def test_a_host_that_is_given_up_is_asked_once_by_each_who_comes_later() -> None:
    time = Time()
    patience = time.patience(patience=60)
    for _ in range(2):
        with pytest.raises(FetchError):
            await patience.call(URL, Server(time))
    late = Server(time)
    began = time.now
    with pytest.raises(FetchError):
        await patience.call(URL, late)
    assert (len(late.asked), time.now) == (1, began)
    assert await patience.call("https://other.example/", Server(time, back_at=time.now + 30)) == "answer"


async def test_many_requests_do_not_all_knock() -> None:
    """32 that fail together, of a server that is away for half a second."""
    counters = Counters()
    patience = Patience(Retry(backoff=0.01, backoff_max=0.05), counters)
    loop = asyncio.get_running_loop()
    back_at = loop.time() + 0.5
    asked = 0

    async def request() -> float:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0)
        if loop.time() < back_at:
            raise down()
        return loop.time()

    waiting = [asyncio.create_task(patience.call(URL, request)) for _ in range(32)]
    await asyncio.sleep(0.2)
    assert counters.waiting_for == HOST
    assert "has not answered for" in counters.snapshot().summary()
    later = [asyncio.create_task(patience.call(URL, request)) for _ in range(32)]
    assert len(await asyncio.gather(*waiting, *later)) == 64
    assert counters.waiting_for is None
    # Each at first, those that were on their way again, one at a time, and each once more. Alone they would knock 600 times.
    assert asked < 250


async def test_a_request_that_hangs_does_not_keep_the_others_for_long() -> None:
    time = Time()
    patience = time.patience()
    with pytest.raises(FetchError):
        await patience.call(URL, Server(time), limit=1)
    asked = asyncio.Event()

    async def hangs() -> str:
        asked.set()
        await asyncio.Event().wait()
        return "never"

    first = asyncio.create_task(patience.first(URL, hangs))
    await asked.wait()
    time.now += 2.99
    second = asyncio.create_task(patience.first(URL, Server(time, back_at=0)))
    await asyncio.sleep(0.05)
    assert not second.done()
    time.now += 1
    assert await second == "answer"
    first.cancel()
    await asyncio.wait([first])


@dataclass
class Case:
    error: Callable[[], FetchError]
    seconds: float
    level: int
    said: str


CASES = {
    "a_failure": Case(down, 0.05, logging.INFO, "trying again in"),
    "an_outage": Case(down, 60.0, logging.WARNING, f"nothing from {HOST} for"),
    "its_end": Case(down, 60.0, logging.INFO, f"{HOST} answers again, after"),
    "throttling": Case(lambda: ThrottledError("slow down", retryable=True), 60.0, logging.WARNING, "asks for fewer requests"),
    "the_end_of_patience": Case(down, 1e9, logging.WARNING, "giving up: no connection"),
}


@pytest.mark.parametrize("name", CASES)
async def test_it_is_logged(name: str, caplog: pytest.LogCaptureFixture) -> None:
    case, time = CASES[name], Time()
    with caplog.at_level(logging.INFO, logger="asyncwds"):
        await settled(time.patience().call(URL, Server(time, back_at=1000 + case.seconds, error=case.error)))
    assert any(case.said in record.getMessage() and record.levelno == case.level for record in caplog.records)
    assert "secret" not in caplog.text


async def test_a_storm_of_failures_is_no_storm_of_lines(caplog: pytest.LogCaptureFixture) -> None:
    time = Time()
    patience = time.patience(backoff_max=0.01)
    with caplog.at_level(logging.INFO, logger="asyncwds"):
        servers = [Server(time, back_at=1120) for _ in range(32)]
        await asyncio.gather(*(patience.call(URL, server) for server in servers))
    assert sum(len(server.asked) for server in servers) > 1000
    assert len(caplog.records) < 40
    assert "more of this kind" in caplog.text


async def test_lines_hold_nothing_that_a_terminal_would_obey(caplog: pytest.LogCaptureFixture) -> None:
    time = Time()
    server = Server(time, error=lambda: ThrottledError("\x1b[31mred\nforged", retryable=True))
    with caplog.at_level(logging.INFO, logger="asyncwds"):
        await settled(time.patience().call("https://a\x1b.example/", server))
    assert caplog.records
    assert all(record.getMessage().isprintable() for record in caplog.records)


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://data.example/a/b.tar?x=1", "https://data.example"),
        (URL, HOST),
        ("s3://bucket/a.tar", "s3://bucket"),
        ("abfs://files@account.dfs.core.windows.net/a.tar", "abfs://files@account.dfs.core.windows.net"),
        ("http://[::1]:80/a.tar", "http://[::1]:80"),
    ],
)
def test_hosts(url: str, host: str) -> None:
    assert host_of(url) == host


async def settled(work: Awaitable) -> None:
    await asyncio.gather(work, return_exceptions=True)
