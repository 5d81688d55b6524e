import pytest

from asyncwds.engine import ReadOptions, ShardReader
from asyncwds.shards import Shard
from asyncwds.tar import size_of
from asyncwds.testing import make_shard

SIZES = (10, 5_000, 100_000, 3, 70_000, 0)
SHARD = make_shard([{"__key__": f"{n}", "bin": bytes(size), "cls": b"1"} for n, size in enumerate(SIZES)])


def blocks_of(data: bytes, chunk: int):
    """Each block, with the number of bytes that had been fed by then."""
    reader = ShardReader(Shard("x", 0), len(data), None, ReadOptions(max_member_bytes=1 << 20))
    for start in range(0, len(data), chunk):
        for block in reader.feed(data[start : start + chunk]):
            yield block, start, reader.held
    for block in reader.finish():
        yield block, len(data), reader.held


@pytest.mark.parametrize("compress", [None, "gz"])
@pytest.mark.parametrize("chunk", [1, 500, 512, 4096, 60_000, 1 << 20])
def test_a_block_counts_what_its_samples_hold(chunk, compress):
    data = SHARD if compress is None else make_shard([{"__key__": "k", "bin": bytes(100_000)}], compress=compress)
    most = chunk if compress is None else len(SHARD)
    samples = []
    for block, _, held in blocks_of(data, chunk):
        size = sum(map(size_of, block.samples))
        if block.samples:
            assert size <= block.nbytes <= size + most + 4 * 512 * len(block.samples)
        assert held >= 0
        samples += block.samples
    assert [len(sample["bin"]) for sample in samples] == (list(SIZES) if compress is None else [100_000])
    assert held == 0


@pytest.mark.parametrize("key", ["b", "a"])
def test_a_sample_is_given_out_when_a_header_shows_that_it_is_complete(key):
    """Not only when that member has come: until then both would be held."""
    head = make_shard([{"__key__": "a", "bin": bytes(1000)}])[: 512 + 1024]
    second = make_shard([{"__key__": key, "txt": bytes(100_000)}])
    reader = ShardReader(Shard("x", 0), None, None, ReadOptions(max_member_bytes=1 << 20))
    given = [sample for block in reader.feed(head + second[:5000]) for sample in block.samples]
    assert [sample["__key__"] for sample in given] == (["a"] if key == "b" else [])
    assert reader.held == (5000 - 512 if key == "b" else 5000 - 512 + 1000)
    rest = [sample for block in reader.feed(second[5000:]) for sample in block.samples]
    rest += [sample for block in reader.finish() for sample in block.samples]
    assert [len(sample["txt"]) for sample in rest] == [100_000]
