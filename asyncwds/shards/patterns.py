"""Shard patterns → urls, in order.

    "a-{000..009}.tar::b.tar"   braces (with padding, steps, lists, nesting); `::` separates patterns
    "/data/*.tar"               globs, on local paths and `file:` only, sorted
    "@shards.txt"               one pattern a line; blank lines and lines that begin with # are skipped;
                                relative paths are relative to the list, so that it can move along with its shards
    "${BUCKET}/a.tar"           the environment variable WDS_BUCKET
    "/data", "/data/"           a folder: the shards in it, by name; "/data/*" leaves out the files beside shards too
    "made/manifest.json"        a list of shards in JSON, "@made/manifest.json" too: for `asyncwds.storage.listing` to read
    ["a.tar", Path("b.tar")]    any of these; a Path is taken as it is, a local file
    ["pipe:cat '{a}.tar'"]      a command in a list is taken as it is; in a string by itself it is a pattern as all others

A string that is the path of a local file, as it stands, is that file, whatever pattern it would be. Line ends behind the strings
of a list are dropped, and blank lines with them. Nothing is dropped silently: a pattern that stands for no url is a SpecError. The
syntax of strings is WebDataset's; globs, lists in files and patterns within Python lists are additions.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from glob import glob
from pathlib import Path
from typing import Any

from asyncwds.errors import SpecError, redact
from asyncwds.formatting.texts import printable, show_value
from asyncwds.runtime.security import require_local
from asyncwds.shards.braces import Braces, parse_braces
from asyncwds.shards.folders import is_folder, is_manifest, shards_in, without_others
from asyncwds.shards.likeness import are_alike, in_folder
from asyncwds.shards.urls import FILE, SCHEME, UrlList, expand_environment, is_command, local_path, url_list

_SEPARATOR = re.compile(r"::(?![^\[]*\])")  # not within [...]: http://[::1]/a.tar is one url
_WILDCARD = re.compile(r"[*?\[]")
_SPECIAL = re.compile(r"[*?\[{}\\]|::|^@|\$\{")  # what is none of these is no pattern
# Most of a long list are such: a tenth of the time that it takes to see that they are nothing else.
_PLAIN_URL = re.compile(r"(?!file:)[A-Za-z][A-Za-z0-9+.-]+://(?:[^*?\[{}\\$:\r\n]|:(?!:))+", re.IGNORECASE)
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")

Urls = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]


def expand(urls: Urls) -> UrlList:
    """The urls that the patterns stand for, in order: each is made when it is asked for, as far as the pattern says all of it.

    Raises SpecError for anything but strings, Paths and ordered iterables of them, for an empty result, unbalanced braces, an unset
    variable, a list file that cannot be read, and a glob that matches nothing.
    """
    if isinstance(urls, str):
        _warn_of_quotes(urls)
        expanded = url_list(_expand_text(urls))
    else:
        expanded = url_list(url for entry in _entries(urls) for url in _expand_entry(entry))
    if not expanded:
        raise SpecError("the list of urls is empty")
    return expanded


def _entries(urls: object) -> Iterable[Any]:
    if isinstance(urls, str | os.PathLike):
        return [urls]
    # Sets differ in order from process to process, and of a mapping or bytes one would get keys or numbers.
    if not isinstance(urls, Iterable) or isinstance(urls, bytes | bytearray | Mapping | AbstractSet):
        raise SpecError(f"urls must be a string, a Path or a list of these, not {type(urls).__name__}")
    return urls


def _expand_entry(entry: object) -> Iterator[str | Braces]:
    if isinstance(entry, str) and _PLAIN_URL.fullmatch(entry):
        yield entry
    elif isinstance(entry, os.PathLike):
        path = _verbatim(os.fspath(entry))
        yield from _matches_folder(path) if is_folder(path) else (path,)
    elif isinstance(entry, str):
        text = entry.rstrip("\r\n")
        if is_command(text):
            yield text
        elif text or not entry:  # no blank line
            yield from _expand_text(text)
    else:
        raise SpecError(f"each url must be a string or a Path, not {type(entry).__name__}: {show_value(entry)}")


def _expand_text(text: str) -> Iterator[str | Braces]:
    if text and not _SPECIAL.search(text):  # of a long list, mostly
        yield from _matches(text, "")
        return
    if _is_file(text):
        yield text
        return
    for pattern in _patterns(text):
        if pattern.startswith("@") and not _is_file(pattern):
            yield from _expand_list(Path(pattern[1:]))
        else:
            yield from _expand_pattern(pattern)


def _is_file(text: str, folder: str = "") -> bool:
    """Whether what looks like a pattern is the path of a file. Other paths are not looked for: a network disk takes time."""
    path = local_path(text) if _SPECIAL.search(text) else None
    if path is None:
        return False
    literal = os.path.join(folder, path)  # noqa: PTH118 - a Path would normalise
    return os.path.exists(literal) and not os.path.isdir(literal)  # noqa: PTH110, PTH112 - Path's raise where access is denied


def _warn_of_quotes(text: str) -> None:
    """A shell would leave alone what stands in quotes; a pattern in a string is expanded there too, as WebDataset does."""
    quoted = _QUOTED.findall(text) if is_command(text) else []
    if any("::" in part or _is_expanded(part) for part in quoted):
        warnings.warn(
            f"in a command by itself, braces and :: are expanded in quotes too: put it into a list, as it is taken there: "
            f"{printable(redact(repr([text])))}",
            stacklevel=3,
        )


def _is_expanded(text: str) -> bool:
    try:
        pattern = parse_braces(text, escape=False)
    except ValueError:
        return False  # the whole command may be balanced
    return pattern.count > 1 or pattern.at(0) != text


def _verbatim(path: str | bytes) -> str:
    if not isinstance(path, str):
        raise SpecError(f"a path must be text, not {type(path).__name__}: {show_value(path)}")
    # A file called "-" or "pipe:x" must not be taken for standard input or a command.
    return path if local_path(path) == path else os.path.join(os.curdir, path)  # noqa: PTH118 - a Path would drop the dot


def _patterns(text: str) -> list[str]:
    patterns = _SEPARATOR.split(expand_environment(text))
    if not all(patterns):
        raise SpecError("an empty url" + (" beside '::'" if "::" in text else ""), url=text)
    return [pattern[1:] if pattern.startswith("@") and is_manifest(pattern) else pattern for pattern in patterns]


def _expand_list(path: Path) -> Iterator[str | Braces]:
    require_local("lists of urls are not read from local files", f"@{path}")
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"the list of urls cannot be read: {error}", url=f"@{path}") from error
    entries = [line for line in map(str.strip, lines) if line and not line.startswith("#")]
    if not entries:
        raise SpecError("the list of urls is empty", url=f"@{path}")
    folder = str(path.parent)
    for entry in entries:
        if is_command(entry) or _is_file(entry, folder):
            yield _resolve_in(entry, folder)
            continue
        for pattern in _patterns(entry):
            if pattern.startswith("@"):
                raise SpecError(f"a list of urls cannot name another list ({pattern})", url=f"@{path}")
            yield from _expand_pattern(pattern, folder)


def _resolve_in(url: str, folder: str) -> str:
    """The url, or for a relative path that in the folder."""
    path = local_path(url)
    return os.path.join(folder, path) if folder and path is not None else url  # noqa: PTH118 - a Path would normalise


def _expand_pattern(pattern: str, folder: str = "") -> Iterator[str | Braces]:
    """Urls for a pattern without `::`; relative paths are taken from `folder`."""
    if _is_file(pattern, folder):
        yield _resolve_in(pattern, folder)
        return
    braces = parse_pattern(pattern)
    if braces.count > 1 and are_alike(braces) and (kept := _keep_in(folder, braces)):
        yield kept
        return
    for number in range(braces.count):
        yield from _matches(braces.at(number), folder)


def parse_pattern(pattern: str) -> Braces:
    """A pattern without `::`. Raises SpecError for braces that are not balanced, and more urls than can be counted."""
    try:
        return parse_braces(pattern)
    except ValueError as error:
        hint = "; in a list, a command is taken as it is" if is_command(pattern) else ""
        raise SpecError(f"unbalanced braces{hint}", url=pattern) from error
    except OverflowError as error:
        raise SpecError(str(error), url=pattern) from error


def _keep_in(folder: str, braces: Braces) -> Braces | None:
    """The pattern, for paths that in the folder; None if it cannot be one."""
    if not folder or (SCHEME.match(braces.head) and not FILE.match(braces.head)):
        return braces
    return None if FILE.match(braces.head) else in_folder(folder, braces)


def _matches(url: str, folder: str) -> list[str]:
    path = local_path(url)
    if path is None:
        return [url]
    literal = os.path.join(folder, path)  # noqa: PTH118 - a Path would normalise what users gave and see again as __url__
    # A file whose name has brackets needs no pattern.
    if not _WILDCARD.search(path) or os.path.exists(literal):  # noqa: PTH110 - Path.exists raises where access is denied
        return _matches_folder(literal) if is_folder(literal) else [literal if folder else url]
    require_local("patterns are not looked up in local folders", url)
    found = sorted(glob(path, root_dir=folder or None, recursive=True))  # noqa: PTH207 - Path.glob refuses absolute patterns
    if not found:
        raise SpecError("no file matches the pattern", url=url)
    return [os.path.join(folder, name) for name in without_others(found, path)]  # noqa: PTH118 - as above


def _matches_folder(path: str) -> list[str]:
    require_local("folders of shards are not looked up", path)
    return shards_in(path)
