"""What every `Fetcher` must do, as checks: run them on your own with `check_fetcher`, or one test each over `CHECKS`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

from asyncwds.errors import ChangedError, FetchError, NotFoundError, WdsError
from asyncwds.storage.base import Answer, Fetcher, ObjectRange

Put = Callable[[str, bytes], str]
Check = Callable[[Fetcher, Put], Coroutine[None, None, None]]

DATA = bytes(range(256)) * 1000
"""What most checks read: no two ranges of one size look alike until 256 bytes on."""


async def read(
    fetcher: Fetcher, url: str, start: int = 0, stop: int | None = None, identity: str | None = None, *, lent: int = 0
) -> tuple[Answer, bytes]:
    """Opens a range and reads it to its end, into a buffer of `lent` [bytes] if the fetcher likes that."""
    buffer = memoryview(bytearray(lent)) if lent else None
    async with fetcher.open(ObjectRange(url, start, stop, identity), buffer=buffer) as body:
        chunks, position = [], 0
        async for chunk in body:
            assert len(chunk), "an empty chunk"
            if isinstance(chunk, memoryview):
                assert buffer is not None, "a chunk in memory that nobody lent"
                assert chunk == buffer[position : position + len(chunk)], "a chunk that is not at its place in the buffer"
            chunks.append(bytes(chunk))
            position += len(chunk)
        return body.answer, b"".join(chunks)


async def check_fetcher(make_fetcher: Callable[[], Fetcher], put: Put) -> None:
    """Runs all checks, each with a new fetcher. Raises AssertionError that names the check.

    `put(name, data)` stores or replaces an object and returns the URL under which the fetcher finds it.
    """
    for check in CHECKS:
        fetcher = make_fetcher()
        try:
            await check(fetcher, put)
        except (AssertionError, WdsError) as error:
            raise AssertionError(f"{check.__name__}: {error!r}") from error
        finally:
            await fetcher.aclose()


async def _refused(kind: type[WdsError], reading: Coroutine[None, None, object]) -> str | None:
    """URL that the expected error names."""
    try:
        await reading
    except kind as error:
        return error.url
    raise AssertionError(f"no {kind.__name__}")


async def whole_objects(fetcher: Fetcher, put: Put) -> None:
    answer, data = await read(fetcher, put("whole", DATA))
    assert data == DATA
    assert answer.start == 0
    assert answer.total in (len(DATA), None)


async def empty_objects(fetcher: Fetcher, put: Put) -> None:
    url = put("empty", b"")
    for stop in (None, 1000):
        answer, data = await read(fetcher, url, 0, stop)
        assert (answer.start, data) == (0, b"")
        assert answer.total in (0, None)


async def ranges(fetcher: Fetcher, put: Put) -> None:
    url, size = put("ranges", DATA), len(DATA)
    for start, stop in (
        (0, 1),
        (0, 1000),
        (1000, 1001),
        (777, 200_000),
        (size - 1, size),
        (0, size),
        (5, None),
        (1000, size + 1000),
    ):
        answer, data = await read(fetcher, url, start, stop)
        if answer.ranged:
            assert (answer.start, data) == (start, DATA[start:stop]), f"bytes {start} to {stop}"
        else:
            assert (answer.start, data) == (0, DATA), f"bytes {start} to {stop} of an object without ranges"
        assert answer.total in (size, None)


async def ranges_into_a_buffer(fetcher: Fetcher, put: Put) -> None:
    data = DATA * 20
    url = put("buffer", data)
    identity = (await read(fetcher, url, 0, 1))[0].identity
    places = [(number * 600_000, number * 600_000 + 700_000) for number in range(8)] + [(0, 1), (len(data) - 5, len(data) + 5)]
    readings = [read(fetcher, url, start, stop, identity, lent=stop - start) for start, stop in places]
    for (start, stop), (answer, found) in zip(places, await asyncio.gather(*readings), strict=True):
        assert found == (data[start:stop] if answer.ranged else data), f"bytes {start} to {stop}"


async def a_start_beyond_the_end(fetcher: Fetcher, put: Put) -> None:
    url = put("beyond", b"short")
    try:
        answer, data = await read(fetcher, url, 1000, 2000)
    except FetchError:
        return
    assert data == b"" or not answer.ranged


async def missing_objects(fetcher: Fetcher, put: Put) -> None:
    url = put("present", DATA).replace("present", "missing")
    assert await _refused(NotFoundError, read(fetcher, url)), "the error does not name the URL"


async def replaced_objects(fetcher: Fetcher, put: Put) -> None:
    url = put("replaced", DATA)
    identity = (await read(fetcher, url))[0].identity
    if identity is None:
        return
    answer, data = await read(fetcher, url, 10, 20, identity)
    assert (answer.identity, data) == (identity, DATA[10:20] if answer.ranged else DATA)
    put("replaced", DATA[1:] + b"other")
    assert await _refused(ChangedError, read(fetcher, url, 10, 20, identity)), "the error does not name the URL"
    assert (await read(fetcher, url))[1] == DATA[1:] + b"other"


async def many_at_once(fetcher: Fetcher, put: Put) -> None:
    url = put("many", DATA)
    places = [(number * 1000, number * 1000 + 5000) for number in range(16)]
    for (start, stop), (answer, data) in zip(
        places, await asyncio.gather(*(read(fetcher, url, *place) for place in places)), strict=True
    ):
        assert data == (DATA[start:stop] if answer.ranged else DATA)


async def bodies_left_early(fetcher: Fetcher, put: Put) -> None:
    url = put("early", DATA * 20)
    for _ in range(3):
        async with fetcher.open(ObjectRange(url)) as body:
            assert await anext(aiter(body))
        async with fetcher.open(ObjectRange(url)):
            pass
    assert (await read(fetcher, url))[1] == DATA * 20


async def cancelled_reads(fetcher: Fetcher, put: Put) -> None:
    url = put("cancelled", DATA * 20)
    for steps in range(24):
        task = asyncio.create_task(read(fetcher, url, 0, len(DATA) * 20, lent=len(DATA) * 20 * (steps % 2)))
        for _ in range(steps // 2):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled() or task.exception() is None, f"cancelled after {steps} turns of the loop: {task.exception()!r}"
    assert (await read(fetcher, url))[1] == DATA * 20


async def closing_twice(fetcher: Fetcher, put: Put) -> None:
    await read(fetcher, put("closing", DATA))
    await fetcher.aclose()
    await fetcher.aclose()


CHECKS: tuple[Check, ...] = (
    whole_objects,
    empty_objects,
    ranges,
    ranges_into_a_buffer,
    a_start_beyond_the_end,
    missing_objects,
    replaced_objects,
    many_at_once,
    bodies_left_early,
    cancelled_reads,
    closing_twice,
)
