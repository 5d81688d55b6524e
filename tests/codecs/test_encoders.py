"""Values become bytes by extension, and what cannot be written is a typed error that names key and field."""

import bz2
import gzip
import json
import lzma
import pickle
import time
from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from asyncwds import Decoder, tenbin
from asyncwds.codecs import encode_based_on_extension, encode_based_on_extension1, make_encoder, make_handlers
from asyncwds.compat import writer
from asyncwds.errors import EncodeError, SampleError, SpecError

PIXELS = np.random.default_rng(0).integers(0, 256, (7, 5, 3), np.uint8)
HANDLERS = make_handlers()


def encode(field: str, value: Any) -> bytes:
    return encode_based_on_extension({"__key__": "a", field: value}, HANDLERS)[field]


def opened(data: bytes) -> Image.Image:
    with Image.open(BytesIO(data)) as image:
        image.load()
    return image


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("cls", 5, b"5"),
        ("cls2", np.int64(5), b"5"),
        ("class", -3, b"-3"),
        ("count", 10**20, b"100000000000000000000"),
        ("index", np.array(7), b"7"),
        ("inx", "7", b"7"),
        ("cls", True, b"1"),
        ("cls2", np.bool_(False), b"0"),
        ("cls", 2.0, b"2"),
        ("index", np.float32(-3), b"-3"),
        ("count", 1e22, b"10000000000000000000000"),
        ("id", 0, b"0"),
        ("txt", "hé", "hé".encode()),
        ("text", "", b""),
        ("transcript", "a\0b", b"a\0b"),
        ("html", "<p>é", "<p>é".encode()),
        ("htm", "x", b"x"),
        ("json", {"a": [1, None, "é"]}, json.dumps({"a": [1, None, "é"]}).encode()),
        ("jsn", None, b"null"),
        ("json", '{"a":  1}', b'{"a":  1}'),
        ("a.b.CLS", 5, b"5"),
        ("pyd", {1, 2}, pickle.dumps({1, 2})),
        ("pickle", None, pickle.dumps(None)),
        ("pkl", [1], pickle.dumps([1])),
        ("anything", b"raw", b"raw"),
        ("anything", "text", b"text"),
        ("jpg", b"no image", b"no image"),
        ("npy", bytearray(b"x"), bytearray(b"x")),
        ("npy", memoryview(b"x"), memoryview(b"x")),
    ],
)
def test_plain_values(field: str, value: Any, expected: bytes) -> None:
    assert encode(field, value) == expected


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("npy", PIXELS),
        ("npy", np.float32(3)),
        ("npz", {"a": PIXELS, "b": np.arange(3)}),
        ("json", {"a": [1, 2, {"b": "é"}]}),
        ("json", None),
        ("cls", 7),
        ("index", 12),
        ("txt", "hé"),
        ("pkl", {"a": (1, 2)}),
        ("json.gz", {"a": 1}),
        ("npy.gz", PIXELS),
        ("txt.gz", "hé"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_the_decoder_turns_back(field: str, value: Any) -> None:
    decoded = Decoder()({"__key__": "a", field: encode(field, value)})[field]
    if isinstance(value, dict) and field == "npz":
        assert {name: array.tolist() for name, array in decoded.items()} == {name: array.tolist() for name, array in value.items()}
    else:
        assert np.array_equal(decoded, value)


ZST = pytest.param("zst", marks=pytest.mark.needs("zstandard"))
LZ4 = pytest.param("lz4", marks=pytest.mark.needs("lz4"))


@pytest.mark.parametrize("suffix", ["gz", "bz2", "xz", ZST, LZ4])
@pytest.mark.parametrize(
    ("field", "value", "plain"), [("json", {"a": 1}, b'{"a": 1}'), ("x", b"raw", b"raw"), ("x", "é", "é".encode())]
)
def test_compressed_fields(suffix: str, field: str, value: Any, plain: bytes) -> None:
    unpack: dict[str, Callable[[bytes], bytes]] = {"gz": gzip.decompress, "bz2": bz2.decompress, "xz": lzma.decompress}
    if suffix == "zst":
        import zstandard

        unpack["zst"] = lambda data: zstandard.ZstdDecompressor().decompress(data)
    if suffix == "lz4":
        from lz4 import frame

        unpack["lz4"] = frame.decompress
    encoded = encode(f"{field}.{suffix}", value)
    assert unpack[suffix](encoded) == plain
    # A sample that was read without decoding is written as it was.
    assert encode(f"{field}.{suffix}", encoded) == encoded
    assert encode(suffix, plain) == plain, "a suffix alone is a name"


@pytest.mark.parametrize(
    "field", ["json.gz", "npz", "npy", "png", "jpg", "pkl", pytest.param("pth", marks=pytest.mark.needs("torch"))]
)
def test_the_same_value_gives_the_same_bytes(field: str, monkeypatch: pytest.MonkeyPatch) -> None:
    value = {"a": PIXELS} if field == "npz" else {"a": 1} if field in {"json.gz", "pkl"} else PIXELS
    first = encode(field, value)
    monkeypatch.setattr(time, "time", lambda: 2e9)
    monkeypatch.setattr(time, "localtime", lambda *_: time.gmtime(2e9))
    assert encode(field, value) == first


@pytest.mark.parametrize("extension", ["png", "ppm", "pnm", "tiff", "tif", "webp", "bmp", "jp2", "j2k", "tga", "sgi"])
@pytest.mark.parametrize("form", ["uint8", "float32", "float64", "pil", "grey", "one channel"])
def test_lossless_images(extension: str, form: str) -> None:
    images: dict[str, Any] = {
        "uint8": PIXELS,
        "float32": PIXELS.astype(np.float32) / 255,
        "float64": PIXELS / 255,
        "pil": Image.fromarray(PIXELS),
        "grey": PIXELS[:, :, 0],
        "one channel": PIXELS[:, :, :1],
    }
    expected = np.repeat(PIXELS[:, :, :1], 3, 2) if form in {"grey", "one channel"} else PIXELS
    assert np.array_equal(opened(encode(extension, images[form])).convert("RGB"), expected)


@pytest.mark.parametrize("extension", ["jpg", "jpeg", "jpe", "jfif", "img", "image"])
def test_jpeg_is_of_quality_100(extension: str) -> None:
    expected = BytesIO()
    Image.fromarray(PIXELS).save(expected, "jpeg", quality=100)
    assert encode(extension, PIXELS) == expected.getvalue()


def test_netpbm_by_extension() -> None:
    assert encode("pbm", PIXELS[:, :, 0]).startswith(b"P4")
    assert encode("pgm", PIXELS).startswith(b"P5")
    assert encode("ppm", PIXELS).startswith(b"P6")
    assert encode("ppm", PIXELS[:, :, 0]).startswith(b"P5"), "as webdataset does"
    assert encode("pnm", PIXELS[:, :, 0]).startswith(b"P5")
    assert np.array_equal(np.array(opened(encode("pbm", PIXELS[:, :, 0]))), PIXELS[:, :, 0] > 127)


def test_other_depths() -> None:
    deep = np.arange(12, dtype=np.uint16).reshape(3, 4) * 5000
    for extension in ("png", "tiff", "pgm"):
        assert np.array_equal(np.array(opened(encode(extension, deep))), deep)
    assert opened(encode("png", PIXELS[:, :, 0] > 9)).mode == "1"
    assert opened(encode("png", np.concatenate([PIXELS, PIXELS[:, :, :1]], 2))).mode == "RGBA"


@pytest.mark.parametrize("name", ["PNG", "png", "JPEG", "jpg", "PPM", "IMG", "Image"])
def test_image_formats_in_any_case(name: str) -> None:
    kinds = {"PNG": "PNG", "JPEG": "JPEG", "JPG": "JPEG"}
    assert Image.open(BytesIO(writer.imageencoder(PIXELS, name))).format == kinds.get(name.upper(), "PPM")


@pytest.mark.needs("torch")
def test_tensors_as_images() -> None:
    import torch

    last, first = torch.from_numpy(PIXELS), torch.from_numpy(PIXELS.transpose(2, 0, 1).copy())
    for tensor in (last, first, first.float() / 255, first.double() / 255):
        assert np.array_equal(opened(encode("png", tensor)), PIXELS)
    assert np.array_equal(opened(encode("png", first[:1])), PIXELS[:, :, 0])
    assert np.array_equal(opened(encode("png", last[:, :, 0])), PIXELS[:, :, 0])
    assert np.array_equal(opened(encode("png", (first.float() / 255).requires_grad_())), PIXELS)


@pytest.mark.needs("torch")
def test_torch_values() -> None:
    import torch

    decoded = Decoder()({"__key__": "a", "pth": encode("pth", {"a": torch.arange(3)})})["pth"]
    assert torch.equal(decoded["a"], torch.arange(3))
    assert encode("cls", torch.tensor(5)) == b"5"
    assert np.array_equal(np.load(BytesIO(encode("npy", torch.arange(3)))), np.arange(3))
    assert np.array_equal(tenbin.decode_buffer(encode("ten", torch.arange(3)))[0], np.arange(3))


@pytest.mark.needs("safetensors")
def test_safetensors() -> None:
    from safetensors.numpy import load

    assert np.array_equal(load(encode("safetensors", {"a": PIXELS}))["a"], PIXELS)
    with pytest.raises(EncodeError):
        encode("safetensors", [PIXELS])


@pytest.mark.needs("safetensors", "torch")
def test_safetensors_of_tensors() -> None:
    import torch
    from safetensors.torch import load

    assert torch.equal(load(encode("safetensors", {"a": torch.arange(3)}))["a"], torch.arange(3))


@pytest.mark.needs("cbor2", "msgpack")
def test_cbor_and_msgpack() -> None:
    import cbor2
    import msgpack

    value = {"a": [1, 2.5, "é", b"x", None]}
    assert cbor2.loads(encode("cbor", value)) == value
    for extension in ("mp", "msgpack", "msg"):
        assert msgpack.unpackb(encode(extension, value)) == value


def test_tenbin() -> None:
    for extension in ("ten", "tenbin", "tb"):
        assert np.array_equal(tenbin.decode_buffer(encode(extension, [PIXELS, PIXELS]))[1], PIXELS)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("xyz", 5, "no encoder for int in .xyz"),
        ("json", "no JSON", "has to be JSON, as json.dumps makes it"),
        ("json.gz", "", "has to be JSON"),
        ("npz", ["a", None], "none of objects"),
        ("npz", {1: np.ones(1)}, "dict of arrays with names"),
        ("png", "text", "not str"),
        ("ten", "text", "no dtype"),
        ("txt", 5, "text is str or bytes, not int"),
        ("json", {1, 2}, "TypeError"),
        ("json.gz", {1, 2}, "TypeError"),
        ("npy", np.array([object()]), "Object arrays"),
        ("npz", {"a": [1]}, "holds arrays"),
        ("npz", {"a": np.array([object()])}, "holds arrays"),
        ("ten", [np.array(["a"])], "no dtype"),
        ("pkl", lambda: None, "cannot be encoded"),
        ("png", [[1, 2]], "not list"),
        ("png", np.zeros((2, 3, 2), np.uint8), r"not \[2, 3, 2\]"),
        ("png", np.zeros(3, np.uint8), r"not \[3\]"),
        ("png", np.zeros((2, 3)) + 1.01, "from 0 to 1"),
        ("png", np.zeros((2, 3)) - 0.01, "from 0 to 1"),
        ("png", np.full((2, 3), np.nan), "not from nan"),
        ("png", np.zeros((2, 3), np.int64), "cannot be encoded"),
        ("png", np.zeros((0, 3)), "cannot be encoded"),
        ("jpg", np.zeros((2, 3, 4), np.uint8), "cannot be encoded"),
        ("jpg", None, "not NoneType"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_encoded(field: str, value: Any, message: str) -> None:
    with pytest.raises(EncodeError, match=message) as caught:
        encode(field, value)
    assert (caught.value.key, caught.value.field) == ("a", field)
    assert isinstance(caught.value, SampleError)
    assert caught.value.__cause__ is not None
    assert f"field {field!r}" in str(caught.value)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.field) == (str(caught.value), field)


NO_NUMBERS = [
    None,
    [1],
    "cat",
    "",
    "2.0",
    2.5,
    float("inf"),
    float("nan"),
    1j,
    np.arange(3),
    np.array([7]),
    np.datetime64(1, "ns"),
    {},
]


@pytest.mark.parametrize("value", NO_NUMBERS, ids=repr)
@pytest.mark.parametrize("field", ["cls", "cls2", "class", "count", "index", "inx", "id", "cls.gz"])
def test_what_is_no_whole_number_is_no_number(field: str, value: Any) -> None:
    with pytest.raises(EncodeError, match=f"field '{field}' cannot be encoded.*a whole number is needed"):
        encode(field, value)


@pytest.mark.needs("torch")
def test_tensors_as_numbers() -> None:
    import torch

    values = [
        torch.tensor(5),
        torch.tensor(2.0),
        torch.tensor(True),
        torch.tensor(3.0, requires_grad=True),
        torch.tensor(4).bfloat16(),
    ]
    assert [encode("cls", value) for value in values] == [b"5", b"2", b"1", b"3", b"4"]
    for value in (torch.tensor([5]), torch.tensor(1.5), torch.tensor(1j)):
        with pytest.raises(EncodeError, match="whole number"):
            encode("cls", value)


def test_metadata_is_left_alone() -> None:
    sample = {"__key__": 5, "__url__": None, "_note": {1: 2}}
    assert encode_based_on_extension(sample, HANDLERS) == sample
    assert encode_based_on_extension1(5, "_a", {}) == 5


def test_without_a_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    for module, field, extra in [
        ("cbor2", "cbor", "cbor"),
        ("msgpack", "mp", "msgpack"),
        ("zstandard", "x.zst", "zstd"),
        ("lz4.frame", "x.lz4", "lz4"),
    ]:
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(SpecError, match=rf"asyncwds\[{extra}\]"):
            encode(field, "x" if field.startswith("x.") else 1)


def test_specs() -> None:
    sample = {"__key__": "a", "x": 3, "cls": 4}
    assert make_encoder(False)(sample) is sample
    assert make_encoder(None)(sample) is sample
    assert make_encoder({"x": lambda value: b"!" * value, "cls": writer.bytestr})(sample) == {
        "__key__": "a",
        "x": b"!!!",
        "cls": b"4",
    }
    assert make_encoder(dict)(sample) == sample
    with pytest.raises(EncodeError, match="no encoder for int in .x"):
        make_encoder(True)(sample)
    for nonsense in ("jpg", 1, []):
        with pytest.raises(SpecError, match="encoder must be"):
            make_encoder(nonsense)


def test_handlers_of_ones_own() -> None:
    handlers = make_handlers()
    writer.add_handlers(handlers, "jpg jpeg", lambda image: b"mine")
    writer.add_handlers(handlers, ["x", "y"], writer.bytestr)
    encode_mine = make_encoder(handlers)
    assert encode_mine({"jpg": PIXELS, "y": 1.5, "cls": 3}) == {"jpg": b"mine", "y": b"1.5", "cls": b"3"}
    assert encode("jpg", PIXELS) != b"mine"


def test_the_default_handlers_may_be_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    before = make_encoder(True)
    monkeypatch.setitem(writer.default_handlers, "jpg", lambda image: b"mine")
    monkeypatch.setitem(writer.default_handlers, "new", writer.bytestr)
    for encode_mine in (before, make_encoder(True)):
        assert encode_mine({"jpg": PIXELS, "x.new": 1.5, "cls": 3}) == {"jpg": b"mine", "x.new": b"1.5", "cls": b"3"}
    assert make_handlers()["jpg"](PIXELS) != b"mine"


def test_bytestr() -> None:
    assert [writer.bytestr(value) for value in (b"\xff", "a", 5)] == [b"\xff", b"a", b"5"]
    with pytest.raises(UnicodeEncodeError):
        writer.bytestr("é")


@given(st.dictionaries(st.sampled_from(["a", "b.gz", "c.txt.gz", "d.GZ", "gz", "e.zst.x"]), st.binary() | st.text("aé\0")))
def test_bytes_and_text_are_written_as_they_are(fields: dict[str, Any]) -> None:
    encoder = make_encoder(True)
    for _ in range(2):  # the second time, what is remembered about the names decides
        for name, data in encoder(fields).items():
            value = fields[name]
            raw = value.encode() if isinstance(value, str) else value
            packed = name.lower().endswith(".gz") and not (isinstance(value, bytes) and value.startswith(b"\x1f\x8b"))
            assert (gzip.decompress(data) if packed else data) == raw
