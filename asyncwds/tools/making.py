"""Samples of a tool's own making, as they will stand in an archive."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asyncwds.codecs.encoders import make_encoder
from asyncwds.tar.raw import NEW_HEADER, Piece, RawMember, RawSample
from asyncwds.writer.entries import Packer


class SampleMaker:
    """Encodes fields by their extensions, as the writers do. Members have neither time nor owner."""

    def __init__(self) -> None:
        self._pack = Packer(make_encoder(True), NEW_HEADER, keep_meta=False, check_names=True)

    def __call__(self, sample: Mapping[str, Any], url: str = "", ordinal: int = 0) -> RawSample:
        """Raises SampleError and EncodeError for what cannot be written, or would come back as something else."""
        key, pieces, _, _, names, sizes = self._pack(sample)
        assert key is not None
        members = [
            _member(name, name[len(key) + 1 :], size, pieces[3 * number : 3 * number + 3])
            for number, (name, size) in enumerate(zip(names, sizes, strict=True))
        ]
        return RawSample(key, url, 0, ordinal, 0, tuple(members))


def _member(name: str, field: str, size: int, pieces: list[bytes]) -> RawMember:
    return RawMember(name, field, size, len(pieces[0]), size, tuple(Piece(piece, 0, len(piece)) for piece in pieces if piece))
