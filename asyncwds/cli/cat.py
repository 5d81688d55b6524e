"""`asyncwds cat`: samples of many shards into one archive, or several."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from asyncwds.cli.tool_options import input_options, jobs_option, output_options, selection_options, shard_options

if TYPE_CHECKING:
    from asyncwds.tools.windows import Windows


@click.command()
@input_options
@selection_options
@click.option("--mix", type=click.IntRange(min=1), metavar="N", help="Read N shards at once, a sample of each in turn.")
@click.option("--rekey", metavar="RULE", help="New keys: '{index:09d}', '{shard}/{key}', 's/old/new/'.")
@click.option("--window", type=click.IntRange(min=1), metavar="N", help="N samples after each other become one: 0.jpg, 1.jpg, …")
@click.option("--stride", type=click.IntRange(min=1), metavar="M", help="The next window begins M samples later, not 1.")
@click.option("--within-shard", is_flag=True, help="No window has samples of two shards.")
@click.option("--shared", metavar="NAMES", help="Fields that all samples of a window have alike stand once. Wildcards too.")
@jobs_option
@shard_options
@output_options
def cat(urls: tuple[str, ...], *, rekey: str | None, **options: Any) -> int:
    """Copies the samples of shards, in order, to one shard or several. Members are copied byte for byte.

    \b
    asyncwds cat 'train-{000..099}.tar' --fields 'jpg;png,cls' -o small.tar
    asyncwds cat 's3://b/*.tar' --mix 8 --rekey '{index:09d}' --max-count 1000 -o 'out-{shard:06d}.tar'
    asyncwds cat 'seq/*.tar' --window 3 --within-shard -o windows.tar
    """
    from asyncwds.cli.tool_arguments import inputs_of, outputs_of, selection_of, show_report  # noqa: PLC0415 - heavy
    from asyncwds.tools.cat import cat_shards  # noqa: PLC0415 - as above

    inputs = inputs_of(urls, "cat", options)
    report = cat_shards(inputs, outputs_of(inputs, options), selection_of(options), rekey=rekey, windows=_windows(options))
    return show_report(report, options)


def _windows(options: dict[str, Any]) -> Windows | None:
    from asyncwds.cli.tool_arguments import names_of  # noqa: PLC0415 - heavy
    from asyncwds.tools.windows import Windows  # noqa: PLC0415 - as above

    length, stride, within_shard, shared = (options[name] for name in ("window", "stride", "within_shard", "shared"))
    if length is not None:
        return Windows(length=length, stride=stride or 1, within_shard=within_shard, shared=names_of(shared))
    if stride or within_shard or shared:
        raise click.UsageError("--stride, --within-shard and --shared are of a --window")
    return None
