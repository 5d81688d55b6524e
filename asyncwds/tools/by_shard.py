"""One shard after another, or several at once in processes, where each has outputs of its own.

`is_by_shard` says whether that is so; `run_by_shard` calls the tool for each shard, with `Outputs.of`, and adds the reports up. So
the bytes do not depend on how many processes there are. The journal has the report of each shard that is done.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from asyncwds import checks
from asyncwds.errors import SampleError, SpecError, redact
from asyncwds.tools.copying import describe_run
from asyncwds.tools.each_shard import call_for_shards, list_one, share, with_listing
from asyncwds.tools.inputs import Inputs
from asyncwds.tools.naming import InputShard
from asyncwds.tools.outputs import Outputs
from asyncwds.tools.report import Report
from asyncwds.tools.selection import Selection
from asyncwds.tools.targets import Target

if TYPE_CHECKING:
    from asyncwds.tools.journal import Journal

Tool = Callable[..., Report]
"""Is called with `inputs`, `outputs`, `selection` and `jobs`, and writes what comes of one shard; to be pickled."""

NOT_ALONE = "and each shard has outputs of its own: give one output or a bound, no {name}, and no jobs"


def is_by_shard(inputs: Inputs, outputs: Outputs, selection: Selection, jobs: int, *, keeps: bool = True) -> bool:
    """Whether a tool is to be run for each shard by itself: the pattern has {name}; or {shard}, and nothing bounds shards, and the
    tool `keeps` shards as they are, while others make new ones of them.
    """
    checks.whole("jobs", jobs, 1)
    if outputs.of is not None:
        return False
    if outputs.target is None:
        return jobs > 1
    target = Target(outputs.target)
    if "name" in target.places:
        return True
    is_one_for_one = keeps and target.is_pattern and not outputs.is_bounded
    return is_one_for_one and (jobs > 1 or _of_several(inputs, selection) is None)


def require_one_job(outputs: Outputs, jobs: int) -> None:
    """Raises SpecError where several are to write to the same shards."""
    checks.require(
        jobs == 1 or outputs.of is not None,
        "jobs work on one shard each, and here all samples go to the same outputs: give a pattern with {name}",
    )


def run_by_shard(
    tools: Tool | Sequence[Tool],
    inputs: Inputs,
    outputs: Outputs,
    selection: Selection,
    *,
    jobs: int,
    run: Sequence[Any],
    in_processes: bool = True,
) -> Report:
    """Runs a tool for each shard, in `jobs` processes; where there are several tools, the n-th process has the n-th.

    run           what outputs depend on beside inputs and selection, for the journal
    in_processes  False: the tool uses the jobs itself, shard after shard

    Raises SpecError for what depends on more than one shard, and errors of the tool; what was being written is dropped then.
    """
    _require_independence(inputs, selection, jobs)
    urls, records = inputs.listing()
    shards = number_shards(urls, inputs)
    require_own_names(shards, outputs)
    journal = outputs.journal(describe_run("by shard", inputs, selection, *run)) if outputs.resume else None
    reports = {} if journal is None else _reports_before(journal, shards, outputs)
    left = [shard for shard in shards if shard.number not in reports]
    processes = max(1, min(jobs, len(left))) if in_processes else 1
    work = _Work(
        tuple(tools) if isinstance(tools, Sequence) else (tools,),
        inputs if processes == 1 else share(inputs, processes),
        replace(outputs, resume=False, force=outputs.force or outputs.resume, written=outputs.written if processes == 1 else None),
        selection,
        {url: records[url] for url in urls if url in records},
        max(1, jobs // processes),
    )
    errors = [error for report in reports.values() for error in report.damaged]
    with closing(_done(work, left, inputs, processes)) as done:
        for shard, report in done:
            reports[shard.number] = report
            if outputs.written is not None and processes > 1 and not outputs.dry_run:
                for written in report.shards:
                    outputs.written(written)
            if journal is not None:
                journal.add({"url": _entry(shard), "report": report.as_dict()})
            errors += report.damaged
            _require_few(errors, inputs.max_errors, shard)
            if report.damaged and inputs.on_error == "stop":
                break
    return _sum(reports)


@dataclass(frozen=True)
class _Work:
    """What is sent to each process, once."""

    tools: tuple[Tool, ...]
    inputs: Inputs
    outputs: Outputs
    selection: Selection
    records: Mapping[str, Any]
    jobs: int

    def __call__(self, process: int) -> Callable[[InputShard], Report]:
        """Lists of keys are loaded once for all shards of a process."""
        return partial(self.run, self.tools[process % len(self.tools)], self.selection.load(self.inputs.access))

    def run(self, tool: Tool, selection: Selection, shard: InputShard) -> Report:
        inputs = with_listing(self.inputs, list_one(shard.url, self.records))
        try:
            return tool(inputs=inputs, outputs=replace(self.outputs, of=shard), selection=selection, jobs=self.jobs)
        except Exception as error:
            if getattr(error, "url", None) is None:
                error.add_note(f"while working on {redact(shard.url)}")
            raise


def _done(
    work: _Work, shards: Sequence[InputShard], inputs: Inputs, processes: int
) -> Generator[tuple[InputShard, Report], None, None]:
    """Each shard with its report, as they come."""
    if processes == 1:
        run = work(0)
        for shard in shards:
            yield shard, run(shard)
        return
    with closing(call_for_shards(work, shards, lambda shard: shard.url, inputs, processes)) as results:
        for place, report in results:
            yield shards[place], report


def _of_several(inputs: Inputs, selection: Selection) -> str | None:
    """What makes outputs depend on several shards."""
    if inputs.mix > 1:
        return "mix takes samples of several shards in turn"
    return "limit and slice count samples of all shards" if selection.limit is not None or selection.slice is not None else None


def _require_independence(inputs: Inputs, selection: Selection, jobs: int) -> None:
    why = _of_several(inputs, selection)
    checks.require(why is None, f"{why}, {NOT_ALONE}")
    checks.require(inputs.on_error != "stop" or jobs == 1, "with several jobs on_error is fail or skip: others are under way")


def number_shards(urls: Sequence[str], inputs: Inputs) -> list[InputShard]:
    first, step = inputs.part or (0, 1)
    return [InputShard(first + step * place, url) for place, url in enumerate(urls)]


def require_own_names(shards: Sequence[InputShard], outputs: Outputs) -> None:
    """Raises SpecError where outputs of two shards would be one."""
    if outputs.target is None:
        return
    target, seen = Target(outputs.target), dict[str, InputShard]()
    for shard in shards:
        number = 0 if outputs.is_bounded else shard.number
        name = target.name(number, part=outputs.part, split="", name=shard.name)
        other = seen.setdefault(name, shard)
        if other is not shard:
            of_both = f"outputs of {redact(other.url)} and of {redact(shard.url)} would both be called {redact(name)}"
            raise SpecError(of_both, url=outputs.target)


def _entry(shard: InputShard) -> str:
    return f"{shard.number} {shard.url}"


def _reports_before(journal: Journal, shards: Sequence[InputShard], outputs: Outputs) -> dict[int, Report]:
    """Of the shards that a run before this one has done, and whose outputs are still there."""
    found: dict[int, Report] = {}
    for shard in shards:
        entry = journal.find(_entry(shard))
        if entry is not None and all(outputs.has(record) for record in entry["report"]["shards"]):
            found[shard.number] = Report.from_dict(entry["report"])
    return found


def _require_few(errors: Sequence[str], most: int | None, shard: InputShard) -> None:
    """Those of each shard by itself are few enough."""
    if most is not None and len(errors) > most:
        raise SampleError(f"{len(errors)} errors are more than max_errors, {most}; the last: {errors[-1]}", url=shard.url)


def _sum(reports: Mapping[int, Report]) -> Report:
    """In the order of the shards."""
    total = Report()
    for number in sorted(reports):
        total.add(reports[number])
    return total.check()
