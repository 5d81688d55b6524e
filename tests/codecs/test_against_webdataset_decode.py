"""Decoded fields are WebDataset's, to the last bit."""

from __future__ import annotations

import gzip
import json
import pickle
from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
import pytest
import webdataset
from hypothesis import given
from hypothesis import strategies as st
from webdataset import filters

import asyncwds as wds
from asyncwds import Continue, Decoder, handle_extension, xdecode
from asyncwds.errors import DecodeError


def our_field(field: str, data: bytes, handlers: list[Any]) -> Any:
    return Decoder(handlers)({"__key__": "k", field: data})[field]


def their_field(field: str, data: bytes, handlers: list[Any]) -> Any:
    return next(webdataset.decode(*handlers)(iter([{"__key__": "k", field: data}])))[field]


def array_file(save: Callable[..., None], *arrays: Any) -> bytes:
    file = BytesIO()
    save(file, *arrays)
    return file.getvalue()


FIELDS: dict[str, bytes] = {
    "txt": "hé".encode(),
    "transcript": b"",
    "cls": b"3\n",
    "id": b"007",
    "json": b'{"a": [1.5, null]}',
    "jsn.gz": gzip.compress(b"[1]"),
    "pyd": pickle.dumps({"a": (1, 2)}),
    "npy": array_file(np.save, np.arange(6).reshape(2, 3)),
    "npz": array_file(np.savez, np.arange(3), np.ones(2)),
    "a.b.txt": b"x",
    "other": b"\xff",
    "other.gz": gzip.compress(b"x"),
    "__meta__": b"x",
}


def array_of_tensors() -> bytes:
    return bytes(webdataset.tenbin.encode_buffer([np.arange(6, dtype="int16").reshape(2, 3), np.ones(2, "float32")]))


def torch_file() -> bytes:
    import torch

    file = BytesIO()
    torch.save({"a": torch.arange(3), "b": [1, "x"]}, file)
    return file.getvalue()


def message() -> bytes:
    import msgpack

    return msgpack.packb({"a": [1, 2.5, None, "é", b"x"], "b": {"c": True}})


CONTENTS: dict[str, list[Any]] = {
    **{key: [b"", "h\u00e9\n".encode(), b"a\0b"] for key in ("txt", "text", "transcript")},
    **{key: [b"3", b" -7\n", b"1_000", b"9" * 40] for key in ("cls", "cls2", "index", "inx", "id")},
    **{key: [b"[1, 2.50, true]", b'{"a": {"b": null}}', b'"x"', b"NaN", b"0"] for key in ("json", "jsn")},
    **{key: [pickle.dumps({"a": (1, {2})}, protocol) for protocol in (0, 2, 4, 5)] for key in ("pkl", "pickle", "pyd")},
    **{key: [array_of_tensors] for key in ("ten", "tb")},
    **{key: [message] for key in ("mp", "msg")},
    "npy": [array_file(np.save, np.array(array)) for array in (3.5, [[1, 2]], [1 + 2j], ["a", "bc"], np.zeros((0, 3)))],
    "npz": [array_file(np.savez, np.arange(3)), array_file(np.savez_compressed, np.ones(2), np.arange(4))],
    "pth": [torch_file],
    "unknown": [b"\xff"],
}
NEEDS = {"pth": "torch", "mp": "msgpack", "msg": "msgpack"}
CASES = [
    pytest.param(extension, content, marks=pytest.mark.needs(NEEDS[extension]) if extension in NEEDS else [])
    for extension, contents in CONTENTS.items()
    for content in contents
]


def comparable(value: Any) -> Any:
    """With types, and with arrays as bytes."""
    if hasattr(value, "dtype"):
        array = np.asarray(value)
        return (type(value), str(value.dtype), array.shape, array.tobytes())
    if isinstance(value, dict):
        return [(key, comparable(entry)) for key, entry in value.items()]
    if isinstance(value, (list, tuple)):
        return (type(value), [comparable(entry) for entry in value])
    return (type(value), repr(value))


@pytest.mark.parametrize(("extension", "content"), CASES)
@pytest.mark.parametrize("name", ["{}", "a.b.{}", "{}.gz"])
def test_every_extension(extension: str, content: Any, name: str) -> None:
    data = content() if callable(content) else content
    if name.endswith("gz"):
        data = gzip.compress(data)
    field = name.format(extension)
    assert comparable(our_field(field, data, [])) == comparable(their_field(field, data, []))


BROKEN = [("txt", b"\xff"), ("cls", b"x"), ("cls", b""), ("id", b"\xd9\xa3"), ("json", b"{"), ("pyd", b"")]
BROKEN += [("npy", b"junk"), ("png", b"junk")]


@pytest.mark.parametrize(("field", "data"), BROKEN)
def test_what_is_an_error_there_is_one_here(field: str, data: Any) -> None:
    with pytest.raises(webdataset.autodecode.DecodingError) as theirs:
        their_field(field, data, ["rgb8"])
    with pytest.raises(DecodeError) as ours:
        our_field(field, data, ["rgb8"])
    assert (ours.value.k, ours.value.key) == (theirs.value.k, theirs.value.key)
    for handler, left in (("ignore_and_continue", 2), ("ignore_and_stop", 1)):
        samples = [{"__key__": "a", "cls": b"1"}, {"__key__": "b", field: data}, {"__key__": "c", "cls": b"1"}]
        kept = list(webdataset.decode("rgb8", handler=getattr(webdataset, handler))(iter(samples)))
        assert list(wds.decode("rgb8", handler=getattr(wds, handler))(iter(samples))) == kept
        assert len(kept) == left


