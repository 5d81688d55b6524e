"""How archives are written: the arguments that all writers share."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from asyncwds import checks
from asyncwds.codecs.encoders import Encoder, FieldEncoder, make_encoder
from asyncwds.compression.kinds import suffix_to_write
from asyncwds.tar.building import Format, Headers
from asyncwds.writer.archive import Archive
from asyncwds.writer.entries import Packer

EncoderSpec = bool | Mapping[str, FieldEncoder] | Encoder | None

_FORMATS: dict[int | str | None, Format | None] = {
    None: None,
    tarfile.USTAR_FORMAT: 0,
    tarfile.GNU_FORMAT: 1,
    tarfile.PAX_FORMAT: 2,
    "USTAR_FORMAT": 0,
    "GNU_FORMAT": 1,
    "PAX_FORMAT": 2,
}


IN_PLACE = "WDS_IN_PLACE"
"""Set to 1, writers write in place unless they are told otherwise; `compat.install` sets it."""


@dataclass(frozen=True, slots=True)
class Options:
    """Arguments of `TarWriter`, which explains them."""

    user: str = "bigdata"
    group: str = "bigdata"
    mode: int = 0o0444
    compress: bool | str | None = None
    encoder: EncoderSpec = True
    keep_meta: bool = False
    mtime: float | None = None
    format: int | str | None = None
    check_names: bool = True
    in_place: bool | None = None

    @property
    def writes_in_place(self) -> bool:
        return os.environ.get(IN_PLACE) == "1" if self.in_place is None else self.in_place

    def packer(self) -> Packer:
        """Raises SpecError for arguments that make no sense."""
        suffix_to_write(self.compress, None)
        checks.text("user", self.user)
        checks.text("group", self.group)
        checks.whole("mode", self.mode, 0, 0o7777)
        if self.mtime is not None:
            checks.real("mtime, if it is not None,", self.mtime)
        checks.flag("keep_meta", self.keep_meta)
        checks.flag("check_names", self.check_names)
        checks.flag("in_place", self.in_place)
        checks.one_of("format", self.format, list(_FORMATS))
        headers = Headers(user=self.user, group=self.group, mode=self.mode, mtime=self.mtime, format=_FORMATS[self.format])
        return Packer(make_encoder(self.encoder), headers, keep_meta=self.keep_meta, check_names=self.check_names)

    def archive(self, target: object, *, hashed: bool = False, indexed: bool = False) -> Archive:
        """An archive to be written to `target`, whose name, if it is one, may tell the compression."""
        name = os.fspath(target) if isinstance(target, str | os.PathLike) else None
        kind = suffix_to_write(self.compress, _path(name))
        return Archive(kind, hashed=hashed, check_names=self.check_names, indexed=indexed)


def _path(name: Any) -> str | None:
    """Without the query that signed URLs have."""
    return name.partition("?")[0] if isinstance(name, str) and name.startswith(("http:", "https:")) else name
