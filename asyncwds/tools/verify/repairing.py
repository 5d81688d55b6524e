"""`repair_shards`: writes shards again without what is wrong with them, and says what it had to leave out."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from tempfile import mkstemp

from asyncwds import checks
from asyncwds.bridges.file_objects import DownloadFile
from asyncwds.errors import TarError, TrailingBytesError, WdsError, redact
from asyncwds.runtime.blocking import BlockingPool
from asyncwds.shards.manifests import ShardRecord
from asyncwds.tar.raw import NO_FILE, RawSample
from asyncwds.tools.by_shard import number_shards, require_own_names
from asyncwds.tools.each_shard import call_for_shards, list_one, share, with_listing
from asyncwds.tools.inputs import Inputs, watch_shards
from asyncwds.tools.local import LocalShard, open_local
from asyncwds.tools.naming import InputShard
from asyncwds.tools.opening import unpack
from asyncwds.tools.outputs import Outputs, ShardOutputs
from asyncwds.tools.report import Report
from asyncwds.tools.verify.regroup import COPY, UNREADABLE, Drop, plan_repair
from asyncwds.tools.verify.salvage import salvage


@dataclass
class Repair:
    """What became of the samples: `report` has the numbers, `drops` each one that is not there any more, `repaired` how often
    something was put right, by rule.
    """

    report: Report = field(default_factory=Report)
    drops: list[Drop] = field(default_factory=list)
    repaired: Counter[str] = field(default_factory=Counter)

    @property
    def lost(self) -> bool:
        """Whether anything is dropped of which there is no copy."""
        return any(drop.reason != COPY for drop in self.drops)

    def add(self, other: Repair) -> None:
        """What became of other samples."""
        self.report.add(other.report)
        self.drops += other.drops
        self.repaired += other.repaired


def repair_shards(inputs: Inputs, outputs: Outputs, *, temporary: str | None = None, jobs: int = 1) -> Repair:
    """Writes each shard anew: members of a sample together, one key a sample, names that all readers take.

    Good members are copied byte for byte, headers too. Dropped are samples of which a member is lost, and copies of others; of
    the rest nothing. A shard of which nothing is left is not written.

    outputs     {shard} is the number of the shard that is read, and {name} its name
    temporary   the folder for copies of shards that are compressed or from elsewhere, one at a time
    jobs        so many processes repair a shard each

    Raises FetchError for shards that cannot be read or written, and SpecError.
    """
    checks.whole("jobs", jobs, 1)
    urls, records = inputs.listing()
    shards = number_shards(urls, inputs)
    require_own_names(shards, outputs)
    processes = max(1, min(jobs, len(shards)))
    shared = inputs if processes == 1 else share(inputs, processes)
    work = _Repairing(shared, replace(outputs, written=None), {url: records[url] for url in urls if url in records}, temporary)
    done: dict[int, Repair] = {}
    with closing(_repair_each(work, shards, inputs, processes)) as results:
        for place, repair in results:
            done[place] = repair
            if outputs.written is not None and not outputs.dry_run:
                for written in repair.report.shards:
                    outputs.written(written)
    total = Repair()
    for place in sorted(done):
        total.add(done[place])
    total.report.check()
    return total


def _repair_each(
    work: _Repairing, shards: Sequence[InputShard], inputs: Inputs, processes: int
) -> Generator[tuple[int, Repair], None, None]:
    """The place of each shard with what became of it, as they come."""
    if processes > 1:
        yield from call_for_shards(work, shards, lambda shard: shard.url, inputs, processes)
        return
    results = ((place, work.repair(shard)) for place, shard in enumerate(shards))
    yield from watch_shards(inputs, [shard.url for shard in shards], results)


@dataclass(frozen=True)
class _Repairing:
    """What is sent to each process, once."""

    inputs: Inputs
    outputs: Outputs
    records: Mapping[str, ShardRecord]
    temporary: str | None

    def __call__(self, process: int) -> Callable[[InputShard], Repair]:
        del process
        return self.repair

    def repair(self, shard: InputShard) -> Repair:
        inputs = with_listing(self.inputs, list_one(shard.url, self.records))
        result = Repair()
        file, damaged = _open(shard.url, inputs, self.temporary)
        salvaged = salvage(file, inputs.prefetch())
        if salvaged.entries:
            result.report.left_out[NO_FILE] += len(salvaged.entries)
        plan = plan_repair(salvaged, shard.url, shard.number)
        if damaged is not None:
            plan.drops.append(Drop(shard.url, damaged.key, damaged.offset or 0, UNREADABLE, damaged.message, 0))
        _count(plan.drops, result)
        result.repaired += plan.repaired
        if plan.samples:
            self._write(plan.samples, shard, result.report)
        return result

    def _write(self, samples: Sequence[RawSample], shard: InputShard, report: Report) -> None:
        outputs = replace(self.outputs, of=shard)
        with BlockingPool("copy") as pool, ShardOutputs(outputs, report, pool) as writer:
            for sample in samples:
                report.samples_in += 1
                writer.write(sample)


def _count(drops: list[Drop], result: Repair) -> None:
    for drop in drops:
        result.drops.append(drop)
        result.report.samples_in += drop.samples
        if drop.samples:
            result.report.dropped[drop.reason] += drop.samples
        else:
            result.report.damaged.append(f"{redact(drop.url)}, at byte {drop.offset}: {drop.detail}")


def _open(url: str, inputs: Inputs, temporary: str | None) -> tuple[LocalShard, WdsError | None]:
    """The archive as a local file, and what was wrong with the compression around it."""
    local = open_local(url)
    if local is not None:
        return local, None
    descriptor, path = mkstemp(prefix="asyncwds-", suffix=".tar", dir=temporary)
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor
            damaged = None
            try:
                with closing(DownloadFile(url, inputs.prefetch(), inputs.access)) as packed:
                    file.writelines(unpack(packed, url))
            except TarError as error:
                damaged = None if isinstance(error, TrailingBytesError) else error
        return LocalShard(url, path), damaged
    finally:
        with suppress(OSError):
            os.unlink(path)  # noqa: PTH108 - the open file stays
