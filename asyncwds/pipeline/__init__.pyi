# What others use of this room; `__init__.py` makes the lazy names from it.

from .adapt import adapt_all as adapt_all
from .context import RunContext as RunContext
from .datapipeline import DataPipeline as DataPipeline
from .epoch_counter import EpochCounter as EpochCounter
from .length import add_length_method as add_length_method
from .mix_order import random_samples as random_samples
from .run import Description as Description
from .run import Run as Run
from .stage import FilterFunction as FilterFunction
from .stage import PipelineStage as PipelineStage
from .stage import RestCurried as RestCurried
from .stage_errors import handled as handled
from .stage_run import run_alone as run_alone
from .stages.composition import Composed as Composed
from .stages.composition import compose as compose
from .stages.composition import compose2 as compose2
from .stages.composition import identity as identity
from .stages.composition import pipeline as pipeline
from .stages.inspecting import Info as Info
from .stages.inspecting import LogKeys as LogKeys
from .stages.patterns import LAYOUTS as LAYOUTS
from .stages.shuffle import Shuffle as Shuffle
from .streams import StageStream as StageStream
from .streams import stream_over as stream_over
from .tracebacks import users_frames as users_frames
