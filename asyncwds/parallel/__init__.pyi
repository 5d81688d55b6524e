# What others use of this room; `__init__.py` makes the lazy names from it.

from .arguments import INSTEAD as INSTEAD
from .loader import Loader as Loader
from .messages import KEPT as KEPT
from .messages import Batch as Batch
from .packing import Packed as Packed
from .pinning import find_pages as find_pages
from .segments import Ring as Ring
from .segments import require_room as require_room
from .slots import Slots as Slots
