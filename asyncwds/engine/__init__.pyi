# What others use of this room; `__init__.py` makes the lazy names from it.

from .contents import HeaderStream as HeaderStream
from .interleave import announce as announce
from .reader import Block as Block
from .reader import ReadOptions as ReadOptions
from .schemes import ByScheme as ByScheme
from .stream import BlockStream as BlockStream
