"""`repair_shards`: writes shards again without what is wrong with them, and says what it had to leave out."""

from __future__ import annotations

import os
from collections import Counter
from contextlib import closing, suppress
from dataclasses import dataclass, field
from tempfile import mkstemp

from asyncwds.bridges.file_objects import DownloadFile
from asyncwds.errors import TarError, TrailingBytesError, WdsError, redact
from asyncwds.runtime.blocking import BlockingPool
from asyncwds.tar.raw import NO_FILE
from asyncwds.tools.inputs import Inputs
from asyncwds.tools.local import LocalShard, open_local
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


def repair_shards(inputs: Inputs, outputs: Outputs, *, temporary: str | None = None) -> Repair:
    """Writes each shard anew, in order: members of a sample together, one key a sample, names that all readers take.

    Good members are copied byte for byte, headers too. Dropped are samples of which a member is lost, and copies of others; of
    the rest nothing. A shard of which nothing is left is not written.

    temporary   the folder for copies of shards that are compressed or from elsewhere, one at a time

    Raises FetchError for shards that cannot be read or written, and SpecError.
    """
    result = Repair()
    with BlockingPool("copy") as pool, ShardOutputs(outputs, result.report, pool) as writer:
        for number, url in enumerate(inputs.shards()):
            file, damaged = _open(url, inputs, temporary)
            salvaged = salvage(file, inputs.prefetch())
            if salvaged.entries:
                result.report.left_out[NO_FILE] += len(salvaged.entries)
            plan = plan_repair(salvaged, url, number)
            if damaged is not None:
                plan.drops.append(Drop(url, damaged.key, damaged.offset or 0, UNREADABLE, damaged.message, 0))
            _count(plan.drops, result)
            result.repaired += plan.repaired
            for sample in plan.samples:
                result.report.samples_in += 1
                writer.write(sample)
            writer.next_shard()
    result.report.check()
    return result


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
