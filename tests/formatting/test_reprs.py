"""What datasets, samples and statistics print: short, without payloads, and without secrets."""

import numpy as np
import pytest
from PIL import Image

import asyncwds as wds
from asyncwds import Sample
from asyncwds.formatting import show_value

URLS = [f"https://host/s{number:06}.tar?X-Amz-Signature=secret" for number in range(2000)]


def double(sample):
    return sample


@wds.pipelinefilter
def every(samples, n, *, start=0):
    return samples


STAGES = [
    (lambda d: d.shuffle(1000), ".shuffle(1000)"),
    (lambda d: d.shuffle(10, initial=5), ".shuffle(10, initial=5)"),
    (lambda d: d.decode("rgb8"), ".decode('rgb8')"),
    (lambda d: d.decode("rgb8", handler=wds.ignore_and_continue), ".decode('rgb8', handler=ignore_and_continue)"),
    (lambda d: d.decode("rgb8", min_size=256), ".decode('rgb8', min_size=256)"),
    (lambda d: d.decode(), ".decode()"),
    (lambda d: d.decode_crop(224), ".decode_crop(224)"),
    (lambda d: d.center_crop(224, 256, only="jpg"), ".center_crop(224, resize=256, only='jpg')"),
    (lambda d: d.map(double), ".map(double)"),
    (lambda d: d.map(len, handler=wds.warn_and_continue), ".map(len, handler=warn_and_continue)"),
    (lambda d: d.select(bool), ".select(bool)"),
    (lambda d: d.rename(image="jpg;png"), ".rename(image='jpg;png')"),
    (lambda d: d.to_tuple("jpg;png", "cls"), ".to_tuple('jpg;png', 'cls')"),
    (lambda d: d.map_tuple(None, int), ".map_tuple(None, int)"),
    (lambda d: d.batched(16), ".batched(16)"),
    (lambda d: d.batched(16, partial=False), ".batched(16, partial=False)"),
    (lambda d: d.unbatched(), ".unbatched()"),
    (lambda d: d.slice(1, None, 2), ".slice(1, None, 2)"),
    (lambda d: d.compose(double), ".compose(double)"),
    (lambda d: d.compose(every(3, start=1)), ".compose(every(3, start=1))"),
    (lambda d: d.repeat(2), ".repeat(2)"),
    (lambda d: d.with_epoch(10), ".with_epoch(10)"),
]


@pytest.mark.parametrize(("add", "line"), STAGES, ids=[line for _, line in STAGES])
def test_a_stage_prints_its_arguments_as_they_were_written(add, line):
    assert repr(add(wds.WebDataset("a.tar", seed=1))).splitlines() == ["WebDataset('a.tar', seed=1)", f"    {line}"]


def test_a_dataset_prints_first_and_last_url_without_secrets_and_settings_that_are_not_the_defaults():
    dataset = wds.WebDataset(URLS, shardshuffle=100, seed=1, prefetch=16)
    first, last = "'https://host/s000000.tar?X-Amz-Signature=***'", "'https://host/s001999.tar?X-Amz-Signature=***'"
    assert (
        repr(dataset) == f"WebDataset({first} … {last} (2000 shards), shardshuffle=100, prefetch=Prefetch(connections=16), seed=1)"
    )
    assert "secret" not in dataset._repr_html_()


def test_everything_is_at_most_ten_lines():
    dataset = wds.WebDataset(URLS, seed=1)
    for _ in range(30):
        dataset = dataset.shuffle(10).decode("rgb8")
    for each in (dataset, wds.RandomMix([dataset] * 20), wds.with_epoch(dataset, 3), dataset.stats(), wds.DataPipeline(dataset)):
        assert len(repr(each).splitlines()) <= 10
        assert len(repr(each)) < 2000
    assert repr(dataset).splitlines()[8] == "    … 52 more lines"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (b"x" * 5000, "<bytes, 5000 B>"),
        (np.zeros((3, 4), np.uint8), "<ndarray [3, 4] uint8>"),
        (np.float32(1), "<float32 [] float32>"),
        (Image.new("RGB", (5, 4)), "<Image RGB 5x4>"),
        ("a" * 100, "'" + "a" * 60 + "'… (100 characters)"),
        ("short", "'short'"),
        ([1, 2, 3], "[1, 2, 3]"),
        ((1,), "(1,)"),
        (list(range(100)), "[0, 1, 2, 3, 4, 5, … 94 more]"),
        ({"a": b"xy"}, "{'a': <bytes, 2 B>}"),
        (None, "None"),
        (1.5, "1.5"),
        (wds.Prefetch(connections=2), "Prefetch(connections=2)"),
        (double, "double"),
        (int, "int"),
    ],
)
def test_values_are_shown_by_type_and_size(value, shown):
    assert show_value(value) == shown


def test_a_sample_prints_sizes_and_types_in_place_of_payloads():
    sample = Sample({"__key__": "a\x1b[31m", "__url__": URLS[0], "jpg": b"<b>" * 1000, "cls": 3})
    assert repr(sample) == (
        "Sample({'__key__': 'a\\x1b[31m', "
        "'__url__': 'https://host/s000000.tar?X-Amz-Signature=***', 'jpg': <bytes, 3000 B>, 'cls': 3})"
    )
    assert sample._repr_html_().startswith("<table><tr><th>__key__</th>")
    assert "&lt;bytes, 3000 B&gt;" in sample._repr_html_()
    assert repr(Sample({str(number): number for number in range(30)})).endswith("'19': 19, … 10 more})")


def test_statistics_are_a_line():
    stats = wds.Stats(seconds=2.0, times={"consumer": 2.0}, samples=10, bytes=1000, requests=3)
    assert repr(stats).startswith("<Stats samples=10, bytes=1000, requests=3, retries=0, seconds=2: consumer-bound")
    assert "<th>requests</th><td>3</td>" in stats._repr_html_()
