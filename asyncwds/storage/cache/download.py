"""One body of an object that the cache does not have whole: bytes that are there from the file, the others from the source.

At each position one of three things is the case:

    the byte is there             read on from the file
    nobody fetches it             lock what is missing from here on, and fetch that: hand it on and write it at once
    somebody else fetches it      look again in a moment; after `patience` [s] without news, fetch it all the same

A source without ranges is read by one task into the file, whatever the consumer's pace, and all bodies follow it there:
a consumer that pauses must not hold up the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Protocol

from asyncwds.errors import CacheError, ChangedError, ChecksumError, ShortBodyError, redact
from asyncwds.runtime.counters import Counters
from asyncwds.runtime.event_loop import run_to_completion
from asyncwds.storage.base import Answer, Body, Chunk, Fetcher, ObjectRange, crop
from asyncwds.storage.cache.download_files import boot
from asyncwds.storage.cache.journal import Header, Intervals
from asyncwds.storage.cache.locks import Claim
from asyncwds.storage.cache.names import url_hash
from asyncwds.storage.cache.partial_file import END, HEADER, LOOK, Partial, PartialWriter

_TRY = 0.1  # [s] between two tries to lock what others fetch: they may have died


class Failed(Protocol):
    """Is told of an error of the cache that does the reader no harm; a lasting one will come again."""

    def __call__(self, error: CacheError, *, lasting: bool = True) -> None: ...


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all downloads share. `is_confirmed` asks the source whether a header is that of a URL."""

    source: Fetcher
    counters: Counters
    patience: float
    is_confirmed: Callable[[str, Header], Awaitable[bool]]
    failed: Failed


