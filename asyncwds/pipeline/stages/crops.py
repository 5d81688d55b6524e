"""The stages that decode samples and make crops of their images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, ClassVar

from asyncwds import checks
from asyncwds.codecs.crops import CenterCrop as CentralPart
from asyncwds.codecs.crops import CropHandler, RandomCrop, require_crop_spec
from asyncwds.codecs.decoders import Decoder
from asyncwds.codecs.resampling import Resampler, require_resampler
from asyncwds.errors import SpecError
from asyncwds.formatting.texts import show_value
from asyncwds.pipeline.context import RunContext
from asyncwds.pipeline.item_functions import ItemFunction, NumberOfWorkers, open_calls, resumed
from asyncwds.pipeline.protocol import JsonValue, ResumableStream, Stream
from asyncwds.pipeline.stage_run import apply_each, run_alone
from asyncwds.runtime.handlers import Handler, reraise_exception

Pair = tuple[float, float]


@dataclass(frozen=True, slots=True)
class DecodeCrop:
    """Decodes as `decode(spec)` does, and makes a random crop of `size` of each image, see `decode_crop`."""

    one_to_one: ClassVar[bool] = True
    passes_marks: ClassVar[bool] = True
    size: int | tuple[int, int]
    scale: Pair = (0.08, 1)
    ratio: Pair = (3 / 4, 4 / 3)
    flip: float = 0.5
    spec: str = "rgb8"
    handler: Handler = reraise_exception
    workers: NumberOfWorkers = None
    resampler: Resampler = "auto"
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        checks.workers("decode_crop: workers", self.workers)
        checks.function("decode_crop: handler", self.handler, takes=1)
        require_crop_spec(self.spec)
        require_resampler("decode_crop: resampler", self.resampler)
        Decoder([self._images()], **self.options)

    def _images(self) -> CropHandler:
        size = _size("decode_crop: size", self.size)
        scale = _pair("decode_crop: scale", self.scale, most=1)
        ratio = _pair("decode_crop: ratio", self.ratio)
        crop = RandomCrop(size, scale, ratio, checks.real("decode_crop: flip", self.flip, 0, 1))
        return CropHandler(crop, self.spec, resampler=self.resampler)

    def __call__(self, source: Iterable[Any]) -> Iterator[Any]:
        return run_alone(self, source)

    def open(self, source: Stream, context: RunContext) -> ResumableStream:
        images = self._images()
        decoder = Decoder([images], **self.options)

        def decode(sample: Any, *, rng: Random) -> Any:
            return decoder.with_handler(images, replace(images, seed=rng.getrandbits(64))).decode(sample)

        function = ItemFunction(decode, seeded=True)
        return open_calls(apply_each, function, source, context, "decode_crop", self.handler, self.workers)

    def reopen(self, source: Stream, context: RunContext, state: JsonValue) -> ResumableStream:
        return self.open(source, resumed(context, state))


@dataclass(frozen=True, slots=True)
class CenterCrop:
    """Decodes as `decode(spec)` does, and makes of each image the middle of it, see `center_crop`."""

    one_to_one: ClassVar[bool] = True
    passes_marks: ClassVar[bool] = True
    size: int | tuple[int, int]
    resize: int | None = None
    spec: str = "rgb8"
    handler: Handler = reraise_exception
    workers: NumberOfWorkers = None
    resampler: Resampler = "auto"
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        checks.workers("center_crop: workers", self.workers)
        checks.function("center_crop: handler", self.handler, takes=1)
        require_crop_spec(self.spec)
        require_resampler("center_crop: resampler", self.resampler)
        self._decode()

    def _decode(self) -> Callable[[Any], Any]:
        size, resize = _size("center_crop: size", self.size), self.resize
        if resize is not None:
            resize = checks.whole("center_crop: resize", resize, max(size))
        images = CropHandler(CentralPart(size, resize), self.spec, resampler=self.resampler)
        return Decoder([images], **self.options).decode

    def __call__(self, source: Iterable[Any]) -> Iterator[Any]:
        return run_alone(self, source)

    def open(self, source: Stream, context: RunContext) -> ResumableStream:
        function = ItemFunction(self._decode())
        return open_calls(apply_each, function, source, context, "center_crop", self.handler, self.workers)

    def reopen(self, source: Stream, context: RunContext, state: JsonValue) -> ResumableStream:
        return self.open(source, resumed(context, state))


def decode_crop(
    size: int | tuple[int, int],
    scale: Pair = (0.08, 1),
    ratio: Pair = (3 / 4, 4 / 3),
    flip: float = 0.5,
    spec: str = "rgb8",
    *,
    handler: Handler = reraise_exception,
    workers: NumberOfWorkers = None,
    resampler: Resampler = "auto",
    **options: Any,
) -> DecodeCrop:
    """Decodes as `decode(spec)` does, and makes a random crop of `size` [pixels], or (height, width), of each image.

    A crop has a part of `scale` of the image's area and a `ratio` of width to height, both drawn as torchvision's RandomResizedCrop
    does, and is turned left to right in `flip` of the cases. Only what a crop needs is decoded. The draws depend on the dataset's
    seed, the epoch and where the sample comes from, and on nothing else; several images of a sample get the same.
    With `workers`, so many samples are worked on at once. `resampler` says who resizes RGB: "pillow" to torchvision's pixels for
    images of PIL, "torch" in a quarter of the time to within one level of 255 of these, "auto" torch where it is imported already
    or makes the result, and has vector code for the machine. `options` are those of `decode`.
    """
    return DecodeCrop(size, scale, ratio, flip, spec, handler, workers, resampler, options)


def center_crop(
    size: int | tuple[int, int],
    resize: int | None = None,
    spec: str = "rgb8",
    *,
    handler: Handler = reraise_exception,
    workers: NumberOfWorkers = None,
    resampler: Resampler = "auto",
    **options: Any,
) -> CenterCrop:
    """Decodes as `decode(spec)` does, and makes of each image its middle of `size` [pixels], or (height, width).

    With `resize` [pixels] it is the middle of the image with a shorter side of so many. What is beyond an image is black.
    With `workers`, so many samples are worked on at once. `resampler` is that of `decode_crop`, `options` those of `decode`.
    """
    return CenterCrop(size, resize, spec, handler, workers, resampler, options)


def _size(name: str, value: Any) -> tuple[int, int]:
    sides = value if isinstance(value, tuple | list) else (value, value)
    if len(sides) != 2:
        raise SpecError(f"{name} must be a number of pixels or (height, width), not {show_value(value)}")
    return checks.whole(name, sides[0], 1), checks.whole(name, sides[1], 1)


def _pair(name: str, value: Any, most: float | None = None) -> Pair:
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise SpecError(f"{name} must be (lowest, highest), not {show_value(value)}")
    low, high = (checks.real(name, each, most=most, above=0) for each in value)
    if not low <= high < float("inf"):
        raise SpecError(f"{name} must be (lowest, highest), not {show_value(value)}")
    return low, high
