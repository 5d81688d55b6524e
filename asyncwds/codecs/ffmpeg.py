"""Which of the two libraries that are FFmpeg decodes: TorchCodec where it works and knows the container, else PyAV.

Both give the same pictures to the last bit. TorchCodec takes half the time for whole clips; PyAV reads more, and brings its
FFmpeg with it. A Matroska or WebM file that ends between two frames FFmpeg takes for a whole one: how long it says it is is read
here.
"""

from __future__ import annotations

from importlib.util import find_spec
from struct import unpack_from
from types import ModuleType
from typing import Literal, get_args

from asyncwds.errors import SpecError

Library = Literal["auto", "torchcodec", "pyav"]


def require(library: Library) -> None:
    """Raises SpecError for a library that there is not, or that is not installed."""
    from asyncwds.codecs import torchcodec  # noqa: PLC0415 - NumPy is heavy

    if library not in get_args(Library):
        raise SpecError(f"the library must be one of {', '.join(get_args(Library))}, not {library!r}")
    if library == "torchcodec" and not torchcodec.works():
        raise SpecError("torchcodec cannot be imported: it needs torch and FFmpeg; pip install 'asyncwds[torchcodec]'")
    if library != "torchcodec" and find_spec("av") is None and (library == "pyav" or not torchcodec.works()):
        raise SpecError("av is needed: pip install 'asyncwds[video]'")


def chosen(library: Library, data: bytes) -> ModuleType:
    """The module that reads: `read_video(data, request)` and `read_audio(data, max_bytes)`.

    Raises ValueError for what is cut and the libraries take for whole.
    """
    from asyncwds.codecs import pyav, torchcodec  # noqa: PLC0415 - NumPy is heavy

    if is_cut_matroska(data):
        raise ValueError("the file is cut: it is shorter than it says")
    if library == "auto":
        suits = torchcodec.reads(data) or find_spec("av") is None
        library = "torchcodec" if suits and torchcodec.works() else "pyav"
    return torchcodec if library == "torchcodec" else pyav


MATROSKA_HEAD = b"\x1a\x45\xdf\xa3"
_SEGMENT = b"\x18\x53\x80\x67"


def is_cut_matroska(data: bytes) -> bool:
    """Whether bytes are missing at the end. What was recorded as a live stream does not say how long it is."""
    if not data.startswith(MATROSKA_HEAD):
        return False
    head = _matroska_element(data, len(MATROSKA_HEAD))
    if head is None or not data.startswith(_SEGMENT, head):
        return False
    return (_matroska_element(data, head + len(_SEGMENT)) or 0) > len(data)


def _matroska_element(data: bytes, at: int) -> int | None:
    """Where the element ends whose size stands `at` this place, behind its name; None if it does not say.

    Of a size the first byte says, by its zeros in front, how many bytes it has; all of its bits set is "unknown".
    """
    width = 9 - data[at].bit_length() if at < len(data) else 0
    if not 1 <= width <= 8 or at + width > len(data):
        return None
    bits = 7 * width
    size: int = unpack_from(">Q", data[at : at + width].rjust(8, b"\0"))[0] & ((1 << bits) - 1)
    return None if size == (1 << bits) - 1 else at + width + size
