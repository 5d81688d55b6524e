"""In processes of their own: this one's standard input belongs to pytest."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

from asyncwds.storage import Answer

READ = """
    import asyncio, os, sys
    from asyncwds.errors import FetchError
    from asyncwds.runtime import Counters
    from asyncwds.storage import StdinFetcher
    from asyncwds.testing import leaks, read

    async def main():
        counters = Counters()
        async with leaks():
            fetcher = StdinFetcher(counters)
            answer, data = await read(fetcher, "-", 5, 10)
            await fetcher.aclose()
        print(answer, len(data), data[:3], counters.bytes, counters.requests, os.get_blocking(0))

    asyncio.run(main())
"""

ANSWER = repr(Answer(0, None, None, ranged=False))


def run(program: str, shell: str) -> str:
    command = ["sh", "-c", shell, sys.executable, textwrap.dedent(program)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize(
    "shell",
    [
        """(printf abc; head -c 999997 /dev/zero) | "$0" -c "$1" """,
        """(sleep 0.2; printf abc; sleep 0.05; head -c 999997 /dev/zero) | "$0" -c "$1" """,
        """(printf abc; head -c 999997 /dev/zero) > "$TMPDIR/file"; "$0" -c "$1" < "$TMPDIR/file" """,
    ],
    ids=["pipe", "slow pipe", "file"],
)
def test_standard_input_is_read_to_its_end(shell, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert run(READ, shell) == f"{ANSWER} 1000000 b'abc' 1000000 1 True\n"


def test_an_empty_and_a_closed_standard_input():
    assert run(READ, """"$0" -c "$1" < /dev/null""") == f"{ANSWER} 0 b'' 0 1 True\n"
    refused = READ.replace(
        "    asyncio.run(main())", "    try:\n        asyncio.run(main())\n    except FetchError as error:\n        print(error)"
    )
    assert run(refused, """"$0" -c "$1" <&-""") == "standard input is closed (url=-)\n"


def test_leaving_early_leaves_no_thread_that_waits():
    program = """
        import asyncio
        from asyncwds.runtime import Counters
        from asyncwds.storage import StdinFetcher
        from asyncwds.testing import leaks, read

        async def main():
            async with leaks():
                try:
                    await asyncio.wait_for(read(StdinFetcher(Counters()), "-"), 0.05)
                except TimeoutError:
                    print("left")

        asyncio.run(main())
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.wait(30) == 0
        assert process.stdout.read() == "left\n"
