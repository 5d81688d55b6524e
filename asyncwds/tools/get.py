"""`get`: one sample, by its key or its number."""

from __future__ import annotations

from contextlib import closing
from io import BytesIO
from typing import Any

from asyncwds.errors import NoSuchSampleError, SpecError
from asyncwds.pipeline.dataset import WebDataset
from asyncwds.tar.grouping import base_plus_ext
from asyncwds.tools.inputs import Inputs, read_raw
from asyncwds.tools.report import Report
from asyncwds.writer.tarwriter import TarWriter


def get_sample(inputs: Inputs, wanted: str | int) -> dict[str, Any]:
    """`__key__`, `__url__` and the bytes of each field; a number counts over all shards, a negative one from the end.

    By the index where there is one, else by one made of headers, the sample alone is fetched. What cannot be read in ranges is read
    until it comes. Raises NoSuchSampleError, and what reading raises.
    """
    access = inputs.access
    dataset = WebDataset(
        inputs.shards(),
        shardshuffle=False,
        http=access.http,
        retry=access.retry,
        storage=access.storage or None,
        cache_dir=None if inputs.cache is None else inputs.cache.dir,
    )
    with closing(dataset):
        try:
            return dict(dataset.sample(wanted))
        except SpecError:  # of a compressed shard there is no place
            return _first_that_is(inputs, wanted)


def pack_sample(sample: dict[str, Any]) -> bytes:
    """A shard of this sample alone; the same sample gives the same bytes."""
    file = BytesIO()
    with TarWriter(file, "", "", 0o644, encoder=False, mtime=0, check_names=False) as writer:
        writer.write({name: value for name, value in sample.items() if name == "__key__" or isinstance(value, bytes)})
    return file.getvalue()


def _first_that_is(inputs: Inputs, wanted: str | int) -> dict[str, Any]:
    if isinstance(wanted, int) and wanted < 0:
        raise SpecError(f"sample {wanted} counts from an end that is not known: a shard is compressed, or a command")
    with closing(read_raw(inputs, Report())) as samples:
        for number, sample in enumerate(samples):
            if wanted in (number, sample.key):
                fields = {name: member.read() for name, member in sample.fields().items()}
                return {"__key__": sample.key, "__url__": sample.url, **fields}
    raise NoSuchSampleError("no sample has this number or key", key=str(wanted))


def split_wanted(text: str) -> tuple[str | int, str | None]:
    """Of `#17.jpg` (17, "jpg"), of `a/b.jpg` ("a/b", "jpg"), of `a/b` ("a/b", None). Raises SpecError for what is neither."""
    key, field = base_plus_ext(text)
    wanted: str | int = text if key is None else key
    if text.startswith("#"):
        try:
            wanted = int((key or text)[1:])
        except ValueError as error:
            raise SpecError(f"a sample is #NUMBER or a key, not {text[:80]!r}") from error
    return wanted, field or None
