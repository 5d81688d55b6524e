from __future__ import annotations

import asyncio

import pytest

from asyncwds.runtime import run_to_completion


async def test_what_was_begun_is_closed_whatever_comes_meanwhile() -> None:
    steps: list[int] = []

    async def closing() -> None:
        for step in range(5):
            await asyncio.sleep(0.01)
            steps.append(step)

    task = asyncio.create_task(run_to_completion(closing()))
    for _ in range(3):
        await asyncio.sleep(0.01)
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert steps == [0, 1, 2, 3, 4]


async def test_its_errors_are_raised() -> None:
    async def closing() -> None:
        await asyncio.sleep(0)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await run_to_completion(closing())
