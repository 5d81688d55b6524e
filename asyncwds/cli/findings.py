"""What `asyncwds verify` says: in lines, or in lines of JSON."""

from __future__ import annotations

import json
from typing import Any

import click

from asyncwds.cli.json_log import current_log
from asyncwds.errors import redact
from asyncwds.formatting.texts import plural, printable
from asyncwds.tools.verify.regroup import Drop
from asyncwds.tools.verify.repairing import Repair
from asyncwds.tools.verify.rules import RULES, Finding
from asyncwds.tools.verify.running import Verification


def show_findings(found: Verification, *, as_json: bool) -> None:
    """One line for each, then the totals."""
    for finding in found.findings:
        click.echo(json.dumps(_as_dict(finding)) if as_json else _line(finding))
    if as_json:
        counts = dict(sorted(found.counts.items()))
        totals = {"shards": len(found.shards), "samples": found.samples, "problems": found.problems, "found": counts}
        click.echo(json.dumps(totals))
        return
    click.echo(f"{plural(found.samples, 'sample')} in {plural(len(found.shards), 'shard')}, {plural(found.problems, 'problem')}")
    for rule, number in sorted(found.counts.items()):
        click.echo(f"  {number:>9} x {rule} {RULES[rule].name} ({RULES[rule].severity})")


def show_repair(repair: Repair, *, as_json: bool, to_stderr: bool) -> None:
    """One line for each sample that was dropped, then the report."""
    if (log := current_log()) is not None:
        log.write("summary", **repair.report.as_dict())
        if to_stderr:
            return
    for drop in repair.drops:
        click.echo(json.dumps(_drop_as_dict(drop)) if as_json else _drop_line(drop), err=to_stderr)
    repaired = {rule: number for rule, number in sorted(repair.repaired.items()) if number}
    if as_json:
        click.echo(json.dumps(repair.report.as_dict() | {"repaired": repaired}), err=to_stderr)
        return
    put_right = [f"  {number} x {rule} {RULES[rule].name}: put right" for rule, number in repaired.items()]
    click.echo("\n".join(map(printable, [*repair.report.lines(), *put_right])), err=to_stderr)


def _as_dict(finding: Finding) -> dict[str, Any]:
    rule = {"rule": finding.rule, "name": RULES[finding.rule].name, "severity": finding.severity}
    known = {"key": finding.key, "offset": finding.offset, "count": finding.count}
    return {**rule, "url": redact(finding.url), **known, "message": finding.message}


def _line(finding: Finding) -> str:
    name = RULES[finding.rule].name
    return printable(f"{finding.rule} {finding.severity}: {_place(finding.url, finding.offset)}: {name}: {finding.message}")


def _drop_as_dict(drop: Drop) -> dict[str, Any]:
    return {"dropped": drop.reason, "url": redact(drop.url), "key": drop.key, "offset": drop.offset, "detail": drop.detail}


def _drop_line(drop: Drop) -> str:
    key = "" if drop.key is None else f" {drop.key[:200]!r}"
    return printable(f"dropped: {_place(drop.url, drop.offset)}:{key} {drop.reason} ({drop.detail})")


def _place(url: str, offset: int | None) -> str:
    return redact(url) if offset is None else f"{redact(url)} at byte {offset}"
