"""The urls and the order of shards are WebDataset's, in its only epoch 0."""

from __future__ import annotations

import pytest
import webdataset
from hypothesis import given
from hypothesis import strategies as st
from webdataset.shardlists import expand_urls

from asyncwds import WorkerInfo
from asyncwds.shards import expand
from asyncwds.shards.plan import plan, split_by_node, split_by_worker


@pytest.mark.parametrize(
    "pattern",
    [
        "a.tar",
        "a-{000000..000012}.tar",
        "s3://b/{train,val}-{0..3}.tar::c.tar",
        "a{03..1}",
        "a{0..10..5}",
        "{01..100..50}",
        "{a,b{1,2}}",
        "x{{1..2}}",
        "{a..e}",
        "a{1,}b",
        "a{}b{1}",
        "pipe:curl -s http://h/{a,b}.tar | gunzip",
        r"a\{1,2\}",
        "${ROOT}/a-{0..1}.tar",
    ],
)
def test_patterns(pattern: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WDS_ROOT", "gs://bucket/{x,y}")
    assert list(expand(pattern)) == expand_urls(pattern)


@given(st.integers(0, 2**32), st.integers(1, 400), st.integers(0, 300), st.sampled_from([(0, 1), (0, 2), (1, 3)]))
def test_the_order_of_shards(seed: int, shards: int, shardshuffle: int, split: tuple[int, int]) -> None:
    rank, world_size = split
    urls = [f"{index}.tar" for index in range(shards)]
    source = ({"url": url} for url in urls[rank::world_size])
    theirs = [item["url"] for item in webdataset.shuffle(shardshuffle, seed=seed)(source)]
    ours = plan(
        urls,
        seed=seed,
        epoch=0,
        place=WorkerInfo(rank, world_size),
        nodesplitter=split_by_node,
        workersplitter=split_by_worker,
        shardshuffle=shardshuffle,
    )
    assert [shard.url for shard in ours] == theirs
