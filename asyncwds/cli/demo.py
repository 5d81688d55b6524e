"""`asyncwds demo`: a bucket in a box."""

from __future__ import annotations

from contextlib import closing

import click

from asyncwds.cli.options import log_option
from asyncwds.errors import WdsError
from asyncwds.formatting.texts import MB, plural, size


@click.command()
@click.option("-n", "--samples", default=3200, show_default=True, type=click.IntRange(min=16), help="Images to draw.")
@click.option("--train-seconds", default=10.0, show_default=True, help="How long to train at most, where torch is installed.")
@log_option
def demo(samples: int, train_seconds: float) -> None:
    """Draws a small image data set, serves it like a cloud bucket, streams it, and trains on it.

    \b
    asyncwds demo
    asyncwds demo -n 10000 --train-seconds 0

    The bucket is a server on this machine that takes 50 ms to the first byte and caps each connection at 20 MB/s.
    """
    from pathlib import Path  # noqa: PLC0415 - used here only
    from tempfile import TemporaryDirectory  # noqa: PLC0415 - used here only

    from asyncwds import demo as box  # noqa: PLC0415 - heavy
    from asyncwds.cli.bars import show_progress  # noqa: PLC0415 - used here only

    with TemporaryDirectory(prefix="asyncwds-demo-") as name:
        folder = Path(name)
        with show_progress("drawing", "images", samples) as display:
            names = box.make_data(folder, samples, display.advance)
        nbytes = sum((folder / shard).stat().st_size for shard in names)
        click.echo(f"drew {samples} images into {len(names)} shards, {size(nbytes)}")
        with box.bucket(folder) as url:
            cap = box.BYTES_PER_SECOND / MB
            click.echo(f"serving them at {url}, {box.FIRST_BYTE_DELAY * 1000:.0f} ms to first byte, {cap:.0f} MB/s per connection")
            urls = tuple(f"{url.rstrip('/')}/{shard}" for shard in names)
            alone = _stream_all(urls, samples, 1, "one connection")
            many = _stream_all(urls, samples, None, "asyncwds")
            click.echo(f"asyncwds is {many / alone:.1f} times as fast as one connection")
            if train_seconds > 0:
                _train(urls, train_seconds)


def _stream_all(urls: tuple[str, ...], samples: int, connections: int | None, label: str) -> float:
    """Streams everything once; returns bytes/s."""
    from asyncwds.cli.reading import Sources, dataset, progress  # noqa: PLC0415 - heavy

    shards = dataset(urls, Sources(), connections)
    count = sum(1 for _ in progress(iter(shards), shards.stats, label=label, total=samples))
    stats = shards.stats()
    if count != samples:
        raise WdsError(f"{count} samples came, {samples} were drawn")
    click.echo(
        f"{label:<15} {stats.samples_per_second:>7.0f} samples/s {stats.bytes_per_second / MB:>6.0f} MB/s, "
        f"{plural(stats.in_flight_peak, 'connection')} at most, waited {stats.waited:.1f} s ({stats.summary().split(':')[0]})"
    )
    return stats.bytes_per_second


def _train(urls: tuple[str, ...], seconds: float) -> None:
    try:
        import torch  # noqa: F401, PLC0415 - an extra
    except ImportError:
        click.echo("torch is not installed: no training (pip install torch)")
        return
    from asyncwds import demo as box  # noqa: PLC0415 - heavy
    from asyncwds.cli.bars import show_progress  # noqa: PLC0415 - used here only
    from asyncwds.cli.reading import Sources, dataset  # noqa: PLC0415 - heavy

    samples = dataset(urls, Sources()).repeat().shuffle(500, initial=100)
    batches = samples.decode("torchrgb8").to_tuple("jpg", "cls").batched(box.BATCH, partial=False)
    with closing(iter(batches)) as stream, show_progress("training", "batches", box.BATCHES) as display:

        def show(loss: float, accuracy: float) -> None:
            display.note(f"loss {loss:.2f}, accuracy {accuracy:.2f}")
            display.advance()

        trained = box.train(stream, seconds, show)
    click.echo(
        f"trained a small classifier for {trained.seconds:.1f} s: {plural(trained.batches, 'batch', 'batches')} of {box.BATCH}, "
        f"{trained.batches * box.BATCH / max(trained.seconds, 1e-9):.0f} images/s, loss {trained.loss:.2f}, "
        f"accuracy {trained.accuracy:.2f} ({batches.stats().summary()})"
    )
