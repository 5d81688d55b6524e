from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any

import pytest

from asyncwds import Origin, Sample, associate, extract_keys, ignore_and_continue, map_dict, rename_keys
from asyncwds.errors import SampleError, SpecError
from asyncwds.pipeline import LAYOUTS


def sample(**fields: Any) -> Sample:
    made = Sample({"__key__": "k", "__url__": "u", **fields})
    made._origin = (1, 2, 1024)
    return made


def run(stage: Any, *items: Any) -> list[Any]:
    return list(stage(iter(items)))


# -- map_dict, associate


def test_functions_of_fields() -> None:
    assert run(map_dict(a=str, b=len), sample(a=1, b="xy", c=3)) == [sample(a="1", b=2, c=3)]


def test_functions_are_applied_in_the_order_given() -> None:
    seen: list[str] = []
    run(map_dict(b=seen.append, a=seen.append), sample(a="a", b="b"))
    assert seen == ["b", "a"]


@pytest.mark.parametrize("stage", [map_dict(a=str), associate({"k": {"a": "1", "x": 2}}), associate(lambda _: {"a": "1", "x": 2})])
def test_the_sample_is_left_as_it_is_and_the_new_one_knows_its_origin(stage: Any) -> None:
    item = sample(a=1)
    (result,) = run(stage, item)
    assert item == sample(a=1)
    assert (result["a"], result.origin) == ("1", Origin(1, 2, 1024))


def test_a_sample_that_comes_again_is_mapped_once() -> None:
    # In WebDataset the second one is "11": its stage writes into the sample.
    item = {"a": "1"}
    assert run(map_dict(a=lambda text: text + "0"), item, item) == [{"a": "10"}, {"a": "10"}]


def test_what_a_key_has() -> None:
    table = {"k": {"x": 1}}
    assert run(associate(table), sample()) == [sample(x=1)]
    assert run(associate({}), sample()) == [sample()]
    assert run(associate(lambda key: {"x": key}), sample()) == [sample(x="k")]


def test_errors_go_to_the_handler_and_say_where() -> None:
    with pytest.raises(SampleError, match="no field 'q' in __key__ __url__ a") as caught:
        run(map_dict(q=str), sample(a=1))
    assert (caught.value.key, caught.value.url, caught.value.offset) == ("k", "u", 1024)
    assert caught.value.__notes__ == ["in stage map_dict(q), sample 'k' of u at offset 1024"]
    with pytest.raises(SampleError, match="no field '__key__'"):
        run(associate({}), {"a": 1})
    with pytest.raises(SpecError, match="needs samples that are dicts, not tuple"):
        run(associate({}, ignore_and_continue), (1, 2))
    assert run(map_dict(ignore_and_continue, a=int), sample(a="x"), sample(a="1")) == [sample(a=1)]
    assert run(associate({"k": 3}, ignore_and_continue), sample(), {"__key__": "l"}) == [{"__key__": "l"}]  # type: ignore[dict-item]


def test_arguments_that_make_no_sense() -> None:
    for options in ({}, {"a": 3}):
        with pytest.raises(SpecError, match="map_dict.* function"):
            map_dict(**options)
    with pytest.raises(SpecError, match="associate takes a function or a mapping, not 3"):
        associate(3)  # type: ignore[arg-type]


# -- extract_keys, rename_keys


def test_fields_by_pattern() -> None:
    item = {"__key__": "k", "jpg": 1, "seg.png": 2, "json": 3}
    assert run(extract_keys("jpg", "*.png", "*on"), item) == [(1, 2, 3)]
    assert run(extract_keys("tif;jpg"), item) == [(1,)]
    assert run(extract_keys("tif", "json", ignore_missing=True), item) == [(3,)]
    assert run(extract_keys("j*", duplicate_is_error=False), item) == [(1,)]


def test_names_by_pattern() -> None:
    item = {"__key__": "k", "d/A.JPG": 1, "d/b.cls": 2}
    assert run(rename_keys(("image", "*.jpg"), label="*.cls"), item) == [{"image": 1, "label": 2}]
    assert run(rename_keys(("image", "*.jpg"), keep_unselected=True), item) == [{"__key__": "k", "image": 1, "d/b.cls": 2}]
    assert run(rename_keys(("any", "*"), ("label", "*.cls"), duplicate_is_error=False), item) == [{"any": "k", "label": 2}]


def test_an_unselected_field_of_a_name_that_is_given_is_a_duplicate() -> None:
    # In WebDataset it replaces the renamed one if it comes later.
    stage = rename_keys(("b", "a"), keep_unselected=True)
    for item in ({"a": 1, "b": 2}, {"b": 2, "a": 1}):
        with pytest.raises(SampleError, match="would become 'b'"):
            run(stage, item)
    assert run(rename_keys(("b", "a"), keep_unselected=True, duplicate_is_error=False), {"a": 1, "b": 2}) == [{"b": 1}]


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        (extract_keys("tif;gif"), "no field matches 'tif;gif' in __key__ __url__ jpg png"),
        (extract_keys("*g"), r"several fields match '\*g': jpg png"),
        (rename_keys(("x", "tif"), y="gif"), "no field matches gif, tif in __key__ __url__ jpg png"),
        (rename_keys(("x", "*g")), "both 'jpg' and 'png' would become 'x'"),
    ],
)
def test_samples_that_do_not_fit(stage: Any, message: str) -> None:
    items = [sample(jpg=1, png=2), sample(jpg=3, png=4)]
    for item in items:  # also the second time, when the decision is known
        with pytest.raises(SampleError, match=message) as caught:
            run(stage, item)
        assert (caught.value.key, caught.value.url, caught.value.offset) == ("k", "u", 1024)
    assert run(replace(stage, handler=ignore_and_continue), *items) == []
    with pytest.raises(SpecError, match="dicts, not tuple"):
        run(stage, (1, 2))


def test_any_number_of_sets_of_fields() -> None:
    items = [{"a": number, f"x{number}": 0} for number in range(3 * LAYOUTS)] * 2
    assert run(extract_keys("a"), *items) == [(item["a"],) for item in items]


def test_pairs_are_pairs() -> None:
    for pair in ("ab", ("a",), ("a", "b", "c")):
        with pytest.raises(SpecError, match="pairs"):
            rename_keys(pair)


@pytest.mark.parametrize(
    "stage",
    [map_dict(a=str), associate({"k": {"x": 1}}), extract_keys("a;b", ["c"], ignore_missing=True), rename_keys(("a", "b"), c="d")],
)
def test_they_are_data(stage: Any) -> None:
    assert pickle.loads(pickle.dumps(stage)) == stage
    assert repr(stage).startswith(type(stage).__name__ + "(")
    with pytest.raises(AttributeError):
        stage.handler = ignore_and_continue


def test_a_large_table_is_not_printed() -> None:
    assert len(repr(associate({str(number): {} for number in range(1000)}))) < 200
