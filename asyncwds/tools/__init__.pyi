# What others use of this room; `__init__.py` makes the lazy names from it.

from .cat import cat_shards as cat_shards
from .copying import select as select
from .copying import write_all as write_all
from .dedup import dedup_shards as dedup_shards
from .diff import Comparison as Comparison
from .diff import Difference as Difference
from .diff import diff_shards as diff_shards
from .expressions import Expression as Expression
from .expressions import parse as parse
from .filter import filter_samples as filter_samples
from .inputs import Inputs as Inputs
from .inputs import part_of as part_of
from .inputs import read_raw as read_raw
from .journal import Journal as Journal
from .outputs import Outputs as Outputs
from .outputs import ShardOutputs as ShardOutputs
from .report import Report as Report
from .selection import Selection as Selection
from .split import split_shards as split_shards
from .targets import Target as Target
from .verify.repairing import Repair as Repair
from .verify.repairing import repair_shards as repair_shards
from .verify.rules import RULES as RULES
from .verify.running import Checks as Checks
from .verify.running import Verification as Verification
from .verify.running import verify_shards as verify_shards
