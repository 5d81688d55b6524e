"""The decoders of single fields: bytes → value. Broken data raise whatever the format's library raises.

Libraries of extras are imported on first use; a SpecError names the extra that is missing.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from io import BytesIO
from math import prod
from typing import IO, Any, Literal
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile

from asyncwds.codecs.pickles import unpickle
from asyncwds.codecs.undecodable import ALLOWING
from asyncwds.compression.decompress import MAX_UNPACKED
from asyncwds.errors import DecodeError
from asyncwds.runtime.extras import require_extra
from asyncwds.runtime.security import any_pickle, secure_mode, weights_only

Allowed = Literal["any"] | Sequence[Callable[..., Any]] | None
"""What pickles may hold beside plain data."""

_NPY, _NPY_1_0 = b"\x93NUMPY", b"\x01\x00"


def text_loads(data: bytes) -> str:
    """UTF-8."""
    return data.decode("utf-8")


def unpickle_loads(data: bytes, allow: Allowed = None) -> Any:
    """Plain data, arrays, tensors, and objects of the classes in `allow`; or whatever it is, code among it, with "any".

    None is "any" where WDS_ALLOW_PICKLE is set, else no class. DecodeError for what is not allowed, and for all in secure mode.
    """
    if secure_mode():
        raise DecodeError("Unpickling is not allowed for security reasons when enforce_security is set.")
    if _anything(allow):
        return pickle.loads(data)  # noqa: S301 - asked for
    return unpickle(data, () if allow is None or isinstance(allow, str) else allow)


def torch_loads(data: bytes, allow: Allowed = None, max_bytes: int = MAX_UNPACKED) -> Any:
    """What `torch.save` wrote, on the CPU: tensors and plain data only, unless `security.weights_only` is off.

    `allow` is as for `unpickle_loads`; a ValueError where it unpacks to more than `max_bytes`. DecodeError in secure mode, as in
    WebDataset: torch's restricted unpickler has had holes.
    """
    if secure_mode():
        raise DecodeError("torch.loads is not allowed for security reasons when enforce_security is set.")
    torch = require_extra("torch", "torch")
    if data.startswith(b"PK"):
        with ZipFile(BytesIO(data)) as archive:
            _require_room(archive, len(data), max_bytes)
    if _anything(allow) or (allow is None and not weights_only()):
        return torch.load(BytesIO(data), map_location="cpu", weights_only=False)
    try:
        if not allow or isinstance(allow, str):
            return torch.load(BytesIO(data), map_location="cpu", weights_only=True)
        with require_extra("torch.serialization", "torch").safe_globals(list(allow)):
            return torch.load(BytesIO(data), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as cause:
        refused = str(cause).partition("\n\n")[0].partition("WeightsUnpickler error:")[2].strip() or str(cause)[:200]
        raise DecodeError(f"it is more than weights_only allows: {refused[:200]!a}, {ALLOWING}") from cause


def _anything(allow: Allowed) -> bool:
    return allow == "any" if isinstance(allow, str) else allow is None and any_pickle()


def npy_loads(data: bytes) -> Any:
    """An array. Arrays of objects, which are pickles, and those that are larger than what is there, are a ValueError."""
    import numpy as np  # noqa: PLC0415 - heavy
    from numpy.lib import format as npy  # noqa: PLC0415 - as above

    file = BytesIO(data)
    shape, in_columns, dtype = _npy_header(file, len(data))
    if dtype.hasobject or data[6:8] != _NPY_1_0 or 0 in (dtype.itemsize, *shape):
        file.seek(0)
        return npy.read_array(file, allow_pickle=False)
    # 40 us, and 45 by `read_array`: the header is not read twice.
    array = np.frombuffer(data, dtype, prod(shape), file.tell()).copy()
    return array.reshape(shape, order="F" if in_columns else "C")


def _npy_header(file: IO[bytes], size: int) -> tuple[tuple[int, ...], bool, Any]:
    """Shape, whether in columns, and dtype of an array in a file of so many bytes. ValueError where it is larger than that."""
    from numpy.lib import format as npy  # noqa: PLC0415 - as above

    read = npy.read_array_header_1_0 if npy.read_magic(file) == (1, 0) else npy.read_array_header_2_0
    shape, in_columns, dtype = read(file)
    if any(length < 0 for length in shape) or (prod(shape) * dtype.itemsize > size - file.tell() and not dtype.hasobject):
        raise ValueError(f"the array is cut: {shape} of {dtype} in {size - file.tell()} bytes")
    return shape, in_columns, dtype


def npz_loads(data: bytes, max_bytes: int = MAX_UNPACKED) -> dict[str, Any]:
    """Arrays by name, also compressed ones. A ValueError as for `npy`, and where they unpack to more than `max_bytes`."""
    import numpy as np  # noqa: PLC0415 - heavy

    with ZipFile(BytesIO(data)) as archive:
        _require_room(archive, len(data), max_bytes)
        for member in archive.infolist():
            with archive.open(member) as file:
                if file.read(len(_NPY)) == _NPY:
                    file.seek(0)
                    _npy_header(file, member.file_size)
    with np.load(BytesIO(data), allow_pickle=False) as arrays:
        return dict(arrays)


def _require_room(archive: ZipFile, size: int, max_bytes: int) -> None:
    """ValueError where the members of an archive of that size [bytes] unpack to more than `max_bytes`, and more than that size."""
    members = archive.infolist()
    if sum([member.file_size for member in members]) > max(size, max_bytes):
        raise ValueError(f"unpacks to more than {max_bytes} bytes (decode(max_unpacked=...) sets how many may come out)")
    if any(member.compress_type not in (ZIP_STORED, ZIP_DEFLATED) for member in members):
        # Others are unpacked without a bound by the standard library, and neither NumPy nor torch writes them.
        raise ValueError("its members are neither stored nor deflated")


def tenbin_loads(data: bytes) -> list[Any]:
    """A list of arrays in WebDataset's own format, see `asyncwds.codecs.tensors`."""
    from asyncwds.codecs.tensors import decode_buffer  # noqa: PLC0415 - NumPy is heavy

    arrays: list[Any] = decode_buffer(data)
    return arrays


def msgpack_loads(data: bytes) -> Any:
    """Keys of dicts may be numbers, as they may be for who writes them."""
    return require_extra("msgpack", "msgpack").unpackb(data, strict_map_key=False)


def cbor_loads(data: bytes) -> Any:
    """CBOR (RFC 8949), by cbor2."""
    return require_extra("cbor2", "cbor").loads(data)


def safetensors_loads(data: bytes) -> dict[str, Any]:
    """Arrays by name. NumPy has no bfloat16: for such files see `torch_safetensors`."""
    arrays: dict[str, Any] = require_extra("safetensors.numpy", "safetensors").load(data)
    return arrays
