"""Folders of shards that come and go while they are read."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from contextlib import aclosing

import pytest

import asyncwds as wds
from asyncwds import DirectoryShardList, WorkerInfo
from asyncwds.errors import SpecError
from asyncwds.testing import leaks, make_shard

SHARDS, SAMPLES = 3, 4
CLAIM = f"._{os.uname().nodename}-{os.getpid()}_"
NAMES = [f"s{shard}.tar" for shard in range(SHARDS)]


def put(folder, shard, suffix=".tar"):
    """As a writer should: a shard appears when it is complete."""
    (folder / "new").write_bytes(make_shard([{"__key__": f"{shard}{n}", "txt": "x"} for n in range(SAMPLES)]))
    (folder / "new").rename(folder / f"s{shard}{suffix}")


@pytest.fixture
def folder(tmp_path):
    for shard in range(SHARDS):
        put(tmp_path, shard)
    return tmp_path


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


def test_a_shard_is_claimed_while_it_is_read_and_given_back(folder):
    shards = iter(DirectoryShardList(f"{folder}/", mode="resample"))
    for _ in range(2 * SHARDS):
        claimed = next(shards)["url"]
        assert claimed.endswith(CLAIM)
        assert len([name for name in names(folder) if name.endswith(CLAIM)]) == 1
    shards.close()
    assert names(folder) == NAMES
    assert list(shards) == []


@pytest.mark.parametrize(("mode", "left"), [("unlink", []), ("keep", [f"{name}._done_" for name in NAMES])])
def test_modes_that_end(folder, mode, left):
    seen = [item["url"].removesuffix(CLAIM) for item in DirectoryShardList(folder, mode=mode, poll=None)]
    assert sorted(seen) == [f"{folder}/{name}" for name in NAMES]
    assert names(folder) == left


@pytest.mark.parametrize("mode", ["unlink", "keep", "resample"])
def test_leaving_early_gives_the_shard_back(folder, mode):
    shards = iter(DirectoryShardList(folder, mode=mode, select="oldest"))
    next(shards)
    del shards
    assert names(folder) == NAMES


def test_the_oldest_first(folder):
    for age, name in enumerate(NAMES):
        os.utime(folder / name, (1000 - age, 1000 - age))
    seen = [item["url"].removesuffix(CLAIM)[-6:] for item in DirectoryShardList(folder, mode="unlink", poll=None, select="oldest")]
    assert seen == NAMES[::-1]


def test_a_random_choice_follows_seed_epoch_and_place(folder):
    shards = DirectoryShardList(folder)

    def seen(seed, epoch):
        claims = shards.bound(seed, epoch, WorkerInfo())
        return [next(claims)["url"] for _ in range(10)]

    assert seen(1, 0) == seen(1, 0)
    assert len({tuple(seen(1, 0)), tuple(seen(2, 0)), tuple(seen(1, 1))}) == 3


@pytest.mark.parametrize("suffix", [".tar", ".tgz", ".tar.tgz"])
def test_the_default_pattern(tmp_path, suffix):
    put(tmp_path, 0, suffix)
    put(tmp_path, 1, ".txt")
    assert len(list(DirectoryShardList(tmp_path, mode="keep", poll=None))) == 1


def test_waiting_has_an_end(tmp_path):
    assert list(DirectoryShardList(tmp_path, poll=0.01, timeout=0.05)) == []


def test_a_process_that_died_has_no_claim(folder):
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True, check=True)
    host = os.uname().nodename
    (folder / "s0.tar").rename(folder / f"s0.tar._{host}-{dead.stdout.strip()}_")
    (folder / "s1.tar").rename(folder / f"s1.tar._{dead.stdout.strip()}_")  # WebDataset's
    (folder / "s2.tar").rename(folder / f"s2.tar._elsewhere-{dead.stdout.strip()}_")
    list(DirectoryShardList(folder, mode="keep", poll=None))
    assert names(folder) == ["s0.tar._done_", "s1.tar._done_", f"s2.tar._elsewhere-{dead.stdout.strip()}_"]
    DirectoryShardList(folder).cleanup_files_without_processes()


def test_a_claim_of_a_process_that_runs_stands(folder):
    (folder / "s0.tar").rename(folder / f"s0.tar._{os.getppid()}_")
    DirectoryShardList(folder).cleanup_files_without_processes()
    assert names(folder) == ["s0.tar._" + str(os.getppid()) + "_", "s1.tar", "s2.tar"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"path": "/nowhere/"}, "no such folder"),
        ({"mode": "delete"}, "mode must be"),
        ({"select": "new"}, "select must be"),
    ],
)
def test_arguments_that_make_no_sense(tmp_path, arguments, message):
    with pytest.raises(SpecError, match=message):
        DirectoryShardList(**{"path": tmp_path, **arguments})


# -- datasets over them


def test_a_dataset_reads_what_appears_while_it_runs(tmp_path):
    put(tmp_path, 0)
    seen = []
    with leaks():
        for sample in wds.WebDataset(f"{tmp_path}/", mode="unlink"):
            seen.append(sample["__key__"])
            if len(seen) == SAMPLES:
                put(tmp_path, 1)
            if len(seen) == 2 * SAMPLES:
                break
    assert seen == [f"{shard}{n}" for shard in range(2) for n in range(SAMPLES)]


@pytest.mark.parametrize("mode", ["unlink", "keep"])
def test_a_shard_is_gone_only_when_its_samples_are_used(folder, mode):
    dataset = wds.WebDataset(f"{folder}/", mode=mode, seed=1)
    iterator = iter(dataset)
    first = [next(iterator)["__key__"] for _ in range(SAMPLES)]
    time.sleep(0.1)
    assert len(names(folder)) == SHARDS
    next(iterator)
    gone = [name for name in NAMES if not any(left.startswith(name) and "_done_" not in left for left in names(folder))]
    assert gone == [f"s{first[0][0]}.tar"]
    iterator.close()
    assert len([name for name in names(folder) if name in NAMES]) == SHARDS - 1


def test_resampling_a_folder_goes_on_for_ever_and_is_reproducible(folder):
    def seen():
        dataset = wds.WebDataset(f"{folder}/", seed=3, mode="resample").with_epoch(10 * SAMPLES)
        return [sample["__key__"] for sample in dataset]

    assert seen() == seen()
    assert names(folder) == NAMES


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_mode_asks_for_it_and_else_nothing_is_renamed(folder, slash):
    (folder / "notes.json").write_text("{}")
    before = {entry.name: entry.stat().st_mtime_ns for entry in folder.iterdir()}
    for urls in (f"{folder}{slash}", [f"{folder}{slash}"], folder):
        for sample in wds.WebDataset(urls):
            assert sample["__url__"].removeprefix(f"{folder}/") in NAMES
            assert names(folder) == ["notes.json", *NAMES]
    assert {entry.name: entry.stat().st_mtime_ns for entry in folder.iterdir()} == before
    assert next(iter(wds.WebDataset(f"{folder}{slash}", mode="resample")))["__url__"].endswith(CLAIM)


def test_where_asyncwds_stands_in_for_webdataset_a_slash_asks_for_it(folder):
    installed = "import asyncwds.compat; asyncwds.compat.install(); import webdataset"
    script = f"{installed}; print(webdataset.WebDataset({str(folder) + '/'!r}))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "DirectoryShardList" in done.stdout


async def test_async_for_over_a_folder_that_stays_empty_can_be_left(folder):
    async with aclosing(aiter(wds.WebDataset(f"{folder}/", mode="unlink"))) as samples:
        for _ in range(SHARDS * SAMPLES):
            await anext(samples)


def test_a_dataset_that_waits_can_be_closed_from_elsewhere(tmp_path):
    dataset = wds.WebDataset(f"{tmp_path}/", mode="unlink", empty_check=False)
    iterator = iter(dataset)
    closing = threading.Timer(0.2, iterator.interrupt)
    with leaks():
        closing.start()
        with pytest.raises(wds.errors.BridgeError):
            next(iterator)
        closing.join()


def test_a_folder_cannot_be_interleaved(folder):
    with leaks(), pytest.raises(SpecError, match="not with interleave"):
        list(wds.WebDataset(f"{folder}/", mode="keep", prefetch=wds.Prefetch(interleave=2)))
    assert names(folder) == NAMES


def test_separate_stages_over_a_folder(folder):
    pipeline = wds.DataPipeline(
        DirectoryShardList(folder, mode="unlink", poll=None), wds.url_opener, wds.tar_file_expander, wds.group_by_keys
    )
    assert len(list(pipeline)) == SHARDS * SAMPLES
    assert names(folder) == []


def claimed(folder, results):
    results.put([sample["__key__"] for sample in processes_pipeline(folder)])


def processes_pipeline(folder):
    return wds.DataPipeline(DirectoryShardList(folder, mode="keep", poll=None), wds.tarfile_to_samples())


def test_processes_share_a_folder(tmp_path):
    for shard in range(20):
        put(tmp_path, f"{shard:02}")
    loader = wds.MultiLoader(processes_pipeline(tmp_path), workers=3, context="fork")
    seen = [sample["__key__"] for sample in loader]
    assert sorted(seen) == [f"{shard:02}{n}" for shard in range(20) for n in range(SAMPLES)]
