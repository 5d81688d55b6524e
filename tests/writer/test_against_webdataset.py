"""The same samples, written by webdataset and by us, come back the same: by webdataset, by tarfile and by us."""

import gzip
import io
import pickle
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import webdataset
import webdataset.writer as theirs
from PIL import Image
from webdataset.tariterators import group_by_keys, tar_file_expander

import asyncwds as wds
from asyncwds.compat import writer as ours
from asyncwds.errors import SampleError, SpecError

Samples = list[dict[str, Any]]
PIXELS = np.random.default_rng(0).integers(0, 256, (7, 5, 3), np.uint8)
GREY = PIXELS[:, :, 0]


def by_webdataset(*paths: Path) -> Samples:
    streams = [{"url": path.name, "stream": io.BytesIO(path.read_bytes())} for path in paths]  # it would leave files open
    return [
        {field: value for field, value in sample.items() if field != "__url__"}
        for sample in group_by_keys(tar_file_expander(streams))
    ]


def by_us(*paths: Path) -> Samples:
    dataset = wds.WebDataset([str(path) for path in paths], shardshuffle=False, empty_check=False)
    return [{field: value for field, value in sample.items() if field not in {"__url__", "__local_path__"}} for sample in dataset]


def by_tarfile(*paths: Path) -> list[tuple[str, bytes, int, str, str]]:
    found = []
    for path in paths:
        with tarfile.open(path) as archive:
            for info in archive:
                file = archive.extractfile(info)
                assert file is not None
                found.append((info.name, file.read(), info.mode, info.uname, info.gname))
    return found


READERS: dict[str, Callable[..., Any]] = {"webdataset": by_webdataset, "tarfile": by_tarfile, "asyncwds": by_us}


def write(writer: Any, path: Path, samples: Samples, **options: Any) -> list[int]:
    with writer(str(path), **options) as sink:
        return [sink.write(sample) for sample in samples]


def both(folder: Path, samples: Samples, **options: Any) -> tuple[Path, Path]:
    """The archives that the two write; they report the same sizes of samples."""
    suffix = {"gz": ".tar.gz"}.get(str(options.pop("suffix", "")), ".tar")
    paths = folder / f"theirs{suffix}", folder / f"ours{suffix}"
    sizes = [
        write(writer, path, samples, **options) for writer, path in zip((webdataset.TarWriter, wds.TarWriter), paths, strict=True)
    ]
    assert sizes[0] == sizes[1]
    return paths


# -- whole archives

