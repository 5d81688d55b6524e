"""The state of the data in the checkpoints of Hugging Face's Trainer."""

from __future__ import annotations

import json
from os import PathLike
from pathlib import Path
from typing import Any

from asyncwds import checks
from asyncwds.errors import SpecError
from asyncwds.integrations.training_loader import TrainingLoader


class TrainerStateCallback:
    """Saves the state of `loader` in each checkpoint of a Trainer, and loads it when that goes on from one.

        loader = TrainingLoader(StatefulDataLoader(dataset, batch_size=None))
        trainer.add_callback(TrainerStateCallback(loader))
        trainer.train(resume_from_checkpoint=True)

    `loader` is what `get_train_dataloader` returns, not prepared by Accelerate, which would fetch a batch ahead. The Trainer needs
    `ignore_data_skip=True`, or it would skip as many batches again. `checkpoint` is the folder that it goes on from, if that
    is not in its `output_dir`. Each rank has a file of its own there.

    When training begins it raises SpecError for a Trainer that would skip batches, and for a checkpoint without a state.
    """

    def __init__(self, loader: TrainingLoader[Any], checkpoint: str | PathLike[str] | None = None) -> None:
        checks.instance("TrainerStateCallback: loader", loader, TrainingLoader)
        checks.path("TrainerStateCallback: checkpoint", checkpoint, optional=True)
        self._loader = loader
        self._checkpoint = None if checkpoint is None else Path(checkpoint)

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002 - the Trainer's
        if not state.global_step:
            return
        if not args.ignore_data_skip:
            raise SpecError("TrainerStateCallback: with its state the data goes on by itself; set ignore_data_skip=True")
        path = _path(self._checkpoint or _folder(args, state), args)
        if not path.exists():
            raise SpecError(
                f"TrainerStateCallback: {path} is not there; a checkpoint that was made without this callback, by fewer ranks, "
                "or while the process was killed, has no state of the data: go on from the one before it"
            )
        self._loader.load_state_dict(json.loads(path.read_text()))

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002 - as above
        path = _path(_folder(args, state), args)
        path.parent.mkdir(parents=True, exist_ok=True)  # by ranks that save nothing else
        new = path.with_suffix(".new")
        new.write_text(json.dumps(self._loader.state_dict()))
        new.replace(path)

    def __getattr__(self, name: str) -> Any:
        """The other events, of which later versions have more: nothing is done."""
        if name.startswith("on_"):
            return _nothing
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


def _nothing(*_: Any, **__: Any) -> None:
    pass


def _folder(args: Any, state: Any) -> Path:
    return Path(args.output_dir) / f"checkpoint-{state.global_step}"


def _path(folder: Path, args: Any) -> Path:
    return folder / f"asyncwds-{args.process_index}.json"
