"""`webdataset.autodecode`. `decoders` is the registry of asyncwds: what is added here decodes everywhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from asyncwds.codecs.audio import torch_audio
from asyncwds.codecs.decoders import (
    Continue,
    Decoder,
    DecodingError,
    basichandlers,
    decoders,
    default_decoder,
    default_post_handlers,
    default_pre_handlers,
    gzfilter,
    handle_extension,
)
from asyncwds.codecs.field_loaders import cbor_loads, msgpack_loads, npy_loads, npz_loads, tenbin_loads, torch_loads, unpickle_loads
from asyncwds.codecs.image_specs import IMAGE_SPECS as imagespecs  # noqa: N811 - WebDataset's name
from asyncwds.codecs.images import IMAGE_EXTENSIONS, ImageHandler, imagehandler
from asyncwds.codecs.video import torch_video
from asyncwds.compat.flags import settable
from asyncwds.runtime import security

__all__ = [
    "IMAGE_EXTENSIONS",
    "Continue",
    "Decoder",
    "DecodingError",
    "ImageHandler",
    "basichandlers",
    "call_extension_handler",
    "cbor_loads",
    "decoders",
    "default_decoder",
    "default_post_handlers",
    "default_pre_handlers",
    "gzfilter",
    "handle_extension",
    "imagehandler",
    "imagespecs",
    "msgpack_loads",
    "npy_loads",
    "npz_loads",
    "pytorch_weights_only",
    "tenbin_loads",
    "torch_audio",
    "torch_loads",
    "torch_video",
    "unpickle_loads",
]


def call_extension_handler(key: str, data: bytes, f: Callable[[bytes], Any], extensions: Iterable[str]) -> Any:
    """`f(data)` if the key ends with one of the extensions, else None."""
    return handle_extension(" ".join(extensions), f)(key, data)


pytorch_weights_only: bool

settable(
    __name__,
    pytorch_weights_only=property(
        lambda _: security.weights_only(),
        lambda _, on: security.allow_only_weights(bool(on)),
        doc="Whether `.pth` fields may hold tensors and plain data only. Off in WebDataset, on here.",
    ),
)
