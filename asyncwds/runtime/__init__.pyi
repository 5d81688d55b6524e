# What others use of this room; `__init__.py` makes the lazy names from it.

from .batch_memory import LENDER as LENDER
from .blocking import BlockingPool as BlockingPool
from .blocking import run_on_own_loop as run_on_own_loop
from .counters import Counters as Counters
from .counters import StageTime as StageTime
from .event_loop import Deadlines as Deadlines
from .event_loop import TimeLimit as TimeLimit
from .event_loop import run_to_completion as run_to_completion
from .security import secure_mode as secure_mode
from .security import weights_only as weights_only
from .security import why_refused as why_refused
from .tracing import recorder_for as recorder_for
from .units import GiB as GiB
from .units import KiB as KiB
from .units import MiB as MiB
from .worker_info import current_worker_info as current_worker_info
from .worker_info import dataset_seed as dataset_seed
from .worker_info import item_rng as item_rng
from .worker_info import make_seed as make_seed
from .worker_info import worker_info_from_environment as worker_info_from_environment
