"""Lists of shards, for the beginning of a pipeline: each gives `{"url": url}`.

In a pipeline their random orders follow its seed, the epoch and the place. By themselves they are WebDataset's, in every
iteration: `set_epoch` gives others.
"""

from __future__ import annotations

import os
import sys
import time
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from random import Random
from typing import Any

from asyncwds import checks
from asyncwds.engine.source import NO_SAMPLES
from asyncwds.errors import SpecError
from asyncwds.pipeline.context import RunContext, StageStream
from asyncwds.pipeline.protocol import Stream
from asyncwds.runtime.torch_iterable import TorchIterable
from asyncwds.runtime.worker_info import WorkerInfo, checked_seed, current_worker_info, make_seed
from asyncwds.shards.patterns import Urls
from asyncwds.shards.urls import Expanded, UrlList, shorten_urls, unexpanded
from asyncwds.storage.listing import expand_and_list, look_up

ENDLESS = sys.maxsize

Item = dict[str, Any]


@TorchIterable.register
class SimpleShardList:
    """The urls in order, or with a seed shuffled; `seed=True` is a seed from the clock.

    urls are a pattern (braces, `::`, `@list`, wildcards) or a list of such. `len()` is their number.
    Raises SpecError for urls that make no sense, and when nothing matches a pattern.
    """

    urls: Expanded = Expanded()

    def __init__(self, urls: Urls, seed: int | bool | None = None) -> None:
        self.urls = look_up(urls).urls
        own = time.time_ns() if seed is True else None if seed is False else seed
        self.seed = checked_seed("SimpleShardList", own)
        self._epoch = 0

    def __len__(self) -> int:
        return len(unexpanded(self))

    def __iter__(self) -> Iterator[Item]:
        return self._order(self._epoch)

    def bound(self, seed: int, epoch: int, place: WorkerInfo) -> Iterator[Item]:  # noqa: ARG002 - the interface
        """The shards of an epoch, alike at every place."""
        return self._order(self._epoch + epoch)

    def set_epoch(self, epoch: int) -> None:
        self._epoch = epoch

    def _order(self, epoch: int) -> Iterator[Item]:
        urls = unexpanded(self)
        if self.seed is None:
            return ({"url": url} for url in urls)
        indexes = array("q", range(len(urls)))
        Random(self.seed + epoch).shuffle(indexes)  # noqa: S311 - an order, no secret
        return ({"url": urls[index]} for index in indexes)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({shorten_urls(unexpanded(self))}, seed={self.seed})"


@TorchIterable.register
class ResampledShards:
    """Draws shards with replacement: `nshards` of them, without end by default. Each place draws its own.

    With `deterministic`, WebDataset's draws for (`worker_seed()`, epoch, `seed`); without `worker_seed` that is rank * 1000 +
    worker. Else the draws follow the pipeline's seed, or are other ones in each iteration where there is no pipeline.
    `max_urls` bounds what is taken of an iterable. $WDS_SHOW_SEED=1 writes the seed to stderr.
    """

    urls: Expanded = Expanded()

    def __init__(  # noqa: PLR0917 - WebDataset's
        self,
        urls: Urls,
        nshards: int = ENDLESS,
        seed: int = 0,
        worker_seed: Callable[[], int] | None = None,
        deterministic: bool = False,
        max_urls: int = 1_000_000,
        empty_check: bool = True,
    ) -> None:
        self.urls = _look_up_source(urls, max_urls)
        if empty_check and not unexpanded(self):
            raise SpecError("ResampledShards has no shards to draw from")
        checks.function("ResampledShards: worker_seed", worker_seed, optional=True, takes=0)
        checks.flag("ResampledShards: deterministic", deterministic)
        self.nshards = checks.whole("ResampledShards: nshards", nshards, 1)
        self.seed = checks.whole("ResampledShards: seed", seed)
        self.worker_seed = worker_seed
        self.deterministic = deterministic
        self.epoch = -1

    def __iter__(self) -> Iterator[Item]:
        self.epoch += 1
        return self._drawn(self._seed(self.epoch, current_worker_info(), os.urandom(16)))

    def bound(self, seed: int, epoch: int, place: WorkerInfo) -> Iterator[Item]:
        """The shards of an epoch at a place of a pipeline with that seed."""
        return self._drawn(
            self._seed(self.epoch + 1 + epoch, place, f"shards {seed} {self.seed} {epoch} {place.rank} {place.worker}")
        )

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch - 1

    def _seed(self, epoch: int, place: WorkerInfo, otherwise: bytes | str) -> int | bytes | str:
        if not self.deterministic:
            return otherwise
        own = place.rank * 1000 + place.worker if self.worker_seed is None else self.worker_seed()
        return make_seed(own, epoch, self.seed)

    def _drawn(self, seed: int | bytes | str) -> Iterator[Item]:
        if os.environ.get("WDS_SHOW_SEED", "0") == "1":
            sys.stderr.write(f"# ResampledShards seed {seed!r}\n")
        rng = Random(seed)  # noqa: S311 - an order, no secret
        urls = unexpanded(self)
        last = len(urls) - 1
        # WebDataset's draw is randint; `last` is -1 only where an empty list was allowed.
        return ({"url": urls[rng.randint(0, last)]} for _ in range(self.nshards if urls else 0))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({shorten_urls(unexpanded(self))}, seed={self.seed}, deterministic={self.deterministic})"


