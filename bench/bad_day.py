"""What does bad weather cost? Resets, stalls, refusals and late answers, against the same bucket on a good day.

    python -m bench bad_day

20 MB/s for each of 16 connections, first bytes after 20 ms. On the bad day 1 % of the requests are reset at a random byte, 0.5 %
stall there, 0.5 % are refused with 503, and first bytes come late: 20 ms at the median, 2 s for one in a hundred. All samples
have to be there in the end, each once. Bytes are counted by the server, as it hands them to the kernel.

webdataset fetches with curl, one request a shard, so it meets few faults; a connection that stalls keeps it for ever, so it is
ended after a minute and what it has read by then is counted.
"""

from __future__ import annotations

import json
import signal
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import Any

from asyncwds.testing import BAD_DAY, GOOD_DAY
from bench import data, peers
from bench.harness import Answer, Contender, Question, Size, Target, World
from bench.tally import Tally

CONNECTIONS = 16
RATE = 20e6  # [bytes/s] of each connection
PASSES = 4  # over the shards
LIMIT = 60  # [s] for webdataset


@contextmanager
def prepare(size: Size) -> Iterator[World]:
    count, samples = (16, 600) if size == "full" else (2, 40)
    with ExitStack() as stack:
        files = stack.enter_context(data.shards(count, samples=samples, size=110_000))
        days = {
            name: stack.enter_context(data.served(files, connections=CONNECTIONS, rate=RATE, weather=weather))
            for name, weather in (("good", GOOD_DAY), ("bad", {**BAD_DAY, "seed": 1}))
        }
        yield {"samples": files["samples"] * PASSES, "bytes": files["bytes"] * PASSES, **days}


def counted(server: str) -> dict[str, Any]:
    with urllib.request.urlopen(server + "__counters__") as answer:
        found: dict[str, Any] = json.load(answer)
    return found


@contextmanager
def watched(server: str, tally: Tally) -> Iterator[None]:
    """What the server sent meanwhile."""
    before = counted(server)
    yield
    after = counted(server)
    tally.sent, tally.requests = after["bytes_sent"] - before["bytes_sent"], after["requests"] - before["requests"]


def read(day: str, world: World, tally: Tally) -> None:
    with watched(world[day]["server"], tally):
        peers.read({**world[day], "urls": world[day]["urls"] * PASSES}, tally)


class LateError(Exception):
    """The time is over."""


def read_webdataset(world: World, tally: Tally) -> None:
    def stop(*_: object) -> None:
        raise LateError

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(LIMIT)
    with watched(world["bad"]["server"], tally), suppress(LateError):
        peers.read_webdataset({**world["bad"], "urls": world["bad"]["urls"] * PASSES}, tally)
    signal.alarm(0)


def ratio(answer: Answer) -> float:
    return answer["asyncwds, bad day"].mb_per_second / answer["asyncwds, good day"].mb_per_second


NEEDS = ["asyncwds:WebDataset", "asyncwds.storage.stores.fetcher"]
QUESTION = Question(
    prepare=prepare,
    contenders={
        "asyncwds, good day": Contender(partial(read, "good"), needs=NEEDS),
        "asyncwds, bad day": Contender(partial(read, "bad"), needs=NEEDS),
        "webdataset, bad day": Contender(read_webdataset, needs=["webdataset"], group=""),
    },
    columns=["seconds", "mb_per_second", "lost", "extra_bytes", "requests"],
    targets=[
        Target("MB/s over the good day", ratio, at_least=0.7),
        Target("samples lost", lambda a: a["asyncwds, bad day"].lost, at_most=0),
        Target("extra bytes", lambda a: a["asyncwds, bad day"].extra_bytes, at_most=0.03),
    ],
)
