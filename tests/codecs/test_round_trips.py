"""What a writer accepts, `decode` gives back equal, for every extension; the rest is an EncodeError when it is written."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from asyncwds import Decoder, autodecode
from asyncwds.compat import writer
from asyncwds.errors import EncodeError

ARRAYS = st_numpy.arrays(
    st.sampled_from(["i1", "u1", "i8", "u8", "f2", "f4", "f8", "c8", "?", "U3", ">i4", "M8[s]"]),
    st_numpy.array_shapes(min_dims=0, min_side=0, max_side=3),
)
SIDEWAYS = ARRAYS.map(lambda array: array.T) | ARRAYS.filter(lambda array: array.ndim > 0).map(lambda array: array[::-1])
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.integers(-3, 3).map(float)
    | st.integers().map(str)
    | st.text()
)
PLAIN = st.recursive(
    LEAVES | st.binary(),
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text() | st.integers(), inner)
        | st.dictionaries(st.tuples(st.integers(), st.integers()), inner)
    ),
    max_leaves=8,
)
NUMBERS = st.sampled_from([np.float32(1), np.int64(2), np.bool_(True), np.array(5), np.array([5]), np.float64(2.5)])
ANY = PLAIN | ARRAYS | SIDEWAYS | NUMBERS | st.lists(ARRAYS, max_size=3) | st.dictionaries(st.text(max_size=4), ARRAYS | SIDEWAYS)


def same(value: Any, found: Any) -> bool:
    """Equal, arrays by their dtypes and values too. Byte orders are not compared."""
    if isinstance(value, np.ndarray) or isinstance(found, np.ndarray):
        value, found = np.asarray(value), np.asarray(found)
        nan = value.dtype.kind in "fcM"
        return (value.dtype.kind, value.shape) == (found.dtype.kind, found.shape) and np.array_equal(value, found, equal_nan=nan)
    if isinstance(value, dict):
        return list(value) == list(found) and all(same(value[name], found[name]) for name in value)
    if isinstance(value, (list, tuple)):
        return type(value) is type(found) and len(value) == len(found) and all(map(same, value, found))
    return bool(value == found) and isinstance(found, type(value)) | isinstance(value, np.generic)


def listed(value: Any) -> Any:
    """The value with lists for tuples, which JSON, MessagePack and CBOR do not tell apart."""
    if isinstance(value, (list, tuple)):
        return [listed(item) for item in value]
    return {name: listed(item) for name, item in value.items()} if isinstance(value, dict) else value


def as_json(value: Any) -> Any:
    """JSON's keys are text, and text is JSON already."""
    return json.loads(value) if isinstance(value, str) else named(listed(value))


def named(value: Any) -> Any:
    if isinstance(value, list):
        return [named(item) for item in value]
    return {str(name): named(item) for name, item in value.items()} if isinstance(value, dict) else value


def number(value: Any) -> Any:
    return int(value)


def arrays(value: Any) -> Any:
    return value if isinstance(value, dict) else {"arr_0": np.asarray(value)}


def array_list(value: Any) -> Any:
    return [np.asarray(item) for item in value] if isinstance(value, (list, tuple)) else [np.asarray(value)]


EXPECTED: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(["cls", "cls2", "class", "count", "index", "inx", "id"], number),
    **dict.fromkeys(["txt", "text", "transcript", "html", "htm"], str),
    **dict.fromkeys(["json", "jsn"], as_json),
    **dict.fromkeys(["pyd", "pickle", "pkl"], lambda value: value),
    "npy": np.asarray,
    "npz": arrays,
    **dict.fromkeys(["ten", "tenbin", "tb"], array_list),
    **dict.fromkeys(["mp", "msgpack", "msg"], listed),
    "cbor": listed,
    "safetensors": lambda value: dict(sorted(value.items())),
    "pth": lambda value: value,
    "pt": lambda value: value,
}
LIBRARIES = {
    **dict.fromkeys(["mp", "msgpack", "msg"], "msgpack"),
    "cbor": "cbor2",
    "safetensors": "safetensors",
    "pth": "torch",
    "pt": "torch",
}


def cases(*extensions: str) -> Any:
    marks = {extension: pytest.mark.needs(library) for extension, library in LIBRARIES.items()}
    return [pytest.param(extension, marks=marks.get(extension, ())) for extension in extensions]


def extensions_by_library() -> Any:
    """The extensions that take a library, or none, of all but torch's: whatever is written as one is written as the others too."""
    found: dict[str | None, list[str]] = {}
    for extension in EXPECTED:
        found.setdefault(LIBRARIES.get(extension), []).append(extension)
    del found["torch"]
    return [
        pytest.param(extensions, id=library or "no library", marks=[pytest.mark.needs(library)] if library else [])
        for library, extensions in found.items()
    ]


def test_every_encoder_is_in_the_table() -> None:
    images = {extension for extension in writer.default_handlers if extension in autodecode.IMAGE_EXTENSIONS}
    assert set(EXPECTED) == set(writer.default_handlers) - images - {"avif"} == set(autodecode.decoders)


@pytest.mark.parametrize("extensions", extensions_by_library())
@given(value=ANY.filter(lambda value: not isinstance(value, bytes)), suffix=st.sampled_from(["", ".gz"]))
@settings(max_examples=200)
def test_what_is_written_is_read(extensions: list[str], value: Any, suffix: str) -> None:
    """Bytes are left out: they are written as they are, and need not be what the extension says."""
    for extension in extensions:
        field = extension + suffix
        try:
            encoded = writer.encode_based_on_extension({"__key__": "k", field: value}, writer.default_handlers)
        except EncodeError:
            continue
        check(extension, value, Decoder()(encoded)[field])


def check(extension: str, value: Any, found: Any) -> None:
    expected = EXPECTED[extension](value)
    if extension == "safetensors":
        found = dict(sorted(found.items()))
    if extension in ("cbor", "mp", "msgpack", "msg"):
        found = listed(found)
        assert repr(found) == repr(expected) or same(expected, found)
    else:
        assert same(expected, found)


@pytest.mark.parametrize("extension", cases("pth", "pt"))
@given(value=PLAIN.filter(lambda value: not isinstance(value, bytes) and "b''" not in repr(value) and 'b""' not in repr(value)))
@settings(max_examples=30)
def test_what_torch_writes_is_read(extension: str, value: Any) -> None:
    """But for empty bytes in it, which torch writes as a call of `bytes`, and by default does not read."""
    encoded = writer.encode_based_on_extension({"__key__": "k", extension: value}, writer.default_handlers)
    assert same(value, Decoder()(encoded)[extension])


@pytest.mark.parametrize("extension", cases("npz", "npy", "safetensors"))
@pytest.mark.parametrize("name", ["file", "allow_pickle", "args", "self", "a/b", "x.npy", "é"])
def test_arrays_may_have_any_name(extension: str, name: str) -> None:
    array = np.arange(6).reshape(2, 3).T
    value = array if extension == "npy" else {name: array}
    encoded = writer.encode_based_on_extension({"__key__": "k", extension: value}, writer.default_handlers)
    assert same(value, Decoder()(encoded)[extension])


def test_npz_is_what_numpy_reads() -> None:
    encoded = writer.encode_based_on_extension({"__key__": "k", "npz": [1, 2]}, writer.default_handlers)["npz"]
    with np.load(BytesIO(encoded)) as archive:
        assert archive["arr_0"].tolist() == [1, 2]
