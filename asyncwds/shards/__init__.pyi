# What others use of this room; `__init__.py` makes the lazy names from it.

from .braces import Braces as Braces
from .braces import parse_braces as parse_braces
from .compressed_names import compress_names as compress_names
from .folders import is_manifest as is_manifest
from .folders import is_shard_name as is_shard_name
from .globs import Glob as Glob
from .globs import fits as fits
from .globs import glob_of as glob_of
from .globs import literal_start as literal_start
from .likeness import are_alike as are_alike
from .likeness import in_folder as in_folder
from .manifests import ShardRecord as ShardRecord
from .patterns import expand as expand
from .plan import pick as pick
from .sample_split import SampleSplit as SampleSplit
from .shard import Shard as Shard
from .shuffle_quality import measure_shuffle as measure_shuffle
from .urls import UrlList as UrlList
from .urls import local_path as local_path
from .urls import rewritten as rewritten
from .urls import scheme_of as scheme_of
