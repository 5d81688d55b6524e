"""What a url is: the scheme, the path of a local file, and what the environment makes of it; and lists of urls, `UrlList`, in which
patterns with braces are kept as they are.
"""

from __future__ import annotations

import os
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, chain, groupby
from typing import Any, overload
from urllib.parse import unquote

from asyncwds.errors import SpecError, redact
from asyncwds.runtime.security import secure_mode
from asyncwds.shards.braces import Braces

SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")  # at least two letters: C:\ is a local path
FILE = re.compile(r"file:(?://(?:localhost)?(?=/))?", re.IGNORECASE)
_VARIABLE = re.compile(r"\$\{(\w+)\}")


def local_path(url: str) -> str | None:
    """The path of a local file or a `file:` URL (RFC 8089, so percent-decoded); None for everything else."""
    if url == "-":
        return None
    if (prefix := FILE.match(url)) is not None:
        return unquote(url[prefix.end() :])
    return None if SCHEME.match(url) else url


def scheme_of(url: str) -> str:
    """The scheme in lower case; "file" for local paths, "-" for standard input."""
    return "-" if url == "-" else "file" if local_path(url) is not None else url.partition(":")[0].lower()


def is_command(text: str) -> bool:
    return text[:5].lower() == "pipe:"


def rewritten(url: str) -> str:
    """The url as $GOPEN_REWRITE says: "pattern=replacement;…", the first pattern that matches its beginning counts.

    Raises SpecError in secure mode if that variable is set.
    """
    rules = os.environ.get("GOPEN_REWRITE")
    if not rules or url == "-":
        return url
    if secure_mode():
        raise SpecError("urls are not rewritten by GOPEN_REWRITE, because WDS_SECURE is set", url=url)
    for rule in filter(None, rules.split(";")):
        pattern, equals, replacement = rule.partition("=")
        if not equals:
            raise SpecError(f"GOPEN_REWRITE has a rule without '=': {rule!r}")
        new = re.sub(f"^{pattern}", replacement, url)
        if new != url:
            return new
    return url


def shorten_urls(urls: Sequence[str]) -> str:
    """For `repr`: the first url and the last, without secrets, and how many there are."""
    if not urls:
        return "[]"
    first, last = repr(redact(urls[0])), repr(redact(urls[-1]))
    return first if len(urls) == 1 else f"{first} … {last} ({len(urls)} shards)"


def expand_environment(text: str) -> str:
    """The text with `${X}` replaced by the environment variable WDS_X, and so on in what that gives, ten times at most.

    Raises SpecError if such a variable is not set.
    """
    for _ in range(10):
        replaced = _VARIABLE.sub(_variable, text)
        if replaced == text:
            break
        text = replaced
    return text


def _variable(match: re.Match[str]) -> str:
    name = f"WDS_{match[1]}"
    if name not in os.environ:
        hint = "; in a list, a command is taken as it is" if is_command(match.string) else ""
        raise SpecError(f"${{{match[1]}}} stands for the environment variable {name}, which is not set{hint}", url=match.string)
    return os.environ[name]


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


def is_spec(urls: object) -> bool:
    return isinstance(urls, Mapping) or (isinstance(urls, str | os.PathLike) and str(urls).endswith((".yaml", ".yml")))
