"""Lists of keys: text with one a line, `.npy` (text, numbers, or DataComp's pairs of 64-bit numbers), `.parquet:COLUMN`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

from asyncwds.errors import NotFoundError, SpecError
from asyncwds.runtime.extras import require_extra
from asyncwds.settings.access import Access
from asyncwds.shards.urls import local_path


class Keys(Protocol):
    """A set of keys."""

    def __contains__(self, key: object, /) -> bool: ...
    def __len__(self) -> int: ...


def load_keys(source: str | Iterable[str] | Keys, access: Access | None = None) -> Keys:
    """The keys that a file lists (a path or a URL), or those given. Raises SpecError for a file that holds none."""
    if not isinstance(source, str):
        return frozenset(source) if isinstance(source, Iterable) else source
    path, colon, column = source.rpartition(":")
    if colon and path.lower().endswith(".parquet"):
        return frozenset(_column(path, column, access))
    if source.lower().endswith(".npy"):
        return _from_npy(source, access)
    data = _read(source, access)
    if data.startswith(b"PAR1"):
        raise SpecError(f"of a table a column has the keys: {source}:COLUMN", url=source)
    text = data.decode("utf-8", "surrogateescape")
    return frozenset(line for line in text.splitlines() if line)


def _read(url: str, access: Access | None) -> bytes:
    path = local_path(url)
    if path is not None:
        try:
            return Path(path).read_bytes()
        except OSError as error:
            raise NotFoundError(f"the list of keys cannot be read: {error.strerror}", url=url) from error
    from asyncwds.bridges.file_objects import DownloadFile  # noqa: PLC0415 - it brings the engine
    from asyncwds.settings.reading import Prefetch  # noqa: PLC0415 - as above

    with DownloadFile(url, Prefetch(), access or Access()) as file:
        return file.readall() or b""


def _column(url: str, column: str, access: Access | None) -> list[str]:
    from io import BytesIO  # noqa: PLC0415 - used here only

    parquet = require_extra("pyarrow.parquet", "arrow")
    data = _read(url, access)
    try:
        table = parquet.read_table(BytesIO(data))
    except (OSError, ValueError) as error:  # those of Arrow's that are for damaged files
        raise SpecError(f"this is no table in Parquet, or damaged: {error}", url=url) from error
    if column not in table.column_names:
        raise SpecError(f"there is no column {column!r} in it, but {', '.join(table.column_names)}", url=url)
    return [str(value) for value in table.column(column).to_pylist() if value is not None]


def _from_npy(url: str, access: Access | None) -> Keys:
    from io import BytesIO  # noqa: PLC0415 - used here only

    import numpy as np  # noqa: PLC0415 - heavy

    try:
        found = np.load(BytesIO(_read(url, access)), allow_pickle=False)
    except ValueError as error:
        raise SpecError(f"this is no array of keys: {error}", url=url) from error
    if found.dtype.names is not None and len(found.dtype.names) == 2:
        return _Pairs(found)
    return frozenset(value.decode() if isinstance(value, bytes) else str(value) for value in found.ravel().tolist())


class _Pairs:
    """Keys of 32 hexadecimal digits as DataComp lists them: two numbers of 64 bits each, 16 bytes a key in memory."""

    def __init__(self, found: Any) -> None:
        import numpy as np  # noqa: PLC0415 - heavy

        high, low = found.dtype.names
        order = np.lexsort((found[low], found[high]))
        self._high = np.ascontiguousarray(found[high][order]).astype(np.uint64)
        self._low = np.ascontiguousarray(found[low][order]).astype(np.uint64)

    def __len__(self) -> int:
        return len(self._high)

    def __contains__(self, key: object, /) -> bool:
        import numpy as np  # noqa: PLC0415 - heavy

        try:
            number = int(str(key), 16)
        except ValueError:
            return False
        if len(str(key)) != 32:
            return False
        high, low = np.uint64(number >> 64), np.uint64(number & 0xFFFFFFFFFFFFFFFF)
        begin, end = np.searchsorted(self._high, high, "left"), np.searchsorted(self._high, high, "right")
        place = begin + np.searchsorted(self._low[begin:end], low)
        return bool(place < end and self._low[place] == low)
