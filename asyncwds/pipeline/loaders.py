"""Pipelines with the fluent methods that begin with something given."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from asyncwds.errors import SpecError
from asyncwds.pipeline.datapipeline import DataPipeline
from asyncwds.pipeline.fluid import FluidInterface
from asyncwds.pipeline.loader_head import track
from asyncwds.pipeline.protocol import Head, ItemT_co, StageFunction
from asyncwds.runtime.extras import require_extra

if TYPE_CHECKING:
    from asyncwds.pipeline.item_functions import NumberOfWorkers
    from asyncwds.pipeline.protocol import SeededFunction
    from asyncwds.pipeline.stages.collation import Collation
    from asyncwds.runtime.handlers import Handler

T = TypeVar("T")
U = TypeVar("U")


class FluidWrapper(DataPipeline[ItemT_co], FluidInterface[ItemT_co]):
    """A pipeline that begins with `initial` (a dataset, a list, a DataLoader), with the fluent methods."""

    @overload
    def __init__(self: FluidWrapper[T], initial: Head[T], *, seed: int | None = ...) -> None: ...
    @overload
    def __init__(self: FluidWrapper[Any], initial: Any, *, seed: int | None = ...) -> None: ...
    def __init__(self, initial: Any, *, seed: int | None = None) -> None:
        super().__init__(seed=seed)
        self.append(initial)

    if TYPE_CHECKING:  # as in `WebDataset`

        @overload  # type: ignore[no-overload-impl]
        def compose(self, stage: StageFunction[ItemT_co, U], /) -> FluidWrapper[U]: ...
        @overload
        def compose(self, *args: Any) -> FluidWrapper[Any]: ...
        @overload  # type: ignore[no-overload-impl]
        def map(
            self, f: Callable[[ItemT_co], Awaitable[U | None]], handler: Handler = ..., *, workers: int | Literal["auto"]
        ) -> FluidWrapper[U]: ...
        @overload
        def map(
            self, f: SeededFunction[ItemT_co, Awaitable[U | None]], handler: Handler = ..., *, workers: int | Literal["auto"]
        ) -> FluidWrapper[U]: ...
        @overload
        def map(
            self, f: Callable[[ItemT_co], U | None], handler: Handler = ..., *, workers: NumberOfWorkers = ...
        ) -> FluidWrapper[U]: ...
        @overload
        def map(
            self, f: SeededFunction[ItemT_co, U | None], handler: Handler = ..., *, workers: NumberOfWorkers = ...
        ) -> FluidWrapper[U]: ...
        @overload  # type: ignore[no-overload-impl, override]
        def to_tuple(self, a: str | Sequence[str], b: str | Sequence[str], /, **options: Any) -> FluidWrapper[tuple[Any, Any]]: ...
        @overload
        def to_tuple(self, *args: str | Sequence[str], **options: Any) -> FluidWrapper[tuple[Any, ...]]: ...
        def extract_keys(self, *patterns_: str | Sequence[str], **options: Any) -> FluidWrapper[tuple[Any, ...]]: ...  # type: ignore[override]
        def map_tuple(  # type: ignore[override]
            self, *args: Callable[..., Any] | None, handler: Handler = ..., workers: NumberOfWorkers = ...
        ) -> FluidWrapper[tuple[Any, ...]]: ...
        @overload  # type: ignore[no-overload-impl, override]
        def batched(
            self, batchsize: int, collation_fn: None, partial: bool = ..., handler: Handler = ..., tensors: bool = ...
        ) -> FluidWrapper[list[ItemT_co]]: ...
        @overload
        def batched(
            self, batchsize: int, collation_fn: Collation = ..., partial: bool = ..., handler: Handler = ..., tensors: bool = ...
        ) -> FluidWrapper[Any]: ...
        def unbatched(self, handler: Handler = ...) -> FluidWrapper[Any]: ...
        def listed(self, batchsize: int, partial: bool = ...) -> FluidWrapper[list[ItemT_co]]: ...  # type: ignore[override]
        def unlisted(self: FluidWrapper[list[U]]) -> FluidWrapper[U]: ...


class WebLoader(DataPipeline[ItemT_co], FluidInterface[ItemT_co]):
    """A torch DataLoader with the fluent methods, whose stages run in the process that iterates; it takes DataLoader's arguments.

    `with_epoch(n)` counts what the loader gives: batches, where the dataset makes batches. Raises SpecError where torch is not
    installed.
    """

    # Items pass as they are where the DataLoader makes no batches of them; torch's own way to make batches has no types.
    @overload
    def __init__(self: WebLoader[T], dataset: Iterable[T], batch_size: None, *, collate_fn: None = ..., **options: Any) -> None: ...
    @overload
    def __init__(
        self: WebLoader[U], dataset: Iterable[T], batch_size: None, *, collate_fn: Callable[[T], U], **options: Any
    ) -> None: ...
    @overload
    def __init__(
        self: WebLoader[U], dataset: Iterable[T], batch_size: int = ..., *, collate_fn: Callable[[list[T]], U], **options: Any
    ) -> None: ...
    @overload
    def __init__(self: WebLoader[Any], dataset: Any, *args: Any, **options: Any) -> None: ...
    def __init__(self, *args: Any, **options: Any) -> None:
        loader = require_extra("torch.utils.data", "torch").DataLoader
        try:
            head = loader(*args, **options)
        except (TypeError, ValueError) as error:
            raise SpecError(f"WebLoader, whose arguments are torch's DataLoader's: {error}") from error
        super().__init__(track(head))

    if TYPE_CHECKING:  # as in `WebDataset`

        @overload  # type: ignore[no-overload-impl]
        def compose(self, stage: StageFunction[ItemT_co, U], /) -> WebLoader[U]: ...
        @overload
        def compose(self, *args: Any) -> WebLoader[Any]: ...
        @overload  # type: ignore[no-overload-impl]
        def map(
            self, f: Callable[[ItemT_co], Awaitable[U | None]], handler: Handler = ..., *, workers: int | Literal["auto"]
        ) -> WebLoader[U]: ...
        @overload
        def map(
            self, f: SeededFunction[ItemT_co, Awaitable[U | None]], handler: Handler = ..., *, workers: int | Literal["auto"]
        ) -> WebLoader[U]: ...
        @overload
        def map(
            self, f: Callable[[ItemT_co], U | None], handler: Handler = ..., *, workers: NumberOfWorkers = ...
        ) -> WebLoader[U]: ...
        @overload
        def map(
            self, f: SeededFunction[ItemT_co, U | None], handler: Handler = ..., *, workers: NumberOfWorkers = ...
        ) -> WebLoader[U]: ...
        @overload  # type: ignore[no-overload-impl, override]
        def to_tuple(self, a: str | Sequence[str], b: str | Sequence[str], /, **options: Any) -> WebLoader[tuple[Any, Any]]: ...
        @overload
        def to_tuple(self, *args: str | Sequence[str], **options: Any) -> WebLoader[tuple[Any, ...]]: ...
        def extract_keys(self, *patterns_: str | Sequence[str], **options: Any) -> WebLoader[tuple[Any, ...]]: ...  # type: ignore[override]
        def map_tuple(  # type: ignore[override]
            self, *args: Callable[..., Any] | None, handler: Handler = ..., workers: NumberOfWorkers = ...
        ) -> WebLoader[tuple[Any, ...]]: ...
        @overload  # type: ignore[no-overload-impl, override]
        def batched(
            self, batchsize: int, collation_fn: None, partial: bool = ..., handler: Handler = ..., tensors: bool = ...
        ) -> WebLoader[list[ItemT_co]]: ...
        @overload
        def batched(
            self, batchsize: int, collation_fn: Collation = ..., partial: bool = ..., handler: Handler = ..., tensors: bool = ...
        ) -> WebLoader[Any]: ...
        def unbatched(self, handler: Handler = ...) -> WebLoader[Any]: ...
        def listed(self, batchsize: int, partial: bool = ...) -> WebLoader[list[ItemT_co]]: ...  # type: ignore[override]
        def unlisted(self: WebLoader[list[U]]) -> WebLoader[U]: ...
