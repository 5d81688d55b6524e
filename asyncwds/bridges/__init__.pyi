# What others use of this room; `__init__.py` makes the lazy names from it.

from .async_iterator import ThreadedIterator as ThreadedIterator
from .block_bridge import Bridge as Bridge
from .channel import BATCH_ITEMS as BATCH_ITEMS
from .channel import BATCHES_AHEAD as BATCHES_AHEAD
from .loop_calls import LoopCalls as LoopCalls
from .threaded_source import Feed as Feed
