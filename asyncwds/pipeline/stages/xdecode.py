"""The stage that decodes by patterns of field names, with functions that get a stream."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from io import BytesIO
from typing import IO, Any, ClassVar, Literal

from asyncwds import checks
from asyncwds.codecs.field_loaders import text_loads, unpickle_loads
from asyncwds.codecs.undecodable import undecodable
from asyncwds.errors import DecodeError, SpecError
from asyncwds.pipeline.context import RunContext
from asyncwds.pipeline.protocol import Stream
from asyncwds.pipeline.stage_run import open_each, run_alone
from asyncwds.pipeline.stages.fields import require_dict
from asyncwds.runtime.handlers import Handler, reraise_exception
from asyncwds.samples import describe_misplaced

StreamDecoder = Callable[[Any], Any] | Literal[False]
Decoders = Sequence[tuple[str, StreamDecoder]]


def decode_bin(stream: IO[bytes]) -> bytes:
    return _read(stream)


def decode_text(stream: IO[bytes]) -> str:
    """UTF-8."""
    return text_loads(_read(stream))


def decode_pickle(stream: IO[bytes]) -> Any:
    """Plain data, arrays and tensors, as `unpickle_loads`. For whatever it is, give `pickle.load` as the decoder."""
    return unpickle_loads(_read(stream))


def _read(stream: Any) -> bytes:
    if not hasattr(stream, "read"):
        raise SpecError(f"xdecode needs fields that are bytes, not {type(stream).__name__}; decoded twice?")
    data: bytes = stream.read()
    return data


default_decoders: Decoders = (("*.bin", decode_bin), ("*.txt", decode_text), ("*.pyd", decode_pickle))


def find_decoder(decoders: Decoders, path: str) -> StreamDecoder | None:
    """The last of the decoders whose pattern matches the field's name, with or without a leading dot; metadata stay."""
    name = path.rpartition("/")[2]
    if name.startswith("__"):
        return False
    name = name.lower()
    matching = (decode for pattern, decode in reversed(decoders) if fnmatchcase(name, pattern) or fnmatchcase(f".{name}", pattern))
    return next(matching, None)


@dataclass(frozen=True, slots=True)
class XDecode:
    """Replaces each field's bytes by what its decoder makes of a stream of them. Made by `xdecode`."""

    one_to_one: ClassVar[bool] = True
    passes_marks: ClassVar[bool] = True
    decoders: tuple[tuple[str, StreamDecoder], ...]
    must_decode: bool = True
    handler: Handler = reraise_exception

    def __call__(self, source: Iterable[Any]) -> Iterator[Any]:
        return run_alone(self, source)

    def open(self, source: Stream, context: RunContext) -> Stream:
        return open_each(self._decoded, source, context, "xdecode", self.handler)

    def _decoded(self, sample: Any) -> Any:
        require_dict(sample, "xdecode")
        decoded = sample.copy()
        for field, data in sample.items():
            if field.startswith("__"):
                continue
            try:
                decoded[field] = self._value(field, data)
            except SpecError:
                raise  # not this sample is wrong, but the pipeline
            except Exception as cause:
                if wrong := describe_misplaced(sample):
                    raise SpecError(f"xdecode needs samples, {wrong}") from cause
                raise undecodable(sample, field, cause) from cause
        return decoded

    def _value(self, field: str, data: Any) -> Any:
        decode = find_decoder(self.decoders, field)
        if decode is None and self.must_decode:
            raise DecodeError(f"No decoder found for {field}.")
        if not decode:
            return data
        value = decode(BytesIO(data) if isinstance(data, bytes) else data)
        checks.refuse_coroutine("xdecode", value)
        return value


def xdecode(
    *decoders: tuple[str, StreamDecoder],
    must_decode: bool = True,
    defaults: Decoders = default_decoders,
    handler: Handler = reraise_exception,
    **by_extension: StreamDecoder,
) -> XDecode:
    """Decodes fields by pattern: `xdecode(("*.jpg", f), json=json.load)`; functions get a stream of the field's bytes.

    The last pattern that matches counts, of keywords, arguments and `defaults` in this order. False in place of a function
    leaves a field as it is. A field without any is a DecodeError, or stays bytes where `must_decode` is False; so is
    one whose function fails. The defaults are *.bin (bytes), *.txt (UTF-8) and *.pyd (a pickle of plain data, arrays and
    tensors; with `pyd=pickle.load` of anything, code among it).
    """
    extensions = [(f"*.{extension}", decode) for extension, decode in by_extension.items()]
    pairs: list[Any] = [*defaults, *decoders, *extensions]
    for pair in pairs:
        if not isinstance(pair, (tuple, list)) or len(pair) != 2 or not isinstance(pair[0], str):
            raise SpecError(f"xdecode takes pairs of a pattern and a function, not {pair!r}")
        if pair[1] is not False:
            checks.function(f"xdecode: the decoder for {pair[0]}", pair[1], takes=1)
    checks.function("xdecode: handler", handler, takes=1)
    return XDecode(tuple(pairs), must_decode, handler)
