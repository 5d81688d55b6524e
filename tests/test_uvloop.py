"""The same streams on uvloop: the user's loop, and the engine's own."""

from __future__ import annotations

import asyncio

import pytest
import uvloop

from asyncwds import Prefetch, WebDataset, open_samples
from asyncwds.testing import Fault, FaultServer, leaks, make_samples, make_shard

SAMPLES = list(make_samples(50, size=3000))
KEYS = [sample["__key__"] for sample in SAMPLES]


@pytest.fixture
def url():
    with FaultServer({"a.tar": make_shard(SAMPLES)}, faults=[Fault(cut_at=5000, every=3)]) as server:
        yield server.url("a.tar")


def run(coroutine):
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(coroutine)


@pytest.fixture(autouse=True)
def _uvloop_has_run() -> None:
    """Its first loop in a process opens a pipe for signals that stays."""
    run(asyncio.sleep(0))


def test_fault_38_the_engine_on_the_users_uvloop(url):
    async def consume() -> list[str]:
        async with open_samples(url, prefetch=Prefetch(part_bytes=20_000)) as samples:
            return [sample["__key__"] async for sample in samples]

    with leaks():
        assert run(consume()) == KEYS


def test_fault_38_async_for_on_the_users_uvloop(url):
    async def consume() -> list[str]:
        return [sample["__key__"] async for sample in WebDataset(url)]

    with leaks():
        assert run(consume()) == KEYS


def test_fault_38_the_engines_own_loop_is_uvloop_where_asked_for(url):
    with leaks():
        assert [sample["__key__"] for sample in WebDataset(url, prefetch=Prefetch(uvloop=True))] == KEYS
        for _ in WebDataset(url, prefetch=Prefetch(uvloop=True)):
            break
