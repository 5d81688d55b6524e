"""Memory that is lent to parts."""

import mmap
import subprocess
import sys

from asyncwds.engine.buffers import Buffers


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
        "from asyncwds.engine.buffers import Buffers\n"
        "resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))\n"
        "assert Buffers(2 << 30, 2).lend() is None\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=100)
