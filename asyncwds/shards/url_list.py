"""The urls of shards in order, of which patterns with braces are kept as they are."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, chain, groupby
from typing import Any, overload

from asyncwds.errors import SpecError
from asyncwds.shards.braces import Braces

Piece = tuple[str, ...] | Braces


@dataclass(frozen=True, slots=True)
class UrlList(Sequence[str]):
    """A million urls of one pattern take as much memory, and as little of a pickle, as the pattern."""

    pieces: tuple[Piece, ...] = ()
    ends: tuple[int, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ends", tuple(accumulate(map(_count, self.pieces))))

    def __len__(self) -> int:
        return self.ends[-1] if self.ends else 0

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...

    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        if index < 0:
            index = range(len(self))[index]  # raises IndexError
        which = bisect_right(self.ends, index)
        piece = self.pieces[which]  # raises IndexError
        if which:
            index -= self.ends[which - 1]
        return piece.at(index) if isinstance(piece, Braces) else piece[index]

    def __iter__(self) -> Iterator[str]:
        return chain.from_iterable(each_url(piece) for piece in self.pieces)


def url_list(urls: Iterable[str | Braces]) -> UrlList:
    """The urls and what the patterns stand for, in this order. Raises SpecError if these are more than can be counted."""
    pieces: list[Piece] = []
    for is_pattern, group in groupby(urls, key=lambda url: isinstance(url, Braces)):
        found: Any = tuple(group)
        pieces += found if is_pattern else [found]
    try:
        made = UrlList(tuple(pieces))
        len(made)
    except OverflowError as error:
        raise SpecError("the patterns stand for more shards than can be counted") from error
    return made


def join_lists(lists: Iterable[Sequence[str]]) -> UrlList:
    """One after the other."""
    return UrlList(tuple(piece for urls in lists for piece in (urls.pieces if isinstance(urls, UrlList) else [tuple(urls)])))


def _count(piece: Piece) -> int:
    return piece.count if isinstance(piece, Braces) else len(piece)


def each_url(piece: Piece) -> Iterable[str]:
    return map(piece.at, range(piece.count)) if isinstance(piece, Braces) else piece


class Expanded:
    """An attribute `urls`, which becomes a list when somebody asks for it: WebDataset's are lists, and can be changed."""

    def __get__(self, instance: Any, owner: type) -> list[str]:
        held = vars(instance)["urls"]
        if isinstance(held, UrlList):
            held = vars(instance)["urls"] = list(held)
        return held  # type: ignore[no-any-return]

    def __set__(self, instance: Any, urls: Sequence[str]) -> None:
        vars(instance)["urls"] = urls


def unexpanded(instance: Any) -> Sequence[str]:
    """The same as they are held."""
    return vars(instance)["urls"]  # type: ignore[no-any-return]
