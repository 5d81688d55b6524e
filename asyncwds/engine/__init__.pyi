# What others use of this room; `__init__.py` makes the lazy names from it.

from .blocks import Block as Block
from .blocks import ReadOptions as ReadOptions
from .contents import HeaderStream as HeaderStream
from .interleave import announce as announce
from .raw_reader import RawReader as RawReader
from .reader import ShardReader as ShardReader
from .stream import BlockStream as BlockStream
