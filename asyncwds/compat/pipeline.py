"""`webdataset.pipeline`."""

from asyncwds import DataPipeline, PipelineStage, add_length_method

__all__ = ["DataPipeline", "PipelineStage", "add_length_method"]
