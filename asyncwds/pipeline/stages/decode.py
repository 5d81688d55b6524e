"""The stage that decodes the fields of samples."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from asyncwds import checks
from asyncwds.codecs.decoders import Decoder, FieldDecoder, FieldHandler
from asyncwds.codecs.field_loaders import Allowed
from asyncwds.compression.fields import MAX_UNPACKED
from asyncwds.pipeline.item_functions import NumberOfWorkers
from asyncwds.pipeline.stages.map import Map
from asyncwds.runtime.handlers import Handler, reraise_exception


def decode(
    *handlers: FieldHandler | str,
    pre: Sequence[FieldHandler] | None = None,
    post: Sequence[FieldHandler] | None = None,
    only: str | Iterable[str] | None = None,
    partial: bool = False,
    decoders: Mapping[str, FieldDecoder] | None = None,
    max_unpacked: int = MAX_UNPACKED,
    pickle: Allowed = None,
    min_size: int | None = None,
    handler: Handler = reraise_exception,
    workers: NumberOfWorkers = None,
) -> Map:
    """Decodes the fields of each sample, see `Decoder`. A sample with a field that cannot be decoded is a DecodeError.

    With `workers`, so many samples are decoded at once, in threads.
    """
    checks.workers("decode: workers", workers)
    decoder = Decoder(
        handlers, pre, post, only, partial, decoders=decoders, max_unpacked=max_unpacked, pickle=pickle, min_size=min_size
    )
    return Map(decoder, handler, workers)
