from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest

from asyncwds import Origin, Sample, WebDataset, filters, ignore_and_continue, ignore_and_stop, xdecode
from asyncwds.errors import DecodeError, SpecError
from asyncwds.testing import make_shard


def sample(**fields: Any) -> Sample:
    made = Sample({"__key__": "k", "__url__": "u", **fields})
    made._origin = (1, 2, 1024)
    return made


def run(stage: Callable[..., Any], *items: Any) -> list[Any]:
    return list(stage(iter(items)))


def test_the_defaults_are_bytes_text_and_pickles() -> None:
    item = sample(bin=b"\xff", txt="é".encode(), pyd=pickle.dumps([1]), **{"a.TXT": b"x"})
    (decoded,) = run(xdecode(), item)
    assert decoded == {"__key__": "k", "__url__": "u", "bin": b"\xff", "txt": "é", "pyd": [1], "a.TXT": "x"}
    assert decoded.origin == Origin(1, 2, 1024)
    assert item["txt"] == "é".encode()


def test_functions_get_a_stream_and_the_last_pattern_wins() -> None:
    stage = xdecode(
        ("*.json", json.load), ("b.*", BytesIO.read), ("*.b.*", lambda _: "between"), cls=lambda stream: int(stream.read())
    )
    (decoded,) = run(stage, sample(json=b"[1]", cls=b"7", **{"b.json": b"[2]", "a.b.json": b"[3]", "b.cls": b"8"}))
    assert decoded == {**sample(json=[1], cls=7), "b.json": "between", "a.b.json": "between", "b.cls": 8}


def test_what_is_no_bytes_is_handed_over_as_it_is() -> None:
    assert run(xdecode(x=lambda value: value + 1), sample(x=3)) == [sample(x=4)]
    assert run(xdecode(x=lambda _: None), sample(x=b"")) == [sample(x=None)]


def test_false_leaves_a_field() -> None:
    assert run(xdecode(txt=False, jpg=False), sample(txt=b"x", jpg=b"y")) == [sample(txt=b"x", jpg=b"y")]


def test_fields_without_a_decoder() -> None:
    item = sample(txt=b"x", jpg=b"y")
    assert run(xdecode(must_decode=False), item) == [sample(txt="x", jpg=b"y")]
    with pytest.raises(DecodeError, match="No decoder found for jpg") as caught:
        run(xdecode(), item)
    error = caught.value
    assert (error.field, error.key, error.url, error.offset) == ("jpg", "k", "u", 1024)
    assert isinstance(error, ValueError)
    assert run(xdecode(defaults=(), must_decode=False), item) == [item]


def test_find_decoder() -> None:
    assert filters.find_decoder(filters.default_decoders, "a/b.TXT") is filters.find_decoder(filters.default_decoders, "txt")
    assert filters.find_decoder(filters.default_decoders, "jpg") is None
    assert filters.find_decoder(filters.default_decoders, "__key__.txt") is False


def test_fault_27_an_undecodable_field_goes_to_the_handler() -> None:
    good, bad = sample(txt=b"x"), sample(txt=b"\xff")
    assert len(run(xdecode(handler=ignore_and_continue), good, bad, good)) == 2
    assert len(run(xdecode(handler=ignore_and_stop), good, bad, good)) == 1
    with pytest.raises(DecodeError, match="UnicodeDecodeError") as caught:
        run(xdecode(), bad)
    assert caught.value.field == "txt"
    assert caught.value.__notes__ == ["in stage xdecode, sample 'k' of u at offset 1024"]


def test_secure_mode_unpickles_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WDS_SECURE", "1")
    with pytest.raises(DecodeError, match="Unpickling is not allowed"):
        run(xdecode(), sample(pyd=pickle.dumps(1)))
    assert run(xdecode(handler=ignore_and_continue), sample(pyd=pickle.dumps(1)), sample(txt=b"x")) == [sample(txt="x")]


@pytest.mark.parametrize("pair", [len, ("*.x",), ("*.x", len, len), ("*.x", 3), "xy"])
def test_what_is_no_pair_is_an_error_at_once(pair: Any) -> None:
    with pytest.raises(SpecError):
        xdecode(pair)
    with pytest.raises(SpecError):
        xdecode(x=3)


def test_a_wrong_place_in_the_pipeline_is_nothing_to_skip() -> None:
    with pytest.raises(SpecError, match="before to_tuple"):
        run(xdecode(handler=ignore_and_continue), (b"x",))


def test_the_stage_is_data_and_a_method(tmp_path: Any) -> None:
    stage = xdecode(("*.json", json.load), txt=len)
    assert pickle.loads(pickle.dumps(stage)) == stage
    path = tmp_path / "a.tar"
    path.write_bytes(make_shard([{"__key__": "k", "a.json": "[1]", "b.bin": b"x"}]))
    (decoded,) = WebDataset(path).xdecode(json=json.load)
    assert (decoded["a.json"], decoded["b.bin"]) == ([1], b"x")
