"""The same bucket as in `cloud_box`, and one shard of 1 GB: is it parts that are in flight, or shards?

python -m bench cloud_shard
"""

from __future__ import annotations

from contextlib import AbstractContextManager

from bench.cloud_box import COLUMNS, CONTENDERS, TARGETS, bucket
from bench.harness import Question, Size, World


def prepare(size: Size) -> AbstractContextManager[World]:
    return bucket(1, 9300 if size == "full" else 160)


QUESTION = Question(prepare, CONTENDERS, COLUMNS, TARGETS)
