"""What webdataset's writers have beside their methods: `tarstream` in the place of a `tarfile.TarFile`, and the file under it."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterable
from typing import IO, Any

from asyncwds.errors import redact
from asyncwds.writer.archive import Members
from asyncwds.writer.archivefile import ArchiveFile
from asyncwds.writer.entries import member_entry


class Written:
    """The file that an archive goes to, as far as it can be shown: it is written to by the archive only."""

    mode = "wb"

    def __init__(self, file: ArchiveFile, position: Callable[[], int]) -> None:
        self._file = file
        self._position = position

    @property
    def name(self) -> str:
        return redact(self._file.name)

    @property
    def closed(self) -> bool:
        return not self._file.is_open

    def tell(self) -> int:
        """Bytes so far, those included that are not written yet."""
        return self._position()


class TarStream:
    """`TarWriter.tarstream`: members may be looked at, and added.

    `members` are the names and sizes of those that were written; setting it to [] forgets them, which saves some 70 bytes each.
    `fileobj.tell()` and `offset` are where the next one begins [bytes], before compression.
    """

    def __init__(self, file: ArchiveFile) -> None:
        self._file = file
        self.fileobj = Written(file, lambda: file.archive.position)

    @property
    def members(self) -> Members:
        return self._file.archive.members

    @members.setter
    def members(self, infos: Iterable[tarfile.TarInfo]) -> None:
        members = Members()
        for info in infos:
            members.names.append(info.name)
            members.sizes.append(info.size)
        self._file.archive.members = members

    @property
    def name(self) -> str:
        return self.fileobj.name

    @property
    def closed(self) -> bool:
        return self.fileobj.closed

    @property
    def offset(self) -> int:
        return self._file.archive.position

    def getmembers(self) -> list[tarfile.TarInfo]:
        return list(self.members)

    def getnames(self) -> list[str]:
        return list(self.members.names)

    def addfile(self, tarinfo: tarfile.TarInfo, fileobj: IO[bytes] | Any = None) -> None:
        """Adds a member, with `tarinfo.size` bytes of a file. Its name is not checked, and it is not counted as a sample.

        Raises ValueError if the file has fewer bytes.
        """
        data = fileobj.read(tarinfo.size) if fileobj is not None and tarinfo.size else b""
        if len(data) < tarinfo.size:
            raise ValueError(f"{tarinfo.name!r} has {tarinfo.size} bytes by its header, and the file {len(data)}")
        self._file.append(member_entry(tarinfo, bytes(data)))

    def close(self) -> None:
        """As the writer's."""
        self._file.close()
