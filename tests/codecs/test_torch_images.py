from __future__ import annotations

import warnings
from collections.abc import Callable
from io import BytesIO

import numpy as np
import pytest
import torch

from asyncwds import Decoder, imagehandler
from asyncwds.errors import DecodeError


@pytest.mark.parametrize("mode", ["L", "P", "RGB", "RGBA", "I;16"])
@pytest.mark.parametrize("channels", ["l", "rgb", "rgba"])
@pytest.mark.parametrize("depth", ["", "8"])
def test_tensors_are_the_arrays_with_channels_first(encoded: Callable[..., bytes], mode: str, channels: str, depth: str) -> None:
    data = encoded(mode)
    tensor = imagehandler(f"torch{channels}{depth}")(".png", data)
    array = imagehandler(f"{channels}{depth}")(".png", data)
    assert tensor.dtype == (torch.uint8 if depth else torch.float32)
    assert tensor.is_contiguous()
    assert np.array_equal(tensor.numpy(), array if channels == "l" else array.transpose(2, 0, 1))


def test_torch_alone_means_rgb(encoded: Callable[..., bytes]) -> None:
    assert torch.equal(imagehandler("torch")(".png", encoded("L")), imagehandler("torchrgb")(".png", encoded("L")))


def test_pth_fields_are_loaded() -> None:
    file = BytesIO()
    torch.save({"a": torch.arange(3)}, file)
    decoded = Decoder()({"__key__": "k", "pth": file.getvalue()})
    assert torch.equal(decoded["pth"]["a"], torch.arange(3))


class Hostile:
    def __reduce__(self) -> tuple[object, ...]:
        return warnings.warn, ("the pickle was run",)


def test_pth_fields_cannot_run_code() -> None:
    file = BytesIO()
    torch.save(Hostile(), file)
    with pytest.raises(DecodeError):
        Decoder()({"__key__": "k", "pth": file.getvalue()})
