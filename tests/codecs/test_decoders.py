from __future__ import annotations

import gzip
import json
import pickle
import tracemalloc
from collections.abc import Callable
from io import BytesIO
from typing import Any
from zipfile import BadZipFile, ZipFile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncwds import Continue, Decoded, Decoder, DecodingError, Origin, Sample, autodecode, handle_extension, imagehandler
from asyncwds.errors import DecodeError, SpecError


def packed(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)  # without the time, so that test ids are the same in every process


def decode_field(field: str, data: Any, *handlers: Any, **options: Any) -> Any:
    return Decoder(handlers, **options)({"__key__": "k", field: data})[field]


@pytest.mark.parametrize(
    ("field", "data", "value"),
    [
        ("txt", "hé".encode(), "hé"),
        ("text", b"x", "x"),
        ("transcript", b"x", "x"),
        ("cls", b" 3\n", 3),
        ("cls2", b"-3", -3),
        ("index", b"1", 1),
        ("inx", b"1", 1),
        ("id", b"12345678901234567890", 12345678901234567890),
        ("json", b'{"a": [1, null]}', {"a": [1, None]}),
        ("json", '{"a": "é"}'.encode("utf-16"), {"a": "é"}),
        ("json", b"null", None),
        ("jsn", b"null", None),
        ("json", b"", DecodeError),
        ("pyd", pickle.dumps([1]), [1]),
        ("pkl", pickle.dumps({"a"}), {"a"}),
        ("pickle", pickle.dumps(None), None),
        ("a.b.txt", b"z", "z"),
        ("txt.json", b"[]", []),
        ("TXT", b"z", "z"),
        ("json.gz", packed(b"[1]"), [1]),
        ("txt.gz.gz", packed(packed(b"q")), "q"),
        ("foo.gz", packed(b"q") + packed(b"r"), b"qr"),
        ("class", b"3", 3),
        ("count", b" 7 ", 7),
        ("html", "<p>é".encode(), "<p>é"),
        ("htm", b"", ""),
        ("other", b"3", b"3"),
        ("cls-", b"x", b"x"),
        ("", b"x", b"x"),
        ("foo", b"", b""),
    ],
)
def test_fields_are_decoded_by_their_last_extension(field: str, data: bytes, value: Any) -> None:
    if value is DecodeError:
        with pytest.raises(DecodeError):
            decode_field(field, data)
    else:
        decoded = decode_field(field, data)
        assert decoded == value
        assert type(decoded) is type(value)


def test_arrays() -> None:
    file = BytesIO()
    np.save(file, np.arange(6, dtype=np.int16).reshape(2, 3))
    array = decode_field("npy", file.getvalue())
    assert array.dtype == np.int16
    assert np.array_equal(array, [[0, 1, 2], [3, 4, 5]])
    file = BytesIO()
    np.savez(file, a=np.arange(3), b=np.ones(2))
    arrays = decode_field("npz", file.getvalue())
    assert type(arrays) is dict
    assert np.array_equal(arrays["a"], [0, 1, 2])
    assert np.array_equal(arrays["b"], [1, 1])


@pytest.mark.parametrize("field", ["npy", "npz"])
def test_arrays_cannot_run_code(field: str) -> None:
    file = BytesIO()
    objects = np.array([{}], dtype=object)
    if field == "npy":
        np.save(file, objects)
    else:
        np.savez(file, objects)
    with pytest.raises(DecodeError, match="allow_pickle"):
        decode_field(field, file.getvalue())


ARRAYS = {
    "numbers": np.arange(12, dtype="f8").reshape(3, 4),
    "in columns": np.asfortranarray(np.arange(24, dtype=">i4").reshape(2, 3, 4)),
    "no dimension": np.array(7, dtype="u2"),
    "empty": np.zeros((0, 3), dtype="f4"),
    "text": np.array(["a", "bcd"]),
    "empty text": np.array(["", ""]),
    "bools": np.array([True, False]),
    "times": np.array(["2020-01-01"], dtype="M8[D]"),
    "records": np.array([(1, (2.0, 3.0))], dtype=[("a", "i1"), ("b", "f4", (2,))]),
    "records with names of Unicode": np.array([(1,)], dtype=[("\u20ac", "i1")]),
}


@pytest.mark.filterwarnings("ignore:Stored array in format 3.0:UserWarning")
@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("field", ["npy", "npz"])
def test_arrays_of_all_kinds(name: str, field: str) -> None:
    file = BytesIO()
    (np.save if field == "npy" else np.savez)(file, ARRAYS[name])
    found = decode_field(field, file.getvalue())
    array = found if field == "npy" else found["arr_0"]
    assert (array.dtype, array.shape, array.flags.writeable) == (ARRAYS[name].dtype, ARRAYS[name].shape, True)
    assert array.flags.f_contiguous == ARRAYS[name].flags.f_contiguous
    assert np.array_equal(array, ARRAYS[name])


