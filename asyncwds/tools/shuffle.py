"""`shuffle`: all samples in a random order, in bounded memory."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from contextlib import closing

from asyncwds import checks
from asyncwds.tar.raw import RawSample
from asyncwds.tools.copying import describe_run, select, write_all
from asyncwds.tools.external_sort import sort_raw
from asyncwds.tools.inputs import Inputs
from asyncwds.tools.outputs import Outputs
from asyncwds.tools.report import Report
from asyncwds.tools.selection import Selection


def shuffle_samples(
    inputs: Inputs,
    outputs: Outputs,
    selection: Selection | None = None,
    *,
    seed: int = 0,
    buffer: int | None = None,
    folder: str | None = None,
) -> Report:
    """Copies the samples that are wanted in a random order of all of them: each order is as likely as any other.

    seed     the same inputs and seed give the same order
    buffer   so many samples are mixed with one another instead, as they come: no files, and no random order of the whole
    folder   where samples are kept meanwhile, `inputs.memory` bytes at a time; of local shards only their places are

    Raises SpecError, FetchError, TarError, SampleError; what was being written is dropped then.
    """
    selection = selection or Selection()
    report = Report()
    rng = random.Random(seed)  # noqa: S311 - an order, no secret
    run = describe_run("shuffle", inputs, selection, seed, buffer) if outputs.resume else None
    with closing(select(inputs, selection, report)) as samples:
        if buffer is not None:
            return write_all(_mixed(samples, checks.whole("buffer", buffer, 1), rng), outputs, report, run)
        in_order = sort_raw(samples, lambda _: rng.getrandbits(62), memory=inputs.memory, folder=folder)
        with closing(in_order):  # type: ignore[type-var]
            return write_all(in_order, outputs, report, run)


def _mixed(samples: Iterable[RawSample], size: int, rng: random.Random) -> Iterator[RawSample]:
    """Each sample that comes takes the place of a random one among `size`, which is given out."""
    held: list[RawSample] = []
    for sample in samples:
        if len(held) < size:
            held.append(sample)
            continue
        place = rng.randrange(size)
        yield held[place]
        held[place] = sample
    rng.shuffle(held)
    yield from held
