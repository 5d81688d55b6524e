"""Lines of text files as samples."""

from __future__ import annotations

from collections.abc import Generator

from asyncwds.tar.raw import RawSample, new_member
from asyncwds.tools.inputs import Inputs
from asyncwds.tools.naming import InputShard
from asyncwds.tools.opening import open_url
from asyncwds.tools.report import Report


def read_lines(inputs: Inputs, report: Report) -> Generator[RawSample, None, None]:
    """Each line, without its end, is the field `txt` of a sample. Keys are the names of the files, and numbers."""
    for shard, url in enumerate(inputs.shards()):
        folder = "" if url == "-" else f"{InputShard(shard, url).name}/"
        with open_url(url) as file:
            offset = 0
            for ordinal, line in enumerate(file):
                key = f"{folder}{ordinal:09d}"
                text = line.removesuffix(b"\n").removesuffix(b"\r")
                report.samples_in += 1
                yield RawSample(key, url, shard, ordinal, offset, (new_member(f"{key}.txt", "txt", text),))
                offset += len(line)
