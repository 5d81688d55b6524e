"""The edge to torch: pipelines and datasets as torch IterableDatasets, and its DataLoader as a pipeline.

`asyncwds.WebDataset` and its like are these classes wherever torch is installed, and the plain ones elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch.utils.data import DataLoader, IterableDataset

from asyncwds.pipeline import datapipeline, dataset, directory, epochs, fluid, loaders, mixing, shardlists, shardspec

# torch may be absent where types are checked: then its classes are Any.


class DataPipeline(datapipeline.DataPipeline, IterableDataset[Any]):  # type: ignore[misc,unused-ignore]
    """The same pipeline; a DataLoader recognises it, and each worker runs it at its own place."""


if TYPE_CHECKING:

    class WebDataset(dataset.WebDataset, DataPipeline):
        """As below, with what a type checker needs to see."""

else:

    class WebDataset(DataPipeline, fluid.FluidInterface):
        """The same dataset; a DataLoader recognises it, and each worker reads its own shards.

        Its first base is the pipeline, as WebDataset's is: people's subclasses make empty ones of it, to be filled with a mix, by
        `super(wds.WebDataset, self).__init__()`.
        """

        __init__ = dataset.WebDataset.__init__
        update_cache_info = dataset.WebDataset.update_cache_info
        create_url_iterator = dataset.WebDataset.create_url_iterator


class FluidWrapper(loaders.FluidWrapper, DataPipeline):
    """The same pipeline; a DataLoader recognises it."""


class WebLoader(DataPipeline, fluid.FluidInterface):
    """A torch DataLoader with the fluent methods, whose stages run in the process that iterates; it takes DataLoader's arguments.

    `with_epoch(n)` counts what the loader gives: batches, where the dataset makes batches.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(DataLoader(*args, **options))


class RandomMix(mixing.RandomMix, IterableDataset[Any]):  # type: ignore[misc,unused-ignore]
    """The same mix; a DataLoader recognises it and each worker draws its own samples."""


class RoundRobin(mixing.RoundRobin, IterableDataset[Any]):  # type: ignore[misc,unused-ignore]
    """The same mix; a DataLoader recognises it."""


class MockDataset(epochs.MockDataset, IterableDataset[Any]):  # type: ignore[misc,unused-ignore]
    """The same dataset; a DataLoader recognises it."""


class with_epoch(epochs.with_epoch, IterableDataset[Any]):  # type: ignore[misc,unused-ignore] # noqa: N801 - WebDataset's name
    """The same dataset; a DataLoader recognises it."""


class with_length(epochs.with_length, IterableDataset[Any]):  # type: ignore[misc,unused-ignore] # noqa: N801 - WebDataset's name
    """The same dataset; a DataLoader recognises it."""


# Nobody needs more of these than that `isinstance` says so.
for _kind in (
    shardlists.SimpleShardList,
    shardlists.ResampledShards,
    shardspec.MultiShardSample,
    directory.DirectoryShardList,
):
    IterableDataset.register(_kind)
