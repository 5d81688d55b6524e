"""The stages that choose and rename the fields of samples by patterns: WebDataset's, as `fnmatch` reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import lru_cache
from typing import Any, ClassVar, TypeVar

from asyncwds import checks
from asyncwds.errors import SampleError, SpecError
from asyncwds.formatting.texts import show_value
from asyncwds.pipeline.context import RunContext
from asyncwds.pipeline.protocol import Stream
from asyncwds.pipeline.stage_run import open_each, run_alone
from asyncwds.pipeline.stages.fields import alternatives, is_field, require_dict
from asyncwds.runtime.handlers import Handler, reraise_exception
from asyncwds.samples import describe_misplaced, whereabouts

T = TypeVar("T")
Choice = Callable[[tuple[str, ...]], T]

LAYOUTS = 64  # sets of fields that a stage remembers its choice for; a data set has a few


@dataclass(frozen=True, slots=True)
class ExtractKeys:
    """Samples → tuples of the fields that match the patterns."""

    one_to_one: ClassVar[bool] = True
    passes_marks: ClassVar[bool] = True
    patterns: tuple[tuple[str, ...], ...]
    duplicate_is_error: bool = True
    ignore_missing: bool = False
    handler: Handler = reraise_exception

    def __post_init__(self) -> None:
        checks.function("extract_keys: handler", self.handler, takes=1)
        checks.flags(self, "duplicate_is_error", "ignore_missing")

    def __call__(self, source: Iterable[Any]) -> Iterator[Any]:
        return run_alone(self, source)

    def open(self, source: Stream, context: RunContext) -> Stream:
        chosen: Choice[list[str]] = lru_cache(LAYOUTS)(self._chosen)

        def extracted(sample: Any) -> tuple[Any, ...]:
            return tuple([sample[name] for name in decided(chosen, sample, "extract_keys")])

        return open_each(extracted, source, context, "extract_keys", self.handler)

    def _chosen(self, names: tuple[str, ...]) -> list[str]:
        chosen = []
        for pattern in self.patterns:
            matches = [name for name in names if any(fnmatch(name, p) or fnmatch(f".{name}", p) for p in pattern)]
            if not matches and not self.ignore_missing:
                raise SampleError(f"no field matches {';'.join(pattern)!r} in {' '.join(names)}")
            if len(matches) > 1 and self.duplicate_is_error:
                raise SampleError(f"several fields match {';'.join(pattern)!r}: {' '.join(matches)}")
            chosen += matches[:1]
        return chosen


@dataclass(frozen=True, slots=True)
class RenameKeys:
    """Renames the fields that match patterns."""

    one_to_one: ClassVar[bool] = True
    passes_marks: ClassVar[bool] = True
    renamings: tuple[tuple[str, str], ...]  # (new name, pattern); of several that match, the last one counts
    keep_unselected: bool = False
    must_match: bool = True
    duplicate_is_error: bool = True
    handler: Handler = reraise_exception

    def __post_init__(self) -> None:
        checks.function("rename_keys: handler", self.handler, takes=1)
        checks.flags(self, "keep_unselected", "must_match", "duplicate_is_error")

    def __call__(self, source: Iterable[Any]) -> Iterator[Any]:
        return run_alone(self, source)

    def open(self, source: Stream, context: RunContext) -> Stream:
        chosen: Choice[dict[str, str]] = lru_cache(LAYOUTS)(self._chosen)

        def renamed(sample: Any) -> dict[str, Any]:
            return {new: sample[name] for new, name in decided(chosen, sample, "rename_keys").items()}

        return open_each(renamed, source, context, "rename_keys", self.handler)

    def _chosen(self, names: tuple[str, ...]) -> dict[str, str]:
        """New name → old name."""
        chosen: dict[str, str] = {}
        unmatched = {pattern for _, pattern in self.renamings}
        for name in names:
            last_part = name.rpartition("/")[2].lower()
            new, pattern = next((pair for pair in reversed(self.renamings) if fnmatch(last_part, pair[1])), (name, None))
            unmatched.discard(pattern or "")
            if pattern is None and not self.keep_unselected:
                continue
            if new in chosen and self.duplicate_is_error:
                raise SampleError(f"both {chosen[new]!r} and {name!r} would become {new!r}")
            chosen.setdefault(new, name)
        if unmatched and self.must_match:
            raise SampleError(f"no field matches {', '.join(sorted(unmatched))} in {' '.join(names)}")
        return chosen


def decided(choose: Choice[T], sample: Any, stage: str) -> T:
    """What `choose` decides for the sample's fields; its errors get to know whose they are."""
    require_dict(sample, stage)
    try:
        return choose(tuple(sample))
    except SampleError as error:
        if wrong := describe_misplaced(sample):
            raise SpecError(f"{stage} needs samples, {wrong}") from None
        raise SampleError(error.message, **whereabouts(sample)) from None


def extract_keys(
    *patterns: str | Sequence[str],
    duplicate_is_error: bool = True,
    ignore_missing: bool = False,
    handler: Handler = reraise_exception,
) -> ExtractKeys:
    """`extract_keys("*.jpg;*.png", "cls")`: tuples of the fields whose name, or that with a dot before it, matches a pattern.

    A pattern that no field matches is a SampleError, unless `ignore_missing`: then the tuple is shorter. So is one that several
    match, unless `duplicate_is_error` is False: then the sample's first counts.
    """
    for pattern in patterns:
        if not is_field(pattern):
            raise SpecError(f"extract_keys takes patterns of fields, not {show_value(pattern)}")
    return ExtractKeys(tuple([alternatives(p) for p in patterns]), duplicate_is_error, ignore_missing, handler)


def rename_keys(
    *renamings: Sequence[str],
    keep_unselected: bool = False,
    must_match: bool = True,
    duplicate_is_error: bool = True,
    handler: Handler = reraise_exception,
    **more: str,
) -> RenameKeys:
    """`rename_keys(("image", "*jpg"), label="cls")`: new names for the fields that match, `__key__` and all others dropped.

    A pattern is compared with the last part of the name (behind slashes), in lower case; of several that match the last one counts.
    `keep_unselected` passes on the fields that match none. A pattern without a field is a SampleError unless `must_match` is
    False; so are two fields for one name, unless `duplicate_is_error` is False: then the first counts.
    """
    pairs = [*renamings, *more.items()]
    for pair in pairs:
        if not isinstance(pair, tuple | list) or len(pair) != 2 or not all(isinstance(name, str) for name in pair):
            raise SpecError(f"rename_keys takes pairs (new name, pattern), not {show_value(pair)}")
    return RenameKeys(tuple([(new, pattern) for new, pattern in pairs]), keep_unselected, must_match, duplicate_is_error, handler)
