"""`webdataset.extradatasets`. `repeatedly`, a dataset there that cannot be iterated, is the function here."""

from asyncwds import MockDataset, PipelineStage, repeatedly, with_epoch, with_length

__all__ = ["MockDataset", "PipelineStage", "repeatedly", "with_epoch", "with_length"]
