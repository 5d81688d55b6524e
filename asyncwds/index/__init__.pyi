# What others use of this room; `__init__.py` makes the lazy names from it.

from .columns import Columns as Columns
from .columns import Field as Field
from .columns import Row as Row
from .columns import columns_of as columns_of
from .columns import pack as pack
from .columns import unpack as unpack
from .encoding import decode as decode
from .encoding import encode as encode
from .exporting import files_of as files_of
from .exporting import index_url as index_url
from .files import decode_index as decode_index
from .files import load_index as load_index
from .files import save_index as save_index
from .formats.digests import ShardDigester as ShardDigester
from .index import Index as Index
from .index import ShardIndex as ShardIndex
from .making import make_index as make_index
