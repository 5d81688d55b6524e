"""`TarWriter`: samples into one tar archive."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import IO, Any, Self

from asyncwds.compression.kinds import suffix_to_write
from asyncwds.settings.access import Http, Retry, Settings, Storage
from asyncwds.storage.schemes import as_access
from asyncwds.writer.archivefile import ArchiveFile
from asyncwds.writer.entries import Packer
from asyncwds.writer.opening import open_output
from asyncwds.writer.options import EncoderSpec, Options
from asyncwds.writer.tarstream import TarStream, Written


class TarWriter:
    """Writes samples to a tar archive: `with TarWriter("a.tar") as sink: sink.write({"__key__": "a", "txt": "x"})`.

    fileobj       a path, a URL (of a bucket, http, https, pipe:, - for standard output), or a binary file, which stays open
    user, group, mode   of all members
    compress      True or "gz", "bz2", "xz", "zst", "lz4"; None goes by the end of the name, False never compresses
    encoder       True encodes each field by its extension, False and None expect bytes; or a dict of encoders by extension, or a
                  callable sample → sample
    keep_meta     also write fields that begin with an underscore, as text or JSON (`__key__` and others that readers give never)
    mtime         time [s] of all members; with 0, or any other number, the same samples give the same bytes. None is now
    format        None writes USTAR, with a PAX header for a member that needs one; or one of tarfile's formats, or its name
    check_names   refuse keys and fields that would come back as others when they are read
    in_place      write a local file under its name from the beginning, so that it can be read and renamed meanwhile, and is ended
                  and kept after an error too; as webdataset does, and by default after `asyncwds.compat.install()`
    http, retry, storage   as for `WebDataset`

    A file appears under its name when the writer is closed, as a whole; if the `with` block ends with an error, or a write fails,
    there is none. Raises SampleError and EncodeError for samples that cannot be written, after which others can, and FetchError
    where the target fails.
    """

    def __init__(  # noqa: PLR0917 - webdataset's order
        self,
        fileobj: str | os.PathLike[str] | IO[bytes],
        user: str = "bigdata",
        group: str = "bigdata",
        mode: int = 0o0444,
        compress: bool | str | None = None,
        encoder: EncoderSpec = True,
        keep_meta: bool = False,
        mtime: float | None = None,
        format: int | str | None = None,  # noqa: A002 - webdataset's name
        *,
        check_names: bool = True,
        in_place: bool | None = None,
        http: Http | None = None,
        retry: Retry | None = None,
        storage: Storage | Settings | None = None,
    ) -> None:
        options = Options(user, group, mode, compress, encoder, keep_meta, mtime, format, check_names, in_place)
        packer = options.packer()
        archive = options.archive(fileobj)
        ending = archive.mark if options.writes_in_place else None
        output = open_output(fileobj, as_access(http, retry, storage), ending=ending)
        own = isinstance(fileobj, str | os.PathLike)
        self._set_up(options, packer, ArchiveFile(output, archive, str(fileobj)), None if own else fileobj)

    @classmethod
    def to(cls, options: Options, packer: Packer, file: ArchiveFile) -> Self:
        """A writer of an archive that is there already."""
        writer = object.__new__(cls)
        writer._set_up(options, packer, file, None)
        return writer

    def _set_up(self, options: Options, packer: Packer, file: ArchiveFile, stream: IO[bytes] | Any) -> None:
        self._packer = packer
        self._file = file
        # What webdataset's has. Setting these changes nothing.
        self.user, self.group, self.mode = options.user, options.group, options.mode
        self.compress, self.keep_meta, self.mtime = options.compress, options.keep_meta, options.mtime
        self.encoder = packer.encoder
        self.tarstream = TarStream(file)
        self.stream = Written(file, lambda: file.archive.taken) if stream is None else stream
        self._owns_stream = stream is None

    @property
    def own_fileobj(self) -> Any:
        """The file that closing the writer closes; None if it is the caller's, or closed."""
        return self.stream if self._owns_stream and self._file.is_open else None

    def writes(self, file: ArchiveFile | None) -> bool:
        return self._file is file

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None or self._file.in_place:
            self.close()
        else:
            self.abort()

    def write(self, obj: Mapping[str, Any]) -> int:
        """Writes a sample. Returns the bytes of its fields."""
        entry = self._packer(obj)
        self._file.append(entry)
        return entry.payload

    def close(self) -> None:
        """Ends the archive and makes it visible. Idempotent; does nothing after a write that failed."""
        self._file.close()

    def abort(self) -> None:
        """Drops the archive. Idempotent; does nothing after `close`."""
        self._file.abort()

    @staticmethod
    def tarmode(fileobj: object, compress: bool | str | None = None) -> str:
        """The mode for `tarfile.open` that stands for a compression."""
        return f"w|{suffix_to_write(compress, fileobj if isinstance(fileobj, str) else None) or ''}"
