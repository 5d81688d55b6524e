"""Names that come back as they are, and samples as members."""

import io
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncwds import AsyncShardWriter, Sample, WebDataset
from asyncwds.errors import EncodeError, SampleError
from asyncwds.tar import Grouper, TarParser, ending
from asyncwds.writer import Entry, Options


def entry(sample: Any, **options: Any) -> Entry:
    return Options(mtime=0, **options).packer()(sample)


def members(packed: Entry) -> dict[str, bytes]:
    data = b"".join(packed.pieces)
    assert len(data) == packed.nbytes
    with tarfile.open(fileobj=io.BytesIO(data + ending(len(data))), errors="surrogateescape") as archive:
        return {info.name: archive.extractfile(info).read() for info in archive}  # type: ignore[union-attr]


def read_back(packed: Entry) -> list[Sample]:
    parser, grouper = TarParser("u", max_member_bytes=1 << 20), Grouper("u", 0)
    samples = grouper.feed(parser.feed(b"".join(packed.pieces) + ending(packed.nbytes))) + grouper.finish()
    assert (parser.error, grouper.faults) == (None, [])
    return samples


def test_fields_are_sorted_and_metadata_left_out() -> None:
    packed = entry({"__key__": "a", "txt": "x", "__url__": "u", "cls": 5, "_note": "n", "json": {"b": 1}})
    assert list(members(packed).items()) == [("a.cls", b"5"), ("a.json", b'{"b": 1}'), ("a.txt", b"x")]
    assert (packed.key, packed.payload, packed.nbytes) == ("a", 10, 6 * 512)


def test_metadata_on_request() -> None:
    sample = {
        "__key__": "a",
        "__url__": "u",
        "__local_path__": "l",
        "txt": "x",
        "_note": "n",
        "__n__": 5,
        "__d__": {"a": [None]},
        "_b": b"\xff",
    }
    expected = {"a.__d__": b'{"a": [null]}', "a.__n__": b"5", "a._b": b"\xff", "a._note": b"n", "a.txt": b"x"}
    assert members(entry(sample, keep_meta=True)) == expected
    with pytest.raises(EncodeError, match="neither text nor JSON") as caught:
        entry({"__key__": "a", "__n__": object()}, keep_meta=True)
    assert (caught.value.key, caught.value.field) == ("a", "__n__")


@pytest.mark.parametrize(
    ("key", "name"), [("a", "a.x"), (5, "5.x"), (np.int64(7), "7.x"), (b"k\xc3\xa9", "ké.x"), ("d.1/a", "d.1/a.x")]
)
def test_keys(key: object, name: str) -> None:
    assert list(members(entry({"__key__": key, "x": b""}))) == [name]


@pytest.mark.parametrize("key", [None, 1.5, ["a"], {}], ids=str)
def test_what_is_no_key(key: object) -> None:
    with pytest.raises(SampleError, match="text or a number"):
        entry({"__key__": key, "x": b""})
    with pytest.raises(SampleError, match=r"needs a __key__; this one has \['x'\]"):
        entry({"x": b""})


@pytest.mark.parametrize(
    ("key", "field", "message"),
    [
        ("a.b", "jpg", r"'a.b.jpg' would come back as key 'a', field 'b.jpg'"),
        ("d/a.b", "jpg", r"would come back as key 'd/a'"),
        ("", "jpg", "no key"),
        (".a", "jpg", "no key"),
        ("d.x/", "jpg", "no key"),
        ("a", "b/c", "no key"),
        ("a", "b/c.d", "would come back as key 'a.b/c', field 'd'"),
        ("__x__/a", "jpg", "are reserved"),
        ("__a", "b__", "are reserved"),
    ],
)
def test_names_that_would_come_back_as_others(key: str, field: str, message: str) -> None:
    sample = {"__key__": key, field: b"1"}
    with pytest.raises(SampleError, match=message) as caught:
        entry(sample)
    assert caught.value.key == key
    assert list(members(entry(sample, check_names=False))) == [f"{key}.{field}"]


def test_fields_that_differ_in_case_only() -> None:
    with pytest.raises(SampleError, match="differ in case only"):
        entry({"__key__": "a", "jpg": b"1", "JPG": b"2"})
    assert len(members(entry({"__key__": "a", "jpg": b"1", "JPG": b"2"}, check_names=False))) == 2
    assert list(members(entry({"__key__": "a", "JPG": b"2"}))) == ["a.JPG"]


