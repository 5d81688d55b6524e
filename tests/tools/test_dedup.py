"""One of samples that are the same."""

import io
import json
import random
from collections import Counter

import numpy as np
import pytest
from command_line import run_asyncwds
from PIL import Image

from asyncwds import WebDataset
from asyncwds.errors import SpecError
from asyncwds.testing import make_shard
from asyncwds.tools import Inputs, Outputs, dedup_shards, hash_image, keep_apart

SAMPLES = [
    {"__key__": "a", "jpg": b"1", "json": '{"uid": 1}'},
    {"__key__": "b", "jpg": b"2", "json": '{"uid": 2}'},
    {"__key__": "c", "jpg": b"1", "json": '{"uid": 3}'},
    {"__key__": "a", "jpg": b"33", "json": '{"uid": 2, "more": "bytes of a second block, and so on: %s"}' % ("x" * 600)},
    {"__key__": "d", "jpg": b"1", "json": "{}"},
    {"__key__": "e", "txt": "no jpg"},
    {"__key__": "f", "txt": "none either"},
]


@pytest.fixture
def inputs(tmp_path):
    for number in range(2):
        (tmp_path / f"{number}.tar").write_bytes(make_shard(SAMPLES[number * 3 : 3 + number * 4]))
    return Inputs(urls=[str(tmp_path / f"{number}.tar") for number in range(2)])


@pytest.mark.filterwarnings("ignore::asyncwds.errors.ShardWarning")  # keys come again
@pytest.mark.parametrize(
    ("by", "keep", "kept"),
    [
        ("key", "first", "abcdef"),
        ("key", "largest", "bcadef"),
        ("sha256(jpg)", "first", "abaef"),
        ("json.uid", "first", "abcdef"),
        ("json.uid", "largest", "acadef"),
        ("len(txt)", "first", "abcadef"),
    ],
)
def test_one_of_each_is_kept(by, keep, kept, inputs, tmp_path):
    report = dedup_shards(inputs, Outputs(target=str(tmp_path / "out.tar")), by=by, keep=keep)
    samples = WebDataset(str(tmp_path / "out.tar"), shardshuffle=False)
    assert "".join(sample["__key__"] for sample in samples) == kept
    assert (report.samples_in, report.samples_out) == (7, len(kept))
    assert report.dropped == Counter({"duplicate": 7 - len(kept)} if len(kept) < 7 else {})


def test_samples_without_the_value_are_counted(inputs):
    report = dedup_shards(inputs, Outputs(target=None, dry_run=True), by="nothing")
    assert (report.samples_out, report.notes) == (7, {"samples of which nothing has no value, kept": 7})


def test_a_report_of_what_is_dropped_for_what(inputs, tmp_path):
    first, second = inputs.urls
    found = {}
    for by, keep in (("json.uid", "largest"), ("sha256(jpg)", "first"), ("phash(jpg)", "first")):
        how = {"by": by, "keep": keep, "listing": str(tmp_path / "report.jsonl")}
        dedup_shards(inputs, Outputs(target=None, dry_run=True), **how)
        rows = [json.loads(line) for line in (tmp_path / "report.jsonl").read_text().splitlines()]
        found[by] = [(row["key"], row["url"], row["kept"], row["kept_url"]) for row in rows]
    assert found == {
        "json.uid": [("b", first, "a", second)],
        "sha256(jpg)": [("c", first, "a", first), ("d", second, "a", first)],
        "phash(jpg)": [],
    }


def test_a_list_of_what_is_dropped(inputs, tmp_path):
    nowhere = Outputs(target=None, dry_run=True)
    dedup_shards(inputs, nowhere, by="sha256(jpg)", drop_list=str(tmp_path / "twice.txt"))
    assert (tmp_path / "twice.txt").read_text() == "c\nd\n"
    with pytest.raises(SpecError, match="cannot tell samples apart"):
        dedup_shards(inputs, nowhere, drop_list=str(tmp_path / "twice.txt"))


def picture(seed, form="png", size=(120, 80), **options):
    """Of soft patches."""
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 9, 3), np.uint8)
    return encoded(Image.fromarray(pixels).resize((360, 240), Image.Resampling.BICUBIC).resize(size), form, **options)


def encoded(image, form, **options):
    with io.BytesIO() as file:
        image.save(file, form, **options)
        return file.getvalue()


