"""The published wheel and ours: the same pipelines, shards and seeds, the same outputs.

A case is a function of one of the two libraries, and of a folder; its name says what it does. An error is an outcome too:
what came before it counts, and that there was one. Defects that are not copied are left out (`docs/from-webdataset.md`).
"""

import io
import itertools
import json
import pickle
import random
import sys
import tarfile
import warnings
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import webdataset as published
from PIL import Image

import asyncwds.compat

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # the published one closes no shard

asyncwds.compat.install()
OURS = sys.modules["webdataset"]
asyncwds.compat.uninstall()

Case = Callable[[Any, Path], Any]
CASES: dict[str, Case] = {}


def add(name: str, case: Case) -> None:
    assert name not in CASES, name
    CASES[name] = case


def plain(value: Any) -> Any:
    """Something that can be compared, and says its type."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value).__name__, [plain(item) for item in value]
    if isinstance(value, torch.Tensor):
        return "tensor", str(value.dtype), value.tolist()
    if isinstance(value, np.ndarray):
        return "array", str(value.dtype), value.tolist()
    if isinstance(value, Image.Image):
        return "image", value.mode, value.size, value.tobytes()
    return type(value).__name__, value


def outcome(case: Case, library: Any, folder: Path) -> Any:
    items = []
    random.seed(5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for item in case(library, folder):
                items.append(plain(item))
        except Exception:
            items.append("an error")
    return items


# -- stages on samples in memory ---------------------------------------------------------------------------------------

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

# -- decoding ----------------------------------------------------------------------------------------------------------


def npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def npz(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def pth(value: Any) -> bytes:
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


def picture(kind: str, mode: str = "RGB", size: tuple[int, int] = (5, 4)) -> bytes:
    channels = {"RGB": (3,), "RGBA": (4,), "L": ()}[mode]
    pixels = np.random.default_rng(1).integers(0, 256, (size[1], size[0], *channels), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


TENBIN = published.tenbin.encode_buffer([np.arange(4, dtype="i4"), np.ones((2, 3), "f4")])
FIELDS: dict[str, bytes] = {
    **dict.fromkeys(("txt", "text", "transcript"), "text ü".encode()),
    **dict.fromkeys(("cls", "cls2", "index", "inx", "id"), b"17"),
    **dict.fromkeys(("json", "jsn"), b'{"a": [1, 2.5, "x"]}'),
    **dict.fromkeys(("pkl", "pickle", "pyd"), pickle.dumps({"a": (1, b"2")})),
    "pth": pth(torch.arange(3)),
    **dict.fromkeys(("ten", "tb"), bytes(TENBIN)),
    "npy": npy(np.arange(6.0).reshape(2, 3)),
    "npz": npz(a=np.arange(3), b=np.ones(2)),
    "unknown": b"bytes stay",
    "long.name.txt": b"by the last of the extensions",
}
for extension, data in FIELDS.items():
    add(f"decode {extension}", staged("decode", data=lambda extension=extension, data=data: [{"__key__": "k", extension: data}]))
for extension, data in {"cls": b"seventeen", "json": b"{", "npy": b"nonsense", "pkl": b"nonsense", "txt": b"\xff"}.items():
    broken = [{"__key__": "k", extension: data}, {"__key__": "l", "txt": b"good"}]
    for handler in ("reraise_exception", "ignore_and_continue", "ignore_and_stop"):
        add(
            f"decode a broken {extension} with {handler}",
            lambda wds, _, broken=broken, handler=handler: wds.decode(handler=getattr(wds, handler))(iter(broken)),
        )

SPECS = list(published.autodecode.imagespecs)
PICTURES = {
    "jpg": picture("JPEG"), "jpeg": picture("JPEG", "L"), "png": picture("PNG", "RGBA"), "ppm": picture("PPM"),
    "bmp": picture("BMP"),
}  # fmt: skip
for spec, extension in itertools.product(SPECS, PICTURES):
    add(
        f"decode {extension} as {spec}",
        staged("decode", spec, data=lambda extension=extension: [{"__key__": "k", extension: PICTURES[extension], "cls": b"1"}]),
    )
FIELD = [{"__key__": b"k", "a.txt": b"x", "b.txt": b"y", "cls": b"1", "seg.png": PICTURES["png"]}]
OPTIONS: dict[str, dict[str, Any]] = {
    "only one": {"only": ["a.txt"]},
    "only none": {"only": []},
    "no defaults after": {"post": []},
    "a handler before": {"pre": [lambda key, data: data[::-1] if key.endswith("a.txt") else None]},
    "a handler after": {"post": [lambda key, data: (key, len(data))]},
}
for name, keywords in OPTIONS.items():
    add(f"decode, {name}", staged("decode", data=lambda: FIELD, **keywords))
add("decode by extension", lambda wds, _: wds.decode(wds.handle_extension("a.txt", len))(iter(FIELD)))
add("decode by two extensions", lambda wds, _: wds.decode(wds.handle_extension("TXT cls", bytes.hex))(iter(FIELD)))
add(
    "decode, and go on", lambda wds, _: wds.decode(lambda k, d: wds.Continue(".x.txt", d + d) if k == ".cls" else None)(iter(FIELD))
)
add("decode gz", lambda wds, _: wds.decode()(iter([{"__key__": "k", "txt.gz": __import__("gzip").compress(b"packed")}])))
add("decode what is decoded", lambda wds, _: wds.decode()(wds.decode()(iter(FIELD))))
add("decode what is decoded, partial", lambda wds, _: wds.decode(partial=True)(wds.decode()(iter(FIELD))))
add("imagehandler for one extension", lambda wds, _: wds.decode(wds.imagehandler("rgb8", ["gif"]))(iter(FIELD)))
for key, data in {"x.txt": b"1", "cls": b"3", "x.unknown": b"3"}.items():
    add(f"basichandlers {key}", lambda wds, _, key=key, data=data: [wds.autodecode.basichandlers(f".{key}", data)])
for extensions in (["txt"], ["a.txt", "cls"], ["b.txt"]):
    add(
        f"call_extension_handler {extensions}",
        lambda wds, _, extensions=extensions: [wds.autodecode.call_extension_handler("a.txt", b"x", len, extensions)],
    )
XDECODE = [{"__key__": "k", "a.txt": b"text", "b.bin": b"bytes", "json": b'{"n": 1}'}]
add("xdecode", lambda wds, _: wds.xdecode(json=json.load)(iter(XDECODE)))
add("xdecode by pattern", lambda wds, _: wds.xdecode(("*json", json.load), ("a.*", lambda f: f.read(2)))(iter(XDECODE)))
add("xdecode without a decoder", lambda wds, _: wds.xdecode()(iter(XDECODE)))
add("xdecode without a decoder, allowed", lambda wds, _: wds.xdecode(must_decode=False)(iter(XDECODE)))

# -- tenbin ------------------------------------------------------------------------------------------------------------

ARRAYS = {
    code: [np.arange(6).reshape(2, 3).astype(code), np.ones(1).astype(code)]
    for code in published.tenbin.short_to_long
    if code != "u4"  # misspelt there
}
for code, arrays in ARRAYS.items():
    add(f"tenbin {code}: bytes", lambda wds, _, arrays=arrays: [bytes(wds.tenbin.encode_buffer(arrays))])
    add(
        f"tenbin {code}: arrays",
        lambda wds, _, arrays=arrays: wds.tenbin.decode_buffer(bytes(published.tenbin.encode_buffer(arrays))),
    )
    add(
        f"tenbin {code}: parts",
        lambda wds, _, arrays=arrays: [
            bytes(wds.tenbin.encode_header(arrays[0], "info")),
            wds.tenbin.decode_header(bytes(published.tenbin.encode_header(arrays[0], "info")))[1:],
            [bytes(chunk) for chunk in wds.tenbin.decode_chunks(bytes(published.tenbin.encode_buffer(arrays)))],
        ],
    )
for n in (0, 1, 63, 64, 65):
    add(f"tenbin roundup {n}", lambda wds, _, n=n: [wds.tenbin.roundup(n), wds.tenbin.roundup(n, 10)])
add(
    "tenbin words",
    lambda wds, _: [wds.tenbin.str64("i4"), wds.tenbin.unstr64(published.tenbin.str64("~TenBin~")), wds.tenbin.magic],
)

# -- shards ------------------------------------------------------------------------------------------------------------


def shard(path: Path, files: list[tuple[str, bytes]]) -> str:
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in files:
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return str(path)


def data_set(folder: Path) -> str:
    for number in range(6):
        files = []
        for i in range(number * 4, number * 4 + 4):
            files += [(f"k{i:03}.cls", str(i).encode()), (f"k{i:03}.txt", f"text {i}".encode())]
        shard(folder / f"s-{number}.tar", files)
    return str(folder / "s-{0..5}.tar")


def one_shard(folder: Path) -> str:
    return data_set(folder).replace("{0..5}", "0")


def dataset(**options: Any) -> Case:
    return lambda wds, folder: wds.WebDataset(data_set(folder), **{"shardshuffle": False, **options})


def fluid(build: Callable[[Any, Any], Any], **options: Any) -> Case:
    return lambda wds, folder: build(wds, wds.WebDataset(data_set(folder), **{"shardshuffle": False, **options}))


add("WebDataset", dataset())
for seed, size in itertools.product((0, 1, 2, 99), (2, 4, 100, True)):
    add(f"WebDataset shardshuffle={size} seed={seed}", dataset(shardshuffle=size, seed=seed))
add("WebDataset select_files", dataset(select_files=lambda name: name.endswith("cls")))
add("WebDataset rename_files", dataset(rename_files=lambda name: name.replace("txt", "text")))
add("WebDataset select and rename", dataset(rename_files=str.upper, select_files=lambda name: name.endswith("CLS")))
add("WebDataset detshuffle", dataset(shardshuffle=4, detshuffle=True, seed=3))
add("WebDataset of a list", lambda wds, folder: wds.WebDataset([data_set(folder).replace("{0..5}", "2")], shardshuffle=False))
add("WebDataset of two", lambda wds, f: wds.WebDataset(data_set(f) + "::" + data_set(f).replace("{0..5}", "1"), shardshuffle=False))
add("WebDataset of nothing", lambda wds, _: wds.WebDataset([], shardshuffle=False))
add("WebDataset of what is not there", lambda wds, folder: wds.WebDataset(str(folder / "no.tar"), shardshuffle=False))
add(
    "WebDataset by file:",
    lambda wds, folder: [dict(s, __url__=0) for s in wds.WebDataset(f"file:{data_set(folder)}", shardshuffle=False)],
)
add("WebDataset by pipe:", lambda wds, folder: wds.WebDataset(f"pipe:cat {data_set(folder)}", shardshuffle=False))


def twice(items: Iterable[Any]) -> list[Any]:
    return [*items, *items]


FLUID: dict[str, Callable[[Any, Any], Any]] = {
    "decode": lambda _, ds: ds.decode(),
    "to_tuple": lambda _, ds: ds.to_tuple("txt", "cls"),
    "shuffle with a seed": lambda _, ds: ds.shuffle(10, initial=5, seed=3),
    "shuffle 0": lambda _, ds: ds.shuffle(0),
    "decode, batches": lambda _, ds: ds.decode().to_tuple("cls", "txt").batched(5),
    "batches without a rest": lambda _, ds: ds.decode().to_tuple("cls", "txt").batched(5, partial=False),
    "unbatched": lambda _, ds: ds.decode().to_tuple("cls", "txt").batched(5).unbatched(),
    "listed, unlisted": lambda _, ds: ds.to_tuple("cls").listed(5).unlisted(),
    "listed": lambda _, ds: ds.to_tuple("cls").listed(5),
    "map": lambda _, ds: ds.map(lambda sample: {"n": int(sample["cls"])}),
    "map_dict": lambda _, ds: ds.map_dict(cls=int),
    "map_tuple": lambda _, ds: ds.to_tuple("cls", "txt").map_tuple(int, None),
    "rename": lambda _, ds: ds.rename(label="cls"),
    "rename_keys": lambda _, ds: ds.rename_keys(label="cls"),
    "extract_keys": lambda _, ds: ds.extract_keys("txt", "c*"),
    "xdecode": lambda _, ds: ds.xdecode(cls=lambda f: f.read()),
    "select": lambda _, ds: ds.select(lambda sample: int(sample["cls"]) % 3 == 0),
    "slice": lambda _, ds: ds.slice(5),
    "slice of a range": lambda _, ds: ds.slice(3, 20, 4),
    "repeat": lambda _, ds: ds.to_tuple("cls").repeat(2),
    "repeat, sliced": lambda _, ds: ds.to_tuple("cls").repeat(3).slice(60),
    "repeat nbatches": lambda _, ds: ds.to_tuple("cls").repeat(3, nbatches=30),
    "with_epoch shorter": lambda _, ds: ds.to_tuple("cls").with_epoch(7),
    "with_epoch longer": lambda _, ds: ds.to_tuple("cls").with_epoch(60),
    "with_epoch twice": lambda _, ds: twice(ds.to_tuple("cls").with_epoch(30)),
    "with_epoch nbatches": lambda _, ds: ds.to_tuple("cls").batched(4).with_epoch(nbatches=8),
    "with_length": lambda _, ds: [len(ds.with_length(17, silent=True))],
    "compose": lambda wds, ds: ds.compose(wds.select(lambda s: s["cls"] != b"1"), wds.to_tuple("cls")),
    "compose with a generator": lambda _, ds: ds.compose(lambda source: (sample["cls"] for sample in source)),
    "mcached": lambda _, ds: twice(ds.to_tuple("cls").mcached()),
    "a loader": lambda wds, ds: wds.WebLoader(ds.to_tuple("cls"), num_workers=0, batch_size=None),
    "a loader, batches": lambda wds, ds: wds.WebLoader(ds.decode().to_tuple("cls"), num_workers=0, batch_size=None).batched(5),
    "a loader, with_epoch": lambda wds, ds: wds.WebLoader(ds.to_tuple("cls"), num_workers=0, batch_size=None).with_epoch(31),
    "a wrapper": lambda wds, ds: wds.FluidWrapper(ds).to_tuple("cls").batched(2),
}
for name, build in FLUID.items():
    add(f"fluid: {name}", fluid(build))

PIPELINES: dict[str, Callable[[Any, str], list[Any]]] = {
    "samples": lambda wds, urls: [wds.SimpleShardList(urls), wds.tarfile_to_samples()],
    "shuffled": lambda wds, urls: [wds.SimpleShardList(urls, seed=5), wds.tarfile_to_samples(), wds.to_tuple("cls")],
    "with nothing in between": lambda wds, urls: [wds.SimpleShardList(urls), None, wds.tarfile_to_samples(), None],
    "with lists": lambda wds, urls: [wds.SimpleShardList(urls), [wds.tarfile_to_samples(), wds.slice(5)]],
    "split": lambda wds, urls: [wds.SimpleShardList(urls), wds.split_by_node, wds.split_by_worker, wds.tarfile_to_samples()],
    "shuffled shards and samples": lambda wds, urls: [
        wds.SimpleShardList(urls), wds.shuffle(10, seed=1), wds.tarfile_to_samples(), wds.shuffle(9, seed=2), wds.to_tuple("cls"),
    ],
    "stage by stage": lambda wds, urls: [
        wds.SimpleShardList(urls), wds.tariterators.url_opener, wds.tariterators.tar_file_expander, wds.tariterators.group_by_keys,
    ],
    "with detshuffle": lambda wds, urls: [wds.SimpleShardList(urls), wds.detshuffle(10, 3, seed=2), wds.tarfile_to_samples()],
    "batches": lambda wds, urls: [
        wds.SimpleShardList(urls), wds.tarfile_to_samples(), wds.decode(), wds.to_tuple("cls", "txt"), wds.batched(7),
    ],
    "of a list": lambda wds, urls: [[1], lambda source: (item + 1 for item in source)] and [lambda: iter([1, 2]), wds.slice(1)],
    "non_empty": lambda wds, urls: [wds.SimpleShardList(urls), wds.tarfile_to_samples(), wds.non_empty],
    "non_empty of nothing": lambda wds, urls: [wds.SimpleShardList(urls), wds.slice(0), wds.non_empty],
}  # fmt: skip
for name, stages in PIPELINES.items():
    add(f"DataPipeline: {name}", lambda wds, folder, stages=stages: wds.DataPipeline(*stages(wds, data_set(folder))))

for seed in (0, 1, 17, 1234):
    add(f"SimpleShardList seed={seed}", lambda wds, _, seed=seed: wds.SimpleShardList([str(i) for i in range(10)], seed=seed))
    add(
        f"ResampledShards seed={seed}",
        lambda wds, _, seed=seed: wds.ResampledShards(
            [f"{i}" for i in range(9)], 20, seed=seed, worker_seed=lambda: 7, deterministic=True
        ),
    )
for urls in (
    "a.tar",
    "a-{0..3}.tar",
    "a-{000..003}.tar::b.tar",
    "{a,b}-{1..2}.tar",
    "pipe:cat {a,b}.tar",
    "http://h/x-{8..11}.tar",
):
    add(f"expand_urls {urls}", lambda wds, _, urls=urls: wds.shardlists.expand_urls(urls))
    add(f"SimpleShardList {urls}", lambda wds, _, urls=urls: [*wds.SimpleShardList(urls), len(wds.SimpleShardList(urls))])
for source in (["a", "b"], ("a", "b", "c", "d"), dict.fromkeys("abcde").keys(), 5):
    add(f"expand_source {type(source).__name__}", lambda wds, _, source=source: wds.shardlists.expand_source(source, 3))

# -- grouping ----------------------------------------------------------------------------------------------------------

LAYOUTS: dict[str, list[tuple[str, bytes]]] = {
    "two parts of a name": [("a.b.jpg", b"1"), ("a.cls", b"2")],
    "a folder with a dot": [("d.x/a.jpg", b"1"), ("d.x/a.cls", b"2")],
    "a leading ./": [("./a.jpg", b"1"), ("./a.cls", b"2")],
    "an empty suffix": [("a.", b"1"), ("a.cls", b"2")],
    "no dot": [("README", b"1"), ("a.cls", b"2")],
    "hidden": [(".hidden.txt", b"1"), ("a.cls", b"2")],
    "hidden in a folder": [("d/.hidden.txt", b"1"), ("d/a.cls", b"2")],
    "upper case": [("A.JPG", b"1"), ("A.cls", b"2"), ("a.jpg", b"3")],
    "interleaved": [("a.x", b"1"), ("b.x", b"2"), ("a.y", b"3")],
    "meta files": [("__meta__", b"0"), ("__x__/a.jpg", b"0"), ("a.cls", b"2")],
    "meta names that are not": [("__x__.json", b"1"), ("d/__x__/a.jpg", b"2")],
    "fields like metadata": [("a.__k__", b"1"), ("a.cls", b"2")],
    "a bad sample": [("a.__bad__", b"1"), ("a.cls", b"2"), ("b.cls", b"3")],
    "empty files": [("a.txt", b""), ("a.cls", b"")],
    "twice": [("a.txt", b"1"), ("a.txt", b"2"), ("b.txt", b"3")],
    "twice in two cases": [("a.jpg", b"1"), ("a.JPG", b"2"), ("b.txt", b"3")],
    "folders": [("x/a.txt", b"1"), ("y/a.txt", b"2")],
    "long names": [("f" * 90 + "/" + "a" * 60 + ".txt", b"1")],
    "umlauts": [("ä/ö.txt", b"1")],
    "no files": [],
}
for name, files in LAYOUTS.items():
    for handler in ("reraise_exception", "ignore_and_continue", "ignore_and_stop"):
        if (handler != "reraise_exception" and "twice" not in name) or ("twice" in name and handler == "ignore_and_stop"):
            continue  # stopping, ours ends before the sample that is wrong, the published one behind it
        add(
            f"grouping: {name}, {handler}",
            lambda wds, folder, files=files, handler=handler: wds.WebDataset(
                shard(folder / "a.tar", files), shardshuffle=False, handler=getattr(wds, handler), empty_check=False
            ),
        )
    if "twice" not in name:
        add(
            f"grouping: {name}, stage by stage",
            lambda wds, folder, files=files: wds.tariterators.group_by_keys(
                wds.tariterators.tar_file_expander(wds.tariterators.url_opener([{"url": shard(folder / "a.tar", files)}]))
            ),
        )
    add(f"base_plus_ext: {name}", lambda wds, _, files=files: [wds.tariterators.base_plus_ext(path) for path, _ in files])
for keywords in ({"lcase": False}, {"suffixes": {"jpg"}}, {"keys": lambda name: (name[0], name[2:])}):
    add(
        f"group_by_keys {list(keywords)}",
        lambda wds, _, keywords=keywords: wds.tariterators.group_by_keys(
            [{"fname": n, "data": d, "__url__": "u"} for n, d in [("a.JPG", b"1"), ("a.cls", b"2"), ("b.jpg", b"3")]], **keywords
        ),
    )
add("equal keys in two shards", lambda wds, f: wds.WebDataset([shard(f / n, [("a.x", b"1")]) for n in "pq"], shardshuffle=False))
for value in ({}, None, 5, {"a": 1}, {"__bad__": True, "a": 1}, {"__bad__": False}):
    add(f"valid_sample {value}", lambda wds, _, value=value: [bool(wds.tariterators.valid_sample(value))])

# -- broken shards -----------------------------------------------------------------------------------------------------


def broken(folder: Path, kind: str) -> list[str]:
    urls = [shard(folder / f"{number}.tar", [(f"{number}{i}.txt", b"x" * 600) for i in range(3)]) for number in range(3)]
    middle = Path(urls[1])
    whole = middle.read_bytes()
    changed = {"cut in a payload": whole[:2200], "empty": b"", "garbage": b"garbage " * 200}.get(kind)
    if changed is None:
        middle.unlink()
    else:
        middle.write_bytes(changed)
    return urls


for kind, handler in itertools.product(
    ("cut in a payload", "empty", "garbage", "missing"), ("reraise_exception", "ignore_and_continue", "warn_and_continue")
):
    if kind == "cut in a payload" and handler != "reraise_exception":
        continue  # ours leaves out the sample before the cut, of which it cannot know whether it is complete
    add(
        f"broken shard: {kind}, {handler}",
        lambda wds, folder, kind=kind, handler=handler: (
            sample["__key__"] for sample in wds.WebDataset(broken(folder, kind), shardshuffle=False, handler=getattr(wds, handler))
        ),
    )

# -- writing -----------------------------------------------------------------------------------------------------------

WRITTEN: dict[str, dict[str, Any]] = {
    "bytes": {"bin": b"1", "other.ext": b"2"},
    "text": {"txt": "text", "html": "<p>"},
    "numbers": {"cls": 3, "index": 4, "count": 5},
    "json": {"json": {"a": [1, None]}},
    "pickle": {"pyd": {"a": (1, 2)}},
    "npy": {"npy": np.arange(4)},
    "npz": {"npz": {"a": np.arange(2)}},
    "pth": {"pth": torch.arange(3)},
    "tenbin": {"ten": [np.arange(3, dtype="f4")]},
    "png": {"png": np.full((4, 5, 3), 9, np.uint8)},
    "ppm": {"ppm": np.full((4, 5, 3), 9, np.uint8)},
    "gz": {"json.gz": {"a": 1}},
    "private": {"_private": "x", "txt": "y"},
    "no encoder": {"unknown": 5},
    "image by handler": {"jpg": np.full((8, 8, 3), 128, np.uint8)},
}


def written(wds: Any, folder: Path, sample: dict[str, Any], **options: Any) -> list[Any]:
    path = folder / "w.tar"
    with wds.TarWriter(str(path), **options) as writer:
        for i in range(2):
            writer.write({"__key__": f"k{i}", **sample})
    with tarfile.open(path) as archive:
        return [(entry.name, entry.uname, entry.mode, read_back(archive, entry)) for entry in archive]


def read_back(archive: tarfile.TarFile, entry: tarfile.TarInfo) -> Any:
    data = archive.extractfile(entry).read()
    kind = entry.name.partition(".")[2]
    return next(published.decode("rgb8")(iter([{"__key__": "k", kind: data}])))[kind]


for name, sample in WRITTEN.items():
    add(f"TarWriter: {name}", partial(written, sample=sample))
for name, options in {"user and mode": {"user": "me", "mode": 0o600}, "keep_meta": {"keep_meta": True},
                      "encoder=False": {"encoder": False},
                      "compress": {"compress": True}, "bz2": {"compress": "bz2"}, "xz": {"compress": "xz"}}.items():  # fmt: skip
    add(f"TarWriter with {name}", partial(written, sample={"txt": b"x", "_meta": "y"}, **options))


def shards_written(wds: Any, folder: Path, **options: Any) -> list[Any]:
    posted: list[str] = []
    with wds.ShardWriter(
        str(folder / "o-%02d.tar"), verbose=0, post=lambda name: posted.append(Path(name).name), **options
    ) as writer:
        for i in range(10):
            writer.write({"__key__": f"k{i}", "txt": f"{i}"})
    return [posted, [(Path(s["__url__"]).name, s["txt"]) for s in published.WebDataset(
        sorted(map(str, folder.glob("o-*.tar"))), shardshuffle=False)]]  # fmt: skip


for options in ({"maxcount": 3}, {"maxcount": 10}, {"maxcount": 4, "start_shard": 7}):
    add(f"ShardWriter {options}", partial(shards_written, **options))
for data, extension in ((5, "k.cls"), ("x", "k.txt"), (b"1", "k.bin"), ([1], "k.json"), (object(), "k.cls2x")):
    add(
        f"encode_based_on_extension1 {extension}",
        lambda wds, _, data=data, extension=extension: [
            wds.writer.encode_based_on_extension1(data, extension, wds.writer.default_handlers)
        ],
    )

# -- mixing, repeating, and the rest -----------------------------------------------------------------------------------

LISTS = ([1, 2, 3, 4], [10, 20], [100, 200, 300])
for longest in (False, True):
    add(f"RoundRobin longest={longest}", lambda wds, _, longest=longest: wds.RoundRobin([list(m) for m in LISTS], longest=longest))
    for probs in (None, [1, 2, 3], [0.5, 0.1, 0.4]):
        add(
            f"random_samples longest={longest} probs={probs}",
            lambda wds, _, longest=longest, probs=probs: wds.mix.random_samples([iter(m) for m in LISTS], probs, longest),
        )
    robin = "round_robin_longest" if longest else "round_robin_shortest"
    add(robin, lambda wds, _, robin=robin: getattr(wds.mix, robin)(*[iter(m) for m in LISTS]))
for keywords in ({"nepochs": 2}, {"nbatches": 7}, {"nsamples": 9}, {"nepochs": 3, "nbatches": 4}):
    add(f"repeatedly {keywords}", lambda wds, _, keywords=keywords: wds.repeatedly([(range(2), "x"), (range(2), "y")], **keywords))
add("repeatedly0", lambda wds, _: wds.utils.repeatedly0([1, 2, 3], 2, 2))
add("MockDataset", lambda wds, _: wds.MockDataset({"a": 1}, 4))
for url in ("http://h/d/e/a.tar", "s3://b/d/a.tar", "a/b/c.tar", "file:/x/y.tar", "pipe:cat x", "http://h/a.tar?q=1"):
    for ndir in (0, 1):
        add(f"url_to_cache_name {url} {ndir}", lambda wds, _, url=url, ndir=ndir: [wds.cache.url_to_cache_name(url, ndir)])
    add(f"islocal {url}", lambda wds, _, url=url: [wds.cache.islocal(url)])
add("StreamingOpen", lambda wds, folder: [s["stream"].read(3) for s in wds.cache.StreamingOpen()([one_shard(folder)])])
add(
    "StreamingOpen of dicts",
    lambda wds, f: [s["local_path"] for s in wds.cache.StreamingOpen()([{"url": one_shard(f)}])],
)
add(
    "FileCache of a pipe",
    lambda wds, folder: [
        Path(s["local_path"]).read_bytes()
        for s in wds.cache.FileCache(str(folder / "c"), url_to_name=lambda _: "x.tar")(["pipe:cat " + one_shard(folder)])
    ],
)


def cleaned(wds: Any, folder: Path, size: int) -> list[str]:
    for i in range(5):
        (folder / f"f{i}").write_bytes(bytes(100))
    cleanup = wds.LRUCleanup(str(folder), size, keyfn=lambda path: path[-1], interval=None)
    cleanup.cleanup()
    return sorted(path.name for path in folder.iterdir())


for size in (0, 100, 250, 1000):
    add(f"LRUCleanup to {size}", partial(cleaned, size=size))
for args in ((1,), (1, 2, 3), (-5, 70000000)):
    add(f"make_seed {args}", lambda wds, _, args=args: [wds.utils.make_seed(*args)])
for value in ([1], (1,), "text", b"bytes", 5, iter([1]), {"a": 1}):
    add(f"is_iterable {type(value).__name__}", lambda wds, _, value=value: [wds.utils.is_iterable(value)])
for pattern in ("*.tar", "s-{1,3}.tar", "{x,s-4}.tar"):
    add(
        f"glob_with_braces {pattern}",
        lambda wds, f, pattern=pattern: sorted(wds.utils.glob_with_braces(str(Path(data_set(f)).parent / pattern))),
    )
    add(f"fnmatch_with_braces {pattern}", lambda wds, _, pattern=pattern: [wds.utils.fnmatch_with_braces("s-3.tar", pattern)])
for text in ("7", "a-b", "", "len"):
    add(f"safe_eval {text!r}", lambda wds, _, text=text: [repr(wds.utils.safe_eval(text, "[{}]"))])
add("compute_sample_weights", lambda wds, _: [wds.utils.compute_sample_weights([(100, 1.0), (50, 4.0)])])
add("pytorch_worker_info", lambda wds, _: [wds.utils.pytorch_worker_info(), wds.utils.pytorch_worker_seed()])
add(
    "lookup_sym", lambda wds, _: [wds.utils.lookup_sym(name, [".utils", ".filters"]).__name__ for name in ("make_seed", "getfirst")]
)
for name in ("a.tar.gz", "a", "d.e/a"):
    add(f"without_last_extension {name}", lambda wds, _, name=name: [wds.shardlists.without_last_extension(name)])
for name in ("x.tar._123_", "x.tar", "x._y_"):
    add(f"get_pid_from_filename {name}", lambda wds, _, name=name: [wds.shardlists.get_pid_from_filename(name)])


@pytest.mark.parametrize("name", CASES)
def test_both_give_the_same(name, tmp_path):
    expected = outcome(CASES[name], published, tmp_path)
    assert outcome(CASES[name], OURS, tmp_path) == expected


PLACES = [
    (rank, world, worker, workers)
    for world, workers in ((1, 2), (2, 1), (2, 3))
    for rank in range(world)
    for worker in range(workers)
]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("build", [
    lambda wds, urls: wds.WebDataset(urls, shardshuffle=False, nodesplitter=wds.split_by_node, empty_check=False),
    lambda wds, urls: wds.DataPipeline(wds.SimpleShardList(urls), wds.split_by_node, wds.split_by_worker, wds.tarfile_to_samples()),
    lambda wds, urls: wds.WebDataset(urls, shardshuffle=False),
    lambda wds, urls: [wds.utils.pytorch_worker_info(), wds.utils.pytorch_worker_seed()],
], ids=["dataset", "pipeline", "single node only", "worker info"])  # fmt: skip
def test_both_split_alike(place, build, monkeypatch, tmp_path):
    for name, number in zip(("RANK", "WORLD_SIZE", "WORKER", "NUM_WORKERS"), place, strict=True):
        monkeypatch.setenv(name, str(number))
    cases = [lambda wds, folder: build(wds, data_set(folder))] * 2
    assert outcome(cases[0], OURS, tmp_path) == outcome(cases[1], published, tmp_path)


def test_there_are_hundreds_of_cases():
    assert len(CASES) >= 300
