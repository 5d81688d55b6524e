# What others use of this room; `__init__.py` makes the lazy names from it.

import typing

from .entries import Entry as Entry
from .options import Options as Options

# ShardWriter, TarWriter, gopen, and the names of asyncwds.codecs.encoders and field_dumpers.
def __getattr__(name: str) -> typing.Any: ...
