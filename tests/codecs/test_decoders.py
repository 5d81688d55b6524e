from __future__ import annotations

import gzip
import json
import pickle
from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncwds.codecs.decoders import Continue, Decoded, Decoder, basichandlers, gzfilter, handle_extension
from asyncwds.codecs.images import imagehandler
from asyncwds.errors import DecodeError, SpecError
from asyncwds.model import Origin, Sample


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
        ("txt.gz.gz", packed(packed(b"q")), packed(b"q")),
        ("foo.gz", packed(b"q") + packed(b"r"), b"qr"),
        ("class", b"3", b"3"),
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


def test_pickles_are_refused_where_security_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WDS_SECURE", "1")
    with pytest.raises(DecodeError, match="WDS_SECURE"):
        decode_field("pkl", pickle.dumps(1))
    monkeypatch.setenv("WDS_SECURE", "0")
    assert decode_field("pkl", pickle.dumps(1)) == 1


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
        ("npz", b"junk", ValueError),
        ("pyd", b"", EOFError),
        ("json.gz", b"junk", gzip.BadGzipFile),
        ("json.gz", packed(b"[1]")[:-9], EOFError),
        ("png", b"junk", OSError),
        ("txt", "decoded already", TypeError),
        ("other", None, TypeError),
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


def test_a_compressed_field_has_a_bound() -> None:
    bomb = packed(b"\0" * 100_000)
    with pytest.raises(ValueError, match="more than 99999 bytes"):
        gzfilter(".txt.gz", bomb, max_bytes=99_999)
    assert gzfilter(".txt.gz", bomb, max_bytes=100_000) == Continue(".txt", b"\0" * 100_000)
    assert gzfilter(".txt", bomb) is None


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


def test_pre_and_post_replace_the_default_handlers() -> None:
    assert decode_field("txt.gz", packed(b"x"), pre=[]) == packed(b"x")
    assert decode_field("txt", b"x", post=[]) == b"x"
    assert decode_field("txt", b"x", pre=[handle_extension("txt", len)]) == 1
    assert decode_field("foo", b"x", post=[basichandlers, lambda _key, _data: 4]) == 4


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
