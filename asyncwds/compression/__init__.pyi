# What others use of this room; `__init__.py` makes the lazy names from it.

from .decompress import Decompressor as Decompressor
from .decompress import unpack_field as unpack_field
from .kinds import KINDS as KINDS
from .kinds import SUFFIXES as SUFFIXES
from .kinds import suffix_to_write as suffix_to_write
