"""Which of the two libraries that are FFmpeg decodes: TorchCodec where it works and knows the container, else PyAV.

Both give the same pictures to the last bit. TorchCodec takes half the time for whole clips; PyAV reads more, and
brings its FFmpeg with it.
"""

from __future__ import annotations

from importlib.util import find_spec
from types import ModuleType
from typing import Literal, get_args

from asyncwds.codecs import matroska
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

    if matroska.is_cut(data):
        raise ValueError("the file is cut: it is shorter than it says")
    if library == "auto":
        suits = torchcodec.reads(data) or find_spec("av") is None
        library = "torchcodec" if suits and torchcodec.works() else "pyav"
    return torchcodec if library == "torchcodec" else pyav
