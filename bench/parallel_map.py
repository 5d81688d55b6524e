"""What do workers of a stage cost, and what do they give?

    python -m bench parallel_map

Items of about 100 us: a sleep, and a compression, which leave the interpreter to others; and JPEGs of 500 x 400 pixels. By a plain
loop, by two threads of the standard library with ten items a call, and by `map` with 1, 2 and 8 workers. All give the same results
in the same order. On an idle machine with n cores, n workers should take 1/n of the loop's time, and 1 worker the same. Targets are
about the items after the first, for which threads start.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache, partial
from io import BytesIO
from random import Random
from typing import Any

from bench.harness import Answer, Contender, Figures, Question, Size, Target, World
from bench.tally import Tally


@contextmanager
def prepare(size: Size) -> Iterator[World]:
    yield {"samples": 4000 if size == "full" else 100, "bytes": 1}


def sleep(number: int) -> bytes:
    time.sleep(0.0001)
    return b"%d" % number


@cache
def _page() -> bytes:
    return Random(1).randbytes(2500) + bytes(2500)


def compress(number: int) -> bytes:
    return zlib.compress(_page() + b"%d" % number)


@cache
def _photo() -> bytes:
    from PIL import Image

    file = BytesIO()
    coarse = Image.frombytes("RGB", (100, 80), Random(1).randbytes(24_000))
    coarse.resize((500, 400), Image.Resampling.BICUBIC).save(file, "jpeg", quality=90)
    return file.getvalue()


def decode(number: int) -> bytes:
    import asyncwds as wds

    pixels = wds.decode_image(_photo(), "rgb8")
    return b"%d %d" % (number, pixels[number % 400].sum())


_NEEDED: dict[Callable[[int], bytes], tuple[str, ...]] = {sleep: (), compress: (), decode: ("asyncwds:decode_image", "simplejpeg")}


def plain(work: Callable[[int], bytes], numbers: Iterable[int]) -> Iterable[bytes]:
    return map(work, numbers)


def threads(work: Callable[[int], bytes], numbers: Iterable[int]) -> Iterator[bytes]:
    """What a machine gives two threads: where others use it too, less than twice as much."""
    numbers = list(numbers)
    tens = [numbers[begin : begin + 10] for begin in range(0, len(numbers), 10)]
    with ThreadPoolExecutor(2) as executor:
        for results in executor.map(lambda ten: [work(number) for number in ten], tens):
            yield from results


def mapped(workers: int, work: Callable[[int], bytes], numbers: Iterable[int]) -> Iterable[Any]:
    import asyncwds as wds

    return wds.DataPipeline([numbers], wds.map(work, workers=workers))


def reading(work: Callable[[int], bytes], through: Callable[..., Iterable[bytes]], share: int) -> Contender:
    def run(world: World, tally: Tally) -> None:
        sequence = 0
        for result in through(work, range(world["samples"] // share)):
            sequence = zlib.crc32(result, sequence)  # another order is another number
            tally.add_part(len(result), sequence)
            tally.samples += 1

    return Contender(run, needs=["asyncwds.parallel.threads", "asyncwds:DataPipeline", *_NEEDED[work]], group=work.__name__)


WAYS: dict[str, Callable[..., Iterable[bytes]]] = {
    "a loop": plain,
    "two threads": threads,
    **{f"workers={n}": partial(mapped, n) for n in (1, 2, 8)},
}
SHARES = {sleep: 1, compress: 1, decode: 10}


def _over(one: str, other: str) -> Callable[[Answer], float]:
    def after_first(figures: Figures) -> float:
        return figures.seconds - figures.first

    return lambda answer: after_first(answer[one]) / after_first(answer[other])


def _half(ratio: Callable[[Answer], float]) -> Callable[[Answer], float]:
    return lambda answer: 2 * ratio(answer)


QUESTION = Question(
    prepare=prepare,
    contenders={
        f"{work.__name__}, {way}": reading(work, through, share) for work, share in SHARES.items() for way, through in WAYS.items()
    },
    columns=["seconds", "first", "peak"],
    targets=[
        Target("sleep: workers=1 over a loop", _over("sleep, workers=1", "sleep, a loop"), at_most=1.05),
        Target("sleep: workers=2 over half a loop", _half(_over("sleep, workers=2", "sleep, a loop")), at_most=1.05),
        Target("compress: workers=1 over a loop", _over("compress, workers=1", "compress, a loop"), at_most=1.05),
        Target("decode: two threads over workers=2", _over("decode, two threads", "decode, workers=2"), at_least=0.95),
        Target("decode: a loop over workers=2", _over("decode, a loop", "decode, workers=2"), at_least=1.7),
    ],
)
