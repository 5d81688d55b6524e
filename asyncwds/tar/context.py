"""What a header block means, which depends on the blocks before it: extended headers, zero blocks, concatenation.

Where formats and readers differ:
- Links, directories, devices and unknown types are passed over. Sparse members are expanded (see `sparse`).
- Two zero blocks end an archive; after them zeros or another archive may come (`cat a.tar b.tar`). Anything else is a
  TrailingBytesError, and the archive is whole all the same; a damaged POSIX header is none, but a damaged archive. At the
  very end of input one zero block is enough, as nothing can be missing there. Before anything else a single one is an
  error: it may have been a header that was wiped out.
"""

from __future__ import annotations

from collections.abc import Callable

from asyncwds.compression.foreign import foreign
from asyncwds.errors import TarHeaderError, TrailingBytesError
from asyncwds.tar import headers
from asyncwds.tar.headers import SumCache
from asyncwds.tar.members import Member, NoteEntry
from asyncwds.tar.sparse import Sparse, add_block, expand_sparse, from_header, from_records


class Context:
    """Reads headers in their order. The attributes describe the block read last and the member that it begins."""

    def __init__(
        self,
        url: str,
        choose: Callable[[str], str | None] | None,
        *,
        max_member_bytes: int,
        max_header_bytes: int,
        note: NoteEntry | None = None,
        payloads: dict[int, int] | None = None,
    ) -> None:
        self.header = 0  # offset [bytes]
        self.first = 0  # offset of the member's first header; it precedes `header` after extended ones
        self.extended = False  # extended headers wait for their member
        self.zeros = 0  # zero blocks since the last header
        self.holes = 0  # [bytes] of zeros that sparse members got
        self.passed_over = 0  # entries that are no files: links, folders, devices
        self.refused: str | None = None  # the name of a member that cannot be taken
        self.payloads = payloads
        self._no_form = SumCache(b"")  # no header ends in nothing
        self._plain = self._pax = self._no_form
        self._url = url
        self._choose = choose
        self._note = note
        self._most = max_member_bytes
        self._most_extended = max_header_bytes
        self._sparse: Sparse | None = None  # what is known of the member, if it is sparse
        self._held = 0, False  # what `read` returns once all of its map has come
        self._kind = 0
        self._name = ""
        self._local: dict[bytes, bytes] = {}
        self._global: dict[bytes, bytes] = {}

    def fast_forms(self) -> tuple[SumCache, SumCache]:
        """Forms of headers that mean no more than they say: of a regular file, of a PAX header.

        None, while something before them could bear on their meaning.
        """
        return (self._plain, self._pax) if self.is_plain else (self._no_form, self._no_form)

    @property
    def is_plain(self) -> bool:
        """Nothing before the next header bears on its meaning."""
        return not (self.zeros or self.extended or self._global or self.in_map)

    def read(self, block: bytes, offset: int) -> tuple[int, bool]:
        """Reads a block that stands where a header should. Returns the length [bytes] of its payload, and whether it is wanted.

        Raises TarHeaderError if the block is no header, none that may stand here, or wants too much memory; TrailingBytesError
        if it stands behind an archive and is none.
        """
        if self.in_map:
            return self._more_of_map(block)
        self.header = offset
        if block == headers.ZEROS:
            self._zero_block()
            return 0, False
        self._check(block)
        self._kind = kind = block[headers.TYPEFLAG]
        extension = kind in headers.EXTENSIONS
        records = {} if extension else self._global | self._local
        try:
            name, size, regular = headers.member(block, records)
            sparse = None if extension or not regular else _sparse(block, records)
        except ValueError as error:
            if extension:
                raise self._unsound(f"a header makes no sense: {error}") from None
            self._refuse(headers.member_name(block, records))
            raise self._unsound(f"{self.what()} has a header that makes no sense: {error}") from None
        wanted = self._open_extension(block) if extension else self._open_member(block, name, regular=regular)
        if self._note is not None and (extension or not regular or sparse is not None):
            self._note(kind if sparse is None else headers.GNU_SPARSE, "" if extension else name, offset)
        self._check_size(size if sparse is None else max(size, sparse.size), wanted=wanted)
        self._sparse = sparse
        if sparse is not None and sparse.more:
            self._held = size, wanted
            return 0, False
        return size, wanted

    def open_plain(self, name: str, offset: int) -> bool:
        """What `read` would do for a sound header of the plain form of `fast_forms`. Returns whether the payload is wanted."""
        self.header, self._kind = offset, headers.PLAIN
        return self._begin_member(name, regular=True)

    def complete(self, data: bytes, members: list[Member]) -> None:
        """Takes a payload that was wanted. Raises TarHeaderError if it belongs to an extended header and makes no sense."""
        if self._kind not in headers.EXTENSIONS:
            if self.payloads is not None and self.first != self.header:
                self.payloads[self.first] = self.header + headers.BLOCK
            members.append((self._name, data if self._sparse is None else self._expand(self._sparse, data), self.first))
        elif self._kind == headers.LONG_NAME:
            self._local[b"path"] = headers.until_nul(data)
        else:
            target = self._global if self._kind == headers.PAX_GLOBAL else self._local
            try:
                target.update(headers.pax_records(data))
            except ValueError as error:
                raise self._unsound(f"an extended header makes no sense: {error}") from None

    def extend(self, offset: int) -> None:
        """An extended header at `offset` comes before the next block."""
        if not self.extended:
            self.extended, self.first = True, offset

    @property
    def has_global(self) -> bool:
        return bool(self._global)

    @property
    def in_map(self) -> bool:
        """The map of a sparse member goes on in the next block."""
        return self._sparse is not None and self._sparse.more

    @property
    def member(self) -> str | None:
        """The name of the member that the block read last began; None if it began an extended header."""
        return None if self._kind in headers.EXTENSIONS else self._name

    def what(self) -> str:
        """The block read last, for messages."""
        return "an extended header" if self._kind in headers.EXTENSIONS else f"member {self._name[:200]!r}"

    def with_holes(self, size: int) -> int:
        """Size [bytes] of the member that has a payload of `size`."""
        return size if self._sparse is None else self._sparse.size

    def _more_of_map(self, block: bytes) -> tuple[int, bool]:
        assert self._sparse is not None
        try:
            add_block(self._sparse, block)
        except ValueError as error:
            self.refused = self.member
            raise self._unsound(f"the map of a sparse member makes no sense: {error}") from None
        return (0, False) if self.in_map else self._held

    def _expand(self, sparse: Sparse, data: bytes) -> bytes:
        try:
            whole = expand_sparse(sparse, data)
        except ValueError as error:
            self.refused = self.member
            raise self._unsound(f"{self.what()}: {error}") from None
        self.holes += len(whole) - len(data)
        return whole

    def _check_size(self, size: int, *, wanted: bool) -> None:
        if self._kind in headers.EXTENSIONS:
            limit, setting = self._most_extended, "max_header_bytes"
        else:
            limit, setting = self._most, "max_member_bytes"
        if wanted and size > limit:
            self.refused = self.member
            raise self._unsound(f"{self.what()} has {size} bytes, and {limit} are allowed (Prefetch.{setting})")

    def _zero_block(self) -> None:
        if self.extended:
            raise self._unsound("an extended header is followed by no member")
        self.zeros += 1
        self._global = {}  # a concatenated archive starts afresh

    def _check(self, block: bytes) -> None:
        if not headers.checksum_matches(block):
            damaged = headers.is_posix(block)
            if self.zeros and not damaged:
                raise self.trailing()
            kind = foreign(block) if self.header == 0 else None
            doubt = "" if self.header or damaged else "; is this a tar archive?"
            raise self._unsound(f"this is {kind}" if kind else f"the checksum of a header is wrong{doubt}")
        if self.zeros == 1:
            raise self._unsound("a single zero block stands before a header")
        self.zeros = 0

    def _open_extension(self, block: bytes) -> bool:
        if self._kind != headers.PAX_GLOBAL:
            self.extend(self.header)
        if self._kind == headers.PAX:
            self._pax = self._pax.for_rest(block)
        return self._kind != headers.LONG_LINK

    def _open_member(self, block: bytes, name: str, *, regular: bool) -> bool:
        wanted = self._begin_member(name, regular=regular)
        self.passed_over += not regular
        if wanted and self._kind == headers.PLAIN and not block[headers.PREFIX]:
            self._plain = self._plain.for_rest(block)
        return wanted

    def _begin_member(self, name: str, *, regular: bool) -> bool:
        if not self.extended:
            self.first = self.header
        self.extended, self._local, self._name, self._sparse = False, {}, name, None
        if regular and self._choose is not None:
            chosen = self._choose(name)
            if chosen is None:
                return False
            self._name = chosen
        return regular

    def trailing(self) -> TarHeaderError:
        """The error where bytes that are no header come after zero blocks: a TrailingBytesError, if those end an archive."""
        if self.zeros < 2:
            return self._unsound("after a single zero block come bytes that are no tar header")
        message = "after the end-of-archive mark come bytes that are no tar header"
        return TrailingBytesError(message, url=self._url, offset=self.header)

    def _refuse(self, name: str) -> None:
        self._begin_member(name, regular=True)
        self.refused = self._name

    def _unsound(self, message: str) -> TarHeaderError:
        return TarHeaderError(message, url=self._url, offset=self.header)


def _sparse(block: bytes, records: dict[bytes, bytes]) -> Sparse | None:
    if block[headers.TYPEFLAG] == headers.GNU_SPARSE:
        return from_header(block)
    return from_records(records) if records else None
