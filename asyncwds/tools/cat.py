"""`cat`: samples of many shards, one after another or in turn, into one archive or several."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from functools import partial
from itertools import count

from asyncwds import checks
from asyncwds.tar.raw import RawSample
from asyncwds.tools.by_shard import NOT_ALONE, is_by_shard, require_one_job, run_by_shard
from asyncwds.tools.copying import describe_run, select, select_runs, write_all
from asyncwds.tools.inputs import Inputs
from asyncwds.tools.outputs import Outputs
from asyncwds.tools.rekey import rekeyer
from asyncwds.tools.report import Report
from asyncwds.tools.selection import Selection
from asyncwds.tools.windows import Windows, join_windows


def cat_shards(
    inputs: Inputs,
    outputs: Outputs,
    selection: Selection | None = None,
    *,
    rekey: str | None = None,
    windows: Windows | None = None,
    jobs: int = 1,
) -> Report:
    """Copies the samples that are wanted, in order; with `Inputs.mix` from several shards in turn, a sample of each.

    rekey    a rule for new keys, see `asyncwds.tools.rekey`
    windows  several samples after each other become one
    jobs     shards that are worked on at once, in processes, where each has outputs of its own: see `asyncwds.tools.by_shard`

    Members are copied as they are, byte for byte, but for those that get another name.
    Raises SpecError, FetchError, TarError, SampleError; what was being written is dropped then.
    """
    checks.require(windows is None or inputs.mix == 1, "windows are of samples that follow each other: without mix")
    selection = selection or Selection()
    if is_by_shard(inputs, outputs, selection, jobs, keeps=False):
        checks.require("{index" not in (rekey or ""), f"{{index}} of new keys counts samples of all shards, {NOT_ALONE}")
        checks.require(windows is None or windows.within_shard, f"windows have samples of several shards, {NOT_ALONE}")
        tool = partial(cat_shards, rekey=rekey, windows=windows)
        return run_by_shard(tool, inputs, outputs, selection, jobs=jobs, run=["cat", rekey, repr(windows)])
    require_one_job(outputs, jobs)
    inputs = inputs.copied_to(outputs.target)
    report = Report()
    change = None if rekey is None else rekeyer(rekey)
    run = describe_run("cat", inputs, selection, rekey, repr(windows)) if outputs.resume else None
    if windows is None and change is None:
        with closing(select_runs(inputs, selection, report)) as items:
            return write_all(items, outputs, report, run)
    with closing(select(inputs, selection, report)) as samples:
        joined: Iterator[RawSample] = samples if windows is None else join_windows(samples, windows, report)
        changed = joined if change is None else map(change, joined, count())
        return write_all(changed, outputs, report, run)
