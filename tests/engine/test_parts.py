"""How much of a part the reader takes at a time."""

from __future__ import annotations

import mmap
import subprocess
import sys

import pytest

from asyncwds.engine.budget import Buffers
from asyncwds.engine.parts import Part, ShardRun, next_chunk
from asyncwds.runtime import KiB, MiB
from asyncwds.shards import Shard

PART = 8 * MiB


@pytest.mark.parametrize(
    ("pieces", "taken"),
    [
        ([256 * KiB] * 6, [MiB, 512 * KiB]),  # as a slow link brings them
        ([700 * KiB, 700 * KiB], [700 * KiB, 700 * KiB]),
        ([2 * MiB, MiB, MiB, MiB], [4 * MiB, MiB]),  # a fast link
        ([5 * MiB, 2 * MiB], [5 * MiB, 2 * MiB]),
        ([MiB, 256 * KiB, 256 * KiB], [MiB + 512 * KiB]),
    ],
)
def test_pieces_in_a_buffer_are_joined_up_to_a_limit(pieces: list[int], taken: list[int]) -> None:
    memory = mmap.mmap(-1, PART)
    for position in range(0, PART, 64 * KiB):
        memory[position] = position // (64 * KiB) + 1
    part = Part(ShardRun(Shard("s", 0), 0), 0, PART, PART, buffer=memory)
    begin = 0
    for size in pieces:
        part.chunks.append(memoryview(memory)[begin : begin + size])
        begin += size
    chunks = []
    while part.chunks:
        chunks.append(next_chunk(part))
    assert [len(chunk) for chunk in chunks] == taken
    assert b"".join(chunks) == memory[:begin]


def test_pieces_that_lie_elsewhere_are_not_joined() -> None:
    memory = mmap.mmap(-1, PART)
    part = Part(ShardRun(Shard("s", 0), 0), 0, PART, PART, buffer=memory)
    part.chunks += [b"first", memoryview(memory)[5:7], memoryview(memory)[7:9], b"last"]
    assert [len(next_chunk(part)) for _ in range(3)] == [5, 4, 4]


def test_a_buffer_that_comes_back_is_lent_again():
    buffers = Buffers(mmap.PAGESIZE, 2)
    first, second = buffers.lend(), buffers.lend()
    assert first is not None
    assert second is not None
    assert buffers.lend() is None
    buffers.give_back(first)
    assert buffers.lend() is first


def test_where_the_system_gives_no_more_there_is_none():
    program = (
        "import resource\n"
        "from asyncwds.engine.budget import Buffers\n"
        "resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))\n"
        "assert Buffers(2 << 30, 2).lend() is None\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=100)
