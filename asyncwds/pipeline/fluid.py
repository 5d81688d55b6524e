"""The stages as methods: `dataset.shuffle(1000).decode("rgb8").to_tuple("jpg", "cls")`."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from os import PathLike
from typing import Any, Generic, Self, cast

from asyncwds.codecs.resampling import Resampler
from asyncwds.pipeline.item_functions import NumberOfWorkers
from asyncwds.pipeline.protocol import ItemT_co
from asyncwds.pipeline.stages import batches, crops, fields, inspecting, patterns, sampling, tuples
from asyncwds.pipeline.stages.cached import Cached
from asyncwds.pipeline.stages.collation import Collation, default_collation_fn
from asyncwds.pipeline.stages.fields import Associator, rename
from asyncwds.pipeline.stages.lmdb_cached import LMDBCached
from asyncwds.pipeline.stages.map import Map, Select, decode
from asyncwds.pipeline.stages.shuffle import detshuffle, shuffle
from asyncwds.pipeline.stages.slice import Slice
from asyncwds.pipeline.stages.to_device import to_device
from asyncwds.pipeline.stages.xdecode import xdecode
from asyncwds.runtime.handlers import Handler, reraise_exception


class FluidInterface(Generic[ItemT_co]):
    """For classes with a method `compose(*stages)` that returns a new pipeline with the stages added, such as `DataPipeline`.

    To a type checker these methods change no type: a class says itself what `map` and the like make of its items.
    """

    compose: Callable[..., Any]

    def _then(self, stage: Any) -> Self:
        return cast("Self", self.compose(stage))

    # -- order and number

    def shuffle(
        self,
        size: int,
        *,
        initial: int = 100,
        rng: random.Random | None = None,
        seed: int | None = None,
        handler: Handler | None = None,
    ) -> Self:
        """Shuffles in a buffer of `size` samples, giving out from the time `initial` are in. Size 0 is none."""
        stage = shuffle(size, initial, rng, seed, handler)
        return self if size < 1 else self._then(stage)

    def detshuffle(self, bufsize: int = 1000, initial: int = 100, seed: int = 0, epoch: int = -1) -> Self:
        """Shuffles in the order of `Random(seed + epoch)`."""
        return self._then(detshuffle(bufsize, initial, seed, epoch))

    def select(self, predicate: Callable[[ItemT_co], Any], handler: Handler = reraise_exception) -> Self:
        """Keeps the samples for which the predicate is true."""
        return self._then(Select(predicate, handler))

    def rsample(self, p: float = 0.5, *, seed: int | None = None, rng: random.Random | None = None) -> Self:
        """Keeps each sample with probability `p`."""
        return self._then(sampling.rsample(p, seed=seed, rng=rng))

    def slice(self, *args: int | None) -> Self:
        """As `itertools.islice`: `slice(n)`, `slice(start, stop)`, `slice(start, stop, step)`."""
        return self._then(Slice(args))

    # -- samples and their fields

    def decode(
        self,
        *args: Any,
        pre: Sequence[Any] | None = None,
        post: Sequence[Any] | None = None,
        only: str | Iterable[str] | None = None,
        partial: bool = False,
        handler: Handler = reraise_exception,
        workers: NumberOfWorkers = None,
        **options: Any,
    ) -> Self:
        """Decodes fields by extension; "rgb8", "torchrgb", "pil" and the like say what images become.

        With `workers`, so many samples are decoded at once, in threads, and come in the same order; "auto" is as many as the loop
        over the dataset can use.
        """
        stage = decode(*args, pre=pre, post=post, only=only, partial=partial, handler=handler, workers=workers, **options)
        return self._then(stage)

    def decode_crop(
        self,
        size: int | tuple[int, int],
        scale: tuple[float, float] = (0.08, 1),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
        flip: float = 0.5,
        spec: str = "rgb8",
        *,
        handler: Handler = reraise_exception,
        workers: NumberOfWorkers = None,
        resampler: Resampler = "auto",
        **options: Any,
    ) -> Self:
        """Decodes as `decode(spec)` does, and makes a random crop of each image, as torchvision's RandomResizedCrop and a flip.

        Only what a crop needs is decoded. The draws depend on the dataset's seed, the epoch and where the sample comes from.
        """
        return self._then(
            crops.decode_crop(size, scale, ratio, flip, spec, handler=handler, workers=workers, resampler=resampler, **options)
        )

    def center_crop(
        self,
        size: int | tuple[int, int],
        resize: int | None = None,
        spec: str = "rgb8",
        *,
        handler: Handler = reraise_exception,
        workers: NumberOfWorkers = None,
        resampler: Resampler = "auto",
        **options: Any,
    ) -> Self:
        """Decodes as `decode(spec)` does, and makes of each image its middle, resized to a shorter side of `resize` before."""
        return self._then(crops.center_crop(size, resize, spec, handler=handler, workers=workers, resampler=resampler, **options))

    def xdecode(self, *args: Any, **options: Any) -> Self:
        """Decodes fields by patterns of their names, with functions of a stream: `xdecode(("*.jpg", f), json=json.load)`."""
        return self._then(xdecode(*args, **options))

    def map(self, f: Callable[..., Any], handler: Handler = reraise_exception, *, workers: NumberOfWorkers = None) -> Self:
        """Applies a function to each sample; one for which it returns None is dropped.

        With `workers`, so many calls are made at once, in threads or, of an `async def`, on a loop; "auto" is as many as the loop
        over the dataset can use. Results come in the same order. A function with an argument `rng` gets a `random.Random` of the
        sample's own, made of seed, epoch and the sample's origin.
        """
        return self._then(Map(f, handler, workers))

    def map_dict(
        self, handler: Handler = reraise_exception, *, workers: NumberOfWorkers = None, **functions: Callable[..., Any]
    ) -> Self:
        """`map_dict(jpg=resize, cls=int)`: replaces fields by functions of their values. `workers` and `rng` as for `map`."""
        return self._then(fields.map_dict(handler, workers=workers, **functions))

    def rename(self, handler: Handler = reraise_exception, keep: bool = True, **names: str) -> Self:
        """`rename(image="jpg;png")`: the first of the fields that is there gets the new name."""
        return self._then(rename(handler, keep, **names))

    def rename_keys(self, *renamings: Sequence[str], **options: Any) -> Self:
        """`rename_keys(("image", "*jpg"), label="cls")`: new names for the fields that match, all others dropped."""
        return self._then(patterns.rename_keys(*renamings, **options))

    def associate(self, associator: Associator, handler: Handler = reraise_exception) -> Self:
        """Adds the fields that a function or a mapping has for the sample's key."""
        return self._then(fields.associate(associator, handler))

    # -- tuples

    def to_tuple(self, *args: str | Sequence[str], **options: Any) -> Self:
        """`to_tuple("jpg;png", "json")`: tuples of fields, each the first of its alternatives that is there."""
        return self._then(tuples.to_tuple(*args, **options))

    def extract_keys(self, *patterns_: str | Sequence[str], **options: Any) -> Self:
        """`extract_keys("*.jpg;*.png", "cls")`: tuples of the fields that match."""
        return self._then(patterns.extract_keys(*patterns_, **options))

    def map_tuple(
        self, *args: Callable[..., Any] | None, handler: Handler = reraise_exception, workers: NumberOfWorkers = None
    ) -> Self:
        """Applies one function to each element; None leaves it. `workers` and `rng` as for `map`."""
        return self._then(tuples.map_tuple(*args, handler=handler, workers=workers))

    # -- batches

    def batched(
        self,
        batchsize: int,
        collation_fn: Collation | None = default_collation_fn,
        partial: bool = True,
        handler: Handler = reraise_exception,
        tensors: bool = False,
    ) -> Self:
        """Batches, by default as tuples (or dicts) of columns; `partial=False` drops a last one that is not full.

        Numbers (labels) become numpy arrays, as with WebDataset, and torch tensors with `tensors=True`, for loops without a
        DataLoader, which would do the same.
        """
        return self._then(batches.batched(batchsize, collation_fn, partial, handler, tensors))

    def unbatched(self, handler: Handler = reraise_exception) -> Self:
        """Batches of columns → samples."""
        return self._then(batches.unbatched(handler))

    def listed(self, batchsize: int, partial: bool = True) -> Self:
        """Lists of `batchsize` samples; `partial=False` drops a last one that is not full."""
        return self._then(batches.listed(batchsize, partial))

    def unlisted(self) -> Self:
        """Lists of samples → samples."""
        return self._then(batches.unlisted())

    def to_device(self, device: Any, ahead: int = 2) -> Self:
        """Tensors of batches on a device, each copied `ahead` batches before its use, on a stream of its own; nothing on "cpu"."""
        return self._then(to_device(device, ahead))

    # -- looking on, and keeping

    def info(self, fmt: str | None = None, n: int = 3, every: int = -1, **options: Any) -> Self:
        """Writes the first `n` samples, and every `every`-th, to stderr."""
        return self._then(inspecting.info(fmt, n, every, **options))

    def log_keys(self, logfile: str | PathLike[str] | None = None) -> Self:
        """Appends number, worker, rank and key of each sample to a file; without one it does nothing."""
        return self._then(inspecting.log_keys(logfile))

    def mcached(self) -> Self:
        """Keeps the samples of the first complete pass in memory."""
        return self._then(Cached())

    def lmdb_cached(self, *args: Any, **options: Any) -> Self:
        """Keeps the samples of the first complete pass in an LMDB database, see `LMDBCached`."""
        return self._then(LMDBCached(*args, **options))
