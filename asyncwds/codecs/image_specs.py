"""What images become, arrays, tensors or PIL images, by WebDataset's specs and some more: (container)(channels)(numbers).

    container   none: NumPy, "torch", "pil"
    channels    "l" grey, "rgb", "rgba"; "torch" and "pil" alone mean rgb
    numbers     "8" uint8, 0..255; without it float32, 0..1 (PIL images are always as PIL has them)
                "16" uint16: exactly the file's numbers if it has 16 bits, those of 8 bits times 257
    "raw"       in place of channels and numbers: all as in the file, see below

Shapes: NumPy [H, W, C], torch [C, H, W], grey [H, W] in both. Whatever the file has is converted as Pillow does it:
alpha is dropped, palettes are resolved, and with other specs than "16" and "raw" 16 bits are clipped to 8. EXIF orientation
is left to the user.

"raw" converts nothing: grey or one channel is [H, W], others are [H, W, C]; integers and floats have their own type;
of a palette these are the indices (as in masks of classes), of one bit bools.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from asyncwds import checks
from asyncwds.errors import DecodeError, SpecError
from asyncwds.runtime.extras import require_extra

if TYPE_CHECKING:
    from numpy.typing import NDArray


class ImageSpec(NamedTuple):
    container: Literal["numpy", "torch", "pil"]
    mode: Literal["L", "RGB", "RGBA", ""]  # "" is that of the file
    numbers: Literal["uint8", "float32", "uint16", "any"]


IMAGE_SPECS = {
    "l8": ImageSpec("numpy", "L", "uint8"),
    "rgb8": ImageSpec("numpy", "RGB", "uint8"),
    "rgba8": ImageSpec("numpy", "RGBA", "uint8"),
    "l": ImageSpec("numpy", "L", "float32"),
    "rgb": ImageSpec("numpy", "RGB", "float32"),
    "rgba": ImageSpec("numpy", "RGBA", "float32"),
    "torchl8": ImageSpec("torch", "L", "uint8"),
    "torchrgb8": ImageSpec("torch", "RGB", "uint8"),
    "torchrgba8": ImageSpec("torch", "RGBA", "uint8"),
    "torchl": ImageSpec("torch", "L", "float32"),
    "torchrgb": ImageSpec("torch", "RGB", "float32"),
    "torch": ImageSpec("torch", "RGB", "float32"),
    "torchrgba": ImageSpec("torch", "RGBA", "float32"),
    "pill": ImageSpec("pil", "L", "any"),
    "pil": ImageSpec("pil", "RGB", "any"),
    "pilrgb": ImageSpec("pil", "RGB", "any"),
    "pilrgba": ImageSpec("pil", "RGBA", "any"),
    # Not WebDataset's:
    "l16": ImageSpec("numpy", "L", "uint16"),
    "rgb16": ImageSpec("numpy", "RGB", "uint16"),
    "rgba16": ImageSpec("numpy", "RGBA", "uint16"),
    "raw": ImageSpec("numpy", "", "any"),
    "torchl16": ImageSpec("torch", "L", "uint16"),
    "torchrgb16": ImageSpec("torch", "RGB", "uint16"),
    "torchrgba16": ImageSpec("torch", "RGBA", "uint16"),
    "torchraw": ImageSpec("torch", "", "any"),
    "pilraw": ImageSpec("pil", "", "any"),
}


def image_spec(name: str) -> ImageSpec:
    checks.text("an image spec", name)
    spec = IMAGE_SPECS.get(name)
    if spec is None:
        raise SpecError(f"unknown image spec {name!r}; there are {' '.join(IMAGE_SPECS)}")
    if spec.container == "torch" and find_spec("torch") is None:
        raise SpecError(f"the image spec {name!r} needs torch: pip install 'asyncwds[torch]'")
    return spec


def slot_of(out: Any, spec: ImageSpec) -> NDArray[Any]:
    """The memory of an array or a tensor. Raises SpecError for what the spec's numbers cannot be written to."""
    import numpy as np  # noqa: PLC0415 - heavy

    if not isinstance(out, np.ndarray):
        if type(out).__module__.partition(".")[0] != "torch" or out.device.type != "cpu":
            raise SpecError(f"out must be an array or a tensor on the CPU, not {type(out).__name__}")
        out = out.numpy()
    if spec.numbers != "any" and (out.dtype != spec.numbers or not out.flags.writeable):
        raise SpecError(f"out must be writable and of {spec.numbers}, not of {out.dtype}")
    slot: NDArray[Any] = out
    return slot


def pack_pixels(found: NDArray[Any], spec: ImageSpec, slot: NDArray[Any] | None = None) -> Any:
    """[H, W], [H, W, C] or [T, H, W, C] → what the spec says, in the memory of the slot if there is one.

    Raises DecodeError where that has another shape.
    """
    import numpy as np  # noqa: PLC0415 - heavy

    if spec.container == "torch" and found.ndim > 2:
        found = np.moveaxis(found, -1, -3)
    if slot is not None and (slot.shape != found.shape or (spec.numbers == "any" and slot.dtype != found.dtype)):
        raise DecodeError(f"an image of {found.dtype} {found.shape}, and a place for one of {slot.dtype} {slot.shape}")
    if spec.numbers == "float32":
        # In order, as bytes, before it is four times as large.
        array = np.divide(np.ascontiguousarray(found), 255, out=slot, dtype=np.float32)
    elif slot is None:
        array = np.ascontiguousarray(found)
    else:
        if not np.may_share_memory(slot, found):
            np.copyto(slot, found)
        array = slot
    return as_tensor(array) if spec.container == "torch" else array


def as_tensor(array: NDArray[Any]) -> Any:
    return require_extra("torch", "torch").from_numpy(array)
