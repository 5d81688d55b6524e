"""Field bytes → values.

A handler is a callable `h(key, data)`, where the key is the field's name with a leading dot. It returns the value, or
None if the field is not its business; `Continue` hands another key and other data to the handlers after it; `Decoded`
holds a value that may itself be None. `Decoder` tries handlers in order. Names and arguments are WebDataset's.
"""

from __future__ import annotations

import gzip
import json
import pickle
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from types import MappingProxyType
from typing import Any, NamedTuple, NoReturn

from asyncwds.codecs.images import imagehandler
from asyncwds.errors import DecodeError, SpecError
from asyncwds.model import GiB, whereabouts
from asyncwds.security import secure_mode

FieldHandler = Callable[[str, bytes], Any]


class Continue(NamedTuple):
    """Returned by a handler: the handlers after it get this key and these data."""

    key: str
    data: bytes


class Decoded(NamedTuple):
    """Returned by a handler whose value may be None."""

    value: Any


def _text(data: bytes) -> str:
    return data.decode("utf-8")


def _unpickled(data: bytes) -> Any:
    if secure_mode():
        raise SpecError("unpickling can run any code, and WDS_SECURE is set")
    return pickle.loads(data)  # noqa: S301 - WebDataset's default; WDS_SECURE=1 forbids it


def _npy(data: bytes) -> Any:
    from numpy.lib import format as npy  # noqa: PLC0415 - heavy

    return npy.read_array(BytesIO(data), allow_pickle=False)


def _npz(data: bytes) -> dict[str, Any]:
    import numpy as np  # noqa: PLC0415 - heavy

    with np.load(BytesIO(data), allow_pickle=False) as archive:
        return dict(archive)


def _pth(data: bytes) -> Any:
    import torch  # noqa: PLC0415 - heavy

    return torch.load(BytesIO(data), map_location="cpu", weights_only=True)


# Extension → decoder; the last extension of a field's name counts.
DECODERS: Mapping[str, Callable[[bytes], Any]] = MappingProxyType(
    {
        **dict.fromkeys(("txt", "text", "transcript"), _text),
        **dict.fromkeys(("cls", "cls2", "index", "inx", "id"), int),
        **dict.fromkeys(("json", "jsn"), json.loads),
        **dict.fromkeys(("pkl", "pickle", "pyd"), _unpickled),
        "npy": _npy,
        "npz": _npz,
        "pth": _pth,
    }
)


def basichandlers(key: str, data: bytes) -> Any:
    """The handler that ends every Decoder by default: decodes by `DECODERS`."""
    decode = DECODERS.get(key.rpartition(".")[2].lower())
    if decode is None:
        return None
    value = decode(data)
    return Decoded(None) if value is None else value


def gzfilter(key: str, data: bytes, max_bytes: int = 4 * GiB) -> Continue | None:
    """The handler that begins every Decoder by default: unpacks `.gz` for the others. More than `max_bytes` is a ValueError."""
    if not key.endswith(".gz"):
        return None
    with gzip.GzipFile(fileobj=BytesIO(data)) as file:
        unpacked = file.read(max_bytes + 1)
    if len(unpacked) > max_bytes:
        raise ValueError(f"unpacks to more than {max_bytes} bytes")
    return Continue(key.removesuffix(".gz"), unpacked)


@dataclass(frozen=True, slots=True)
class ExtensionHandler:
    """Calls `f(data)` for fields that end with one of the extensions, part by part and in any case."""

    extensions: tuple[tuple[str, ...], ...]
    f: Callable[[bytes], Any]

    def __call__(self, key: str, data: bytes) -> Any:
        parts = tuple(key.lower().split("."))
        return self.f(data) if any(parts[-len(extension) :] == extension for extension in self.extensions) else None


def handle_extension(extensions: str, f: Callable[[bytes], Any]) -> ExtensionHandler:
    """A handler for fields by extension: "jpg jpeg" is either, "seg.jpg" only a field whose name ends so."""
    return ExtensionHandler(tuple(tuple(extension.split(".")) for extension in extensions.lower().split()), f)


class Decoder:
    """Decodes all fields of a sample: `Decoder(["rgb8"])(sample)` is a new sample, with the same origin.

    Each field goes through `pre` (default: gzfilter), the handlers (a string is short for `imagehandler`) and `post` (default:
    basichandlers); a field that none of them takes stays bytes. `only` names the fields to decode (a list, or a string with
    spaces). Fields that are not bytes are an error unless `partial`. Names that begin with two underscores are
    metadata: their bytes become text if they are UTF-8. Calling raises DecodeError, with what went wrong as its cause.
    """

    def __init__(
        self,
        handlers: Sequence[FieldHandler | str] = (),
        pre: Sequence[FieldHandler] | None = None,
        post: Sequence[FieldHandler] | None = None,
        only: str | Iterable[str] | None = None,
        partial: bool = False,
    ) -> None:
        own = [imagehandler(handler) if isinstance(handler, str) else handler for handler in handlers]
        self.chain = (*([gzfilter] if pre is None else pre), *own, *([basichandlers] if post is None else post))
        self.only = None if only is None else frozenset(only.split() if isinstance(only, str) else only)
        self.partial = partial
        for handler in self.chain:
            if not callable(handler):
                raise SpecError(f"decode takes image specs and callables h(key, data), not {handler!r}")

    def __repr__(self) -> str:
        only = None if self.only is None else sorted(self.only)
        return f"Decoder(chain={self.chain!r}, only={only!r}, partial={self.partial!r})"

    def __call__(self, sample: Any) -> Any:
        if not isinstance(sample, dict):
            raise SpecError(f"decode needs samples that are dicts, not {type(sample).__name__}; it belongs before to_tuple")
        decoded = sample.copy()
        field = ""
        try:
            for field, value in sample.items():
                if field.startswith("__"):
                    decoded[field] = _metadata(value)
                elif self.only is None or field in self.only:
                    if isinstance(value, bytes):
                        decoded[field] = self.decode1(f".{field}", value)
                    elif not self.partial:
                        _refuse(value)
        except Exception as cause:
            message = f"field {field!r} cannot be decoded: {type(cause).__name__}: {cause}"
            error = DecodeError(message, **whereabouts(sample))
            error.field = field
            raise error from cause
        return decoded

    def decode1(self, key: str, data: bytes) -> Any:
        """The value of one field. `key` is its name with a leading dot."""
        for handler in self.chain:
            value = handler(key, data)
            if value is None:
                continue
            if not isinstance(value, Continue):
                return value.value if isinstance(value, Decoded) else value
            key, data = value
        return data


def _refuse(value: object) -> NoReturn:
    raise TypeError(f"it is no bytes but {type(value).__name__}; decoded twice? (partial=True passes it on)")


def _metadata(value: Any) -> Any:
    try:
        return value.decode("utf-8") if isinstance(value, bytes) else value
    except UnicodeDecodeError:
        return value
