"""`webdataset.writer`. `default_handlers` is the registry of asyncwds: what is added here encodes everywhere."""

from asyncwds import ShardWriter, TarWriter, gopen
from asyncwds.codecs.encoders import (
    add_handlers,
    default_handlers,
    encode_based_on_extension,
    encode_based_on_extension1,
    make_encoder,
    make_handlers,
)
from asyncwds.codecs.field_dumpers import (
    bytestr,
    cbor_dumps,
    imageencoder,
    mp_dumps,
    numpy_dumps,
    numpy_npz_dumps,
    tenbin_dumps,
    torch_dumps,
)

__all__ = [
    "ShardWriter",
    "TarWriter",
    "add_handlers",
    "bytestr",
    "cbor_dumps",
    "default_handlers",
    "encode_based_on_extension",
    "encode_based_on_extension1",
    "gopen",
    "imageencoder",
    "make_encoder",
    "make_handlers",
    "mp_dumps",
    "numpy_dumps",
    "numpy_npz_dumps",
    "tenbin_dumps",
    "torch_dumps",
]