PICTURES = {
    "a": picture(1, size=(60, 40)),
    "b": picture(2),
    "copy of a": picture(1, "jpeg", size=(360, 240), quality=95),
    "flat": encoded(Image.new("RGB", (30, 30), (200, 0, 0)), "png"),
    "flat too": encoded(Image.new("RGB", (30, 30), (0, 0, 90)), "png"),
    "broken": b"no picture",
    "program": b"%!PS-Adobe-3.0 EPSF-3.0",
    "same as b": picture(2),
}


@pytest.mark.parametrize(
    ("by", "keep", "dropped"),
    [
        ("phash(jpg,<=4)", "first", ["copy of a", "same as b"]),
        ("phash( JPG , ≤ 4 )", "largest", ["a", "same as b"]),
        ("phash(jpg,<=15)", "first", ["copy of a", "same as b"]),
        ("phash(png,<=4)", "first", []),
    ],
)
def test_pictures_that_look_alike(by, keep, dropped, tmp_path):
    samples = [{"__key__": key, "jpg": data} for key, data in PICTURES.items()]
    (tmp_path / "a.tar").write_bytes(make_shard(samples))
    outputs = Outputs(target=str(tmp_path / "out.tar"))
    report = dedup_shards(Inputs(urls=[f"{tmp_path}/a.tar"]), outputs, by=by, keep=keep, drop_list=str(tmp_path / "list"))
    assert (tmp_path / "list").read_text().splitlines() == dropped
    kept = [sample["__key__"] for sample in WebDataset(str(tmp_path / "out.tar"), shardshuffle=False)]
    assert kept == [key for key in PICTURES if key not in dropped]
    without = 4 if "png" not in by else len(PICTURES)
    assert report.notes == {"samples without a picture to compare, kept": without}


def test_without_a_number_hashes_are_the_same(tmp_path):
    pictures = [picture(1), picture(1, "bmp"), picture(2)]
    (tmp_path / "a.tar").write_bytes(make_shard([{"__key__": f"{n}", "jpg": data} for n, data in enumerate(pictures)]))
    report = dedup_shards(Inputs(urls=[f"{tmp_path}/a.tar"]), Outputs(target=None, dry_run=True), by="phash(jpg)")
    assert (report.samples_out, report.dropped) == (2, {"duplicate": 1})


def bits_apart(one, other):
    first, second = hash_image(one), hash_image(other)
    assert first is not None
    assert second is not None
    return (first ^ second).bit_count()


def test_copies_are_near_and_others_are_not():
    for seed in range(10):
        first = picture(seed, size=(360, 240))
        copies = [picture(seed, "jpeg", quality=40), picture(seed, "webp", size=(90, 60), quality=50)]
        assert all(bits_apart(first, copy) <= 6 for copy in copies)
        assert bits_apart(first, picture(seed + 100)) > 15


@pytest.mark.parametrize("distance", [0, 1, 4, 15])
def test_none_is_dropped_but_near_one_that_is_kept(distance):
    """The same as by comparing each with all that are kept."""
    numbers = random.Random(distance)
    hashes = [numbers.getrandbits(64) for _ in range(100)]
    for _ in range(300):
        flipped = numbers.sample(range(64), numbers.randrange(distance + 3))
        hashes.append(numbers.choice(hashes) ^ sum(1 << bit for bit in flipped))
    kept, expected = [], []
    for value in hashes:
        expected.append(all((value ^ other).bit_count() > distance for other in kept))
        kept += [value] * expected[-1]
    assert list(keep_apart(hashes, distance)) == expected
    assert 100 < sum(expected) < 400


@pytest.mark.parametrize(
    ("by", "words"),
    [("phash(jpg,<=16)", "nothing in common"), ("phash(jpg,4)", "this is phash"), ("phash(jpg, <= 4) == 1", "this is phash")],
)
def test_what_is_no_distance(by, words):
    with pytest.raises(SpecError, match=words):
        dedup_shards(Inputs(urls=["a.tar"]), Outputs(target=None, dry_run=True), by=by)


def test_standard_input_is_refused():
    with pytest.raises(SpecError, match="reads twice"):
        dedup_shards(Inputs(urls=["-"]), Outputs(target=None, dry_run=True))


def test_the_command(inputs, tmp_path):
    arguments = ["dedup", "{0..1}.tar", "--by", "json.uid", "--dry-run", "--json", "--drop-list", "twice.txt"]
    done = run_asyncwds(*arguments, cwd=tmp_path)
    assert (done.returncode, json.loads(done.stdout)["dropped"]) == (0, {"duplicate": 1})
    assert (tmp_path / "twice.txt").read_text() == "a\n"
