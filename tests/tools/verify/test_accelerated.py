"""The accelerator takes what is sound straight to the table of samples: nobody can tell by what is found."""

import io
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory

import hypothesis
import pytest
from hypothesis import strategies as st

from asyncwds.tools import Inputs, verify_shards

NAMES = [
    "a.x", "a.y", "b.x", "b.y", "c.x", "c.y", "d/a.x", "d/e/a.seg.png", "d.e/a.x", "d//a.x", "/a.x", "../a.x", "a.X", "a._x",
    "a.", "a..x", "_a.x", "__a.x", "__m__/i.x", "README", ".x", "ä.x", "a.ä", "a b.x", "a\n.x", "a." + "s" * 40, "k" * 99 + ".x",
    "long/" * 30 + "a.x", "d/",
]  # fmt: skip
sizes = st.sampled_from([1, 1, 1, 600, 0, 400_000])
shards = st.tuples(
    st.lists(st.tuples(st.one_of(st.sampled_from(NAMES[:6]), st.sampled_from(NAMES)), sizes), max_size=16),
    st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
    st.sampled_from([0, 1.5]),
    st.sampled_from(["", "somebody"]),
    st.one_of(st.none(), st.none(), st.integers(0, 30_000)),
    st.lists(st.tuples(st.integers(0, 20_000), st.integers(1, 255)), max_size=1),
)


def written(files, form, mtime, owner, cut, changes):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for number, (name, size) in enumerate(files):
            if form == tarfile.USTAR_FORMAT and len(name) > 100:
                continue
            info = tarfile.TarInfo(name)
            info.size, info.mtime, info.uname = size, mtime if number % 3 else 0, owner * (number % 5 == 1)
            info.type = tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
            archive.addfile(info, io.BytesIO(b"x" * size))
    data = bytearray(buffer.getvalue()[:cut])
    for place, change in changes:
        if place < len(data):
            data[place] ^= change
    return data


def all_of(urls):
    """All that there is to know of shards, with findings of different rules in any order."""
    reports = verify_shards(Inputs(urls=urls)).shards
    findings = [sorted(report.findings, key=lambda each: each.rule) for report in reports]
    known = [(each.samples, each.size, each.counts, each.schemas, each.first, each.unread) for each in reports]
    return findings, known, [each.keys.texts() for each in reports], [each.keys.hashes.tolist() for each in reports]


@hypothesis.given(st.lists(shards, min_size=1, max_size=2))
@hypothesis.settings(max_examples=60)
def test_any_archive(found):
    with TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        urls = [f"{name}/{number}.tar" for number in range(len(found))]
        for url, shard in zip(urls, found, strict=True):
            Path(url).write_bytes(written(*shard))
        fast = all_of(urls)
        patch.setenv("ASYNCWDS_PURE", "1")
        assert all_of(urls) == fast


def test_known_defects(bad_archive, tmp_path, monkeypatch):
    path = tmp_path / "s.tar"
    path.write_bytes(bad_archive)
    fast = all_of([str(path)])
    monkeypatch.setenv("ASYNCWDS_PURE", "1")
    assert all_of([str(path)]) == fast


def test_many_samples_with_something_odd_between(archive, entry, tmp_path, monkeypatch):
    """In several chunks: keys that come again, other fields, and what is left to the parser."""
    parts = [archive(*[f"{n:04}.x" for n in range(1000)])[:-1024], entry("folder/", b"", b"5")]
    parts += [archive(*[f"{n:04}.{field}" for field in "xy" for n in range(990, 1400)])[:-1024], entry("1300.z"), entry("1300.Q")]
    path = tmp_path / "s.tar"
    path.write_bytes(b"".join(parts) + archive(*[f"k{n:04}.{field}" for n in range(700) for field in ("x", "y.z")]))
    fast = all_of([str(path)])
    assert fast[1][0][2] == {"W10": 401, "W11": 20, "W14": 700, "W21": 1, "W31": 1}
    monkeypatch.setenv("ASYNCWDS_PURE", "1")
    assert all_of([str(path)]) == fast
