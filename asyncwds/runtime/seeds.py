"""Where random orders begin: numbers that are the same in every process and release.

Stages by themselves draw as WebDataset does, and in a dataset by its seed, epoch and place.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterable
from zlib import crc32

from asyncwds import checks
from asyncwds.errors import SpecError
from asyncwds.formatting.reprs import show_value
from asyncwds.runtime.worker_info import WorkerInfo


def make_seed(*parts: object) -> int:
    """A seed [31 bits] made of numbers, text, bytes, None and tuples of such. For numbers it is WebDataset's.

    Unlike there, text counts by its content and not by its hash, which is another one in every process.
    Raises SpecError for other things.
    """
    seed = 0
    for part in parts:
        seed = (seed * 31 + _number(part)) & 0x7FFFFFFF
    return seed


def _number(part: object) -> int:
    match part:
        case int() | float():
            return hash(part)
        case str():
            return crc32(part.encode("utf-8", "surrogatepass"))
        case bytes():
            return crc32(part)
        case None:
            return 0
        case tuple():
            return make_seed(*part)
    raise SpecError(f"a seed is made of numbers, text, bytes, None and tuples of such, not of {type(part).__name__}")


def dataset_seed(seed: int | None, otherwise: int | None = None) -> int:
    """The seed given, else $WDS_SEED, else `otherwise`, else one that is drawn. Raises SpecError for what is no whole number."""
    if seed is not None:
        return checks.whole("seed", seed)
    text = os.environ.get("WDS_SEED")
    if not text and otherwise is not None:
        return otherwise
    if not text:
        return random.randrange(1_000_000)  # noqa: S311 - an order, not a secret; follows random.seed() as WebDataset does
    try:
        return int(text)
    except ValueError:
        raise SpecError(f"the environment variable WDS_SEED must be a whole number, not {text!r}") from None


def item_rng(seed: int, epoch: int, origin: Iterable[int]) -> random.Random:
    """Draws for one item of an epoch, by where it came from (shard, ordinal, offset): the same in every process and release,
    whatever was drawn for other items, in whatever order and by however many threads.

    Python's generator and not numpy's: it is made in a fifth of the time, and the numbers of its `random()` stay the same in
    later versions. For arrays: `numpy.random.default_rng(rng.getrandbits(128))`.
    """
    return random.Random(" ".join(map(str, (seed, epoch, *origin))))  # noqa: S311 - an augmentation, no secret


def rng_at(seed: int, epoch: int, place: WorkerInfo) -> random.Random:
    """Draws for one epoch at one place. The same in every process and release: of text, Random takes a hash that is."""
    return random.Random(f"{seed} {epoch} {place.rank} {place.worker}")  # noqa: S311 - an order, no secret


def checked_seed(stage: str, seed: int | None, rng: object = None) -> int | None:
    """The seed as Python's number. Raises SpecError for one that is no whole number or beside an rng, and an rng that is none."""
    if seed is not None and rng is not None:
        raise SpecError(f"{stage} takes a seed or an rng, not both")
    if rng is not None and not hasattr(rng, "random"):
        raise SpecError(f"{stage}: rng must be a random.Random, not {show_value(rng)}")
    return None if seed is None else checks.whole(f"{stage}: seed", seed)
