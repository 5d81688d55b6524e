"""Turns the bytes of one shard, as they come, into blocks of samples. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from asyncwds.compression.decompress import Decompressor
from asyncwds.engine.blocks import Block, ReadOptions
from asyncwds.errors import TrailingBytesError, WdsError
from asyncwds.runtime.units import KiB
from asyncwds.samples import Sample
from asyncwds.shards.shard import Shard
from asyncwds.storage.base import Chunk
from asyncwds.tar.grouping import Grouper, size_of
from asyncwds.tar.members import Member, TakeRun
from asyncwds.tar.parser import TarParser
from asyncwds.tar.scanner import find_run_reader, find_scanner

# [bytes] of small members that are parsed and grouped together, so that they are still in the processor's caches then: 4.7 us a
# sample of two members in Python, 5.6 with 256 KiB, which are few for numpy, and 6.9 with 4 MiB. The accelerator has no such lists
# between.
WINDOW = 512 * KiB


class Unpacking(Protocol):
    """A reader of archives that may be compressed."""

    failed: bool
    decompressor: Decompressor

    def tar(self) -> TarParser: ...

    def parse(self, piece: bytes) -> Iterator[Block]:
        """The blocks that a piece of the archive completes."""
        ...

    def last(self, error: WdsError | None) -> Block:
        """The one at the archive's end."""
        ...

    def abort(self, error: WdsError) -> Block: ...


def unpack(reader: Unpacking, pieces: Iterable[bytes]) -> Iterator[Block]:
    """The blocks of pieces that come out of the decompressor; what goes wrong there ends the shard."""
    try:
        for piece in pieces:
            yield from reader.parse(piece)
            if reader.failed:
                return
    except WdsError as error:
        yield reader.abort(error)


def finish(reader: Unpacking) -> Iterator[Block]:
    """What is left at the end of the bytes, and an error if that came too early."""
    yield from unpack(reader, reader.decompressor.finish())
    if reader.failed:
        return
    early, trailing = reader.tar().finish(), reader.decompressor.trailing
    if early is None or isinstance(early, TrailingBytesError):
        yield reader.last(early or trailing)
        return
    if trailing is not None:
        early.add_note(trailing.message)
    yield reader.abort(early)


class ShardReader:
    """Decompresses, parses and groups one shard. `failed` is True once the rest of it cannot be read.

    `start` is the ordinal of the sample that comes first, and its offset [bytes], which is that of the first chunk too.
    `take_run` takes plain members in place of the grouper; `group` is for it.
    """

    def __init__(
        self,
        shard: Shard,
        total: int | None,
        local_path: str | None,
        options: ReadOptions,
        start: tuple[int, int] = (0, 0),
        *,
        take_run: TakeRun | None = None,
    ) -> None:
        self.failed = False
        self.held = 0
        self._total = total
        self._shard = shard
        self._options = options
        self._take_run = take_run
        ordinal, self._start = start
        self.payloads: dict[int, int] = {}  # as in a `ShardListing`, if there is to be one
        self.decompressor = Decompressor(shard.url)
        self._parser: TarParser | None = None
        self._grouper = Grouper(shard.url, shard.index, local_path=local_path, strict=options.strict, ordinal=ordinal)

    @property
    def repeated_keys(self) -> int:
        return self._grouper.repeated

    def feed(self, chunk: Chunk) -> Iterable[Block]:
        if self._parser is None or self.decompressor.compressed:
            return unpack(self, self.decompressor.feed(bytes(chunk)))
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
        return self._shown(parser.feed(chunk))

    def _shown(self, members: list[Member]) -> list[Member]:
        if self._options.members is not None:
            self._options.members(members)
        return members

    def group(self, members: list[Member]) -> Iterator[Block]:
        """What these members complete, of the same chunk, before those that are not fed to the grouper."""
        return self._blocks(self._grouper.feed(self._shown(members)), 0)

    def complete(self) -> list[Sample]:
        """The sample that is open, where the next member has another key."""
        return self._grouper.finish()

    @property
    def pending_key(self) -> str | None:
        """Of the sample that is open."""
        return self._grouper.pending_key

    def detach(self) -> None:
        if self._parser is not None:
            self._parser.detach()

    @property
    def seekable(self) -> bool:
        """Whether what comes next can be read without what came before."""
        if self._parser is None:
            return True
        return not (self.decompressor.compressed or self._parser.depends_on_earlier or self._options.strict)

    @property
    def ordinal(self) -> int:
        """That of the next sample: as many have begun."""
        return self._grouper.ordinal

    @property
    def passable(self) -> int:
        """Bytes of the object behind those fed so far that need not be read."""
        parser = self._parser
        return 0 if parser is None or self.decompressor.compressed else parser.next_needed - parser.offset

    @property
    def payload(self) -> int:
        """Where in the archive the latest payload begins [bytes], where only headers are read."""
        return 0 if self._parser is None else self._parser.payload

    @property
    def compressed(self) -> bool:
        return self.decompressor.compressed

    @property
    def compression(self) -> str | None:
        return self.decompressor.kind

    @property
    def position(self) -> int:
        """Bytes of the archive that were parsed."""
        return 0 if self._parser is None else self._parser.offset

    def pass_over(self, nbytes: int) -> None:
        """In place of `feed`, for bytes that are `passable`."""
        self.tar().pass_over(nbytes)

    def finish(self) -> Iterator[Block]:
        """The last sample, and an error if the shard ended too early."""
        return finish(self)

    def last(self, error: WdsError | None) -> Block:
        held, self.held = self.held, 0
        return Block(self._grouper.finish(), held, error)

    def finish_at_sample(self) -> Iterator[Block]:
        """In place of `finish` where the bytes end behind a sample: that sample."""
        if self._parser is not None and self._parser.error is None and not self._parser.is_amid_member:
            yield self.last(None)

    def tar(self) -> TarParser:
        if self._parser is None:
            options = self._options
            limits = {"max_member_bytes": options.max_member_bytes, "max_header_bytes": options.max_header_bytes}
            # What has extended headers is left to the parser, where it is to note where payloads are.
            noted = {} if options.listing is None else {"max_header_bytes": -1}
            as_they_are = not (options.select or options.rename or options.members or options.headers_only)
            self._parser = TarParser(
                self._shard.url,
                total=None if self.decompressor.compressed else self._total,
                select=options.select,
                rename=options.rename,
                headers_only=options.headers_only,
                take_run=self._grouper.runs(find_scanner(), **limits | noted) if as_they_are else self._take_run,
                read_run=find_run_reader(),
                offset=self._start,
                note=options.note,
                payloads=None if options.listing is None else self.payloads,
                **limits,
            )
        return self._parser

    def parse(self, piece: bytes) -> Iterator[Block]:
        parser = self.tar()
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