@pytest.mark.parametrize("shape", ["(1099511627776,)", "(1048576, 1048576, 1048576)", "(-1,)", "(3,)", "(2, True)"])
@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("field", ["npy", "npz"])
def test_fault_24_an_array_that_says_it_is_larger_than_it_is(shape: str, version: int, field: str) -> None:
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    data = b"\x93NUMPY" + bytes([version, 0]) + len(header).to_bytes(2 * version, "little") + header + bytes(15)
    if field == "npz":
        file = BytesIO()
        with ZipFile(file, "w") as archive:
            archive.writestr("a.npy", data)
        data = file.getvalue()
    tracemalloc.start()
    try:
        with pytest.raises(DecodeError):
            decode_field(field, data)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(JSON)
@settings(max_examples=50)
def test_json_round_trips(value: Any) -> None:
    assert decode_field("json", json.dumps(value).encode()) == value


@pytest.mark.parametrize(
    ("field", "data", "cause"),
    [
        ("cls", b"x", ValueError),
        ("txt", b"\xff", UnicodeDecodeError),
        ("json", b'{"a"', json.JSONDecodeError),
        ("npy", b"junk", ValueError),
        ("npz", b"junk", BadZipFile),
        ("pyd", b"", EOFError),
        ("json.gz", b"junk", ValueError),
        ("json.gz", packed(b"[1]")[:-9], EOFError),
        ("png", b"junk", OSError),
        ("tenbin", b"~TenBin~", DecodeError),
        pytest.param("msgpack", b"\xc1", ValueError, marks=pytest.mark.needs("msgpack")),
        pytest.param("cbor", b"\xff", Exception, marks=pytest.mark.needs("cbor2")),
        pytest.param("safetensors", b"junk", Exception, marks=pytest.mark.needs("safetensors")),
    ],
)
def test_fault_27_an_undecodable_field_names_its_place(field: str, data: Any, cause: type[Exception]) -> None:
    sample = Sample({"__key__": "a/b", "__url__": "https://u:secret@h/s.tar", "good.txt": b"x", field: data})
    sample._origin = (2, 5, 4096)
    with pytest.raises(DecodeError) as caught:
        Decoder(["rgb8"])(sample)
    error = pickle.loads(pickle.dumps(caught.value))
    assert (error.field, error.key, error.url, error.offset) == (field, "a/b", "https://***@h/s.tar", 4096)
    assert repr(field) in str(error)
    assert isinstance(caught.value.__cause__, cause)
    assert isinstance(caught.value, ValueError)


def test_an_error_has_what_webdataset_s_has() -> None:
    sample = {"__key__": "k", "__url__": "u", "cls": b"x"}
    with pytest.raises(DecodingError) as caught:
        Decoder()(sample)
    assert (caught.value.url, caught.value.key, caught.value.k) == ("u", "k", "cls")
    assert caught.value.sample is sample
    assert pickle.loads(pickle.dumps(caught.value)).sample is None


def test_a_sample_stays_a_sample_and_is_not_changed() -> None:
    sample = Sample({"__key__": b"k", "__url__": "u", "cls": b"3"})
    sample._origin = (1, 2, 3)
    decoded = Decoder()(sample)
    assert decoded == {"__key__": "k", "__url__": "u", "cls": 3}
    assert decoded.origin == Origin(1, 2, 3)
    assert sample["cls"] == b"3"
    assert list(decoded) == list(sample)
    assert type(Decoder()({"cls": b"3"})) is dict
    assert Decoder()(Sample({"cls": b"3"})) == {"cls": 3}


def test_metadata_become_text_where_they_can() -> None:
    sample = {"__key__": "k", "__a__": b"abc", "__b__": b"\xff", "__c__.json": b"[]", "__d__": 7}
    assert Decoder()(sample) == {"__key__": "k", "__a__": "abc", "__b__": b"\xff", "__c__.json": "[]", "__d__": 7}


@pytest.mark.parametrize(("only", "decoded"), [(["txt"], {"txt"}), ("txt", {"txt"}), ("txt a.txt", {"txt", "a.txt"}), ([], set())])
def test_only_names_whole_fields(only: Any, decoded: set[str]) -> None:
    sample = {"txt": b"x", "a.txt": b"x", "b.json": b"1"}
    assert {field for field, value in Decoder(only=only)(sample).items() if value == "x"} == decoded
    assert Decoder(only=only)({"other": 3}) == {"other": 3}


def test_partial_passes_on_what_is_no_bytes() -> None:
    assert Decoder(partial=True)({"txt": "x", "cls": b"3", "n": None}) == {"txt": "x", "cls": 3, "n": None}


def test_the_first_handler_that_has_a_value_wins() -> None:
    seen: list[str] = []

    def watch(key: str, data: bytes) -> None:
        seen.append(key)

    assert decode_field("txt", b"abc", watch, handle_extension("txt", len), lambda _key, _data: 99) == 3
    assert seen == [".txt"]
    assert decode_field("foo", b"abc", lambda _key, _data: 0) == 0