@pytest.mark.parametrize("name", ["unpickle_loads", pytest.param("torch_loads", marks=pytest.mark.needs("torch"))])
def test_secure_mode(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webdataset.utils, "enforce_security", True)
    monkeypatch.setenv("WDS_SECURE", "1")
    with pytest.raises(ValueError, match="security") as theirs:
        getattr(webdataset.autodecode, name)(pickle.dumps(1))
    with pytest.raises(ValueError, match="security") as ours:
        getattr(wds.autodecode, name)(pickle.dumps(1))
    assert str(ours.value) == str(theirs.value)


XDECODERS: list[tuple[list[Any], dict[str, Any]]] = [
    ([], {}),
    ([], {"must_decode": False}),
    ([("*.cls", lambda stream: int(stream.read()))], {"must_decode": False}),
    ([("*", len)], {"defaults": [], "txt": lambda stream: stream.read().upper()}),
    ([("?.txt", lambda _: 1), ("b.*", lambda _: 2), ("*.b.*", lambda _: 3)], {"must_decode": False}),
    ([], {"json": json.load, "cls": False, "jpg": False, "other": False}),
    ([("*.TXT", lambda _: 1)], {"must_decode": False}),
]
XSAMPLES: list[dict[str, Any]] = [
    {"__key__": "k", "__x__": b"x", "txt": b"x", "bin": b"\xff"},
    {"__key__": "k", "a.txt": b"x", "b.txt": b"y", "a.b.cls": b"3", "B.Txt": b"z", "other": b"o"},
    {"__key__": "k", "json": b"[1]", "cls": b"3", "jpg": b"j", "pyd": pickle.dumps((1, 2)), "txt": b""},
    {"txt": b"\xff"},
    {"a/b.txt": b"x", "c/d.bin": b"x"},
    {"bin": BytesIO(b"from a stream")},
]


@pytest.mark.parametrize(("pairs", "options"), XDECODERS)
@pytest.mark.parametrize("sample", XSAMPLES)
def test_xdecode(sample: dict[str, Any], pairs: list[Any], options: dict[str, Any]) -> None:
    def decoded(stage: Callable[..., Any]) -> Any:
        for value in sample.values():
            if isinstance(value, BytesIO):
                value.seek(0)
        (made,) = stage(*pairs, **options)(iter([dict(sample)]))
        return comparable(made)

    theirs = outcome(lambda: decoded(webdataset.xdecode))
    ours = outcome(lambda: decoded(xdecode))
    if isinstance(theirs, Exception):
        assert isinstance(ours, DecodeError)
        assert str(theirs) in str(ours)
    else:
        assert ours == theirs


def outcome(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except Exception as error:
        return error


@pytest.mark.parametrize("path", ["txt", "a.txt", "A.TXT", "x/y.bin", "pyd", "jpg", "txt.gz", ""])
def test_find_decoder(path: str) -> None:
    ours, theirs = (module.find_decoder(module.default_decoders, path) for module in (wds.filters, filters))
    assert getattr(ours, "__name__", None) == getattr(theirs, "__name__", None)


@pytest.mark.parametrize(
    ("handlers", "options"),
    [
        ([], {}),
        (["rgb8"], {"only": "txt npy"}),
        ([], {"only": ["other.gz", "a.b.txt"]}),
        ([], {"pre": []}),
        ([], {"post": []}),
        ([handle_extension("txt b.txt", len)], {"partial": True}),
        ([lambda key, _data: Continue(".json", b"[]") if key == ".other" else None], {}),
    ],
)
def test_samples(handlers: list[Any], options: dict[str, Any]) -> None:
    sample = {"__key__": "k", "__url__": "u", **FIELDS}
    theirs_handlers = [theirs_of(handler) for handler in handlers]
    theirs = next(webdataset.decode(*theirs_handlers, **options)(iter([sample])))
    ours = Decoder(handlers, **options)(sample)
    # One by one: a pickle of all tells too which of them are the same object.
    assert {name: pickle.dumps(value) for name, value in ours.items()} == {
        name: pickle.dumps(value) for name, value in theirs.items()
    }
    assert list(ours) == list(theirs)


def theirs_of(handler: Any) -> Any:
    """The same handler, but speaking of `Continue` as WebDataset does."""
    if isinstance(handler, str):
        return handler

    def theirs(key: str, data: bytes) -> Any:
        value = handler(key, data)
        return webdataset.Continue(*value) if isinstance(value, Continue) else value

    return theirs


@given(st.lists(st.sampled_from(["jpg", "seg", "a", "JPG", "txt", ""]), min_size=1, max_size=3).map(".".join), st.booleans())
def test_extensions(field: str, two: bool) -> None:
    extensions = "jpg seg.txt" if two else "a.jpg"
    ours, theirs = handle_extension(extensions, len), webdataset.handle_extension(extensions, len)
    assert ours(f".{field}", b"abc") == theirs(f".{field}", b"abc")
