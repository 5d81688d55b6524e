"""`asyncwds state`: what is in saved states, one of those of all ranks, and how two differ."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from asyncwds.errors import SpecError
from asyncwds.formatting.texts import plural, printable, size

FILE = click.Path(dir_okay=False, path_type=Path)


@click.group("state")
def state() -> None:
    """Shows, merges and compares states of datasets that were saved as JSON.

    \b
    asyncwds state show rank-*.json
    asyncwds state merge rank-*.json -o all.json

    A FILE has a state, or several in a list or a dict, as a StatefulDataLoader's has those of its workers.
    """


@state.command("show")
@click.argument("files", nargs=-1, required=True, type=FILE)
@click.option("--json", "as_json", is_flag=True, help="A line of JSON for each state.")
def show(files: tuple[Path, ...], *, as_json: bool) -> None:
    """Says of which epoch, rank and worker each state is, how far it has come, and what is read again to go on from it.

    \b
    asyncwds state show state.json
    asyncwds state show rank-*.json --json
    """
    from asyncwds.pipeline.state_summary import summarize_state  # noqa: PLC0415 - heavy

    for file in files:
        for saved in _states_in(file):
            summary = {"file": str(file), "bytes": len(json.dumps(saved)), **summarize_state(saved)}
            click.echo(json.dumps(summary) if as_json else "\n".join(map(printable, _lines(summary))))


@state.command("merge")
@click.argument("files", nargs=-1, required=True, type=FILE)
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="The file to write; without it standard output."
)
@click.option(
    "--missing", type=click.Choice(["error", "redeliver"]), default="error", help="What ranks that are missing gave comes again."
)
@click.option("--json", "as_json", is_flag=True, help="With -o: a line of JSON with what the merged state says.")
def merge(files: tuple[Path, ...], *, output: Path | None, missing: Any, as_json: bool) -> None:
    """Makes one state of those of all ranks and workers, from which any number of them goes on.

    \b
    asyncwds state merge rank-*.json -o all.json
    asyncwds state merge rank-0.json rank-2.json --missing redeliver -o all.json
    """
    from asyncwds.pipeline.merging import merge_state_dicts  # noqa: PLC0415 - heavy
    from asyncwds.pipeline.state_summary import summarize_state  # noqa: PLC0415 - heavy

    states = [saved for file in files for saved in _states_in(file)]
    merged = merge_state_dicts(states, missing)
    if output is None:
        click.echo(json.dumps(merged))
        return
    output.write_text(json.dumps(merged))
    summary = {"file": str(output), "bytes": output.stat().st_size, **summarize_state(merged)}
    click.echo(json.dumps(summary) if as_json else "\n".join(map(printable, _lines(summary))))


@state.command("diff")
@click.argument("one", type=FILE)
@click.argument("other", type=FILE)
@click.option("--json", "as_json", is_flag=True, help="A line of JSON: a list of what differs.")
def diff(one: Path, other: Path, *, as_json: bool) -> None:
    """Says what differs between two states. The exit status is 1 where something does.

    \b
    asyncwds state diff before.json after.json
    asyncwds state diff rank-0.json rank-1.json --json
    """
    from asyncwds.pipeline.state_summary import compare_states  # noqa: PLC0415 - heavy

    found = list(compare_states(_state_in(one), _state_in(other)))
    if as_json:
        click.echo(json.dumps(found))
    for line in () if as_json else found:
        click.echo(printable(line))
    sys.exit(1 if found else 0)


def _states_in(file: Path) -> list[Any]:
    from asyncwds.pipeline.merging import find_states  # noqa: PLC0415 - heavy

    try:
        found = list(find_states(json.loads(file.read_bytes())))
    except ValueError as error:
        if isinstance(error, SpecError):
            raise
        raise SpecError(f"this file is no JSON: {error}", url=str(file)) from error
    if not found:
        raise SpecError("there is no state of a dataset in this file", url=str(file))
    return found


def _state_in(file: Path) -> Any:
    found = _states_in(file)
    if len(found) > 1:
        raise SpecError(f"there are {len(found)} states in this file, and one is needed", url=str(file))
    return found[0]


def _lines(said: dict[str, Any]) -> list[str]:
    return [
        f"{said['file']}: {_place(said)}",
        f"  epoch {said['epoch']}, seed {said['seed']}: {_progress(said)}",
        f"  pipeline       {', '.join(said['stages'])}",
        *([f"  {'shards':13}  {_shards(said)}"] if said["begun"] is not None else []),
        *[f"  {'held':13}  {plural(items, 'item')} by {name}" for name, items in said["held"].items()],
        *([f"  {'made again':13}  {plural(said['again'], 'item')}, and dropped{_why(said)}"] if said["again"] else []),
        *([f"  {'left':13}  {_left(said['left'])}"] if said["left"] else []),
        f"  {'size':13}  {size(said['bytes'])}",
    ]


def _place(said: dict[str, Any]) -> str:
    if said["merged"] is not None:
        return f"merged, of {plural(said['merged'], 'rank and worker', 'ranks and workers')}"
    if said["rank"] is None:
        return "of nobody that has begun"
    return f"rank {said['rank']} of {said['world_size']}, worker {said['worker']} of {said['num_workers']}"


def _progress(said: dict[str, Any]) -> str:
    given = f"{plural(said['items'], 'item')} given"
    ended = ", which are all" if said["ended"] else ""
    return given + ended + (f", in pass {said['pass']}" if said["pass"] else "")


def _shards(said: dict[str, Any]) -> str:
    of = "" if said["shards"] is None else f" of {said['shards']} of all ranks"
    return f"{said['begun']}{of} begun, of which {said['open']} are open"


def _why(said: dict[str, Any]) -> str:
    return "" if said["reason"] is None else f": {said['reason']}"


def _left(left: dict[str, Any]) -> str:
    return (
        f"by others after {plural(left['items'], 'item')} and {plural(left['merges'], 'merge')}: {plural(left['whole'], 'shard')}, "
        f"{plural(left['rests'], 'rest')} of shards, {plural(left['samples'], 'sample')} that were held"
    )
