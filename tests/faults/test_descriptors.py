"""Few file descriptors, or none, in processes of their own."""

import subprocess
import sys
import textwrap

import pytest

from asyncwds.testing import FaultServer, make_samples, make_shard

READ = """
    import resource, sys, warnings
    import asyncwds as wds

    limit, cache, *urls = sys.argv[1:]
    resource.setrlimit(resource.RLIMIT_NOFILE, (int(limit), int(limit)))
    warnings.simplefilter("ignore")  # a cache says that it is done without
    prefetch = wds.Prefetch(connections=64, part_bytes=20_000)
    dataset = wds.WebDataset(urls, prefetch=prefetch, shardshuffle=False, cache_dir=cache or None)
    print(len({sample["__key__"] for sample in dataset}), dataset.stats().in_flight_peak)
"""

TOO_MANY = """
    import os, pickle, resource, sys
    import asyncwds as wds
    from asyncwds.errors import FetchError

    path = sys.argv[1]
    prefetch = wds.Prefetch(connections=1, buffer_bytes=1 << 20)
    made = lambda: iter(wds.WebDataset(path, prefetch=prefetch, shardshuffle=False))
    iterators = [made()]
    print(next(iterators[0])["__key__"])
    resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
    held = []
    try:
        while True:
            held.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        pass
    try:
        iterators.append(made())
        next(iterators[-1])
    except FetchError as error:
        for number in held:
            os.close(number)
        print(pickle.loads(pickle.dumps(error)))
"""

NONE_LEFT = """
    import asyncio, gc, os, resource, sys
    import asyncwds as wds
    from asyncwds.errors import FetchError
    from asyncwds.storage import expand_and_list

    url, cache, *cases = sys.argv[1:]
    starts = {
        "listing": lambda: expand_and_list(url + "*"),
        "iteration": lambda: next(iter(wds.WebDataset(url))),
        "cache": lambda: next(iter(wds.WebDataset(url, cache_dir=cache))),
        "gopen": lambda: wds.gopen(url).read(),
        "upload": lambda: wds.TarWriter(url).close(),
    }
    wds.WebDataset, wds.TarWriter, wds.gopen  # imported while there are descriptors
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))

    def start(what, free):
        held = []
        try:
            while True:
                held.append(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            pass
        for _ in range(int(free)):
            os.close(held.pop())
        found = None
        try:
            starts[what]()
        except FetchError as error:
            found = error
        for number in held:
            os.close(number)
        gc.collect()
        print(found, flush=True)

    for case in cases:
        if not (child := os.fork()):  # what fails to start is the first of its process
            start(*case.split())
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0, case
"""


def run(program: str, *arguments: str) -> str:
    command = [sys.executable, "-W", "always::ResourceWarning", "-c", textwrap.dedent(program), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True)
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize("cached", [False, True], ids=["", "cache"])
@pytest.mark.parametrize("limit", [24, 32, 64])
def test_fault_32_few_descriptors_are_enough(tmp_path, limit, cached):
    shards = {}
    for number in range(10):
        samples = [{**one, "__key__": f"{number}-{one['__key__']}"} for one in make_samples(100, size=4000, seed=number)]
        shards[f"{number}.tar"] = make_shard(samples)
    with FaultServer(shards) as server:
        found = run(READ, str(limit), str(tmp_path) if cached else "", *map(server.url, shards))
    samples, connections = map(int, found.split())
    assert samples == 1000
    assert connections <= limit // 2


def test_fault_32_a_dataset_too_many_is_an_error_that_says_what_is_needed(tmp_path):
    (tmp_path / "a.tar").write_bytes(make_shard(make_samples(200, size=40_000)))
    said = run(TOO_MANY, str(tmp_path / "a.tar"))
    assert "this process may have 40 descriptors open (RLIMIT_NOFILE), and 4 more are needed; raise it with ulimit -n" in said


def test_fault_32_nothing_starts_without_descriptors_and_nothing_is_left_half_made(tmp_path):
    cases = [f"{what} {free}" for what in ("listing", "iteration", "cache", "gopen", "upload") for free in (1, 2)]
    said = run(NONE_LEFT, "http://127.0.0.1:1/a", str(tmp_path), *cases).splitlines()
    for case, line in zip(cases, said, strict=True):
        expected = "this process may have 100 descriptors open (RLIMIT_NOFILE), and 4 more are needed; raise it with ulimit -n"
        assert expected in line, case


def test_fault_32_an_import_too_late_is_an_error_that_says_what_is_needed(tmp_path):
    """Enough for a loop, and not for what is imported on it."""
    assert "this process may have 100 descriptors open (RLIMIT_NOFILE); raise it with" in run(
        NONE_LEFT, "http://127.0.0.1:1/a", str(tmp_path), "upload 3"
    )
