"""Which commands there are. The module of one is imported when it is called, or asked for its own help."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click

LOG = "asyncwds.log"
"""Under this name the context of a command that was given `--log-json` has its `JsonLog`."""
_COMMANDS = {
    "ls": ("ls.list_samples", "Lists the samples of shards: key, fields and their sizes, then the totals for each field."),
    "show": (
        "show.show",
        "Shows samples: text, JSON and pictures, and what recordings and arrays are; 10 samples if -n does not say how many.",
    ),
    "get": (
        "get.get",
        "Writes a field of the sample with this key or #NUMBER; without FIELD the sample as a shard, or lists what it has.",
    ),
    "stat": (
        "stat.stat",
        "Says how many samples there are, which fields they have and how large these are, and how even the shards are.",
    ),
    "view": ("view.view_shards", "Serves a page to look at shards, to this machine only, until Ctrl-C."),
    "create": (
        "create.create",
        "Writes shards of what is no shard yet: SOURCE is a folder, an archive, a recipe, a table, or a data set's name.",
    ),
    "cat": ("cat.cat", "Copies the samples of shards, in order, to one shard or several."),
    "split": ("split.split", "Copies samples to shards of another size, or to groups."),
    "shuffle": ("shuffle.shuffle", "Copies samples in a random order of all of them, which --seed and the inputs determine."),
    "sort": ("sort.sort", "Copies samples in the order of a value; those with the same one keep their order, and none is lost."),
    "filter": ("filter.filter_samples", "Copies the samples that are wanted, and reports how many were dropped for which reason."),
    "join": ("join.join", "Adds to each sample what another set of shards, or a table, has for its key."),
    "mix": (
        "mix.mix",
        "Draws samples from several sources: each SHARD pattern is one, or a .toml, .yaml or .json file lists them with weights.",
    ),
    "proc": ("proc.proc", "Runs a command for each sample, and writes what it leaves: a sample, none, or with --multi several."),
    "map": ("map.map_samples", "Calls a function for each sample, and writes what it returns: a sample, None, or several."),
    "export": ("export.export", "Writes a row for each sample, with its key and its fields; or a file for each field."),
    "cp": (
        "cp.copy_shards",
        "Copies shards to TARGET: a folder or prefix with a slash at the end, a pattern with {shard} or {name}, or one file.",
    ),
    "dedup": ("dedup.dedup", "Copies samples without those of which another one is kept."),
    "diff": ("diff.diff", "Compares two data sets by key and bytes of fields, whatever their order and shards."),
    "verify": ("verify.verify", "Reads shards to their end and says what is wrong with them, by numbered rules."),
    "video": ("video.video", "Cuts videos into clips, and says what they are."),
    "bench": (
        "bench.bench",
        "Reads shards as fast as it can and says what limits that; or, with --shuffle, how well they are shuffled.",
    ),
    "index": ("index.make_index", "Makes the index of shards: which samples they have, and where."),
    "cache": ("cache.cache", "Lists, empties, verifies and fills a cache of shards, also while trainings use it."),
    "state": ("state.state", "Shows, merges and compares states of datasets that were saved as JSON."),
    "demo": ("demo.demo", "Draws a small image data set, serves it like a cloud bucket, streams it, and trains on it."),
    "reshard": ("split.split", "Copies samples to shards of another size, or to groups."),
}
"""By name: where the command is, in this package, and its help in one sentence. The tests compare that with the command's own."""


class LazyGroup(click.Group):
    """Lists its commands without their modules."""

    def __init__(self, **settings: Any) -> None:
        listed = {name: click.Command(name, help=sentence) for name, (_, sentence) in _COMMANDS.items()}
        super().__init__(commands=listed, **settings)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """What is called, and what a shell completes the options of, is the command itself."""
        name, listed, rest = super().resolve_command(ctx, args)
        return name, None if listed is None else _load(_COMMANDS[str(listed.name)][0]), rest


def _load(place: str) -> click.Command:
    module, _, name = place.partition(".")
    command: click.Command = getattr(import_module(f"asyncwds.cli.{module}"), name)
    return command