@dataclass(slots=True)
class Download:
    """`partial` is open until `stack` is left."""

    around: Surroundings
    partial: Partial
    wanted: ObjectRange
    buffer: memoryview | None
    stack: AsyncExitStack
    _opened: Body | None = None  # the source's answer, where this had to ask for it
    _claimed: Claim | None = None  # its bytes
    _filling: asyncio.Task[None] | None = None
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _deadline: float = 0.0  # when others count as stalled

    async def begin(self) -> Answer | None:
        """What the source says, or said to others. None if this body has to come from the source without the cache."""
        self._progress()
        while (header := self.partial.header) is None:
            if (claim := await self.partial.claim(HEADER, HEADER + 1)) is not None:
                try:
                    if not self.partial.is_begun:
                        return await self._ask()
                finally:
                    await self.partial.release(claim)
            elif not await self._wait(lambda: self.partial.is_begun):
                return None
        wanted = self.wanted
        if wanted.identity not in (None, header.identity):
            return None
        if header.url_hash != url_hash(wanted.url) and not await self.around.is_confirmed(wanted.url, header):
            return None  # another object that the user gave the same name
        return Answer(wanted.start if header.ranged else 0, header.total, header.identity, header.ranged, checksum=header.checksum)

    async def _ask(self) -> Answer:
        wanted = self.wanted
        self._opened = await self.stack.enter_async_context(self._open(wanted.start, wanted.stop, wanted.identity))
        answer = self._opened.answer
        checksum = answer.checksum if answer.checksum_is_sure else None  # that of a range would be told as that of the whole
        if _can_be_kept(answer):
            header = Header(
                redact(wanted.url), url_hash(wanted.url), answer.total, answer.identity, answer.ranged, boot(), checksum
            )
            try:
                await self._keep(answer.start, header)
            except CacheError as error:
                self.around.failed(error)
        return replace(answer, checksum=checksum)

    async def _keep(self, start: int, header: Header) -> None:
        self.stack.push_async_callback(self._release_unused)
        # Before the header: whoever has seen that takes what is free.
        self._claimed = await self.partial.claim(start, self._end(header))
        begun = False
        try:
            begun = await self.partial.begin(header)
        finally:
            if not begun:
                await self._release_unused()
        if not begun:
            self._has_no_room(header.total)

    def _has_no_room(self, size: int | None) -> None:
        # That other downloads take all the room now is no failure: their shards may make way for this one the next time.
        if size is not None and self.partial.is_too_large(size):
            self.around.failed(CacheError(f"there is no room for {size} bytes", url=self.wanted.url), lasting=False)

    async def _release_unused(self) -> None:
        claimed, self._claimed = self._claimed, None
        if claimed is not None:
            await self.partial.release(claimed)

    async def chunks(self, answer: Answer) -> AsyncGenerator[Chunk, None]:
        """The body's bytes, from `answer.start` on."""
        position = answer.start
        if self._opened is None or self._claimed is not None:
            pieces = self._read_from(position) if answer.ranged else self._stream_from_start()
            try:
                async with aclosing(pieces):
                    async for chunk in pieces:
                        position += len(chunk)
                        yield chunk
            except CacheError as error:
                self.around.failed(error)
            else:
                return
            self._opened = await self.stack.enter_async_context(self._open(position, self.wanted.stop, answer.identity))
        async with aclosing(crop(self._opened, position, self.wanted.stop if answer.ranged else None)) as rest:
            async for chunk in rest:
                yield chunk

    async def _read_from(self, position: int) -> AsyncGenerator[Chunk, None]:
        stop = self._end(self._header)
        self._progress()
        while position < stop:
            if (ready := self._complete.end_of(position)) > position:
                pieces = self._read(position, min(ready, stop))
            elif (claim := await self._next_claim(position, stop)) is not None:
                pieces = self._fetch_claim(claim)
            else:
                continue
            async with aclosing(pieces):
                async for chunk in pieces:
                    position += len(chunk)
                    yield chunk
            self._progress()

    async def _next_claim(self, position: int, stop: int) -> Claim | None:
        """What this has to fetch from `position` on; None if the byte is there, or somebody else may still be at it."""
        claimed, self._claimed = self._claimed, None
        claimed = claimed or await self.partial.claim(position, stop)
        if claimed is not None or await self._wait(lambda: self._complete.end_of(position) > position):
            return claimed
        return Claim(position, self._complete.next_start(position, stop), position)  # without a lock

    async def _wait(self, has_come: Callable[[], bool]) -> bool:
        """For what others fetch; for so long that it is time to see whether they still do. False if nothing came for too long."""
        clock = asyncio.get_running_loop().time
        until = clock() + _TRY
        while not has_come() and (now := clock()) < until:
            if now > self._deadline:
                return False
            await asyncio.sleep(LOOK)
            await self.partial.look()
        return True

    def _progress(self) -> None:
        self._deadline = asyncio.get_running_loop().time() + self.around.patience

    async def _read(self, position: int, stop: int) -> AsyncGenerator[Chunk, None]:
        while position < stop:
            chunk = await self.partial.read(position, stop)
            position += len(chunk)
            if self._filling is None:  # else its bytes were counted when they came
                self.around.counters.bytes += len(chunk)
                self.around.counters.local += len(chunk)
                self.around.counters.cached += len(chunk)
            yield chunk

    async def _fetch_claim(self, claim: Claim) -> AsyncGenerator[Chunk, None]:
        """Bytes from the source, which are written on the way."""
        writer: PartialWriter | None = PartialWriter(self.partial, claim.start)
        try:
            async with (
                self._source(claim.start, claim.stop) as body,
                aclosing(crop(body, claim.start, claim.stop)) as chunks,
            ):
                async for received in chunks:
                    chunk = received[: claim.stop - claim.position]  # another body may have taken the rest meanwhile
                    claim.position += len(chunk)
                    if chunk and writer is not None and not await self._try_to_record(writer.add(chunk)):
                        writer = None
                    if chunk:
                        yield chunk
                    if claim.position >= claim.stop:
                        return
            raise ShortBodyError("the source's body ended early", url=self.wanted.url, offset=claim.position)
        finally:
            await run_to_completion(self._finish(writer, claim))  # or what came would be fetched again, and the claim never free

    async def _finish(self, writer: PartialWriter | None, claim: Claim) -> None:
        if writer is not None:
            await self._try_to_record(writer.finish())
        await self._try_to_record(self.partial.release(claim))

    async def _try_to_record(self, step: Coroutine[None, None, None]) -> bool:
        try:
            await step
        except CacheError as error:
            self.around.failed(error)
            return False
        return True

    async def _stream_from_start(self) -> AsyncGenerator[Chunk, None]:
        position = 0
        self._progress()
        while position < self._end(self._header):
            if (ready := self._complete.end_of(position)) > position:
                async with aclosing(self._read(position, ready)) as pieces:
                    async for chunk in pieces:
                        position += len(chunk)
                        yield chunk
                self._progress()
            elif self._filling is not None:
                await self._wait_for_news(self._filling)
            elif (claim := await self._next_claim(position, END)) is not None:
                self._filling = asyncio.create_task(self._fill(claim))
                self.stack.push_async_callback(_end_task, self._filling)

    async def _wait_for_news(self, filling: asyncio.Task[None]) -> None:
        if filling.done():
            self._filling = None
            filling.result()
        else:
            self._news.clear()
            await self._news.wait()

    async def _fill(self, claim: Claim) -> None:
        """Reads a source without ranges to its end; what comes before the claim is there already."""
        try:
            async with self._source(claim.start, None) as body, aclosing(crop(body, claim.start, None)) as chunks:
                async for chunk in chunks:
                    # One at a time: they are large, and whoever follows waits for each.
                    await self.partial.write(claim.position, [chunk])
                    claim.position += len(chunk)
                    self._news.set()
            if not await self.partial.ends_at(claim.position):
                self._has_no_room(claim.position)
        finally:
            await self.partial.release(claim)
            self._news.set()

    @asynccontextmanager
    async def _source(self, start: int, stop: int | None) -> AsyncGenerator[Body, None]:
        """The body that is open already, or a new one of the same object."""
        opened, self._opened = self._opened, None
        opening = self._open(start, stop, self._header.identity) if opened is None else nullcontext(opened)
        try:
            async with opening as body:
                self._check(body.answer, self._header)
                yield body
        except (ChangedError, ChecksumError):
            await self.partial.discard()  # or nobody could read it again, or somebody could read what is damaged
            raise

    def _check(self, answer: Answer, header: Header) -> None:
        if None not in (answer.total, header.total) and answer.total != header.total:
            message = f"the object had {header.total} bytes and has {answer.total} now"
            raise ChangedError(message, url=self.wanted.url, offset=answer.start)

    def _open(self, start: int, stop: int | None, identity: str | None) -> AbstractAsyncContextManager[Body]:
        lent = self.buffer if start >= self.wanted.start else None
        buffer = None if lent is None else lent[start - self.wanted.start :]
        return self.around.source.open(ObjectRange(self.wanted.url, start, stop, identity), buffer=buffer)

    @property
    def _header(self) -> Header:
        header = self.partial.header
        assert header is not None
        return header

    @property
    def _complete(self) -> Intervals:
        return self.partial.journal.complete

    def _end(self, header: Header) -> int:
        """Where this body ends; END while that is not known."""
        stop = self.wanted.stop if header.ranged else None
        return min(END if header.total is None else header.total, END if stop is None else stop)


def _can_be_kept(answer: Answer) -> bool:
    """Not empty objects, and no ranges of one whose size is unknown."""
    if not answer.ranged:
        return answer.total != 0
    return answer.total is not None and answer.start < answer.total


async def _end_task(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.exception()  # was raised where the bytes were missing, if anybody waited for them
