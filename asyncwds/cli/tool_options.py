"""The options that tools share: inputs, selection, outputs. Light, for `--help`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from asyncwds.cli.options import LOCATION, SIZE, reading_options

F = TypeVar("F", bound=Callable[..., Any])


def _decorated(command: F, *options: Callable[[F], F]) -> F:
    for option in reversed(options):
        command = option(command)
    return command


def input_options(command: F) -> F:
    """What `Inputs` takes, with the urls."""
    return _decorated(
        command,
        click.argument("urls", nargs=-1, required=True, type=LOCATION, metavar="SHARD..."),
        click.option("--part", metavar="I/N", help="Only every N-th shard from the I-th on, counted from 0: one of N jobs."),
        click.option(
            "--on-error", type=click.Choice(["fail", "skip", "stop"]), default="fail", show_default=True, help="Of what is damaged."
        ),
        click.option("--max-errors", type=click.IntRange(min=0), help="With --on-error skip: fail after so many."),
        click.option("--io", type=click.IntRange(min=1), help="Requests in flight; found automatically if not given."),
        click.option("--memory", type=SIZE, default="256MiB", show_default=True, help="What is read ahead takes no more."),
        reading_options,
    )


def selection_options(command: F, py: str = "--py") -> F:
    """What `Selection` takes; `py` is what the option for a Python function is called."""
    return _decorated(
        command,
        click.option("--where", metavar="EXPR", help="Only samples of which this is true: 'json.width >= 512 and len(txt) > 20'."),
        click.option(py, "py", metavar="MODULE:FUNCTION", help="Only samples for which it returns True; or file.py:function."),
        click.option(
            "--keys", type=LOCATION, metavar="FILE", help="Only samples with these keys: a line each, .npy, or FILE.parquet:COLUMN."
        ),
        click.option("--exclude-keys", type=LOCATION, metavar="FILE", help="No samples with these keys."),
        click.option(
            "--on", default="key", show_default=True, metavar="EXPR", help="What is looked for among the keys: 'json.uid'."
        ),
        click.option("--slice", "slice_", metavar="LO:HI:STEP", help="Of all samples, as Python has it."),
        click.option(
            "--sample", type=click.FloatRange(0, 1), metavar="P", help="This share of the samples, by a hash of their keys."
        ),
        click.option("--seed", type=int, default=0, show_default=True, help="Of all that is random."),
        click.option("-n", "--limit", type=click.IntRange(min=0), help="End after so many samples."),
        click.option(
            "--fields", metavar="NAMES", help="Only these: 'jpg;png,txt' is the first of jpg and png, and txt. Wildcards too."
        ),
        click.option("--drop", metavar="NAMES", help="Not these fields."),
        click.option("--rename", "renames", metavar="NEW=OLD", multiple=True, help="'image=jpg;png'. May be given several times."),
    )


def output_options(command: F, same_key: str = "fail") -> F:
    """What `Outputs` takes, but for how large shards are."""
    return _decorated(
        command,
        click.option(
            "-o",
            "--output",
            "target",
            type=LOCATION,
            metavar="TARGET",
            help="A file, '-', a URL, or a pattern: 'out-{shard:06d}.tar'.",
        ),
        click.option("--force", is_flag=True, help="Replace shards that are there."),
        click.option(
            "--same-key", type=click.Choice(["fail", "number"]), default=same_key, show_default=True, help="Of two in a row."
        ),
        click.option("--post", metavar="COMMAND", help="For each complete shard: 'upload {path} {url} {count} {size} {sha256}'."),
        click.option("--delete-after", is_flag=True, help="Remove a shard after its --post command ended well."),
        click.option("--resume", is_flag=True, help="Keep a journal, and go on behind the shards that it has."),
        click.option("--dry-run", is_flag=True, help="Write nothing; say what would be written."),
        click.option("--json", "as_json", is_flag=True, help="The report as a line of JSON."),
    )


def jobs_option(command: F) -> F:
    """How many shards are worked on at once."""
    return click.option(
        "-j",
        "--jobs",
        type=click.IntRange(min=1),
        default=1,
        show_default=True,
        metavar="N",
        help="Work on N shards at once, in processes.",
    )(command)


def shard_options(command: F) -> F:
    """How large shards are."""
    return _decorated(
        command,
        click.option("--max-count", type=click.IntRange(min=1), metavar="N", help="Most samples of a shard."),
        click.option("--max-size", type=SIZE, metavar="SIZE", help="Most bytes of a shard: 1GB, 500MiB."),
    )
