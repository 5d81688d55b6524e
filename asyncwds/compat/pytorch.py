"""`webdataset.pytorch`: torch's classes, or empty ones where torch is not installed."""

try:
    from torch import Tensor as TorchTensor
    from torch.utils.data import DataLoader, IterableDataset
except ModuleNotFoundError:

    class IterableDataset:  # type: ignore[no-redef]
        """Stands in for torch's."""

    class DataLoader:  # type: ignore[no-redef]
        """Stands in for torch's."""

    class TorchTensor:  # type: ignore[no-redef]
        """Stands in for torch's."""


__all__ = ["DataLoader", "IterableDataset", "TorchTensor"]