BYTES: Samples = [{"__key__": f"{number:04d}", "a": bytes([number]) * number, "b.c": b"x", "B": b"y"} for number in range(60)]
ARCHIVES: dict[str, tuple[Samples, dict[str, Any]]] = {
    "bytes": (BYTES, {}),
    "text": ([{"__key__": "a", "txt": "hé", "anything": "é", "json": '{"a": 1}'}], {}),
    "numbers": ([{"__key__": str(number), "cls": number, "index": -number, "count": 10**12} for number in range(5)], {}),
    "structures": ([{"__key__": "a", "json": {"a": [1, None, 2.5]}, "jsn": [], "pyd": {1, 2}, "pickle": (1, "x")}], {}),
    "folders": ([{"__key__": f"d.x/e/{number}", "x": b"1"} for number in range(3)], {}),
    "long names": ([{"__key__": "d" * 120 + "/" + "a" * 60, "x": b"1"}, {"__key__": "e" * 300, "x": b"2"}], {}),
    "names that are not ASCII": ([{"__key__": "ordner/ü€", "x": b"1"}], {}),
    "extensions of several parts": ([{"__key__": "a", "left.png": PIXELS, "right.json": 5}], {}),
    "upper case": ([{"__key__": "a", "JSON": {"a": 1}, "CLS": 3}], {}),
    "no bytes at all": ([{"__key__": "a", "x": b"", "y": ""}], {}),
    "metadata is left out": ([{"__key__": "a", "x": b"1", "_note": "n", "__more__": "m"}], {}),
    "metadata is kept": ([{"__key__": "a", "x": b"1", "_note": "n", "__more__": "é"}], {"keep_meta": True}),
    "user and group": (BYTES[:3], {"user": "me", "group": "us"}),
    "mode": (BYTES[:3], {"mode": 0o640}),
    "mtime": (BYTES[:3], {"mtime": 12345}),
    "compress=True": (BYTES, {"compress": True}),
    "compress gz": (BYTES, {"compress": "gz"}),
    "compress bz2": (BYTES, {"compress": "bz2"}),
    "compress xz": (BYTES, {"compress": "xz"}),
    "compress=False": (BYTES, {"compress": False}),
    "compressed by name": (BYTES, {"suffix": "gz"}),
    "plain in spite of the name": (BYTES, {"suffix": "gz", "compress": False}),
    "encoder=False": ([{"__key__": "a", "x": b"1", "y": bytearray(b"2")}], {"encoder": False}),
    "encoder=None": ([{"__key__": "a", "x": b"1", "y": memoryview(b"2")}], {"encoder": None}),
    "encoder of a dict": ([{"__key__": "a", "x": 3, "y": b"2", "z.x": 4}], {"encoder": {"x": lambda value: b"!" * value}}),
    "encoder of a function": ([{"__key__": "a", "x": 3}], {"encoder": lambda sample: sample | {"x": b"!" * sample["x"]}}),
    "GNU format": (BYTES[:3], {"format": "GNU_FORMAT"}),
    "PAX format": (BYTES[:3], {"format": "PAX_FORMAT"}),
    "large members": ([{"__key__": str(number), "x": bytes(700_000)} for number in range(5)], {}),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("case", ARCHIVES)
def test_archives(tmp_path: Path, case: str, reader: str) -> None:
    samples, options = ARCHIVES[case]
    one, other = both(tmp_path, samples, **options)
    found = READERS[reader](one)
    assert READERS[reader](other) == found
    assert len(found) >= len(samples)


# -- fields

VALUES: dict[str, list[Any]] = {
    "cls cls2 class count index inx id": [0, -7, 10**20, "5", b"6", np.int64(8)],
    "txt text transcript html htm": ["hé", "", b"\xff"],
    "json jsn": [{"a": [1, 2.5, None, "é"]}, [], 5, True, None, "[1, 2]", float("inf")],
    "pyd pickle": [{"a": (1, {2})}, None, b"raw"],
    "ten tenbin tb": [PIXELS, [PIXELS, np.arange(5.0)], [], b"raw"],
    "mp msgpack msg": [{"a": [1, 2.5, "é", b"x"]}, 5],
    "png ppm tiff tif": [PIXELS, GREY, Image.fromarray(PIXELS), b"raw"],
    "jpg jpeg img image": [PIXELS, GREY, Image.fromarray(GREY), Image.fromarray(PIXELS).convert("CMYK")],
    "npy": [PIXELS, np.arange(5.0), np.array(3), np.asfortranarray(PIXELS), np.array(["a", "bc"])],
    "json.gz": [{"a": 1}, "[1, 2]"],
    "txt.gz": ["hé"],
    "a.b.c.json": [{"a": 1}],
    "JSON": [{"a": 1}],
    "unknown": ["text", b"raw"],
}
PAIRS = [(field, value) for fields, values in VALUES.items() for field in fields.split() for value in values]


def theirs_and_ours(field: str, value: Any) -> tuple[bytes, bytes]:
    one = theirs.encode_based_on_extension1(value, field, theirs.default_handlers)
    other = ours.encode_based_on_extension1(value, field, ours.default_handlers)
    return bytes(one), bytes(other)


@pytest.mark.parametrize(("field", "value"), PAIRS)
def test_fields(field: str, value: Any) -> None:
    one, other = theirs_and_ours(field, value)
    assert other == (gzip.compress(gzip.decompress(one), mtime=0) if field.endswith(".gz") else one)


@pytest.mark.parametrize("arrays", [{"a": PIXELS, "b": np.arange(3)}, {}], ids=["two", "none"])
def test_npz(arrays: dict[str, Any]) -> None:
    one, other = (np.load(io.BytesIO(data)) for data in theirs_and_ours("npz", arrays))
    assert {name: one[name].tolist() for name in one} == {name: other[name].tolist() for name in other}


@pytest.mark.needs("torch")
def test_pth() -> None:
    import torch

    one, other = (torch.load(io.BytesIO(data)) for data in theirs_and_ours("pth", {"a": torch.arange(5)}))
    assert torch.equal(one["a"], other["a"])


@pytest.mark.parametrize(
    "values",
    [np.linspace(0, 1, 105).reshape(7, 5, 3), np.float32(PIXELS) / 255, PIXELS / 255, np.zeros((2, 3))],
    ids=["ramp", "f4", "f8", "grey"],
)
def test_floats_in_images_are_within_one_step(values: Any) -> None:
    one, other = (np.array(Image.open(io.BytesIO(data))).astype(int) for data in theirs_and_ours("png", values))
    assert np.abs(one - other).max() <= 1
    assert np.abs(other - values * 255).max() <= 0.501, "ours are rounded, theirs cut off"


def test_the_same_extensions() -> None:
    assert set(ours.default_handlers) >= set(theirs.default_handlers)


# -- shards


def shards(writer: Any, folder: Path, samples: Samples, **options: Any) -> tuple[list[Any], list[str]]:
    """What the writer counts after each sample; and its posts."""
    posts: list[str] = []
    folder.mkdir()
    counted = []
    with writer(str(folder / "x-%03d.tar"), verbose=0, post=lambda name: posts.append(Path(name).name), **options) as sink:
        for sample in samples:
            sink.write(sample)
            counted.append((Path(sink.fname).name, sink.shard, sink.count, sink.total, sink.size))
    return counted, posts


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"maxcount": 1},
        {"maxcount": 7},
        {"maxcount": 60},
        {"maxcount": 7, "start_shard": 5},
        {"mtime": 0, "maxcount": 25, "encoder": False},
    ],
    ids=str,
)
def test_shards_by_count(tmp_path: Path, options: dict[str, Any]) -> None:
    one = shards(webdataset.ShardWriter, tmp_path / "theirs", BYTES, **options)
    other = shards(wds.ShardWriter, tmp_path / "ours", BYTES, **options)
    assert one == other
    files = [sorted((tmp_path / folder).iterdir()) for folder in ("theirs", "ours")]
    assert [path.name for path in files[0]] == [path.name for path in files[1]]
    for read in READERS.values():
        assert read(*files[0]) == read(*files[1])


