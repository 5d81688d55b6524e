"""Stages on samples in memory."""

import io
import itertools
import random
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.compat.cases.registry import Case, add

NUMBERS = range(50)


def samples() -> list[dict[str, Any]]:
    return [
        {"__key__": f"s{i}", "__url__": "a.tar", "cls": i, "jpg" if i % 2 else "png": bytes([i]), "json": {"n": i}, "none": None}
        for i in range(7)
    ]


def staged(name: str, *args: Any, data: Callable[[], Iterable[Any]] = samples, **kw: Any) -> Case:
    return lambda wds, _: getattr(wds.filters, name)(*args, **kw)(iter(data()))


def with_data_first(name: str, *args: Any, data: Callable[[], Iterable[Any]] = samples, **kw: Any) -> Case:
    return lambda wds, _: getattr(wds.filters, f"_{name}")(iter(data()), *args, **kw)


for bufsize, initial, seed in itertools.product((1, 2, 3, 10, 100), (1, 2, 7, 100), (0, 1, 17)):
    add(
        f"_shuffle bufsize={bufsize} initial={initial} seed={seed}",
        with_data_first("shuffle", bufsize, initial, seed=seed, data=lambda: NUMBERS),
    )
for bufsize, seed in itertools.product((5, 1000), (0, 3)):
    add(f"shuffle bufsize={bufsize} seed={seed}", staged("shuffle", bufsize, seed=seed, data=lambda: NUMBERS))
    add(
        f"shuffle bufsize={bufsize} rng={seed}",
        lambda wds, _, bufsize=bufsize, seed=seed: wds.filters.shuffle(bufsize, 2, rng=random.Random(seed))(iter(NUMBERS)),
    )


def epochs_of_detshuffle(wds: Any, _: Path, *, seed: int, epoch: int) -> Any:
    stage = wds.detshuffle(10, 3, seed=seed, epoch=epoch)
    return [list(stage.run(iter(NUMBERS))) for _ in range(3)]


for seed, epoch in itertools.product((0, 1, 42), (-1, 4)):
    add(f"detshuffle seed={seed} epoch={epoch}", partial(epochs_of_detshuffle, seed=seed, epoch=epoch))


def odd(sample: dict[str, Any]) -> bool:
    return sample["cls"] % 2 == 1


def fails_at_3(sample: Any) -> Any:
    if sample["cls"] == 3:
        raise KeyError("3")
    return sample


def tuples() -> list[Any]:
    return [(i, f"t{i}", np.arange(2) + i, float(i), None) for i in range(7)]


def dicts() -> list[Any]:
    return [{"x": i, "y": torch.tensor([i, 2 * i]), "z": f"{i}"} for i in range(7)]