def test_handlers_may_hand_on_other_data() -> None:
    def unwrap(key: str, data: bytes) -> Continue | None:
        return Continue(".json", data[1:-1]) if key == ".wrapped" else None

    assert decode_field("wrapped", b"<[1]>", unwrap) == [1]
    assert decode_field("wrapped", b"<[1]>", unwrap, lambda key, _data: Decoded(None) if key == ".json" else None) is None
    assert decode_field("foo", b"<[1]>", lambda _key, data: Continue(".none", data[1:-1])) == b"[1]"


def test_a_user_s_decoders_come_first_and_the_longest_extension_wins(encoded: Callable[..., bytes]) -> None:
    own: dict[str, Any] = {"txt": len, ".mask.PNG": bytes.upper, "none": lambda _data: None, "class": bytes}
    fields = {"txt": b"abc", "mask.png": b"xy", "a.mask.png": b"z", "none": b"n", "class": b"dog", "png": encoded("L")}
    decoded = Decoder(["rgb8"], decoders=own)(fields)
    image = decoded.pop("png")
    assert image.shape == (24, 40, 3)
    assert decoded == {"txt": 3, "mask.png": b"XY", "a.mask.png": b"Z", "none": None, "class": b"dog"}
    assert decode_field("png", encoded("L"), "rgb8", decoders={"png": len}) == len(encoded("L"))


def test_decoders_can_be_added_for_all_at_any_time(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = Decoder()
    assert decoder({"new": b"x"}) == {"new": b"x"}
    monkeypatch.setitem(autodecode.decoders, "new", len)
    monkeypatch.setitem(autodecode.decoders, "txt", bytes.upper)
    assert decoder({"a.new": b"xyz", "txt": b"a"}) == {"a.new": 3, "txt": b"A"}
    assert autodecode.default_decoder({"new": b"x"}) == {"new": 1}


def test_fields_one_by_one() -> None:
    assert Decoder().decode1("json", b"[1]") == [1]
    assert Decoder().decode1("a.json.gz", packed(b"null")) is None
    assert Decoder(["rgb8"]).decode({"cls": b"1"}) == {"cls": 1}


def test_the_default_handlers() -> None:
    sample = {"txt.gz": packed(b"x"), "cls": b"1"}
    explicit = Decoder([len_of_txt], pre=autodecode.default_pre_handlers, post=autodecode.default_post_handlers)
    assert explicit(sample) == {"txt.gz": 1, "cls": 1}
    assert autodecode.default_decoder(sample) == {"txt.gz": "x", "cls": 1}


def len_of_txt(key: str, data: bytes) -> int | None:
    return len(data) if key == ".txt" else None


def test_pre_and_post_replace_the_default_handlers() -> None:
    assert decode_field("txt.gz", packed(b"x"), pre=[]) == packed(b"x")
    assert decode_field("txt", b"x", post=[]) == b"x"
    assert decode_field("txt", b"x", pre=[handle_extension("txt", len)]) == 1
    assert decode_field("foo", b"x", post=[autodecode.basichandlers, lambda _key, _data: 4]) == 4


def test_extensions_match_part_by_part() -> None:
    handler = handle_extension("JPG seg.png", len)
    assert [handler(key, b"abc") for key in (".jpg", ".a.JPG", ".seg.png", ".a.seg.png")] == [3] * 4
    assert [handler(key, b"abc") for key in (".png", ".xseg.png", ".xjpg", ".jpg.png", ".", "seg")] == [None] * 6


@pytest.mark.parametrize("handlers", [["nonsense"], [3], [None], ["rgb8", 3]])
def test_what_is_no_handler_is_an_error_at_once(handlers: Any) -> None:
    with pytest.raises(SpecError):
        Decoder(handlers)


def test_tuples_cannot_be_decoded() -> None:
    with pytest.raises(SpecError, match="before to_tuple"):
        Decoder()((b"x", b"y"))


def test_a_decoder_pickles_and_prints(encoded: Callable[..., bytes]) -> None:
    decoder = Decoder(["rgb8", handle_extension("foo", len)], only="png foo txt", partial=True)
    copied = pickle.loads(pickle.dumps(decoder))
    sample = {"__key__": "k", "png": encoded("RGB"), "foo": b"ab", "txt": b"x", "cls": b"3"}
    decoded = copied(sample)
    assert np.array_equal(decoded.pop("png"), imagehandler("rgb8")(".png", sample["png"]))
    assert decoded == {"__key__": "k", "foo": 2, "txt": "x", "cls": b"3"}
    assert "rgb8" in repr(decoder)


@pytest.mark.parametrize(
    ("payload", "said"),
    [(b"", "it has 0 bytes"), (b"<!DOCTYPE html><p>Not found", r"it has 27 bytes, which begin with b'<!DOCTYPE html><'")],
)
def test_the_error_says_what_is_in_the_field(payload, said):
    with pytest.raises(DecodeError, match=said):
        Decoder([imagehandler("rgb8")])({"__key__": "a", "jpg": payload})