@pytest.mark.parametrize("maxsize", [1, 100_000, 1_000_000])
def test_shards_by_size_hold_the_same_samples_and_do_not_overshoot(tmp_path: Path, maxsize: int) -> None:
    samples = [{"__key__": str(number), "x": bytes(90_000)} for number in range(30)]
    shards(webdataset.ShardWriter, tmp_path / "theirs", samples, maxsize=maxsize)
    shards(wds.ShardWriter, tmp_path / "ours", samples, maxsize=maxsize)
    files = [sorted((tmp_path / folder).iterdir()) for folder in ("theirs", "ours")]
    assert by_webdataset(*files[0]) == by_webdataset(*files[1])
    sizes = [[path.stat().st_size for path in some] for some in files]
    assert max(sizes[1]) <= max(maxsize, 102_400)
    assert maxsize == 1 or max(sizes[0]) > maxsize


def test_openers(tmp_path: Path) -> None:
    def written(writer: Any, name: str) -> Iterator[Path]:
        opened: list[Any] = []

        def opener(fname: str) -> Any:
            opened.append(Path(fname).open("wb"))  # noqa: SIM115 - ours closes it, theirs does not
            return opened[-1]

        with writer(str(tmp_path / f"{name}-%d.tar"), 25, verbose=0, opener=opener) as sink:
            for sample in BYTES:
                sink.write(sample)
        for file in opened:
            file.close()
            yield Path(file.name)

    one, other = list(written(webdataset.ShardWriter, "theirs")), list(written(wds.ShardWriter, "ours"))
    assert len(one) == len(other) == 3
    assert by_tarfile(*one) == by_tarfile(*other)


def test_a_file_object(tmp_path: Path) -> None:
    for writer in (webdataset.TarWriter, wds.TarWriter):
        with (tmp_path / writer.__module__).open("wb") as file:
            with writer(file) as sink:
                sink.write(BYTES[1])
            assert not file.closed
    assert by_tarfile(tmp_path / "webdataset.writer") == by_tarfile(tmp_path / wds.TarWriter.__module__)


def test_a_command(tmp_path: Path) -> None:
    paths = tmp_path / "theirs.tar", tmp_path / "ours.tar"
    for writer, path in zip((webdataset.TarWriter, wds.TarWriter), paths, strict=True):
        with writer(f"pipe:cat > {path}") as sink:
            sink.write(BYTES[1])
    assert by_tarfile(paths[0]) == by_tarfile(paths[1])


# -- what neither writes, and where the two differ

