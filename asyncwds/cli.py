"""The command line. The only module that prints.

Heavy imports stand inside the commands, so that `asyncwds --help` answers at once.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any

import click

from asyncwds import __version__
from asyncwds.errors import WdsError
from asyncwds.escaping import escaped, printable

if TYPE_CHECKING:
    from asyncwds.pipeline.dataset import WebDataset

MB = 1e6
GB = 1e9


class _Main(click.Group):
    """Turns our errors into one line on stderr and exit status 1."""

    def invoke(self, context: click.Context) -> Any:
        # What the encoding of the terminal does not have is shown escaped, as on stderr.
        if isinstance(sys.stdout, TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")
        try:
            return super().invoke(context)
        except WdsError as error:
            click.echo(f"asyncwds: {type(error).__name__}: {error}", err=True)
            sys.exit(1)
        except BrokenPipeError:
            # The reader of our output has gone (`| head`); Python would complain again when it flushes at exit.
            sys.stdout = None
            sys.exit(0)


@click.group(cls=_Main, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """Streams WebDataset shards from disks, web servers and buckets with many requests in flight."""


def _dataset(urls: tuple[str, ...], connections: int | None) -> WebDataset:
    from asyncwds.pipeline.dataset import WebDataset  # noqa: PLC0415 - heavy

    return WebDataset(list(urls), shardshuffle=False, prefetch=connections, empty_check=False)


def _shown(dataset: WebDataset, *, label: str, total: int | None = None) -> Iterator[dict[str, Any]]:
    """The samples, with a progress bar on a terminal and nothing elsewhere."""
    from tqdm import tqdm  # noqa: PLC0415 - heavy

    with closing(iter(dataset)) as samples:
        bar = tqdm(samples, desc=label, total=total, unit=" samples", disable=None, leave=False)
        for number, sample in enumerate(bar):
            if number % 64 == 0:
                now = dataset.stats()
                rate = f"{now.bytes_per_second / MB:.0f} MB/s"
                bar.set_postfix_str(f"{rate}, {now.in_flight} in flight, waited {now.waited:.1f} s", refresh=False)
            yield sample


def _size(nbytes: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if nbytes < 1000:
            return f"{nbytes:.0f} {unit}" if unit == "B" else f"{nbytes:.1f} {unit}"
        nbytes /= 1000
    return f"{nbytes:.1f} TB"


@main.command("ls")
@click.argument("urls", nargs=-1, required=True)
@click.option("-s", "--summary", is_flag=True, help="Only the totals.")
def list_samples(urls: tuple[str, ...], *, summary: bool) -> None:
    """Lists the samples of shards: key, fields and their sizes, then the totals for each field.

    URLS are paths or http(s) URLs, with braces, '::' and globs: 'train-{000..099}.tar'.
    """
    fields: dict[str, list[int]] = {}
    count = 0
    dataset = _dataset(urls, None)
    for sample in _shown(dataset, label="ls"):
        sizes = {name: len(value) for name, value in sample.items() if not name.startswith("__")}
        for name, size in sizes.items():
            fields.setdefault(name, []).append(size)
        count += 1
        if not summary:
            columns = [escaped(sample["__key__"]), *[f"{escaped(name)}:{size}" for name, size in sizes.items()]]
            click.echo("\t".join(columns))
    click.echo(f"{count} samples in {dataset.stats().shards} shards")
    for name, found in sorted(fields.items()):
        click.echo(f"  {escaped(name):<16} {len(found):>9} x {_size(sum(found) / len(found)):>9} = {_size(sum(found))}")


@main.command()
@click.argument("urls", nargs=-1, required=True)
@click.option("-c", "--connections", type=click.IntRange(min=1), help="Requests in flight; found automatically if not given.")
@click.option("-n", "--samples", type=click.IntRange(min=1), help="Stop after so many samples.")
def bench(urls: tuple[str, ...], connections: int | None, samples: int | None) -> None:
    """Reads shards as fast as it can and says what limits that."""
    import resource  # noqa: PLC0415 - used here only
    from time import monotonic  # noqa: PLC0415 - used here only

    dataset = _dataset(urls, connections)
    if samples is not None:
        dataset = dataset.slice(samples)
    began, first = monotonic(), None
    cpu = resource.getrusage(resource.RUSAGE_SELF)
    count = 0
    for _ in _shown(dataset, label="bench", total=samples):
        first = first if first is not None else monotonic() - began
        count += 1
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = used.ru_utime + used.ru_stime - cpu.ru_utime - cpu.ru_stime
    stats = dataset.stats()
    click.echo(f"samples        {count} ({count / stats.seconds:.0f}/s)")
    click.echo(f"bytes          {_size(stats.bytes)} ({stats.bytes_per_second / MB:.1f} MB/s)")
    click.echo(f"CPU            {seconds / max(stats.bytes, 1) * GB:.2f} s per GB")
    click.echo(f"first sample   after {first or 0.0:.3f} s")
    click.echo(f"requests       {stats.requests}, {stats.retries} retries, {stats.hedges} hedged, {stats.throttled} throttled")
    click.echo(f"limit          {stats.summary()}")


@main.command("cache")
@click.argument("folder", type=click.Path(exists=True, file_okay=False))
@click.option("--clear", is_flag=True, help="Remove them all, but for downloads that are in progress.")
def list_cache(folder: str, *, clear: bool) -> None:
    """Lists what a cache keeps, the shard that was not used for longest first: size, last use, name, URL; then the total."""
    from datetime import datetime  # noqa: PLC0415 - used here only

    from asyncwds.model import Cache  # noqa: PLC0415 - used here only
    from asyncwds.storage.cache.folder import CacheFolder  # noqa: PLC0415 - used here only

    cache = CacheFolder(Cache(folder))
    if clear:
        click.echo(f"removed {_size(cache.clear())}")
        return
    entries = cache.entries()
    for entry in entries:
        whole = None if entry.part else cache.find(entry.name)
        said = whole.record.url if whole is not None else "not whole yet" if entry.part else "changed since: will be fetched anew"
        used = datetime.fromtimestamp(entry.used / 1e9).astimezone().isoformat(" ", "seconds")
        click.echo(f"{_size(entry.size):>9}  {used}  {printable(entry.name)}  {printable(said)}")
    click.echo(f"{_size(sum(entry.size for entry in entries))} in {len(entries)} shards")


@main.command()
@click.option("-n", "--samples", default=3200, show_default=True, type=click.IntRange(min=16), help="Images to draw.")
@click.option("--train-seconds", default=8.0, show_default=True, help="How long to train, where torch is installed.")
def demo(samples: int, train_seconds: float) -> None:
    """Draws a small image data set, serves it like a cloud bucket, streams it, and trains on it.

    The bucket is a server on this machine that takes 50 ms to the first byte and caps each connection at 20 MB/s.
    """
    from pathlib import Path  # noqa: PLC0415 - used here only
    from tempfile import TemporaryDirectory  # noqa: PLC0415 - used here only

    from tqdm import tqdm  # noqa: PLC0415 - heavy

    from asyncwds import demo as box  # noqa: PLC0415 - heavy

    with TemporaryDirectory(prefix="asyncwds-demo-") as name:
        folder = Path(name)
        with tqdm(total=samples, desc="drawing", unit=" images", disable=None, leave=False) as bar:
            names = box.make_data(folder, samples, bar.update)
        nbytes = sum((folder / shard).stat().st_size for shard in names)
        click.echo(f"drew {samples} images into {len(names)} shards, {_size(nbytes)}")
        with box.bucket(folder) as url:
            cap = box.BYTES_PER_SECOND / MB
            click.echo(f"serving them at {url}, {box.FIRST_BYTE_DELAY * 1000:.0f} ms to first byte, {cap:.0f} MB/s per connection")
            urls = tuple(f"{url.rstrip('/')}/{shard}" for shard in names)
            alone = _timed(urls, samples, 1, "one connection")
            many = _timed(urls, samples, None, "asyncwds")
            click.echo(f"asyncwds is {many / alone:.1f} times as fast as one connection")
            if train_seconds > 0:
                _train(urls, train_seconds)


def _timed(urls: tuple[str, ...], samples: int, connections: int | None, label: str) -> float:
    """Streams everything once; returns bytes/s."""
    dataset = _dataset(urls, connections)
    count = sum(1 for _ in _shown(dataset, label=label, total=samples))
    stats = dataset.stats()
    if count != samples:
        raise WdsError(f"{count} samples came, {samples} were drawn")
    click.echo(
        f"{label:<15} {stats.samples_per_second:>7.0f} samples/s {stats.bytes_per_second / MB:>6.0f} MB/s, "
        f"{stats.in_flight_peak} connections at most, waited {stats.waited:.1f} s ({stats.summary().split(':')[0]})"
    )
    return stats.bytes_per_second


def _train(urls: tuple[str, ...], seconds: float) -> None:
    try:
        import torch  # noqa: F401, PLC0415 - an extra
    except ImportError:
        click.echo("torch is not installed: no training (pip install torch)")
        return
    from tqdm import tqdm  # noqa: PLC0415 - heavy

    from asyncwds import demo as box  # noqa: PLC0415 - heavy

    samples = _dataset(urls, None).repeat().shuffle(500, initial=100)
    batches = samples.decode("torchrgb8").to_tuple("jpg", "cls").batched(32, partial=False)
    with closing(iter(batches)) as stream, tqdm(desc="training", unit=" batches", disable=None, leave=False) as bar:

        def show(loss: float, accuracy: float) -> None:
            bar.set_postfix_str(f"loss {loss:.2f}, accuracy {accuracy:.2f}", refresh=False)
            bar.update()

        steps, accuracy = box.train(stream, seconds, show)
    limit = batches.stats().summary()
    click.echo(f"trained a small classifier for {seconds:.0f} s: {steps} batches of 32, accuracy {accuracy:.2f} ({limit})")