ResampledShardList = ResampledShards


@dataclass(frozen=True, slots=True)
class Resampled:
    """Draws from all items of its source with replacement: `n` of them, without end by default.

    In a pipeline the draws follow its seed, the epoch and the place; a seed of its own gives the same at every place.
    """

    n: int = ENDLESS
    seed: int | None = None
    rng: Random | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "seed", checked_seed("resampled", self.seed, self.rng))
        checks.whole("resampled: n", self.n, 1)

    def __call__(self, source: Iterable[Any]) -> Iterator[Any]:
        return self._drawn(source, self.rng or Random(self.seed))  # noqa: S311 - an order, no secret

    def open(self, source: Stream, context: RunContext) -> Stream:
        return StageStream(lambda: self._drawn(source, self.rng or context.rng(self.seed)), source)

    def _drawn(self, source: Iterable[Any], rng: Random) -> Iterator[Any]:
        items = list(source)
        return (rng.choice(items) for _ in range(self.n if items else 0))


def resampled(n: int = ENDLESS, *, seed: int | None = None, rng: Random | None = None) -> Resampled:
    """Draws from all items of the source with replacement: `n` of them, without end by default."""
    return Resampled(n, seed, rng)


def non_empty(src: Iterable[Any]) -> Iterator[Any]:
    """Passes everything on. Raises SpecError at the end if that was nothing."""
    return _checked(src, "a stage received no data at all, and this pipeline declares that an error (non_empty)")


def check_empty(source: Iterable[Any]) -> Iterator[Any]:
    """As `non_empty`, for samples."""
    return _checked(source, NO_SAMPLES)


def _checked(source: Iterable[Any], message: str) -> Iterator[Any]:
    empty = True
    for item in source:
        empty = False
        yield item
    if empty:
        raise SpecError(message)


expand_urls = expand_and_list


def expand_source(source: Urls, max_urls: int = 1_000_000_000) -> list[str]:
    """The urls that a pattern or a list of patterns stands for; of another iterable, at most `max_urls` entries are taken."""
    return list(_look_up_source(source, max_urls))


def _look_up_source(source: Urls, max_urls: float) -> UrlList:
    checks.real("max_urls", max_urls, 1)
    if isinstance(source, str | os.PathLike):
        return look_up(source).urls
    if not isinstance(source, Iterable):
        raise SpecError(f"urls must be a string, a Path or a list of these, not {type(source).__name__}")
    entries = source if isinstance(source, list) else list(islice(source, int(max_urls)))
    return look_up(entries).urls if entries else UrlList()