REFUSED: dict[str, tuple[Any, dict[str, Any]]] = {
    "no key": ({"x": b""}, {}),
    "unknown extension": ({"__key__": "a", "xyz": 5}, {}),
    "no bytes after the encoder": ({"__key__": "a", "x": 5}, {"encoder": lambda sample: sample}),
    "text without an encoder": ({"__key__": "a", "x": "text"}, {"encoder": False}),
    "floats out of range": ({"__key__": "a", "png": PIXELS.astype(float)}, {}),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_by_both(case: str) -> None:
    sample, options = REFUSED[case]
    for writer in (webdataset.TarWriter, wds.TarWriter):
        with writer(io.BytesIO(), **options) as sink, pytest.raises(ValueError):
            sink.write(sample)


@pytest.mark.parametrize("spec", [5, "jpg"])
def test_encoders_refused_by_both(spec: Any) -> None:
    for make in (theirs.make_encoder, ours.make_encoder):
        with pytest.raises(ValueError):
            make(spec)


@pytest.mark.parametrize("compress", [None, False, True, "gz", "bz2", "xz"])
@pytest.mark.parametrize(
    "name",
    ["a.tar", "a.tar.gz", "a.tgz", "a.tar.bz2", "a.tar.xz", io.BytesIO()],
    ids=lambda name: name if isinstance(name, str) else "file",
)
def test_modes(name: Any, compress: Any) -> None:
    mode = wds.TarWriter.tarmode(name, compress)
    if compress not in {"bz2", "xz"} or not str(name).endswith(("gz", "bz2")):
        assert mode == webdataset.TarWriter.tarmode(name, compress)
    else:
        assert mode == f"w|{compress}", "theirs lets some names win over what was asked for"


def test_differences(tmp_path: Path) -> None:
    def size(writer: Any, **options: Any) -> int:
        file = io.BytesIO()
        with writer(file, **options) as sink:
            for number in range(100):
                sink.write({"__key__": str(number), "x": b"1", "y": b"2"})
        return len(file.getvalue())

    # Theirs: an extended header for each member, unless mtime is whole; and `format` is not passed on.
    assert size(webdataset.TarWriter) > 400_000
    assert size(webdataset.TarWriter, format="USTAR_FORMAT") > 400_000
    assert size(wds.TarWriter) == size(webdataset.TarWriter, mtime=0) < 220_000
    # Theirs: an empty shard where nothing is written.
    for name, writer, expected in [("theirs", webdataset.ShardWriter, 1), ("ours", wds.ShardWriter, 0)]:
        (tmp_path / name).mkdir()
        writer(str(tmp_path / name / "%d.tar"), verbose=0).close()
        assert len(list((tmp_path / name).iterdir())) == expected
    # Theirs: metadata has to be text even where it is left out.
    with pytest.raises(ValueError, match="metadata"):
        webdataset.TarWriter(io.BytesIO()).write({"__key__": 5, "x": b"1"})
    sink = wds.TarWriter(io.BytesIO())
    assert sink.write({"__key__": 5, "x": b"1", "_n": 7}) == 1
    # Theirs: keys with dots are written, and come back as others.
    with pytest.raises(SampleError):
        sink.write({"__key__": "a.b", "x": b"1"})
    with pytest.raises(SpecError):
        wds.TarWriter(io.BytesIO(), compress="rar")
    sink.close()
    assert pickle.loads(ours.encode_based_on_extension1({1}, "pkl", ours.default_handlers)) == {1}
    with pytest.raises(ValueError, match="no handler"):
        theirs.encode_based_on_extension1({1}, "pkl", theirs.default_handlers)


@pytest.mark.parametrize("library", [webdataset, wds])
@pytest.mark.parametrize("scheme", ["mine", "s3", "https", "gs", "hf", "scp"])
def test_writers_call_the_function_of_a_scheme(library, scheme, tmp_path, monkeypatch):
    calls: list[tuple[Any, ...]] = []

    def opened(*arguments: Any) -> Any:
        calls.append(arguments)
        return (tmp_path / "a.tar").open("wb")

    monkeypatch.setitem(library.gopen_schemes, scheme, opened)
    for writer, name in ((library.TarWriter, "a"), (library.ShardWriter, "%06d")):
        with writer(f"{scheme}://bucket/{name}.tar") as sink:
            sink.write({"__key__": "a", "txt": "x"})
        assert by_us(tmp_path / "a.tar") == [{"__key__": "a", "txt": b"x"}]
    assert calls == [(f"{scheme}://bucket/{name}.tar", "wb", 8192) for name in ("a", "000000")]
