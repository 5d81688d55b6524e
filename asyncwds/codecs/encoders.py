"""Values → field bytes, by extension: what `decode` turns back. Names and arguments are webdataset's.

The last extension of a field's name counts. One of a compression before it is left to the end: "json.gz" is JSON, then gzip.
Bytes are written as they are, whatever the extension, and a compression is applied to them as well, unless they begin with its
magic number. Text is written as UTF-8 where no encoder of this module is in charge, as for "txt" and extensions that are not known.
"""

from __future__ import annotations

import gzip
import json
import pickle
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from contextlib import suppress
from functools import partial
from io import BytesIO
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

from asyncwds import checks
from asyncwds.errors import EncodeError, SpecError
from asyncwds.runtime.extras import require_extra

Sample = Mapping[str, Any]
Encoder = Callable[[Any], Any]
"""Sample with values → sample with bytes."""
FieldEncoder = Callable[[Any], "bytes | bytearray | memoryview"]

_REMEMBERED = 1024
_IMAGES = ("png", "pbm", "pgm", "ppm", "pnm", "tiff", "tif", "webp", "avif", "bmp", "gif", "jp2", "j2k", "tga", "pcx", "sgi")


def imageencoder(image: Any, format: str = "PNG") -> bytes:  # noqa: A002 - webdataset's name
    """As `image_encoding.imageencoder`, which is imported on first use."""
    from asyncwds.codecs import image_encoding  # noqa: PLC0415 - NumPy, heavy

    return image_encoding.imageencoder(image, format)


def bytestr(data: Any) -> bytes:
    """Bytes as they are, anything else as ASCII text."""
    return data if isinstance(data, bytes) else str(data).encode("ascii")


def torch_dumps(data: Any) -> bytes:
    """As `torch.save` writes it. Of a view, it writes all that the view is of: clone a slice of something large."""
    torch = require_extra("torch", "torch")
    file = BytesIO()
    torch.save(data, file)
    return file.getvalue()


def numpy_dumps(data: Any) -> bytes:
    """One array in NumPy's format. Raises ValueError for arrays of objects, which only unpickling could read."""
    import numpy as np  # noqa: PLC0415 - heavy

    file = BytesIO()
    np.save(file, np.asarray(data), allow_pickle=False)
    return file.getvalue()


def numpy_npz_dumps(data: Any) -> bytes:
    """Named arrays in NumPy's compressed format; one array, or a list of numbers, as `arr_0`. TypeError for anything else."""
    import numpy as np  # noqa: PLC0415 - heavy
    from numpy.lib import format as npy  # noqa: PLC0415 - as above

    if not isinstance(data, Mapping):
        data = {"arr_0": np.asarray(data)}
    if not all(isinstance(name, str) and "\0" not in name for name in data):
        raise TypeError("npz holds an array, or a dict of arrays with names, without NUL")
    if not all(isinstance(array, np.ndarray) and not array.dtype.hasobject for array in data.values()):
        raise TypeError("npz holds arrays, and none of objects")
    file = BytesIO()
    # By hand: `np.savez` takes names for keywords, some of which are its own.
    with ZipFile(file, "w", ZIP_DEFLATED) as archive:
        for name, array in data.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                npy.write_array(member, array, allow_pickle=False)
    return file.getvalue()


def tenbin_dumps(x: Any) -> bytes:
    """A list or tuple of arrays, or one array, in the format of `asyncwds.tenbin`."""
    from asyncwds.codecs import tensors  # noqa: PLC0415 - heavy

    return tensors.encode_buffer(list(x) if isinstance(x, (list, tuple)) else [x])


def cbor_dumps(x: Any) -> bytes:
    """CBOR, by cbor2 (the extra `cbor`)."""
    return bytes(require_extra("cbor2", "cbor").dumps(x))


def mp_dumps(x: Any) -> bytes:
    """MessagePack (the extra `msgpack`). Raises TypeError for dicts whose keys it can write but not read, such as tuples."""
    msgpack = require_extra("msgpack", "msgpack")
    data = bytes(msgpack.packb(x))
    if isinstance(x, (dict, list, tuple)):
        msgpack.unpackb(data, strict_map_key=False)
    return data


