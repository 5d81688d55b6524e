"""`verify_shards`: reads shards, many at once, and says what is wrong with them."""

from __future__ import annotations

from asyncio import sleep
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial

from asyncwds import checks
from asyncwds.engine.blocks import ReadOptions
from asyncwds.engine.interleave import announce
from asyncwds.engine.parts import ShardRun
from asyncwds.engine.source import Source
from asyncwds.engine.stream import BlockStream
from asyncwds.errors import SpecError
from asyncwds.runtime.blocking import run_on_own_loop
from asyncwds.runtime.counters import Counters
from asyncwds.shards.shard import Shard
from asyncwds.tools.each_shard import of_each_shard
from asyncwds.tools.inputs import Inputs
from asyncwds.tools.selection import Selection
from asyncwds.tools.verify.dataset import check_dataset
from asyncwds.tools.verify.decoding import DecodingCheck
from asyncwds.tools.verify.expected import Expected, expected_of_records, for_url, merge, read_lists
from asyncwds.tools.verify.rules import RULES, Finding
from asyncwds.tools.verify.shard import ShardInspector, ShardReport


@dataclass(frozen=True)
class Checks:
    """What to look for, beside what is always looked for.

    require  fields that all samples must have; with ';' between alternatives: `["jpg;png", "txt"]`
    hub      the rule of the Hugging Face Hub, for the first of the shards
    decode   fields are decoded, in so many threads; 0 does not
    against  paths or URLs of manifests, lists (wids, `sizes.json`) or indexes that shards are compared with
    ignore   numbers of rules that are not to be applied

    Raises SpecError for rules that there are not.
    """

    require: Sequence[str] = ()
    hub: bool = False
    decode: int = 0
    against: Sequence[str] = ()
    ignore: Collection[str] = ()

    def __post_init__(self) -> None:
        checks.whole("decode", self.decode)
        for rule in self.ignore:
            if rule not in RULES:
                raise SpecError(f"there is no rule {rule!r}: they are {', '.join(RULES)}")

    def alternatives(self) -> list[list[str]]:
        return [[name.strip().lower() for name in each.split(";")] for each in self.require]


@dataclass
class Verification:
    """What was found, by shard, in order."""

    shards: list[ShardReport] = field(default_factory=list)

    @property
    def findings(self) -> list[Finding]:
        """Those of all shards; of each rule at most `MOST` of a shard."""
        return [finding for report in self.shards for finding in report.findings]

    @property
    def samples(self) -> int:
        return sum(report.samples for report in self.shards)

    @property
    def counts(self) -> Counter[str]:
        """How much each rule found."""
        return sum((report.counts for report in self.shards), Counter())

    @property
    def problems(self) -> int:
        """How many errors and warnings there are."""
        return sum(number for rule, number in self.counts.items() if RULES[rule].severity != "note")

    @property
    def unread(self) -> bool:
        """Whether a shard could not be fetched."""
        return any(report.unread for report in self.shards)


def verify_shards(
    inputs: Inputs, wanted: Checks | None = None, *, jobs: int = 1, on_shard: Callable[[ShardReport], object] | None = None
) -> Verification:
    """Reads shards to their end, and finds what is wrong with them, by the rules of `RULES`.

    inputs    which shards; manifests among them are also what their shards are compared with
    wanted    what to look for beside what is always looked for
    jobs      so many processes read a shard each; with one, shards are read at once by many requests
    on_shard  called with the report of each shard, in order, as soon as that is known; what only all of them show comes later

    What is wrong with a shard is no exception but in its report, also where it cannot be fetched. Blocks. Raises SpecError for
    arguments that make no sense, and where a library is missing; FetchError where lists cannot be read.
    """
    checks.whole("jobs", jobs, 1)
    checks.function("on_shard", on_shard, optional=True, takes=1)
    wanted = wanted or Checks()
    urls, records = inputs.listing()
    listed = read_lists(wanted.against, inputs.access)
    if wanted.against and not any(for_url(url, listed) for url in urls):
        raise SpecError(f"none of the shards is listed in {', '.join(wanted.against)}")
    known = merge(expected_of_records(records.values()), listed)
    read = partial(_read_shards, wanted, known) if jobs == 1 else partial(_read_in_processes, wanted, known, jobs)
    result = Verification(read(inputs, on_shard or _nothing))
    reports = {report.url: report for report in reversed(result.shards)}
    for finding in check_dataset(result.shards, wanted.alternatives(), hub=wanted.hub):
        reports[finding.url].add(finding)
    return result


def _nothing(_: ShardReport) -> None:
    """For `on_shard`."""


def _read_in_processes(
    wanted: Checks, known: dict[str, Expected], jobs: int, inputs: Inputs, on_shard: Callable[[ShardReport], object]
) -> list[ShardReport]:
    look = partial(_read_one, wanted, known)
    reports = []
    with closing(of_each_shard(look, inputs, Selection(), jobs)) as found:
        for report in found:
            on_shard(report)
            reports.append(report)
    return reports


def _read_one(wanted: Checks, known: dict[str, Expected], inputs: Inputs, _: Selection) -> ShardReport:
    (report,) = _read_shards(wanted, known, inputs, _nothing)
    return report


def _read_shards(
    wanted: Checks, known: dict[str, Expected], inputs: Inputs, on_shard: Callable[[ShardReport], object]
) -> list[ShardReport]:
    return run_on_own_loop(partial(_read, inputs, inputs.shards(), wanted, known, on_shard))


async def _read(
    inputs: Inputs, urls: list[str], wanted: Checks, known: dict[str, Expected], on_shard: Callable[[ShardReport], object]
) -> list[ShardReport]:
    prefetch, counters = inputs.prefetch(), Counters()
    basis = ReadOptions(prefetch.max_member_bytes, max_header_bytes=prefetch.max_header_bytes)
    fetcher = Source(urls=(), access=inputs.access, cache=inputs.cache).make_fetcher(counters)
    shards = announce(iter([Shard(url, number) for number, url in enumerate(urls)]), fetcher)
    reports: list[ShardReport] = []
    with nullcontext() if not wanted.decode else closing(DecodingCheck(wanted.decode)) as decoding:

        def inspect(run: ShardRun) -> ShardInspector:
            return ShardInspector(run, basis, for_url(run.shard.url, known), decoding, wanted.ignore)

        stream = BlockStream(shards, fetcher, prefetch, replace(basis, inspect=inspect), counters)
        try:
            while (block := await stream.next_block()) is not None:
                for report in block.samples:
                    if isinstance(report, ShardReport):
                        reports.append(report)
                        on_shard(report)
                await sleep(0)  # or downloads would not go on while there is something to look at
        finally:
            await stream.aclose()
    return reports