@pytest.mark.parametrize("options", [{}, {"check_names": False}])
@pytest.mark.parametrize(("key", "field"), [("a\0", "x"), ("a", "x\0y")])
def test_a_zero_byte_ends_no_name(key: str, field: str, options: dict[str, Any]) -> None:
    with pytest.raises(SampleError, match="zero byte"):
        entry({"__key__": key, field: b"1"}, **options)


@pytest.mark.parametrize("sample", [{"__key__": "a"}, {"__key__": "a", "_x": b"1"}])
def test_a_sample_without_fields(sample: dict[str, Any]) -> None:
    with pytest.raises(SampleError, match="no fields to write"):
        entry(sample)


@pytest.mark.parametrize("sample", [5, None, [("__key__", "a")], "a"], ids=str)
def test_what_is_no_sample(sample: Any) -> None:
    with pytest.raises(SampleError, match="a sample is a dict"):
        entry(sample)
    for options in ({"encoder": False}, {}):
        with pytest.raises(SampleError, match="names of fields are text"):
            entry({"__key__": "a", 5: b"1"}, **options)


@pytest.mark.parametrize("name", [5, b"txt", None])
async def test_a_name_of_a_field_that_is_no_text(tmp_path: Path, name: object) -> None:
    """Also where it is asked whether encoding takes long."""
    async with AsyncShardWriter(str(tmp_path / "%d.tar")) as writer:
        await writer.write({"__key__": "a", "txt": b"x"})
        with pytest.raises(SampleError, match="names of fields are text, not"):
            await writer.write({"__key__": "b", name: b"x"})
    assert [sample["__key__"] for sample in WebDataset(str(tmp_path / "0.tar"))] == ["a"]


@pytest.mark.parametrize("value", ["text", 5, None, {"a": 1}])
def test_without_an_encoder_values_are_bytes(value: object) -> None:
    with pytest.raises(EncodeError, match="not bytes") as caught:
        entry({"__key__": "a", "x": value}, encoder=False)
    assert (caught.value.key, caught.value.field) == ("a", "x")
    assert members(entry({"__key__": "a", "x": bytearray(b"1"), "y": memoryview(b"2")}, encoder=None)) == {"a.x": b"1", "a.y": b"2"}


def test_encoders_of_ones_own() -> None:
    assert members(entry({"__key__": "a", "x": 3}, encoder=lambda sample: sample | {"x": b"!" * sample["x"]})) == {"a.x": b"!!!"}
    assert members(entry({"__key__": "a", "x": 3}, encoder={"x": lambda value: b"?" * value})) == {"a.x": b"???"}
    with pytest.raises(SampleError, match="the encoder made list"):
        entry({"__key__": "a", "x": 3}, encoder=list)
    with pytest.raises(ZeroDivisionError) as caught:
        entry({"__key__": "a", "x": 3}, encoder=lambda sample: sample["x"] / 0)
    assert caught.value.__notes__ == ["in the encoder, for the sample 'a'"]


def test_a_view_of_other_items_than_bytes() -> None:
    assert members(entry({"__key__": "a", "x": memoryview(np.arange(2, dtype="<i4"))})) == {"a.x": bytes([0, 0, 0, 0, 1, 0, 0, 0])}


text = st.text("aZ_./é\0\udcff", max_size=8)


@given(text, st.dictionaries(text, st.binary(max_size=3), min_size=1, max_size=3))
def test_what_is_accepted_comes_back(key: str, fields: dict[str, bytes]) -> None:
    packer = Options(mtime=0).packer()
    for _ in range(2):  # the second time, what is remembered about the names decides
        try:
            packed = packer({"__key__": key} | fields)
        except SampleError:
            continue
        written = {name.lower(): data for name, data in fields.items() if not name.startswith("_")}
        assert read_back(packed) == [{"__key__": key, "__url__": "u", **written}]


def test_it_is_known_what_takes_time() -> None:
    packer = Options().packer()
    assert not packer.is_quick({"__key__": "a", "x": b"1"}), "not seen before"
    packer({"__key__": "a", "x": b"1", "j.gz": b"1"})
    assert packer.is_quick({"__key__": "a", "x": b"1", "__url__": None})
    assert not packer.is_quick({"__key__": "a", "x": 1})
    assert not packer.is_quick({"__key__": "a", "j.gz": b"1"})
    assert Options(encoder=False).packer().is_quick({"__key__": "a", "x": b"1"})
    assert not Options(encoder=dict).packer().is_quick({"__key__": "a", "x": b"1"})
