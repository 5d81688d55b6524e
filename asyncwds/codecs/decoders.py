"""Field bytes → values.

A handler is a callable `h(key, data)`, where the key is the field's name with a leading dot. It returns the value, or
None if the field is not its business; `Continue` hands another key and other data to the handlers after it; `Decoded`
holds a value that may itself be None. `Decoder` tries handlers in order. Names and arguments are WebDataset's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import partial as bind
from typing import Any, ClassVar, NamedTuple, NoReturn

from asyncwds import checks
from asyncwds.codecs import field_loaders
from asyncwds.codecs.images import imagehandler
from asyncwds.codecs.undecodable import undecodable
from asyncwds.compression.decompress import MAX_UNPACKED, unpack_field
from asyncwds.compression.kinds import SUFFIXES
from asyncwds.errors import DecodeError, SpecError
from asyncwds.runtime.extras import require_extra
from asyncwds.samples import describe_misplaced, whereabouts

FieldDecoder = Callable[[bytes], Any]
FieldHandler = Callable[[str, bytes], Any]


class Continue(NamedTuple):
    """Returned by a handler: the handlers after it get this key and these data."""

    key: str
    data: bytes


class Decoded(NamedTuple):
    """Returned by a handler whose value may be None."""

    value: Any


PICKLES, TORCH_FILES = ("pkl", "pickle", "pyd"), ("pth", "pt")

# Extension → decoder, for every Decoder: the one registry. It belongs to the user, who may add to it at any time, as to
# WebDataset's `autodecode.decoders`; asyncwds never changes it. What is added is known to this process and those it
# forks; `decode(decoders={...})` goes wherever the dataset goes.
decoders: dict[str, FieldDecoder] = {
    **dict.fromkeys(("txt", "text", "transcript", "html", "htm"), field_loaders.text_loads),
    **dict.fromkeys(("cls", "cls2", "class", "count", "index", "inx", "id"), int),
    **dict.fromkeys(("json", "jsn"), json.loads),
    **dict.fromkeys(PICKLES, field_loaders.unpickle_loads),
    **dict.fromkeys(TORCH_FILES, field_loaders.torch_loads),
    "npy": field_loaders.npy_loads,
    "npz": field_loaders.npz_loads,
    **dict.fromkeys(("ten", "tb", "tenbin"), field_loaders.tenbin_loads),
    **dict.fromkeys(("mp", "msg", "msgpack"), field_loaders.msgpack_loads),
    "cbor": field_loaders.cbor_loads,
    "safetensors": field_loaders.safetensors_loads,
}


@dataclass(frozen=True, slots=True)
class ByExtension:
    """Decodes fields by extension, in any case: of "seg.png" and "png" the longer one that fits. None is a value too."""

    decoders: Mapping[str, FieldDecoder]

    def __call__(self, key: str, data: bytes) -> Any:
        return _decode_by_extension(self.decoders, key, data)


def basichandlers(key: str, data: bytes) -> Any:
    """The handler that ends every Decoder by default: decodes by `decoders`."""
    return _decode_by_extension(decoders, key, data)


def _decode_by_extension(decoders: Mapping[str, FieldDecoder], key: str, data: bytes) -> Any:
    extension = key.lower().lstrip(".")
    while extension:
        decode = decoders.get(extension)
        if decode is not None:
            value = decode(data)
            return Decoded(None) if value is None else value
        extension = extension.partition(".")[2]
    return None


def gzfilter(key: str, data: bytes, max_bytes: int = MAX_UNPACKED) -> Continue | None:
    """The handler that begins every Decoder by default: unpacks `.gz` for the others. More than `max_bytes` is a ValueError."""
    if not key.endswith(".gz"):
        return None
    return Continue(key.removesuffix(".gz"), unpack_field("gzip", data, max_bytes))


def torch_safetensors(key: str, data: bytes) -> Any:
    """A handler for `decode`: `.safetensors` → tensors by name, on the CPU."""
    return require_extra("safetensors.torch", "safetensors").load(data) if key.lower().endswith(".safetensors") else None


@dataclass(frozen=True, slots=True)
class ExtensionHandler:
    """Calls `f(data)` for fields that end with one of the extensions, part by part and in any case."""

    extensions: tuple[tuple[str, ...], ...]
    f: FieldDecoder

    def __call__(self, key: str, data: bytes) -> Any:
        parts = tuple(key.lower().split("."))
        return self.f(data) if any(parts[-len(extension) :] == extension for extension in self.extensions) else None


def handle_extension(extensions: str, f: FieldDecoder) -> ExtensionHandler:
    """A handler for fields by extension: "jpg jpeg" is either, "seg.jpg" only a field whose name ends so."""
    checks.text("handle_extension: extensions", extensions)
    checks.function("handle_extension: f", f, takes=1)
    return ExtensionHandler(tuple(tuple(extension.split(".")) for extension in extensions.lower().split()), f)


class Decoder:
    """Decodes all fields of a sample: `Decoder(["rgb8"])(sample)` is a new sample, with the same origin.

    Each field goes through `pre` (default: gzfilter), `decoders` (extension → function of the bytes), the handlers (a
    string is short for `imagehandler`) and `post` (default: basichandlers). A field that none of them takes is unpacked
    if it ends with `.zst`, `.xz`, `.bz2` or `.lz4` and goes through all again, else it stays bytes. Unpacked fields have at most
    `max_unpacked` [bytes], `npz` and files of torch too; `pre` replaces all unpacking by suffix.

    Pickles hold plain data, arrays and tensors; `pickle` has the classes of other objects that they may hold, or is "any" for
    whatever they hold, code among it. If it is given, it counts for `pkl`, `pickle`, `pyd`, `pth` and `pt` before the registry.

    With `min_size` [pixels] the image specs make JPEGs 1/2, 1/4 or 1/8 as large, if their shorter side still has so many.

    `only` names the fields to decode (a list, or a string with spaces). Fields that are not bytes are an error unless
    `partial`. Names that begin with two underscores are metadata: their bytes become text if they are UTF-8. Calling
    raises DecodeError, with what went wrong as its cause, and SpecError where a library is missing.
    """

    one_to_one: ClassVar[bool] = True  # never None, for which `map` would drop the sample

    def __init__(
        self,
        handlers: Sequence[FieldHandler | str] = (),
        pre: Sequence[FieldHandler] | None = None,
        post: Sequence[FieldHandler] | None = None,
        only: str | Iterable[str] | None = None,
        partial: bool = False,
        *,
        decoders: Mapping[str, FieldDecoder] | None = None,
        max_unpacked: int = MAX_UNPACKED,
        pickle: field_loaders.Allowed = None,
        min_size: int | None = None,
    ) -> None:
        checks.flag("decode: partial", partial)
        checks.whole("decode: max_unpacked", max_unpacked, 1)
        checks.mapping("decode: decoders", decoders, optional=True)
        for name, decode in (decoders or {}).items():
            checks.text("decode: an extension in decoders", name)
            checks.function(f"decode: the decoder for {name}", decode, takes=1)
        if min_size is not None and not any(isinstance(handler, str) for handler in handlers):
            raise SpecError('decode: min_size goes with an image spec, as in decode("rgb8", min_size=256)')
        own = [imagehandler(handler, min_size=min_size) if isinstance(handler, str) else handler for handler in handlers]
        if decoders:
            own.insert(0, ByExtension({name.lower().lstrip("."): decode for name, decode in decoders.items()}))
        if pickle is not None or max_unpacked != MAX_UNPACKED:
            own.append(ByExtension(_bounded_decoders(pickle, max_unpacked)))
        unpack = [gzfilter if max_unpacked == MAX_UNPACKED else bind(gzfilter, max_bytes=max_unpacked)]
        self.handlers = [*(unpack if pre is None else pre), *own, *([basichandlers] if post is None else post)]
        self.only = None if only is None else frozenset(checks.names("decode: only", only))
        self.partial = partial
        self.min_size = min_size
        self.suffixes = SUFFIXES if pre is None else {}
        self.max_unpacked = max_unpacked
        for handler in self.handlers:
            checks.function("decode: a handler", handler, takes=2)

    def __repr__(self) -> str:
        only = None if self.only is None else sorted(self.only)
        return f"Decoder(handlers={self.handlers!r}, only={only!r}, partial={self.partial!r})"

    def __call__(self, sample: Any) -> Any:
        return self.decode(sample)

    def with_handler(self, old: FieldHandler, new: FieldHandler) -> Decoder:
        """The same, with another in place of one of the handlers."""
        changed = copy(self)
        changed.handlers = [new if handler is old else handler for handler in self.handlers]
        return changed

    def decode(self, sample: Any) -> Any:
        if not isinstance(sample, dict):
            raise SpecError(f"decode needs samples that are dicts, {describe_misplaced(sample)}")
        decoded = sample.copy()
        field = ""
        try:
            for field, value in sample.items():
                if field.startswith("__"):
                    decoded[field] = _metadata(value)
                elif self.only is None or field in self.only:
                    if isinstance(value, bytes):
                        decoded[field] = self.decode1(field, value)
                    elif not self.partial:
                        _refuse(sample, field)
        except SpecError:
            raise  # not this sample is wrong, but the pipeline
        except Exception as cause:
            raise undecodable(sample, field, cause) from cause
        return decoded

    def decode1(self, key: str, data: bytes) -> Any:
        """The value of one field, named without a leading dot."""
        value = self._ask(f".{key}", data)
        while isinstance(value, Continue):
            stem, _, suffix = value.key.rpartition(".")
            kind = self.suffixes.get(suffix.lower())
            if kind is None:
                return value.data
            value = self._ask(stem, unpack_field(kind, value.data, self.max_unpacked))
        if isinstance(value, checks.ASYNCHRONOUS):
            checks.refuse_coroutine("decode", value)
        return value.value if isinstance(value, Decoded) else value

    def _ask(self, key: str, data: bytes) -> Any:
        """What the first handler makes of a field that does not pass it on, else a Continue with what became of it."""
        for handler in self.handlers:
            value = handler(key, data)
            if value is None:
                continue
            if not isinstance(value, Continue):
                return value
            key, data = value
        return Continue(key, data)


def _bounded_decoders(allow: Any, max_bytes: int) -> dict[str, FieldDecoder]:
    """The decoders that have one of these options, for those that are not the defaults."""
    chosen: dict[str, FieldDecoder] = {}
    if allow is not None:
        if allow != "any":
            if not isinstance(allow, (list, tuple, set, frozenset)) or not all(hasattr(kind, "__qualname__") for kind in allow):
                raise SpecError(f'decode: pickle must be "any" or a list of classes, not {allow!r}')
            allow = tuple(allow)
        chosen |= dict.fromkeys(PICKLES, bind(field_loaders.unpickle_loads, allow=allow))
    if max_bytes != MAX_UNPACKED:
        chosen["npz"] = bind(field_loaders.npz_loads, max_bytes=max_bytes)
    return chosen | dict.fromkeys(TORCH_FILES, bind(field_loaders.torch_loads, allow=allow, max_bytes=max_bytes))


default_pre_handlers = [gzfilter]
default_post_handlers = [basichandlers]
default_decoder = Decoder()
DecodingError = DecodeError


def _refuse(sample: Any, field: str) -> NoReturn:
    if wrong := describe_misplaced(sample):
        raise SpecError(f"decode needs samples, {wrong}")
    raise SpecError(
        f"decode needs fields that are bytes, not {type(sample[field]).__name__} as {field!r} is; "
        "decoded twice, or behind batched? (partial=True passes such fields on)",
        **whereabouts(sample),
    )


def _metadata(value: Any) -> Any:
    try:
        return value.decode("utf-8") if isinstance(value, bytes) else value
    except UnicodeDecodeError:
        return value
