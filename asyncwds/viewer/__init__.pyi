# What others use of this room; `__init__.py` makes the lazy names from it.

from .histograms import histogram as histogram
from .http_range import parse_range as parse_range
from .searching import find_key as find_key
from .searching import search_keys as search_keys
from .server import open_viewer as open_viewer
from .server import view as view
