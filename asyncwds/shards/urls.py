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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from glob import glob
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from asyncwds.errors import SpecError, redact
from asyncwds.formatting.escaping import printable
from asyncwds.runtime.security import require_local, secure_mode
from asyncwds.shards.braces import Braces, parse_braces
from asyncwds.shards.folders import is_folder, is_manifest, shards_in, without_others
from asyncwds.shards.likeness import are_alike, in_folder
from asyncwds.shards.url_list import UrlList, url_list

_SEPARATOR = re.compile(r"::(?![^\[]*\])")  # not within [...]: http://[::1]/a.tar is one url
_VARIABLE = re.compile(r"\$\{(\w+)\}")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")  # at least two letters: C:\ is a local path
_FILE = re.compile(r"file:(?://(?:localhost)?(?=/))?", re.IGNORECASE)
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


def local_path(url: str) -> str | None:
    """The path of a local file or a `file:` URL (RFC 8089, so percent-decoded); None for everything else."""
    if url == "-":
        return None
    if (prefix := _FILE.match(url)) is not None:
        return unquote(url[prefix.end() :])
    return None if _SCHEME.match(url) else url


def scheme_of(url: str) -> str:
    """The scheme in lower case; "file" for local paths, "-" for standard input."""
    return "-" if url == "-" else "file" if local_path(url) is not None else url.partition(":")[0].lower()


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
        raise SpecError(f"each url must be a string or a Path, not {type(entry).__name__}: {entry!r}")


def is_command(text: str) -> bool:
    return text[:5].lower() == "pipe:"


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
        raise SpecError(f"a path must be text, not {type(path).__name__}: {path!r}")
    # A file called "-" or "pipe:x" must not be taken for standard input or a command.
    return path if local_path(path) == path else os.path.join(os.curdir, path)  # noqa: PTH118 - a Path would drop the dot


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


def _patterns(text: str) -> list[str]:
    patterns = _SEPARATOR.split(expand_environment(text))
    if not all(patterns):
        raise SpecError("an empty url" + (" beside '::'" if "::" in text else ""), url=text)
    return [pattern[1:] if pattern.startswith("@") and is_manifest(pattern) else pattern for pattern in patterns]


def _variable(match: re.Match[str]) -> str:
    name = f"WDS_{match[1]}"
    if name not in os.environ:
        hint = "; in a list, a command is taken as it is" if is_command(match.string) else ""
        raise SpecError(f"${{{match[1]}}} stands for the environment variable {name}, which is not set{hint}", url=match.string)
    return os.environ[name]


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
    if not folder or (_SCHEME.match(braces.head) and not _FILE.match(braces.head)):
        return braces
    return None if _FILE.match(braces.head) else in_folder(folder, braces)


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
