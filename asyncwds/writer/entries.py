"""Samples → members of an archive: encoded, with names that will come back as they are, and laid out in blocks. No I/O."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Mapping
from numbers import Integral
from typing import Any, NamedTuple

from asyncwds.codecs.encoders import Encoder, ExtensionEncoder, unchanged
from asyncwds.errors import EncodeError, SampleError, WdsError
from asyncwds.samples import PADDING
from asyncwds.tar.building import Headers
from asyncwds.tar.grouping import base_plus_ext, is_meta
from asyncwds.tar.headers import BLOCK, ZEROS

# Whoever reads the sample gives it these anew; as members they would be refused there as fields that come twice.
_GIVEN_BY_READERS = frozenset({"__key__", "__url__", "__local_path__", PADDING})
_REMEMBERED = 1024


class Entry(NamedTuple):
    """A sample as it stands in an archive.

    `pieces` are its headers, payloads and padding, `nbytes` [bytes] all of them, `payload` [bytes] the fields alone, `names` and
    `sizes` [bytes] those of its members.
    """

    key: str | None
    pieces: list[bytes]
    nbytes: int
    payload: int
    names: list[str]
    sizes: list[int]


class Packer:
    """Makes entries of samples. Fields are in sorted order; those that begin with an underscore only where `keep_meta`.

    With `check_names`, names that would come back as another key or field are a SampleError, as are two fields that differ
    in case only. Raises EncodeError for values that cannot be encoded.
    """

    def __init__(self, encoder: Encoder, headers: Headers, *, keep_meta: bool, check_names: bool) -> None:
        self.encoder = encoder
        self._headers = headers
        self._keep_meta = keep_meta
        self._check_names = check_names
        self._plain: set[str] = set()  # fields seen that come back as they are under every plain key

    def __call__(self, sample: Mapping[str, Any]) -> Entry:
        encoded = self._encode_sample(sample)
        key = _key(encoded)
        fields = self._fields(encoded, key)
        if not (_is_plain_key(key) and self._plain.issuperset(fields)):
            self._check(key, fields)
        headers = self._headers
        pieces: list[bytes] = []
        names: list[str] = []
        sizes: list[int] = []
        nbytes = 0
        for field in fields:
            data = encoded[field]
            if type(data) is not bytes:
                data = _as_bytes(key, field, data)
            size = len(data)
            name = f"{key}.{field}"
            header = headers(name, size)
            pieces += (header, data, ZEROS[size % BLOCK or BLOCK :])
            names.append(name)
            sizes.append(size)
            nbytes += len(header) + size + -size % BLOCK
        return Entry(key, pieces, nbytes, sum(sizes), names, sizes)

    def is_quick(self, sample: Mapping[str, Any]) -> bool:
        """Whether it takes microseconds: nothing to encode or compress, and no code of the user's to call."""
        encoder = self.encoder
        return encoder is unchanged or (isinstance(encoder, ExtensionEncoder) and encoder.is_quick(sample))

    def _encode_sample(self, sample: Mapping[str, Any]) -> Mapping[str, Any]:
        if not isinstance(sample, dict | Mapping):
            raise SampleError(f"a sample is a dict, not {type(sample).__name__}")
        try:
            encoded = self.encoder(sample)
        except WdsError:
            raise
        except Exception as error:
            error.add_note(f"in the encoder, for the sample {sample.get('__key__')!r}")
            raise
        if not isinstance(encoded, dict | Mapping):
            raise SampleError(f"the encoder made {type(encoded).__name__} of a sample, not a dict")
        return encoded

    def _fields(self, encoded: Mapping[str, Any], key: str) -> list[str]:
        try:
            fields = [field for field in sorted(encoded) if not field.startswith("_")]
            if self._keep_meta:
                fields = sorted({*fields, *(field for field in encoded if field.startswith("_"))} - _GIVEN_BY_READERS)
        except (TypeError, AttributeError):
            raise SampleError("the names of fields are text", key=key) from None
        if not fields:
            raise SampleError("the sample has no fields to write: nothing of it would come back", key=key)
        return fields

    def _check(self, key: str, fields: list[str]) -> None:
        for field in fields:
            name = f"{key}.{field}"
            if "\0" in name:
                raise SampleError(f"the name {name!r} has a zero byte, where it would be cut", key=key)
            if self._check_names and (is_meta(name) or base_plus_ext(name) != (key, field)):
                raise SampleError(_comes_back_as(name), key=key)
            if field == field.lower() and "/" not in field and len(self._plain) < _REMEMBERED:
                self._plain.add(field)
        if self._check_names and len({field.lower() for field in fields}) < len(fields):
            raise SampleError(f"two of the fields {fields} differ in case only, and come back as one", key=key)


def member_entry(info: tarfile.TarInfo, data: bytes) -> Entry:
    """A member as it stands in an archive, under whatever name: it may belong to a sample, or to none."""
    header = info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
    size = len(data)
    return Entry(
        None, [header, data, ZEROS[size % BLOCK or BLOCK :]], len(header) + size + -size % BLOCK, size, [info.name], [size]
    )


def _key(sample: Mapping[str, Any]) -> str:
    if "__key__" not in sample:
        raise SampleError(f"a sample needs a __key__; this one has {sorted(map(str, sample))}")
    key = sample["__key__"]
    if isinstance(key, bytes):
        return key.decode("utf-8", "surrogateescape")
    if not isinstance(key, str | Integral):
        raise SampleError(f"a __key__ is text or a number, not {type(key).__name__}: {key!r}")
    return str(key)


def _is_plain_key(key: str) -> bool:
    """Whether all plain fields come back under this key. Sufficient, and quick."""
    return key != "" and key[0] != "_" and key[-1] != "/" and "." not in key and "\0" not in key


def _comes_back_as(name: str) -> str:
    reason = "the first dot of the last path component ends the key; check_names=False writes it all the same"
    if is_meta(name):
        return f"{name!r} would be skipped: names whose first component is __…__ are reserved; check_names=False writes it"
    key, field = base_plus_ext(name)
    if key is None:
        return f"{name!r} would be skipped, as it has no key: {reason}"
    return f"{name!r} would come back as key {key!r}, field {field!r}: {reason}"


def _as_bytes(key: str, field: str, value: Any) -> bytes:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    if field.startswith("_"):
        return _metadata(key, field, value)
    error = EncodeError(f"field {field!r} is {type(value).__name__} after encoding, not bytes", key=key)
    error.field = field
    raise error


def _metadata(key: str, field: str, value: Any) -> bytes:
    """Text as UTF-8, anything else as JSON."""
    try:
        return (value if isinstance(value, str) else json.dumps(value)).encode("utf-8")
    except (TypeError, ValueError) as cause:
        error = EncodeError(f"the metadata {field!r} is neither text nor JSON: {cause}", key=key)
        error.field = field
        raise error from cause
