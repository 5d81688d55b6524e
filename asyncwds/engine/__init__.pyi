# What others use of this room; `__init__.py` makes the lazy names from it.

from .blocks import Block as Block
from .blocks import ReadOptions as ReadOptions
from .header_stream import HeaderStream as HeaderStream
from .interleave import announce as announce
from .reader import ShardReader as ShardReader
from .reading import RawReader as RawReader
from .stream import BlockStream as BlockStream
