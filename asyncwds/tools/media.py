"""How wide and high the images in shards are, for indexes that have room for that."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from io import BytesIO

from asyncwds.codecs.images import IMAGE_EXTENSIONS
from asyncwds.settings.access import Access
from asyncwds.tar.raw import RawMember, RawSample
from asyncwds.tools.inputs import Inputs, read_raw
from asyncwds.tools.report import Report


@dataclass
class Media:
    """sizes     by the url of a shard: width and height of each image, by the offset [bytes] of its payload
    unknown   images that could not be opened
    """

    sizes: dict[str, dict[int, tuple[int, int]]] = field(default_factory=dict)
    unknown: int = 0


def measure_images(urls: Sequence[str], access: Access, measured: Callable[[], object]) -> Media:
    """Of local shards the images are read, of others all; `measured` is called after each shard.

    Raises FetchError, TarError and SampleError as reading them does.
    """
    media = Media()
    for url in urls:
        sizes = media.sizes[url] = {}
        with closing(read_raw(Inputs(urls=[url], access=access), Report())) as samples:
            for sample in samples:
                for offset, member in _images(sample):
                    size = _size_of(member)
                    if size is None:
                        media.unknown += 1
                    else:
                        sizes[offset] = size
        measured()
    return media


def _images(sample: RawSample) -> Iterator[tuple[int, RawMember]]:
    """With the offsets of their payloads."""
    position = sample.offset
    for member in sample.members:
        if member.field.rpartition(".")[2] in IMAGE_EXTENSIONS:
            yield position + member.head, member
        position += member.nbytes


def _size_of(member: RawMember) -> tuple[int, int] | None:
    from PIL import Image  # noqa: PLC0415 - heavy

    try:
        with Image.open(BytesIO(member.read())) as image:
            return image.width, image.height
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
