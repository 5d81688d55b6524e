"""A loader for trainers that count steps."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

from asyncwds import checks
from asyncwds.errors import SpecError
from asyncwds.formatting.texts import show_call, show_value
from asyncwds.runtime.worker_info import current_worker_info

T = TypeVar("T")


class TrainingLoader(Generic[T]):
    """`loader`, to be given to Lightning and to Hugging Face's Trainer, so that they go on with the next batch from a checkpoint.

    An iteration that goes on where an epoch had no more batches is the next epoch: they take one without batches for the end of the
    data. It has no `set_epoch`, since they count epochs from 0 again; the loader counts its own, and its state has the number.

    Its state is that of all ranks of torch.distributed, which ask for it together, since trainers keep that of rank 0 for all: each
    rank goes on with its own.

    `ahead` is how many batches the trainer has fetched and not used when it asks for the state: 1 for Lightning, where the
    loader has no length. Then a state is taken with each batch.

    Raises SpecError for a loader without `state_dict` and `load_state_dict`, and for a StatefulDataLoader with `in_order=False`,
    which loses and repeats batches when it goes on.
    """

    def __init__(self, loader: Any, ahead: int = 0) -> None:
        for method in ("state_dict", "load_state_dict"):
            if not callable(getattr(loader, method, None)):
                raise SpecError(f"TrainingLoader: {show_value(loader)} has no {method}; a StatefulDataLoader has")
        if getattr(loader, "num_workers", 0) and not getattr(loader, "in_order", True):
            raise SpecError(
                "TrainingLoader: with in_order=False a StatefulDataLoader loses and repeats batches when it goes on from a state; "
                "leave it in order"
            )
        self.loader = loader
        self._ahead = checks.whole("TrainingLoader: ahead", ahead, 0)
        self._states: deque[dict[str, Any]] = deque(maxlen=self._ahead + 1)
        self._resumed = False

    def __iter__(self) -> Iterator[T]:
        resumed, self._resumed, given = self._resumed, False, False
        for batch in self._batches():
            given = True
            yield batch
        if resumed and not given:
            yield from self._batches()

    def _batches(self) -> Iterator[T]:
        batches = iter(self.loader)
        if self._ahead:
            self._states.append(self.loader.state_dict())
        for batch in batches:
            if self._ahead:
                self._states.append(self.loader.state_dict())
            yield batch
        self._states.clear()

    def __len__(self) -> int:
        """That of the loader. Raises TypeError where it has none, as all objects without a `len()` do."""
        return len(self.loader)

    def state_dict(self) -> dict[str, Any]:
        """The loader's, before the batches that were fetched ahead; of several ranks, that of each."""
        own: dict[str, Any] = self._states[0] if self._states else self.loader.state_dict()
        place = current_worker_info()
        distributed: Any = sys.modules.get("torch.distributed")
        if place.world_size == 1 or distributed is None or not distributed.is_initialized():
            return own
        ranks: list[Any] = [None] * place.world_size
        distributed.all_gather_object(ranks, own)
        return {"ranks": ranks}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The loader's. Raises SpecError for a state of another number of ranks, and what the loader's does."""
        ranks, place = state_dict.get("ranks"), current_worker_info()
        if ranks is not None and len(ranks) != place.world_size:
            raise SpecError(f"the state is of {len(ranks)} ranks, and here are {place.world_size}: as many go on as saved it")
        self.loader.load_state_dict(state_dict if ranks is None else ranks[place.rank])
        self._states.clear()
        self._resumed = True

    def __repr__(self) -> str:
        return show_call("TrainingLoader", [self.loader], {"ahead": self._ahead} if self._ahead else {})
