# What others use of this room; `__init__.py` makes the lazy names from it.

from .access import Access as Access
from .access import Settings as Settings
from .access import Storage as Storage
from .reading import cache_settings as cache_settings
