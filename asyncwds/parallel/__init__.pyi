# What others use of this room; `__init__.py` makes the lazy names from it.

from .arguments import INSTEAD as INSTEAD
from .lending import LendingSlots as LendingSlots
from .loader import Loader as Loader
from .messages import KEPT as KEPT
from .messages import Batch as Batch
from .ordered import BYTES_AHEAD as BYTES_AHEAD
from .ordered import OrderedCalls as OrderedCalls
from .packing import Packed as Packed
from .process_calls import call_in_processes as call_in_processes
from .process_calls import in_order as in_order
from .processes import end_after_parent as end_after_parent
from .segments import Ring as Ring
from .segments import require_room as require_room
from .sizing import Seen as Seen
from .sizing import WorkerTuner as WorkerTuner
from .sizing import choose_workers as choose_workers
from .sizing import group_size as group_size
from .sizing import payload_bytes as payload_bytes
from .slots import Slots as Slots
from .slots import find_pages as find_pages