def mixed_shapes() -> list[Any]:
    return [(np.zeros(1 + i // 4),) for i in range(7)]


STAGES: dict[str, tuple[Any, ...]] = {
    "select odd": ("select", odd),
    "select all": ("select", bool),
    "select fails": ("select", fails_at_3),
    "map to itself": ("map", lambda sample: sample),
    "map to None": ("map", lambda sample: None if odd(sample) else sample),
    "map to a dict": ("map", lambda sample: {"n": sample["cls"]}),
    "map to a number": ("map", lambda sample: sample["cls"]),
    "map to a tuple": ("map", lambda sample: (sample["cls"], 1)),
    "map fails": ("map", fails_at_3),
    "associate by function": ("associate", lambda key: {"more": key}),
    "associate by mapping": ("associate", {f"s{i}": {"more": i} for i in range(7)}),
    "associate without an entry": ("associate", {"s0": {"more": 1}}),
    "slice stop": ("slice", 3),
    "slice start stop": ("slice", 2, 4),
    "slice start None": ("slice", 2, None),
    "slice step": ("slice", 1, 6, 2),
    "slice nothing": ("slice", 0),
    "to_tuple": ("to_tuple", "cls", "__key__"),
    "to_tuple with spaces": ("to_tuple", "cls __key__"),
    "to_tuple alternatives": ("to_tuple", "jpg;png", "cls"),
    "to_tuple alternatives and spaces": ("to_tuple", "png;jpg json"),
    "to_tuple lists": ("to_tuple", ["png", "jpg"], ["cls"]),
    "to_tuple missing": ("to_tuple", "cls", "webp"),
    "to_tuple of what only some have": ("to_tuple", "png"),
    "to_tuple None": ("to_tuple", "none"),
    "extract_keys": ("extract_keys", "cls", "json"),
    "extract_keys patterns": ("extract_keys", "*g", "c*"),
    "extract_keys alternatives": ("extract_keys", "*.jpg;*.png", "cls"),
    "extract_keys missing": ("extract_keys", "webp"),
    "extract_keys two": ("extract_keys", "*s*"),
    "extract_keys with a dot": ("extract_keys", "*.cls"),
    "batched 1": ("batched", 1),
    "batched 3 of fields that differ": ("batched", 3),
    "listed by collation None": ("batched", 3, None),
    "listed without a rest": ("batched", 3, None, False),
    "rename_keys one": ("rename_keys", ("label", "cls")),
    "rename_keys pattern": ("rename_keys", ("image", "*g"), ("label", "cls")),
    "rename_keys no match": ("rename_keys", ("image", "webp")),
    "rename_keys two": ("rename_keys", ("x", "*s*")),
}
for name, (stage, *args) in STAGES.items():
    add(name, staged(stage, *args))
    if stage != "slice":
        add(f"_{name}, data first", with_data_first(stage, *args))

WITH_KEYWORDS: dict[str, tuple[str, tuple[Any, ...], dict[str, Any]]] = {
    "to_tuple missing allowed": ("to_tuple", ("cls", "webp"), {"missing_is_error": False}),
    "to_tuple None allowed": ("to_tuple", ("none",), {"none_is_error": False}),
    "to_tuple None not allowed": ("to_tuple", ("webp",), {"missing_is_error": False, "none_is_error": True}),
    "to_tuple None with missing allowed": ("to_tuple", ("none",), {"missing_is_error": False}),
    "rename": ("rename", (), {"label": "cls"}),
    "rename alternatives": ("rename", (), {"image": "jpg;png"}),
    "rename keep=False": ("rename", (), {"image": "jpg;png", "label": "cls", "keep": False}),
    "rename missing": ("rename", (), {"image": "webp"}),
    "map_dict": ("map_dict", (), {"cls": str, "json": len}),
    "map_dict missing": ("map_dict", (), {"webp": str}),
    "extract_keys ignore_missing": ("extract_keys", ("webp", "cls"), {"ignore_missing": True}),
    "extract_keys duplicates allowed": ("extract_keys", ("*s*",), {"duplicate_is_error": False}),
    "rename_keys keyword": ("rename_keys", (), {"label": "cls"}),
    "rename_keys keep_unselected": ("rename_keys", (("label", "cls"),), {"keep_unselected": True}),
    "rename_keys must_match=False": ("rename_keys", (("image", "webp"), ("label", "cls")), {"must_match": False}),
}
for name, (stage, args, keywords) in WITH_KEYWORDS.items():
    add(name, staged(stage, *args, **keywords))
    add(f"_{name}, data first", with_data_first(stage, *args, **keywords))

for data, size, whole in itertools.product((tuples, dicts), (1, 2, 3, 7, 20), (True, False)):
    add(f"batched {size} of {data.__name__} partial={whole}", staged("batched", size, partial=whole, data=data))
add("batched of shapes that differ", staged("batched", 7, data=mixed_shapes))
add("batched of numbers", staged("batched", 7, data=lambda: NUMBERS))
add("batched by a function", staged("batched", 2, lambda batch: [item[0] for item in batch], data=tuples))
for tensors, scalars in itertools.product((True, False), repeat=2):
    add(
        f"default_collation_fn combine_tensors={tensors} combine_scalars={scalars}",
        lambda wds, _, tensors=tensors, scalars=scalars: [
            wds.filters.default_collation_fn(data, combine_tensors=tensors, combine_scalars=scalars) for data in (tuples(), dicts())
        ],
    )
VALUES = {
    "ints": [1, 2], "floats": [1.5, 2.5], "bools": [True, False], "strings": ["a", "b"], "bytes": [b"a", b"b"],
    "Nones": [None, None],
    "dicts": [{"a": 1}, {"a": 2}], "arrays": [np.ones(2, "f4"), np.zeros(2, "f4")], "tensors": [torch.ones(2), torch.zeros(2)],
    "numpy floats": [np.float64(1), np.float64(2)], "numpy ints": [np.int64(1), np.int64(2)], "lists": [[1], [2]],
}  # fmt: skip
for name, values in VALUES.items():
    add(f"collation of {name}", lambda wds, _, values=values: [wds.filters.default_collation_fn([(value,) for value in values])])
    add(f"combine_values of {name}", lambda wds, _, values=values: [wds.filters.combine_values(values)])
add("collation of keys that differ", lambda wds, _: [wds.filters.default_collation_fn([{"a": 1}, {"b": 1}])])

for data, size in itertools.product((tuples, dicts), (1, 3)):
    add(
        f"unbatched {size} of {data.__name__}",
        lambda wds, _, data=data, size=size: wds.filters.unbatched()(wds.filters.batched(size)(iter(data()))),
    )
    add(
        f"unlisted {size} of {data.__name__}",
        lambda wds, _, data=data, size=size: wds.filters.unlisted()(wds.filters.batched(size, None)(iter(data()))),
    )
for functions in ((str,), (None, len), (str, None, None, int), ()):
    names = [getattr(f, "__name__", None) for f in functions]
    add(f"map_tuple {names}", lambda wds, _, functions=functions: wds.filters.map_tuple(*functions)(iter(tuples())))
for p in (0, 0.3, 0.5, 1):
    add(f"_rsample p={p}", with_data_first("rsample", p, data=lambda: NUMBERS))

for handler in ("reraise_exception", "ignore_and_continue", "ignore_and_stop", "warn_and_stop"):
    for stage, args in {"map": (fails_at_3,), "rename": (), "map_dict": (), "to_tuple": ("png",)}.items():
        keywords = {"rename": {"image": "png"}, "map_dict": {"png": len}}.get(stage, {})
        add(
            f"{stage} with {handler}",
            lambda wds, _, handler=handler, stage=stage, args=args, keywords=keywords: getattr(wds.filters, stage)(
                *args, handler=getattr(wds.handlers, handler), **keywords
            )(iter(samples())),
        )

for name, keys in {"first": "jpg;png", "second": "webp;cls", "list": ["png", "cls"], "none": "a;b"}.items():
    add(f"getfirst {name}", lambda wds, _, keys=keys: [wds.getfirst(sample, keys) for sample in samples()])
    add(f"getfirst {name} with a default", lambda wds, _, keys=keys: [wds.getfirst(s, keys, 5, False) for s in samples()])
for name, fields in {"text": "jpg;png cls", "list": ["jpg;png", "cls"]}.items():
    add(f"parse_field_spec {name}", lambda wds, _, fields=fields: wds.filters.parse_field_spec(fields))
for functions in (None, [], [str], [None, str]):
    add(f"transform_with {functions}", lambda wds, _, functions=functions: wds.transform_with([1, 2, 3], functions))
add("tuple2dict and back", lambda wds, _: [wds.filters.tuple2dict((1, 2)), wds.filters.dict2tuple({0: "a", 1: "b"})])
add("pick", lambda wds, _: [wds.filters.pick(buffer, random.Random(3)) for buffer in ([1, 2, 3], [4, 5, 6, 7], [1])])
add("pipeline", lambda wds, _: wds.filters.pipeline(iter(samples()), wds.select(odd), wds.to_tuple("cls")))
add("compose", lambda wds, _: [wds.filters.compose(len, str)([1, 2]), wds.filters.compose2(len, str)([1])])
add("info passes on", lambda wds, _: wds.filters.info(n=2, stream=io.StringIO())(iter(samples())))


def every(data: Iterable[Any], n: int, start: int = 0) -> Any:
    return itertools.islice(data, start, None, n)


for args in ((2,), (3, 1)):
    add(f"pipelinefilter {args}", lambda wds, _, args=args: wds.pipelinefilter(every)(*args)(iter(NUMBERS)))


def info_text(wds: Any, _: Path, **options: Any) -> list[str]:
    stream = io.StringIO()
    list(wds.filters.info(stream=stream, **options)(iter(samples())))
    return [stream.getvalue()]


for options in ({"n": 2}, {"n": 1, "every": 3}, {"n": 1, "width": 4, "name": "here"}, {"fmt": "{__key__} {cls}", "n": 3}):
    add(f"info writes {options}", partial(info_text, **options))
