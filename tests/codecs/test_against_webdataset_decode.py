"""Decoded fields are WebDataset's, to the last bit."""

from __future__ import annotations

import gzip
import pickle
from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
import pytest
import webdataset
from hypothesis import given
from hypothesis import strategies as st
from webdataset.autodecode import IMAGE_EXTENSIONS as THEIR_EXTENSIONS

from asyncwds.codecs.decoders import Continue, Decoder, handle_extension
from asyncwds.codecs.images import IMAGE_EXTENSIONS, imagehandler

MODES = [("png", mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")]
MODES += [("jpeg", mode) for mode in ("L", "RGB", "CMYK")] + [("webp", "RGBA"), ("gif", "P"), ("tiff", "I;16"), ("ppm", "RGB")]
NUMPY_SPECS = ["l8", "rgb8", "rgba8", "l", "rgb", "rgba"]
PIL_SPECS = ["pil", "pill", "pilrgb", "pilrgba"]
TORCH_SPECS = ["torchl8", "torchrgb8", "torchrgba8", "torchl", "torchrgb", "torch", "torchrgba"]


@pytest.mark.parametrize(("kind", "mode"), MODES)
@pytest.mark.parametrize("spec", NUMPY_SPECS + PIL_SPECS)
def test_images(encoded: Callable[..., bytes], kind: str, mode: str, spec: str) -> None:
    data = encoded(mode, kind)
    ours, theirs = imagehandler(spec)(f".{kind}", data), webdataset.imagehandler(spec)(f".{kind}", data)
    assert getattr(ours, "mode", None) == getattr(theirs, "mode", None)
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
    assert ours.tobytes() == theirs.tobytes()


@pytest.mark.needs("torch")
@pytest.mark.parametrize(("kind", "mode"), MODES)
@pytest.mark.parametrize("spec", TORCH_SPECS)
def test_tensors(encoded: Callable[..., bytes], kind: str, mode: str, spec: str) -> None:
    data = encoded(mode, kind)
    ours, theirs = imagehandler(spec)(f".{kind}", data), webdataset.imagehandler(spec)(f".{kind}", data)
    assert (ours.dtype, ours.shape, ours.stride()) == (theirs.dtype, theirs.shape, theirs.stride())
    assert ours.numpy().tobytes() == theirs.numpy().tobytes()


def test_no_extension_is_added() -> None:
    assert set(THEIR_EXTENSIONS) >= IMAGE_EXTENSIONS


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
    "class": b"3",
    "__meta__": b"x",
}


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
    assert pickle.dumps(list(ours.items())) == pickle.dumps(list(theirs.items()))


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
