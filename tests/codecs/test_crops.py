"""Crops are what torchvision makes of the whole image: RandomResizedCrop, Resize and CenterCrop, on images of PIL."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import asyncwds as wds
from asyncwds.codecs import CropHandler, RandomCrop
from asyncwds.errors import DecodeError
from asyncwds.testing import make_shard

SEEDS = range(12)


@cache
def photo(height: int, width: int) -> Image.Image:
    """Of all frequencies, the lower the stronger, as photos are."""
    random = np.random.default_rng(0)
    total = np.zeros((height, width, 3))
    for octave in range(1, 8):
        coarse = random.normal(0, 2.0**octave, (height // 2**octave + 2, width // 2**octave + 2, 3)).astype(np.float32)
        planes = [Image.fromarray(coarse[:, :, c]).resize((width, height), Image.Resampling.BICUBIC) for c in range(3)]
        total += np.stack([np.asarray(plane) for plane in planes], -1)
    return Image.fromarray(np.clip(128 + 50 * total / total.std(), 0, 255).astype(np.uint8))


@cache
def encoded_photo(height: int, width: int, kind: str = "jpeg", mode: str = "RGB") -> bytes:
    file = BytesIO()
    photo(height, width).convert(mode).save(file, kind, quality=90)
    return file.getvalue()


def samples(*images: bytes, field: str = "jpg") -> list[dict[str, Any]]:
    return [{"__key__": str(number), field: image, "cls": b"7"} for number, image in enumerate(images)]


def torchvision_window(height: int, width: int, scale: Any, ratio: Any, random: np.random.Generator) -> tuple[int, int, int, int]:
    """What RandomResizedCrop draws: (top, left, height, width)."""
    for _ in range(10):
        area, aspect = height * width * random.uniform(*scale), math.exp(random.uniform(*np.log(ratio)))
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            return int(random.integers(height - h + 1)), int(random.integers(width - w + 1)), h, w
    h, w = height, width
    if width / height < min(ratio):
        h = round(width / min(ratio))
    elif width / height > max(ratio):
        w = round(height * max(ratio))
    return (height - h) // 2, (width - w) // 2, h, w


@pytest.mark.parametrize("image", [(400, 500), (1200, 300), (90, 1000)])
@pytest.mark.parametrize(("scale", "ratio"), [((0.08, 1), (3 / 4, 4 / 3)), ((0.5, 0.5), (1, 1)), ((0.3, 0.9), (0.2, 0.5))])
def test_the_distribution_is_torchvision_s(image: tuple[int, int], scale: Any, ratio: Any) -> None:
    from random import Random

    crop, random = RandomCrop((224, 224), scale, ratio, 0.5), np.random.default_rng(0)
    windows = [crop.window(*image, Random(seed)) for seed in range(2000)]
    ours = np.array([window[:4] for window in windows], float)
    theirs = np.array([torchvision_window(*image, scale, ratio, random) for _ in range(2000)], float)
    assert sum(window.flip for window in windows) / 2000 == pytest.approx(0.5, abs=0.03)
    assert ours.min() >= 0
    assert (ours[:, 0] + ours[:, 2]).max() <= image[0]
    assert (ours[:, 1] + ours[:, 3]).max() <= image[1]
    for share in np.linspace(0.1, 0.9, 5):
        found, expected = np.quantile(ours, share, axis=0), np.quantile(theirs, share, axis=0)
        assert np.abs(found - expected).max() <= 0.04 * max(image)


def cropped_by_pillow(data: bytes, window: Any, size: tuple[int, int], mode: str = "RGB") -> np.ndarray:
    image = Image.open(BytesIO(data)).convert(mode)
    box = (window.left, window.top, window.left + window.width, window.top + window.height)
    pixels = np.array(image.crop(box).resize((size[1], size[0]), Image.Resampling.BILINEAR))
    return pixels[:, ::-1] if window.flip else pixels


def test_crops_without_scaling_are_torchvision_s_to_the_last_bit(crop_of: Callable[..., Any]) -> None:
    for kind, mode in (("jpeg", "RGB"), ("jpeg", "L"), ("jpeg", "CMYK"), ("png", "RGB"), ("webp", "RGB")):
        data = encoded_photo(400, 500, kind, mode)
        for seed in range(3):
            for spec, channels in (("rgb8", "RGB"), ("l8", "L"), ("pil", "RGB")):
                crop, window = crop_of(data, spec, (224, 200), seed, "pillow")
                assert np.array_equal(crop, cropped_by_pillow(data, window, (224, 200), channels))
                assert np.shape(crop)[:2] == (224, 200)


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_crops_of_large_jpegs_are_within_a_level_on_average(crop_of: Callable[..., Any], mode: str) -> None:
    data = encoded_photo(900, 1400, mode=mode)
    smaller = 0
    for seed in SEEDS:
        crop, window = crop_of(data, "rgb8", (112, 112), seed, "pillow")
        difference = np.abs(crop.astype(int) - cropped_by_pillow(data, window, (112, 112)))
        assert difference.mean() <= 1
        assert difference.max() <= 8
        smaller += min(window.height, window.width) >= 224
        if min(window.height, window.width) < 223:
            assert difference.max() == 0
    assert smaller > len(SEEDS) / 2


@pytest.mark.needs("torch")
@pytest.mark.parametrize("spec", ["rgb8", "torchrgb8", "pil"])
def test_torch_resizes_to_within_a_level(crop_of: Callable[..., Any], spec: str) -> None:
    data = encoded_photo(400, 500)
    for seed in SEEDS:
        crop, window = crop_of(data, spec, (224, 200), seed, "torch")
        pixels = np.moveaxis(crop.numpy(), 0, -1) if spec == "torchrgb8" else np.asarray(crop)
        difference = np.abs(pixels.astype(int) - cropped_by_pillow(data, window, (224, 200)))
        assert pixels.shape == (224, 200, 3)
        assert difference.max() <= 1
        assert difference.mean() < 0.05


@pytest.mark.needs("torch")
def test_tensors_are_resized_by_torch_and_others_where_it_is_imported(crop_of: Callable[..., Any]) -> None:
    import torch

    if not torch.backends.cpu.get_cpu_capability().startswith("AVX"):
        return
    data = encoded_photo(400, 500)
    for seed in range(3):
        crop, _ = crop_of(data, "torchrgb8", (224, 224), seed)
        assert crop.is_contiguous()
        assert np.array_equal(crop.permute(1, 2, 0), crop_of(data, "rgb8", (224, 224), seed)[0])
        assert np.array_equal(crop.permute(1, 2, 0), crop_of(data, "rgb8", (224, 224), seed, "torch")[0])
        assert torch.equal(crop_of(data, "torchrgb", (224, 224), seed)[0], crop / 255)


@pytest.mark.parametrize("resampler", ["pillow", pytest.param("torch", marks=pytest.mark.needs("torch"))])
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
def test_mirrored_crops_are_those_from_the_other_side(mode: str, resampler: Any) -> None:
    spec = f"{mode.lower()}8"
    data, mirrored = BytesIO(), BytesIO()
    photo(120, 160).convert(mode).save(data, "png")
    photo(120, 160).convert(mode).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(mirrored, "png")
    plain, turned = (
        CropHandler(RandomCrop((60, 80), (1, 1), (4 / 3, 4 / 3), flip), spec, 0, resampler)(".png", file.getvalue())
        for flip, file in ((0, mirrored), (1, data))
    )
    assert turned.flags.c_contiguous
    assert np.abs(plain.astype(int) - turned).max() <= 1


@pytest.fixture
def crop_of() -> Callable[..., Any]:
    """(data, spec, size, seed, resampler) → a crop by the handler, and its window."""
    from random import Random

    def make(data: bytes, spec: str, size: tuple[int, int], seed: int, resampler: Any = "auto") -> tuple[Any, Any]:
        crop = RandomCrop(size, (0.08, 1), (3 / 4, 4 / 3), 0.5)
        image = Image.open(BytesIO(data))
        return CropHandler(crop, spec, seed, resampler)(".jpg", data), crop.window(image.height, image.width, Random(seed))

    return make


def centred_by_pillow(data: bytes, size: tuple[int, int], resize: int | None) -> np.ndarray:
    """torchvision's Resize and CenterCrop."""
    image = Image.open(BytesIO(data)).convert("RGB")
    if resize is not None:
        w, h = image.width, image.height
        full = (resize, int(resize * h / w)) if w <= h else (int(resize * w / h), resize)
        image = image.resize(full, Image.Resampling.BILINEAR)
    (h, w), (height, width) = (image.height, image.width), size
    canvas = Image.new("RGB", (max(w, width), max(h, height)))
    canvas.paste(image, (max(0, width - w) // 2, max(0, height - h) // 2))
    top, left = round((canvas.height - height) / 2), round((canvas.width - width) / 2)
    return np.array(canvas.crop((left, top, left + width, top + height)))


@pytest.mark.parametrize("resampler", ["pillow", pytest.param("torch", marks=pytest.mark.needs("torch"))])
@pytest.mark.parametrize("image", [(400, 500), (501, 399), (300, 300)])
@pytest.mark.parametrize(
    ("size", "resize"),
    [(224, 256), (224, None), ((200, 150), 256), ((600, 700), None), ((450, 301), None), (300, 300), (224, 500), ((100, 80), 120)],
)
def test_the_middle_is_torchvision_s(image: tuple[int, int], size: Any, resize: int | None, resampler: Any) -> None:
    data = encoded_photo(*image)
    (sample,) = wds.center_crop(size, resize, resampler=resampler)(samples(data))
    shape = size if isinstance(size, tuple) else (size, size)
    difference = np.abs(sample["jpg"].astype(int) - centred_by_pillow(data, shape, resize))
    assert sample["jpg"].shape == (*shape, 3)
    assert sample["cls"] == 7
    if resize is None:
        assert difference.max() == 0
    assert difference.max() <= 3
    assert difference.mean() <= 0.4


def test_every_image_of_a_sample_has_the_same_crop() -> None:
    data, grey = encoded_photo(400, 500), encoded_photo(400, 500, "png")
    (sample,) = wds.decode_crop(96, spec="rgb8")([{"__key__": "a", "jpg": data, "seg.jpg": data, "png": grey, "txt": b"x"}])
    assert np.array_equal(sample["jpg"], sample["seg.jpg"])
    assert np.abs(sample["jpg"].astype(int) - sample["png"]).mean() < 4
    assert sample["txt"] == "x"


@pytest.fixture
def shards(tmp_path: Path) -> list[str]:
    data = encoded_photo(120, 160)
    for number in range(4):
        contents = [{"__key__": f"{number}-{index}", "jpg": data, "cls": str(index)} for index in range(6)]
        (tmp_path / f"{number}.tar").write_bytes(make_shard(contents))
    return [str(tmp_path / f"{number}.tar") for number in range(4)]


def crops(urls: list[str], seed: int = 1, epoch: int = 0, **options: Any) -> dict[str, bytes]:
    dataset = wds.WebDataset(urls, seed=seed, **options).decode_crop(32)
    dataset.set_epoch(epoch)
    return {sample["__key__"]: sample["jpg"].tobytes() for sample in dataset}


def test_crops_follow_seed_epoch_and_origin_alone(shards: list[str]) -> None:
    first = crops(shards)
    assert len(set(first.values())) == 24
    assert crops(shards, shardshuffle=4) == first
    for workers in (1, 3):
        dataset = wds.WebDataset(shards, seed=1).decode_crop(32, workers=workers)
        assert {sample["__key__"]: sample["jpg"].tobytes() for sample in dataset} == first
    assert crops(shards, epoch=1) != first
    assert crops(shards, seed=2) != first
    shared: dict[str, bytes] = {}
    for rank in range(3):
        shared |= crops(shards, nodesplitter=lambda items, rank=rank: islice(items, rank, None, 3))
    assert shared == first


def test_samples_of_no_shard_have_crops_by_their_order() -> None:
    data = encoded_photo(120, 160)
    found = [sample["jpg"].tobytes() for sample in wds.decode_crop(32)(samples(data, data))]
    assert found[0] != found[1]
    assert found == [sample["jpg"].tobytes() for sample in wds.decode_crop(32, workers=2)(samples(data, data))]


def test_a_broken_image_is_a_decode_error_wherever_it_breaks_off() -> None:
    data = encoded_photo(400, 500)
    for stage in (wds.decode_crop(32, scale=(0.01, 0.02)), wds.center_crop((1, 1))):
        for left in (0.01, 0.4, 0.99):
            with pytest.raises(DecodeError, match="field 'jpg'"):
                list(stage(samples(data[: int(left * len(data))])))
    skipping = wds.decode_crop(32, handler=wds.ignore_and_continue)
    assert len(list(skipping(samples(data, data[:900], data)))) == 2


def test_other_options_are_those_of_decode() -> None:
    (sample,) = wds.decode_crop(8, only="jpg")(samples(encoded_photo(120, 160)))
    assert sample["cls"] == b"7"
    (sample,) = wds.center_crop(8, decoders={"cls": float})(samples(encoded_photo(120, 160)))
    assert sample["cls"] == 7.0