def safetensors_dumps(x: Any) -> bytes:
    """Named tensors, or named arrays, in the format of safetensors (the extra of that name)."""
    first = next(iter(x.values()), None)
    if type(first).__module__.startswith("torch"):
        return bytes(require_extra("safetensors.torch", "safetensors").save(dict(x)))
    import numpy as np  # noqa: PLC0415 - heavy

    # The library writes the memory of an array as it lies there, and the shape of another order.
    arrays = {name: np.asarray(array, order="C") for name, array in x.items()}
    return bytes(require_extra("safetensors.numpy", "safetensors").save(arrays))


def _number(x: Any) -> bytes:
    if (
        getattr(x, "shape", None) == () and getattr(x.dtype, "kind", "f") in "biuf"
    ):  # of NumPy or torch; its text may be "tensor(5)"
        x = x.item()
    if isinstance(x, float) and x.is_integer():
        x = int(x)
    if isinstance(x, str):
        with suppress(ValueError):  # said below
            x = int(x)
    if not isinstance(x, int):
        raise TypeError(f"a whole number is needed, not {type(x).__name__} {x!r:.80}")
    return str(int(x)).encode("ascii")


def _text(x: Any) -> bytes:
    if not isinstance(x, str):
        raise TypeError(f"text is str or bytes, not {type(x).__name__}")
    return x.encode("utf-8")


def _json(x: Any) -> bytes:
    if not isinstance(x, str):
        return json.dumps(x).encode("utf-8")
    try:
        json.loads(x)
    except ValueError as cause:
        raise ValueError(f"text in this field has to be JSON, as json.dumps makes it: {cause}") from cause
    return x.encode("utf-8")


def add_handlers(d: MutableMapping[str, FieldEncoder], keys: str | Iterable[str], value: FieldEncoder) -> None:
    """Enters an encoder for each extension, given as a list or a text with spaces."""
    d.update(dict.fromkeys(keys.split() if isinstance(keys, str) else keys, value))


def make_handlers() -> dict[str, FieldEncoder]:
    """Extension → encoder: what `encoder=True` goes by before anyone changes it, as a dict to change and pass as `encoder`."""
    handlers: dict[str, FieldEncoder] = {}
    add_handlers(handlers, "cls cls2 class count index inx id", _number)
    add_handlers(handlers, "txt text transcript html htm", _text)
    add_handlers(handlers, "json jsn", _json)
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
    *(_number, _json, pickle.dumps, torch_dumps, numpy_dumps, numpy_npz_dumps, tenbin_dumps),
    *(mp_dumps, cbor_dumps, safetensors_dumps, imageencoder),
)


def _bz2(data: bytes) -> bytes:
    import bz2  # noqa: PLC0415 - builds of Python may lack it

    return bz2.compress(data)


def _xz(data: bytes) -> bytes:
    import lzma  # noqa: PLC0415 - as above

    return lzma.compress(data)


def _zstd(data: bytes) -> bytes:
    return bytes(require_extra("zstandard", "zstd").ZstdCompressor().compress(data))


def _lz4(data: bytes) -> bytes:
    return bytes(require_extra("lz4.frame", "lz4").compress(data, content_checksum=True))


# Suffix → magic number, compression. Without the time in gzip's header, so that the same value gives the same bytes.
_COMPRESSIONS: dict[str, tuple[bytes, Callable[[Any], bytes]]] = {
    "gz": (b"\x1f\x8b", partial(gzip.compress, mtime=0)),
    "bz2": (b"BZh", _bz2),
    "xz": (b"\xfd7zXZ\0", _xz),
    "lz4": (b"\x04\x22\x4d\x18", _lz4),
    "zst": (b"\x28\xb5\x2f\xfd", _zstd),
}


def encode_based_on_extension1(data: Any, tname: str, handlers: Mapping[str, FieldEncoder]) -> Any:
    """The bytes of one field. Names that begin with an underscore are metadata, whose values are left as they are.

    Raises ValueError where no encoder is known for the extension, and whatever the encoder raises.
    """
    if tname.startswith("_"):
        return data
    rest, _, extension = tname.rpartition(".")
    extension = extension.lower()
    if rest and extension in _COMPRESSIONS:
        magic, compress = _COMPRESSIONS[extension]
        encoded = encode_based_on_extension1(data, rest, handlers)
        return encoded if isinstance(data, bytes) and data.startswith(magic) else compress(encoded)
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
        return all((type(value) is bytes and field in plain) or field.startswith("_") for field, value in sample.items())

    def _encode_field(self, field: str, value: Any, sample: Sample) -> Any:
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
    return field.rpartition(".")[2].lower() in _COMPRESSIONS


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
