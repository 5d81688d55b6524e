"""Random shards through random chains of commands: samples in = samples out + reported, and no value has changed."""

from __future__ import annotations

import io
import random
import tarfile
from collections import Counter
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory

import hypothesis
from hypothesis import strategies as st

from asyncwds.errors import SampleError
from asyncwds.tools import (
    Inputs,
    Outputs,
    Report,
    Selection,
    cat_shards,
    filter_samples,
    shuffle_samples,
    sort_samples,
    split_shards,
)

KEYS = ["a", "b", "dir/c", "x" * 130, "long/" * 40 + "k", "schön", "0001", "a b", "dir.v1/d"]
FIELDS = ["txt", "cls", "jpg", "JPG", "seg.png", "a.b.c", "x y", "json", "ü"]

shards = st.lists(
    st.tuples(
        st.lists(
            st.tuples(
                st.sampled_from(KEYS), st.lists(st.sampled_from(FIELDS), min_size=1, max_size=3, unique=True), st.integers(0, 2000)
            ),
            max_size=12,
        ),
        st.sampled_from(["", "gz", "xz"]),
        st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
        st.booleans(),
    ),
    min_size=1,
    max_size=3,
)
chains = st.lists(
    st.sampled_from(["cat", "mix", "split", "number", "filter", "sort", "shuffle", "buffer", "rekey", "drop", "each"]), max_size=4
)


def write_shard(
    path: Path, samples: list[tuple[str, list[str], int]], compression: str, kind: int, *, odd: bool, seed: int
) -> None:
    rng = random.Random(seed)
    try:
        with tarfile.open(path, f"w:{compression}", format=kind) as archive:  # type: ignore[call-overload]
            for key, fields, size in samples:
                if odd:
                    add(archive, "README", b"belongs to no sample")
                for field in fields:
                    add(archive, f"{key}.{field}", rng.randbytes(size // len(fields)))
    except ValueError:  # a name that is too long for USTAR
        write_shard(path, samples, compression, tarfile.GNU_FORMAT, odd=odd, seed=seed)


def add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    archive.addfile(info, io.BytesIO(data))


def samples_in(paths: Iterable[Path | str]) -> list[tuple[bytes, ...]]:
    """The values of each sample, by a reading of its own."""
    found = []
    for path in paths:
        with tarfile.open(path) as archive:
            members = [(info.name, archive.extractfile(info).read()) for info in archive]  # type: ignore[union-attr]
        keyed = [(name.rpartition("/"), data) for name, data in members if name != "README"]
        for _, group in groupby(keyed, key=lambda member: (member[0][0], member[0][2].partition(".")[0])):
            found.append(tuple(data for _, data in group))
    return found


def step(command: str, urls: list[str], folder: Path, number: int) -> tuple[Report, list[str]]:
    inputs = Inputs(urls=urls, memory=1 << 16, mix=2 if command == "mix" else 1)
    pattern = Outputs(target=str(folder / f"{number}-{{shard:03d}}.tar"), max_count=4, same_key="number")
    whole = Outputs(target=str(folder / f"{number}.tar.gz"), same_key="number" if command in ("sort", "rekey") else "fail")
    match command:
        case "cat" | "mix":
            report = cat_shards(inputs, whole)
        case "split":
            report = split_shards(inputs, pattern)
        case "number":
            even = Outputs(target=pattern.target, same_key="number")
            report = split_shards(inputs, even, number=3)
        case "filter":
            report = filter_samples(inputs, pattern, Selection(where="size(txt) > 300 or index % 3 != 1", sample=0.8, seed=2))
        case "each":
            each = Outputs(target=str(folder / f"{number}-{{name}}.tar.gz"), same_key="number")
            report = filter_samples(inputs, each, Selection(where="index % 4 != 3"))
        case "sort":
            report = sort_samples(inputs, whole, by="size(txt)", kind="int", reverse=True)
        case "shuffle":
            report = shuffle_samples(inputs, pattern, seed=number)
        case "buffer":
            report = shuffle_samples(inputs, pattern, seed=number, buffer=3)
        case "rekey":
            report = cat_shards(inputs, whole, rekey="{index:05d}")
        case _:
            report = cat_shards(inputs, pattern, Selection(drop="json"))
    return report, [shard["url"] for shard in report.shards]


@hypothesis.given(shards, chains)
@hypothesis.settings(max_examples=30)
def test_no_sample_is_lost(shards: list[tuple[list[tuple[str, list[str], int]], str, int, bool]], chain: list[str]) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        urls = []
        for number, (samples, compression, kind, odd) in enumerate(shards):
            urls.append(str(folder / f"in-{number}.tar"))
            write_shard(Path(urls[-1]), samples, compression, kind, odd=odd, seed=number)
        for number, command in enumerate(["cat", *chain]):
            before = samples_in(urls)
            try:
                report, made = step(command, urls, folder, number)
            except SampleError:  # two in a row with the same key
                assert not (folder / f"{number}.tar.gz").exists()
                return
            after = samples_in(made)
            assert report.samples_in == len(before)
            assert report.samples_out == len(after)
            assert len(before) == len(after) + sum(report.dropped.values())
            if command != "drop":
                assert not Counter(after) - Counter(before)
            if not made:
                return
            urls = made
