"""The encoders of single fields: value → bytes. Values that a format has no place for raise TypeError or ValueError.

Libraries of extras are imported on first use; a SpecError names the extra that is missing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from io import BytesIO
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

from asyncwds.runtime.extras import require_extra


def imageencoder(image: Any, format: str = "PNG") -> bytes:  # noqa: A002 - webdataset's name
    """As `image_encoding.imageencoder`, which is imported on first use."""
    from asyncwds.codecs import image_encoding  # noqa: PLC0415 - NumPy, heavy

    return image_encoding.imageencoder(image, format)


def bytestr(data: Any) -> bytes:
    """Bytes as they are, anything else as ASCII text."""
    return data if isinstance(data, bytes) else str(data).encode("ascii")


def torch_dumps(data: Any) -> bytes:
    """As `torch.save` writes it. Of a view, it writes all that the view is of: clone a slice of something large."""
    torch = require_extra("torch", "torch")
    file = BytesIO()
    torch.save(data, file)
    return file.getvalue()


def numpy_dumps(data: Any) -> bytes:
    """One array in NumPy's format. Raises ValueError for arrays of objects, which only unpickling could read."""
    import numpy as np  # noqa: PLC0415 - heavy

    file = BytesIO()
    np.save(file, np.asarray(data), allow_pickle=False)
    return file.getvalue()


def numpy_npz_dumps(data: Any) -> bytes:
    """Named arrays in NumPy's compressed format; one array, or a list of numbers, as `arr_0`. TypeError for anything else."""
    import numpy as np  # noqa: PLC0415 - heavy
    from numpy.lib import format as npy  # noqa: PLC0415 - as above

    if not isinstance(data, Mapping):
        data = {"arr_0": np.asarray(data)}
    if not all(isinstance(name, str) and "\0" not in name for name in data):
        raise TypeError("npz holds an array, or a dict of arrays with names, without NUL")
    if not all(isinstance(array, np.ndarray) and not array.dtype.hasobject for array in data.values()):
        raise TypeError("npz holds arrays, and none of objects")
    file = BytesIO()
    # By hand: `np.savez` takes names for keywords, some of which are its own.
    with ZipFile(file, "w", ZIP_DEFLATED) as archive:
        for name, array in data.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                npy.write_array(member, array, allow_pickle=False)
    return file.getvalue()


def tenbin_dumps(x: Any) -> bytes:
    """A list or tuple of arrays, or one array, in the format of `asyncwds.tenbin`."""
    from asyncwds.codecs import tensors  # noqa: PLC0415 - heavy

    return tensors.encode_buffer(list(x) if isinstance(x, (list, tuple)) else [x])


def cbor_dumps(x: Any) -> bytes:
    """CBOR, by cbor2 (the extra `cbor`)."""
    return bytes(require_extra("cbor2", "cbor").dumps(x))


def mp_dumps(x: Any) -> bytes:
    """MessagePack (the extra `msgpack`). Raises TypeError for dicts whose keys it can write but not read, such as tuples."""
    msgpack = require_extra("msgpack", "msgpack")
    data = bytes(msgpack.packb(x))
    if isinstance(x, (dict, list, tuple)):
        msgpack.unpackb(data, strict_map_key=False)
    return data


def safetensors_dumps(x: Any) -> bytes:
    """Named tensors, or named arrays, in the format of safetensors (the extra of that name)."""
    first = next(iter(x.values()), None)
    if type(first).__module__.startswith("torch"):
        return bytes(require_extra("safetensors.torch", "safetensors").save(dict(x)))
    import numpy as np  # noqa: PLC0415 - heavy

    # The library writes the memory of an array as it lies there, and the shape of another order.
    arrays = {name: np.asarray(array, order="C") for name, array in x.items()}
    return bytes(require_extra("safetensors.numpy", "safetensors").save(arrays))


def number_dumps(x: Any) -> bytes:
    if (
        getattr(x, "shape", None) == () and getattr(x.dtype, "kind", "f") in "biuf"
    ):  # of NumPy or torch; its text may be "tensor(5)"
        x = x.item()
    if isinstance(x, float) and x.is_integer():
        x = int(x)
    if isinstance(x, str):
        with suppress(ValueError):  # said below
            x = int(x)
    if not isinstance(x, int):
        raise TypeError(f"a whole number is needed, not {type(x).__name__} {x!r:.80}")
    return str(int(x)).encode("ascii")


def text_dumps(x: Any) -> bytes:
    if not isinstance(x, str):
        raise TypeError(f"text is str or bytes, not {type(x).__name__}")
    return x.encode("utf-8")


def json_dumps(x: Any) -> bytes:
    if not isinstance(x, str):
        return json.dumps(x).encode("utf-8")
    try:
        json.loads(x)
    except ValueError as cause:
        raise ValueError(f"text in this field has to be JSON, as json.dumps makes it: {cause}") from cause
    return x.encode("utf-8")
