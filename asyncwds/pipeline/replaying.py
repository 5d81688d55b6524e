"""`replay`: the item of a step that a ledger has, made again: its samples by ranges, and what the stages make of them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from asyncwds.engine.positions import HeldShard
from asyncwds.engine.source import Source
from asyncwds.errors import SpecError, redact
from asyncwds.formatting.texts import show_value
from asyncwds.pipeline.adapt import adapt_all, last_reader
from asyncwds.pipeline.context import NoItems, Resources, RunContext, StageStream
from asyncwds.pipeline.datapipeline import DataPipeline
from asyncwds.pipeline.description import reseeded
from asyncwds.pipeline.ledger_reader import LedgerReader, Step, read_ledger
from asyncwds.pipeline.lineage import trace_of
from asyncwds.pipeline.open_pass import epoch_of_pass, with_contexts
from asyncwds.pipeline.protocol import ReplayingStage, Stream
from asyncwds.pipeline.reading_again import SamplesAgain
from asyncwds.pipeline.resuming import OpenStage
from asyncwds.runtime.counters import Counters
from asyncwds.samples import Sample


def replay(dataset: DataPipeline[Any], ledger: str | os.PathLike[str] | LedgerReader, step: int, *, rank: int = 0) -> Any:
    """The item that was number `step` of all that a rank's loop took, of several epochs too, as the ledger that was written has it.

    Only its samples are read, by ranges, and go through the stages of the dataset: with the epoch and seed of then. Raises
    SpecError where the dataset begins with no shards, or its stages make something else of the samples; ChangedError where a
    shard was replaced; IndexError for what was no step.
    """
    if not isinstance(dataset, DataPipeline):
        raise SpecError(f"replay needs a dataset, not {show_value(dataset)}")
    found: Step = (ledger if isinstance(ledger, LedgerReader) else read_ledger(ledger, rank=rank))[step]
    description = reseeded(dataset._description, found.seed)  # noqa: SLF001 - of this room
    stages = adapt_all(description.stages)
    base = last_reader(stages)
    source: Any = getattr(stages[base], "source", None) if base >= 0 else None
    if not isinstance(source, Source):
        raise SpecError("replay needs a dataset that begins with shards; of a mix or a loader, give it the one that has them")
    context = RunContext(found.seed, epoch_of_pass(found.epoch, found.pass_number), found.worker_info)
    try:
        return _made_again(with_contexts(stages, description, context)[base:], source, found)
    finally:
        context.resources.close()


def _made_again(stages: Sequence[OpenStage], source: Source, step: Step) -> Any:
    refs = [tuple(sample.origin) for sample in step.samples if sample.origin is not None]
    if len(refs) < len(step.samples) or not refs:
        raise SpecError(f"the ledger does not say of what samples step {step.number} of epoch {step.epoch} was made")
    again = SamplesAgain(source, stages[0][2], refs, _shards(source, step))  # type: ignore[arg-type] # an origin has three numbers
    samples: Iterator[Sample] = (again.sample(ref) for ref in refs)  # type: ignore[arg-type] # as above
    stream: Stream = StageStream(lambda: samples, NoItems(Resources()))
    for _, stage, context in stages[1:]:
        if getattr(stage, "gives_what_it_takes", False) or isinstance(stage, ReplayingStage):
            continue
        if getattr(stage, "partial", True) is False:  # a batch of fewer stages in front is whole here
            stage = replace(stage, partial=True)  # type: ignore[type-var] # noqa: PLW2901 - our own, which are dataclasses
        stream = stage.open(stream, replace(context, counters=Counters(), checks=[]))
    try:
        made = [(item, [origin for _, _, origin in trace_of(item, stream)]) for item in stream]
    finally:
        stream.close()
    if len(made) != 1 or made[0][1] != refs:
        raise SpecError(
            f"the stages make {len(made)} items of the samples of step {step.number} of epoch {step.epoch}, or of others of them: "
            "they must do the same each time, and each item must be made of whole samples"
        )
    return made[0][0]


def _shards(source: Source, step: Step) -> Mapping[int, HeldShard]:
    """As the dataset names them: in a ledger urls have no secrets."""
    shards = {}
    for index in {sample.origin.shard for sample in step.samples if sample.origin is not None}:
        known = step.shards[index]
        url = source.urls[index] if index < len(source.urls) else known.url
        if url is None or redact(url) != known.url:
            raise SpecError(f"shard {index} of the dataset is {redact(str(url))}, and in the ledger {known.url}")
        shards[index] = HeldShard(url, known.mark, known.seekable)
    return shards
