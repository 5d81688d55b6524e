"""`cat`: samples of many shards, one after another or in turn, into one archive or several."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from itertools import count

from asyncwds.tar.raw import RawSample
from asyncwds.tools.copying import describe_run, select, write_all
from asyncwds.tools.inputs import Inputs
from asyncwds.tools.outputs import Outputs
from asyncwds.tools.rekey import rekeyer
from asyncwds.tools.report import Report
from asyncwds.tools.selection import Selection


def cat_shards(inputs: Inputs, outputs: Outputs, selection: Selection | None = None, *, rekey: str | None = None) -> Report:
    """Copies the samples that are wanted, in order; with `Inputs.mix` from several shards in turn, a sample of each.

    rekey   a rule for new keys, see `asyncwds.tools.rekey`

    Members are copied as they are, byte for byte, but for those that get another name.
    Raises SpecError, FetchError, TarError, SampleError; what was being written is dropped then.
    """
    selection = selection or Selection()
    report = Report()
    change = None if rekey is None else rekeyer(rekey)
    with closing(select(inputs, selection, report)) as samples:
        changed: Iterator[RawSample] = samples if change is None else map(change, samples, count())
        return write_all(changed, outputs, report, describe_run("cat", inputs, selection, rekey) if outputs.resume else None)
