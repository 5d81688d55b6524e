"""Members as they stand in an archive, however its bytes come."""

import io
import tarfile

import pytest

from asyncwds.engine import RawReader, ReadOptions
from asyncwds.shards import Shard

LONG = "folder/" * 20 + "key"
FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


def archive_of(form, keys):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as archive:
        for number, key in enumerate(keys):
            for field, size in (("cls", 1), ("txt", 600), ("bin", 0)):
                info = tarfile.TarInfo(f"{key}{number}.{field}")
                info.size = size
                archive.addfile(info, io.BytesIO(bytes([65 + number]) * size))
    return file.getvalue()


@pytest.mark.parametrize("size", [1, 7, 190, 511, 512, 513, 700, 1000, 1535, 4096])
@pytest.mark.parametrize("form", FORMATS)
def test_pieces_are_those_of_the_archive(form, size):
    archive = archive_of(FORMATS[form], ["a", "b", "c"] if form == "ustar" else ["a", LONG, "b", LONG])
    reader = RawReader(Shard("x.tar", 0), len(archive), ReadOptions(1 << 20))
    samples = []
    for start in range(0, len(archive), size):
        # Its memory is used again, as that of a connection is.
        chunk = bytearray(archive[start : start + size])
        for block in reader.feed(memoryview(chunk)):
            samples += block.samples
        chunk[:] = bytes(len(chunk))
    samples += [sample for block in reader.finish() for sample in block.samples]
    written = b"".join(bytes(piece.read()) for sample in samples for member in sample.members for piece in member.pieces)
    assert written == archive[: len(written)]
    assert not archive[len(written) :].strip(b"\0")
    values = {name: member.read() for sample in samples for name, member in sample.fields().items()}
    assert values == {"cls": bytes([64 + len(samples)]), "txt": bytes([64 + len(samples)]) * 600, "bin": b""}
