"""Turns the bytes of one shard, as they come, into blocks of samples. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from asyncwds.compression.decompress import Decompressor
from asyncwds.engine.parts import ShardRun
from asyncwds.errors import TrailingBytesError, WdsError
from asyncwds.runtime.units import KiB
from asyncwds.samples import Sample
from asyncwds.settings.prefetch import MAX_HEADER_BYTES
from asyncwds.shards.shard import Shard
from asyncwds.storage.base import Chunk
from asyncwds.tar.context import Member, NoteEntry
from asyncwds.tar.grouping import Grouper, size_of
from asyncwds.tar.parser import TarParser
from asyncwds.tar.scanner import find_scanner

# [bytes] of small members that are parsed and grouped together, so that they are still in the processor's caches then: 5.1 us a
# sample of two members in Python, and 6.9 with 4 MiB at a time. The accelerator has no such lists between.
WINDOW = 256 * KiB


class Block(NamedTuple):
    """What crosses from the engine to a consumer: the samples that one chunk completed, then perhaps an error.

    `nbytes` [bytes] is what they hold, to within a chunk: a sample that came in many chunks counts with all its bytes. `error`
    comes after the samples and stands for what is missing behind them: one field of a sample (a SampleError, or an error of the
    user's), or the rest of the shard. It is data here: whoever consumes decides whether it ends the stream.
    """

    samples: list[Any]  # of `Sample`; of bytes where an object is read raw
    nbytes: int
    error: Exception | None = None
    turns: tuple[Any, ...] = ()  # of `Turn`: whose the samples are, for whoever wants to go on behind one of them


def _unlisted(url: str) -> None:  # noqa: ARG001 - where there is no manifest
    return None


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How members become samples: which are read, under which names, and how large they may be.

    `local_paths` adds `__local_path__` to samples of local shards. `raw` reads no tar: the samples are the chunks as they come.
    `whole_members` gives `RawSample`s, with members as they stand in the archive, in place of samples.
    `headers_only` gives fields the `Extent` of their bytes as values.
    `verify` compares an object with the checksum of the whole that its store keeps, as its bytes come; or with what `listed`
    gives for its url, if that is not None.
    `strict` leaves out samples whose key had been there before another one.
    `listing` is called with what each shard has that was read to its end.
    `members` is called with members before they become samples, `note` with headers that are not those of plain files.
    `inspect` makes the reader of a shard, in place of all this: what its blocks have comes out in place of samples.
    """

    max_member_bytes: int
    select: Callable[[str], bool] | None = None
    rename: Callable[[str], str] | None = None
    local_paths: bool = True
    raw: bool = False
    headers_only: bool = False
    whole_members: bool = False
    max_header_bytes: int = MAX_HEADER_BYTES
    verify: bool = True
    listed: Callable[[str], str | None] = _unlisted
    strict: bool = False
    listing: Callable[[ShardListing], object] | None = None
    members: Callable[[list[Member]], object] | None = None
    note: NoteEntry | None = None
    inspect: Callable[[ShardRun], Reader] | None = None

    def size_of(self, sample: Any) -> int:
        """Bytes of one item that the readers give out."""
        return int(sample.nbytes) if self.whole_members else size_of(sample)

    def reader(self, shard: Shard, total: int | None, local_path: str | None, start: tuple[int, int] = (0, 0)) -> Reader:
        return ChunkReader() if self.raw else ShardReader(shard, total, local_path if self.local_paths else None, self, start)


class ShardListing(NamedTuple):
    """All samples of a shard: key, ordinal, offset [bytes] of the first header, and of each field name and size [bytes].

    `payloads` are offsets [bytes] by that of the member's first header, where headers take more than a block.
    """

    url: str
    size: int | None
    identity: str | None
    payloads: dict[int, int]
    samples: list[tuple[str, int, int, tuple[tuple[str, int], ...]]]


class Reader(Protocol):
    """Takes the chunks of an object in order. `failed`: the rest of it cannot be read."""

    @property
    def failed(self) -> bool: ...

    @property
    def held(self) -> int:
        """Bytes kept of the chunks fed so far: of a sample that is not complete."""
        ...

    @property
    def repeated_keys(self) -> int:
        """Samples whose key had been there before another one."""
        ...

    @property
    def seekable(self) -> bool:
        """Whether what comes next can be read without what came before."""
        ...

    def feed(self, chunk: Chunk) -> Iterable[Block]:
        """Blocks completed by a chunk of the object; lazy, so that a small chunk that unpacks to much is never all in memory.

        A chunk that is a memoryview must stay as it is until its blocks are taken and `detach` is called.
        """
        ...

    def detach(self) -> None:
        """Copies what is still needed of the chunks fed so far."""
        ...

    def finish(self) -> Iterator[Block]:
        """What is left at the object's end, and an error if that came too early."""
        ...

    def abort(self, error: WdsError) -> Block:
        """What is left where the object ends early, with the error that ended it."""
        ...


class ChunkReader:
    """Passes the bytes of an object on."""

    repeated_keys = 0
    seekable = False

    def __init__(self) -> None:
        self.failed = False
        self.held = 0

    def feed(self, chunk: Chunk) -> Iterable[Block]:
        return (Block([bytes(chunk)], len(chunk)),)

    def detach(self) -> None:
        """Nothing of a chunk is kept."""

    def finish(self) -> Iterator[Block]:
        return iter(())

    def abort(self, error: WdsError) -> Block:
        self.failed = True
        return Block([], 0, error)


class ShardReader:
    """Decompresses, parses and groups one shard. `failed` is True once the rest of it cannot be read.

    `start` is the ordinal of the sample that comes first, and its offset [bytes], which is that of the first chunk too.
    """

    def __init__(
        self, shard: Shard, total: int | None, local_path: str | None, options: ReadOptions, start: tuple[int, int] = (0, 0)
    ) -> None:
        self.failed = False
        self.held = 0
        self._total = total
        self._shard = shard
        self._options = options
        ordinal, self._start = start
        self.payloads: dict[int, int] = {}  # as in a `ShardListing`, if there is to be one
        self._decompressor = Decompressor(shard.url)
        self._parser: TarParser | None = None
        self._grouper = Grouper(shard.url, shard.index, local_path=local_path, strict=options.strict, ordinal=ordinal)

    @property
    def repeated_keys(self) -> int:
        return self._grouper.repeated

    def feed(self, chunk: Chunk) -> Iterable[Block]:
        if self._parser is None or self._decompressor.compressed:
            return self._unpack(chunk)
        # The rule, without the generators of the exceptions: they cost 5 of 40 us a chunk.
        samples, nbytes = self._grouped(chunk, self._parser)
        if self._parser.error is None and not self._grouper.faults:
            return (Block(samples, nbytes),)
        return self._with_errors(samples, nbytes, self._parser)

    def _grouped(self, chunk: Chunk, parser: TarParser) -> tuple[list[Sample], int]:
        """The samples that a chunk completes, and how much of what was held and came they are, all but what is held now."""
        holes, begin = parser.holes, 0
        while parser.members_are_small and len(chunk) - begin > WINDOW:
            self._grouper.add(self._members(chunk[begin : begin + WINDOW], parser))
            begin += WINDOW
        samples = self._grouper.feed(self._members(chunk[begin:] if begin else chunk, parser))
        name = parser.open_member
        if name is not None:
            samples += self._grouper.completed_by(name)  # or it would be held until that member has come, however large it is
        before, self.held = self.held, self._grouper.held + parser.held
        return samples, before + len(chunk) + parser.holes - holes - self.held

    def _members(self, chunk: Chunk, parser: TarParser) -> list[Member]:
        members = parser.feed(chunk)
        if self._options.members is not None:
            self._options.members(members)
        return members

    def detach(self) -> None:
        if self._parser is not None:
            self._parser.detach()

    @property
    def seekable(self) -> bool:
        """Whether what comes next can be read without what came before."""
        if self._parser is None:
            return True
        return not (self._decompressor.compressed or self._parser.depends_on_earlier or self._options.strict)

    @property
    def ordinal(self) -> int:
        """That of the next sample: as many have begun."""
        return self._grouper.ordinal

    @property
    def passable(self) -> int:
        """Bytes of the object behind those fed so far that need not be read."""
        parser = self._parser
        return 0 if parser is None or self._decompressor.compressed else parser.next_needed - parser.offset

    @property
    def payload(self) -> int:
        """Where in the archive the latest payload begins [bytes], where only headers are read."""
        return 0 if self._parser is None else self._parser.payload

    @property
    def compressed(self) -> bool:
        return self._decompressor.compressed

    @property
    def compression(self) -> str | None:
        return self._decompressor.kind

    @property
    def position(self) -> int:
        """Bytes of the archive that were parsed."""
        return 0 if self._parser is None else self._parser.offset

    def pass_over(self, nbytes: int) -> None:
        """In place of `feed`, for bytes that are `passable`."""
        self._tar().pass_over(nbytes)

    def _unpack(self, chunk: Chunk) -> Iterator[Block]:
        try:
            for piece in self._decompressor.feed(bytes(chunk)):
                yield from self._parse(piece)
                if self.failed:
                    return
        except WdsError as error:
            yield self.abort(error)

    def finish(self) -> Iterator[Block]:
        """The last sample, and an error if the shard ended too early."""
        try:
            for piece in self._decompressor.finish():
                yield from self._parse(piece)
        except WdsError as error:
            yield self.abort(error)
        if self.failed:
            return
        early, trailing = self._tar().finish(), self._decompressor.trailing
        if early is None or isinstance(early, TrailingBytesError):
            held, self.held = self.held, 0
            yield Block(self._grouper.finish(), held, early or trailing)
            return
        if trailing is not None:
            early.add_note(trailing.message)
        yield self.abort(early)

    def finish_at_sample(self) -> Iterator[Block]:
        """In place of `finish` where the bytes end behind a sample: that sample."""
        if self._parser is not None and self._parser.error is None and not self._parser.is_amid_member:
            held, self.held = self.held, 0
            yield Block(self._grouper.finish(), held)

    def _tar(self) -> TarParser:
        if self._parser is None:
            options = self._options
            limits = {"max_member_bytes": options.max_member_bytes, "max_header_bytes": options.max_header_bytes}
            # What has extended headers is left to the parser, where it is to note where payloads are.
            noted = {} if options.listing is None else {"max_header_bytes": -1}
            as_they_are = not (options.select or options.rename or options.members or options.headers_only)
            self._parser = TarParser(
                self._shard.url,
                total=None if self._decompressor.compressed else self._total,
                select=options.select,
                rename=options.rename,
                headers_only=options.headers_only,
                take_run=self._grouper.runs(find_scanner(), **limits | noted) if as_they_are else None,
                offset=self._start,
                note=options.note,
                payloads=None if options.listing is None else self.payloads,
                **limits,
            )
        return self._parser

    def _parse(self, piece: bytes) -> Iterator[Block]:
        parser = self._tar()
        samples, nbytes = self._grouped(piece, parser)
        return self._with_errors(samples, nbytes, parser)

    def _with_errors(self, samples: list[Sample], nbytes: int, parser: TarParser) -> Iterator[Block]:
        yield from self._blocks(samples, nbytes)
        if parser.error is not None and not isinstance(parser.error, TrailingBytesError):
            yield self.abort(parser.error)

    def _blocks(self, samples: list[Sample], nbytes: int) -> Iterator[Block]:
        """One block, or more where a faulty sample's error has to stand between the others."""
        begin = 0
        for position, fault in self._grouper.faults:
            before = samples[begin:position]
            size = sum(map(size_of, before))
            yield Block(before, size, fault)
            begin, nbytes = position, max(0, nbytes - size)
        yield Block(samples[begin:] if begin else samples, nbytes)

    def abort(self, error: WdsError) -> Block:
        """Ends the shard early: the sample that is still open may lack fields and is dropped, and the error names it.

        It lacks none behind an end-of-archive mark, or where the shard was cut in a member of the next sample.
        """
        self.failed = True
        samples = [] if self._parser is None else self._last_samples(self._parser)
        if error.key is None:
            error.key = self._grouper.pending_key
        self.held = 0
        return Block(samples, sum(map(size_of, samples)), error)

    def _last_samples(self, parser: TarParser) -> list[Sample]:
        parser.finish()
        if parser.finished:
            return self._grouper.finish()
        return [] if parser.cut_member is None else self._grouper.completed_by(parser.cut_member)
