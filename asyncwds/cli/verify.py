"""`asyncwds verify`: what is wrong with shards, and shards without it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from asyncwds.cli.options import LOCATION, SIZE, reading_options
from asyncwds.cli.tool_options import jobs_option

if TYPE_CHECKING:
    from asyncwds.tools.inputs import Inputs
    from asyncwds.tools.verify.running import Checks

_READING = {"on_error": "fail", "max_errors": None}  # what is wrong with a shard is a finding


@click.command()
@click.argument("urls", nargs=-1, type=LOCATION, metavar="SHARD...")
@click.option(
    "--require", metavar="FIELDS", default="", help="All samples have these: 'jpg;png,txt' is one of jpg and png, and txt."
)
@click.option("--hub", is_flag=True, help="By the rule of the Hugging Face Hub: the first five samples have the same fields.")
@click.option("--decode", type=click.IntRange(min=0), default=0, metavar="N", help="Decode all fields, in N threads.")
@click.option(
    "--against",
    multiple=True,
    type=LOCATION,
    metavar="FILE",
    help="Compare with a manifest, a list or an index. May be given several times.",
)
@click.option("--ignore", metavar="RULES", default="", help="Without these rules: 'W14,W19'.")
@click.option("--rules", is_flag=True, help="List the rules, and end.")
@jobs_option
@click.option("--fix", is_flag=True, help="Write the shards to -o without what is wrong with them; say what had to be left out.")
@click.option("-o", "--output", "target", type=LOCATION, metavar="PATTERN", help="For --fix: 'fixed-{shard:06d}.tar'.")
@click.option("--force", is_flag=True, help="With --fix: replace shards that are there.")
@click.option("--dry-run", is_flag=True, help="With --fix: write nothing; say what would be put right and left out.")
@click.option("--part", metavar="I/N", help="Only every N-th shard from the I-th on, counted from 0: one of N jobs.")
@click.option("--io", type=click.IntRange(min=1), help="Requests in flight; found automatically if not given.")
@click.option("--memory", type=SIZE, default="256MiB", show_default=True, help="What is read ahead takes no more.")
@click.option("--json", "as_json", is_flag=True, help="A line of JSON for each finding, then one with the totals.")
@reading_options
def verify(  # noqa: PLR0917 - click gives them by name
    urls: tuple[str, ...],
    require: str,
    hub: bool,
    decode: int,
    against: tuple[str, ...],
    ignore: str,
    rules: bool,
    fix: bool,
    target: str | None,
    force: bool,
    dry_run: bool,
    as_json: bool,
    jobs: int,
    **options: Any,
) -> int:
    """Reads shards to their end and says what is wrong with them, by numbered rules. Ends with 2 if there is something.

    \b
    asyncwds verify 's3://bucket/train-{000..099}.tar' --require 'jpg;png,txt' --jobs 8 --json
    asyncwds verify broken.tar --fix -o 'fixed-{shard:06d}.tar'
    """
    if rules:
        return _list_rules()
    if not urls:
        raise click.UsageError("Missing argument 'SHARD...'.")
    if (target is not None or dry_run) if not fix else (target is None and not dry_run):
        raise click.UsageError("--fix writes to -o, and -o and --dry-run are for --fix")
    from asyncwds.cli.tool_arguments import inputs_of  # noqa: PLC0415 - heavy
    from asyncwds.tools.verify.running import Checks  # noqa: PLC0415 - as above

    inputs = inputs_of(urls, "verify", {**options, **_READING})
    if fix:
        return _repair(inputs, {"target": target, "force": force, "dry_run": dry_run}, jobs, as_json=as_json)
    return _verify(inputs, Checks(_split(require), hub, decode, against, _split(ignore)), jobs, as_json=as_json)


def _split(text: str) -> list[str]:
    return [each.strip() for each in text.split(",") if each.strip()]


def _list_rules() -> int:
    from asyncwds.tools.verify.rules import RULES  # noqa: PLC0415 - used here only

    for number, rule in RULES.items():
        click.echo(f"{number}  {rule.severity:<7}  {rule.name}: {rule.meaning}")
    return 0


def _verify(inputs: Inputs, checks: Checks, jobs: int, *, as_json: bool) -> int:
    from asyncwds.cli.bars import show_progress  # noqa: PLC0415 - used here only
    from asyncwds.cli.findings import show_findings  # noqa: PLC0415 - as above
    from asyncwds.tools.report import DATA, IO, OK  # noqa: PLC0415 - as above
    from asyncwds.tools.verify.running import verify_shards  # noqa: PLC0415 - as above

    with show_progress("verify", "shards") as display:
        inputs = replace(inputs, watch_shards=None)  # which would show them a second time
        found = verify_shards(inputs, checks, jobs=jobs, on_shard=lambda _: display.advance())
    show_findings(found, as_json=as_json)
    return IO if found.unread else DATA if found.problems else OK


def _repair(inputs: Inputs, outputs: dict[str, Any], jobs: int, *, as_json: bool) -> int:
    from asyncwds.cli.findings import show_repair  # noqa: PLC0415 - heavy
    from asyncwds.cli.json_log import current_log  # noqa: PLC0415 - as above
    from asyncwds.tools.outputs import Outputs  # noqa: PLC0415 - as above
    from asyncwds.tools.report import OK, PARTIAL  # noqa: PLC0415 - as above
    from asyncwds.tools.verify.repairing import repair_shards  # noqa: PLC0415 - as above

    log, part = current_log(), None if inputs.part is None else inputs.part[0]
    written = None if log is None else log.write_shard
    repair = repair_shards(inputs, Outputs(access=inputs.access, part=part, written=written, **outputs), jobs=jobs)
    show_repair(repair, as_json=as_json, to_stderr=outputs["target"] == "-")
    return PARTIAL if repair.lost else OK
