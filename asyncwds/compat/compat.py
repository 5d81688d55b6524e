"""`webdataset.compat`: where WebDataset's datasets are at home."""

from asyncwds import (
    DataPipeline,
    FluidInterface,
    FluidWrapper,
    WebDataset,
    WebLoader,
    check_empty,
    pipelinefilter,
    reraise_exception,
)
from asyncwds.compat.tariterators import group_by_keys, tar_file_expander

__all__ = [
    "DataPipeline",
    "FluidInterface",
    "FluidWrapper",
    "WebDataset",
    "WebLoader",
    "check_empty",
    "group_by_keys",
    "pipelinefilter",
    "reraise_exception",
    "tar_file_expander",
]
