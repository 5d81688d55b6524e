"""Values → field bytes, by extension: what `decode` turns back. Names and arguments are webdataset's.

The last extension of a field's name counts. One of a compression before it is left to the end: "json.gz" is JSON, then gzip.
Bytes are written as they are, whatever the extension, and a compression is applied to them as well, unless they begin with its
magic number. Text is written as UTF-8 where no encoder of this module is in charge, as for "txt" and extensions that are not known.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from functools import partial
from typing import Any

from asyncwds import checks
from asyncwds.codecs.field_dumpers import (
    cbor_dumps,
    imageencoder,
    json_dumps,
    mp_dumps,
    number_dumps,
    numpy_dumps,
    numpy_npz_dumps,
    safetensors_dumps,
    tenbin_dumps,
    text_dumps,
    torch_dumps,
)
from asyncwds.compression.kinds import KINDS, SUFFIXES
from asyncwds.errors import EncodeError, SampleError, SpecError

Sample = Mapping[str, Any]
Encoder = Callable[[Any], Any]
"""Sample with values → sample with bytes."""
FieldEncoder = Callable[[Any], "bytes | bytearray | memoryview"]

_REMEMBERED = 1024
_IMAGES = ("png", "pbm", "pgm", "ppm", "pnm", "tiff", "tif", "webp", "avif", "bmp", "gif", "jp2", "j2k", "tga", "pcx", "sgi")


def add_handlers(d: MutableMapping[str, FieldEncoder], keys: str | Iterable[str], value: FieldEncoder) -> None:
    """Enters an encoder for each extension, given as a list or a text with spaces."""
    d.update(dict.fromkeys(keys.split() if isinstance(keys, str) else keys, value))


def make_handlers() -> dict[str, FieldEncoder]:
    """Extension → encoder: what `encoder=True` goes by before anyone changes it, as a dict to change and pass as `encoder`."""
    handlers: dict[str, FieldEncoder] = {}
    add_handlers(handlers, "cls cls2 class count index inx id", number_dumps)
    add_handlers(handlers, "txt text transcript html htm", text_dumps)
    add_handlers(handlers, "json jsn", json_dumps)
    add_handlers(handlers, "pyd pickle pkl", pickle.dumps)
    add_handlers(handlers, "pth pt", torch_dumps)
    add_handlers(handlers, "npy", numpy_dumps)
    add_handlers(handlers, "npz", numpy_npz_dumps)
    add_handlers(handlers, "ten tenbin tb", tenbin_dumps)
    add_handlers(handlers, "mp msgpack msg", mp_dumps)
    add_handlers(handlers, "cbor", cbor_dumps)
    add_handlers(handlers, "safetensors", safetensors_dumps)
    add_handlers(handlers, "jpg jpeg jpe jfif img image", partial(imageencoder, format="jpg"))
    for extension in _IMAGES:
        handlers[extension] = partial(imageencoder, format=extension)
    return handlers


default_handlers = make_handlers()
"""What `encoder=True` goes by, in all writers. Users may change it, as with webdataset."""


# Those that are called for text too; WebDataset calls none, and nobody's own is used to it.
_OWN: tuple[Callable[..., Any], ...] = (
    *(number_dumps, json_dumps, pickle.dumps, torch_dumps, numpy_dumps, numpy_npz_dumps, tenbin_dumps),
    *(mp_dumps, cbor_dumps, safetensors_dumps, imageencoder),
)


def encode_based_on_extension1(data: Any, tname: str, handlers: Mapping[str, FieldEncoder]) -> Any:
    """The bytes of one field. Names that begin with an underscore are metadata, whose values are left as they are.

    Raises ValueError where no encoder is known for the extension, and whatever the encoder raises.
    """
    if tname.startswith("_"):
        return data
    rest, _, extension = tname.rpartition(".")
    extension = extension.lower()
    if rest and extension in SUFFIXES:
        kind, encoded = KINDS[SUFFIXES[extension]], encode_based_on_extension1(data, rest, handlers)
        return encoded if isinstance(data, bytes) and data.startswith(kind.magic) else kind.pack(encoded)
    if isinstance(data, bytes | bytearray | memoryview):
        return data
    handler = handlers.get(extension)
    if isinstance(data, str) and not any(getattr(handler, "func", handler) is own for own in _OWN):
        return data.encode("utf-8")
    if handler is None:
        raise ValueError(f"there is no encoder for {type(data).__name__} in .{extension}; give bytes, or an encoder")
    return handler(data)


class ExtensionEncoder:
    """Encodes each field by its extension: `ExtensionEncoder(handlers)(sample)` is a new dict.

    Raises EncodeError that names key and field, with what went wrong as its cause.
    """

    def __init__(self, handlers: Mapping[str, FieldEncoder]) -> None:
        self._handlers = handlers
        self._plain: set[str] = set()  # fields seen that have no compression, so that their bytes need no look

    def __call__(self, sample: Sample) -> dict[str, Any]:
        plain = self._plain
        return {
            field: value if type(value) is bytes and field in plain else self._encode_field(field, value, sample)
            for field, value in sample.items()
        }

    def is_quick(self, sample: Sample) -> bool:
        """Whether nothing has to be encoded or compressed, as far as it has seen these fields."""
        plain = self._plain
        # Whether a name is text is said where it is encoded.
        return all((type(value) is bytes and field in plain) or str(field).startswith("_") for field, value in sample.items())

    def _encode_field(self, field: str, value: Any, sample: Sample) -> Any:
        if not isinstance(field, str):
            raise SampleError(f"the names of fields are text, not {field!r}", key=str(sample.get("__key__")))
        try:
            encoded = encode_based_on_extension1(value, field, self._handlers)
        except SpecError:
            raise  # a library is missing: that is no sample's fault
        except Exception as cause:
            message = f"field {field!r} cannot be encoded: {type(cause).__name__}: {cause}"
            error = EncodeError(message, key=str(sample.get("__key__")))
            error.field = field
            raise error from cause
        if encoded is value and type(value) is bytes and len(self._plain) < _REMEMBERED and not _is_compressed(field):
            self._plain.add(field)
        return encoded


def _is_compressed(field: str) -> bool:
    return field.rpartition(".")[2].lower() in SUFFIXES


def encode_based_on_extension(sample: Sample, handlers: Mapping[str, FieldEncoder]) -> dict[str, Any]:
    """A sample with all fields as bytes. Raises as `ExtensionEncoder`."""
    return ExtensionEncoder(handlers)(sample)


def unchanged(sample: Any) -> Any:
    """The encoder for samples that hold bytes already."""
    return sample


def make_encoder(spec: bool | Mapping[str, FieldEncoder] | Encoder | None) -> Encoder:
    """The encoder for samples that `spec` stands for.

    True encodes by extension, False and None leave values as they are, a dict has the encoder for each extension, and a
    callable takes a sample and returns one. Raises SpecError for anything else.
    """
    if spec is None or spec is False:
        return unchanged
    if spec is True:
        return ExtensionEncoder(default_handlers)
    if isinstance(spec, Mapping):
        for extension, encode in spec.items():
            checks.function(f"the encoder for {extension}", encode, takes=1)
        return ExtensionEncoder(spec)
    if callable(spec):
        checks.function("encoder", spec, takes=1)
        return spec
    raise SpecError(f"encoder must be True, False, None, a dict or a callable, not {spec!r}")
