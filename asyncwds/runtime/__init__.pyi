# What others use of this room; `__init__.py` makes the lazy names from it.

from .batch_memory import LENDER as LENDER
from .blocking import BlockingPool as BlockingPool
from .blocking import run_on_own_loop as run_on_own_loop
from .closing import run_to_completion as run_to_completion
from .counters import Counters as Counters
from .counters import StageTime as StageTime
from .deadlines import Deadlines as Deadlines
from .deadlines import TimeLimit as TimeLimit
from .security import secure_mode as secure_mode
from .security import weights_only as weights_only
from .security import why_refused as why_refused
from .seeds import dataset_seed as dataset_seed
from .seeds import item_rng as item_rng
from .seeds import make_seed as make_seed
from .tracing import recorder_for as recorder_for
from .units import GiB as GiB
from .units import KiB as KiB
from .units import MiB as MiB
from .worker_info import current_worker_info as current_worker_info
from .worker_info import worker_info_from_environment as worker_info_from_environment
