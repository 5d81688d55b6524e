"""New keys for samples: a template, or a substitution."""

from __future__ import annotations

import re
from collections.abc import Callable
from string import Formatter

from asyncwds.errors import SpecError
from asyncwds.shards.folders import is_shard_name
from asyncwds.tar.raw import RawSample
from asyncwds.tools.selection import with_key

PLACES = ("index", "shard", "key", "ordinal")
_SUBSTITUTION = re.compile(r"s(?P<mark>[/|,#])(?P<old>.*)(?P=mark)(?P<new>.*)(?P=mark)")


def rekeyer(rule: str) -> Callable[[RawSample, int], RawSample]:
    """A function of a sample and its number among those that are written.

    rule   "{index:09d}", "{shard}/{key}", "{key}-{ordinal}": `shard` is the name of the file before its first dot, `ordinal` the
           number in that shard; or a substitution in keys as sed has it, "s/^old-/new-/"

    Raises SpecError for a rule that makes no sense; the function raises SampleError for a key that would come back as another one.
    """
    found = _SUBSTITUTION.fullmatch(rule)
    if found is not None:
        return _substitution(found["old"], found["new"], rule)
    try:
        names = [name for _, name, _, _ in Formatter().parse(rule) if name is not None]
        known = set(names) <= set(PLACES)
        if known and names:
            _filled(rule, "key", "shard", 0, 0)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise SpecError(f"this is no rule for keys: {rule[:80]!r} ({error})") from error
    if not known or not names:
        raise SpecError(f"a rule for keys has some of {{{'}, {'.join(PLACES)}}}, or is s/old/new/, and not {rule[:80]!r}")
    return lambda sample, index: with_key(sample, _filled(rule, sample.key, _shard_name(sample.url), index, sample.ordinal))


def _filled(rule: str, key: str, shard: str, index: int, ordinal: int) -> str:
    return rule.format(key=key, shard=shard, index=index, ordinal=ordinal)


def _substitution(old: str, new: str, rule: str) -> Callable[[RawSample, int], RawSample]:
    try:
        pattern = re.compile(old)
        pattern.sub(new, "")
    except (re.error, IndexError) as error:
        raise SpecError(f"this is no substitution: {rule[:80]!r} ({error})") from error
    return lambda sample, _: with_key(sample, pattern.sub(new, sample.key))


def _shard_name(url: str) -> str:
    name = url.partition("?")[0].rpartition("/")[2]
    return name.partition(".")[0] if is_shard_name(name) or "." in name else name
