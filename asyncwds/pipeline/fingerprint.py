"""What a state says of the pipeline that it is of, and what is another one than that."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

from asyncwds.engine.source import Source
from asyncwds.formatting.texts import changed_fields, show_call
from asyncwds.pipeline.clock import stage_name
from asyncwds.pipeline.describe import describe_stage
from asyncwds.pipeline.description import Description
from asyncwds.pipeline.shardspec import MultiShardSample
from asyncwds.pipeline.skip_list import SkipList
from asyncwds.pipeline.stages.map import Map
from asyncwds.pipeline.tar_samples import TarSamples
from asyncwds.shards.plan import single_node_only, split_by_node
from asyncwds.shards.urls import UrlList

SHOWN = 200  # characters of a stage
HASHED = 10_000  # of more urls than that, as many are looked at


def fingerprint(description: Description) -> dict[str, Any]:
    """`shards`: what decides about their order, and urls without what stands behind a `?`. `stages`: as they are printed.

    `list`: the same of a list of shards in front of the stage that reads them.
    """
    head, *stages = description.stages or (None,)
    own = getattr(getattr(head, "description", description), "skip", None) or description.skip  # or that of lanes
    return {
        "shards": _shards(head) if isinstance(head, Source) else None,
        "stages": [_first(head), *[_stage(stage) for stage in stages]],
        "passes": description.passes,
        "items": description.items,
        **({"skip": own.digest} if isinstance(own, SkipList) else {}),
        **({} if (listed := _listed(head)) is None else {"list": listed}),
    }


def skips_in(fingerprint: Any) -> list[str | None]:
    """Digests of what a pipeline and those that it begins with leave out, from a fingerprint; None is nothing."""
    if not isinstance(fingerprint, Mapping):
        return [None]
    within = fingerprint.get("within") or ()
    return [fingerprint.get("skip"), *[each for inner in within for each in skips_in(inner)]]


def skips_within(head: Any) -> list[str | None]:
    """The same, of those that a pipeline begins with; and of lanes."""
    lanes = getattr(getattr(head, "description", None), "skip", None)
    found = [each for inner in inner_datasets(head) for each in skips_in(inner.fingerprint())]
    return [lanes.digest if isinstance(lanes, SkipList) else None, *found]


def _shards(source: Source) -> dict[str, Any]:
    prefetch = source.prefetch
    turns = f"{prefetch.interleave} x {prefetch.interleave_samples}" if prefetch.interleave > 1 else "1"
    return {
        "count": len(source.urls),
        "urls": _digest(source.urls),
        "shardshuffle": source.shardshuffle,
        "draw": None if source.draw is None else _hash(repr(source.draw)),
        "splitters": [None if each is None else _splitter(each) for each in (source.nodesplitter, source.workersplitter)],
        "files": [None if each is None else _function(each) for each in (source.select_files, source.rename_files)],
        "interleave": turns,
        "order": prefetch.order,
        "split": None if source.split is None else f"samples, uneven={source.split.uneven!r}, {_hash(repr(source.split.counts))}",
    }


def _listed(head: Any) -> dict[str, Any] | None:
    urls = _urls_in(head)
    if urls is None:
        return None
    said = {name: vars(head).get(name) for name in ("seed", "deterministic", "nshards")} if hasattr(head, "__dict__") else {}
    return {"count": len(urls), "urls": _digest(urls), **{name: value for name, value in said.items() if value is not None}}


def _urls_in(head: Any) -> Sequence[str] | None:
    """Of a list of shards, or of urls; None where it is nothing of the kind."""
    if isinstance(head, MultiShardSample):
        return head.urls()
    if isinstance(head, list | tuple):
        return head if head and all(isinstance(url, str) for url in head) else None
    urls = getattr(head, "__dict__", {}).get("urls")
    return urls if isinstance(urls, UrlList) and not isinstance(head, Source) else None


def order_of(stage: Any) -> str | None:
    """ "plan" or "arrival", of a stage that reads shards."""
    source = stage if isinstance(stage, Source) else stage.source if isinstance(stage, TarSamples) else None
    return None if source is None else source.prefetch.order


def _digest(urls: Sequence[str]) -> str:
    step = max(1, len(urls) // HASHED)
    return _hash("\n".join([urls[index].partition("?")[0] for index in range(0, len(urls), step)]))


def _hash(text: str) -> str:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def _function(function: Any) -> str:
    return str(getattr(getattr(function, "func", function), "__qualname__", type(function).__name__))


def _splitter(splitter: Any) -> str:
    """On one rank, where alone that runs, the default does the same as `split_by_node`."""
    return _function(split_by_node if splitter is single_node_only else splitter)


def _first(head: Any) -> str:
    return type(head).__name__


def _stage(stage: Any) -> str:
    if isinstance(stage, TarSamples):
        return stage_name(stage)
    described = describe_stage(stage)
    if isinstance(stage, Map) and not described.startswith("decode("):
        # What a function is called does not matter: it is renamed, or a lambda in another place.
        described = show_call("map", [], {name: value for name, value in changed_fields(stage).items() if name != "f"})
    return re.sub(r" at 0x[0-9a-f]+", "", described)[:SHOWN]


def inner_datasets(head: Any) -> list[Any]:
    """Those with a fingerprint that a pipeline begins with: another pipeline, the members of a mix, what a DataLoader is of."""
    members = getattr(head, "datasets", None) or [getattr(head, "dataset", head)]
    return [each for each in members if hasattr(each, "fingerprint")] if isinstance(members, list) else []


def differences(saved: Any, own: Mapping[str, Any], *, strict: bool, of: tuple[str, str] = ("in the state", "here")) -> list[str]:
    """What is another thing than in the state. Without `strict`, options of stages may be, and how long an iteration is."""
    if not isinstance(saved, Mapping) or not isinstance(own, Mapping):
        return []
    found = []
    one, other = of
    for kind in ("shards", "list"):
        before, now = saved.get(kind) or {}, own.get(kind) or {}
        if kind == "list" and not before:
            continue  # states of before do not say it
        names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
        found += [f"{_WORDS.get(name, name)}: {before.get(name)!r} {one}, {now.get(name)!r} {other}" for name in names]
    stages = list(saved.get("stages", []))
    own_stages = own.get("stages", [])
    if len(stages) != len(own_stages):
        found.append(f"the stages: {', '.join(stages)} {one}, {', '.join(own_stages)} {other}")
    else:
        found += [
            f"stage {number}: {before} {one}, {now} {other}"
            for number, (before, now) in enumerate(zip(stages, own_stages, strict=True))
            if (before != now if strict else before.partition("(")[0] != now.partition("(")[0])
        ]
    if "within" in saved:
        found += _differences_within(saved["within"], own.get("within", []), strict=strict)
    if strict:
        found += [
            f"{name} of an iteration: {saved.get(name)} {one}, {own.get(name)} {other}"
            for name in ("passes", "items")
            if saved.get(name) != own.get(name)
        ]
    return found


def _differences_within(saved: Any, own: Sequence[Mapping[str, Any]], *, strict: bool) -> list[str]:
    if len(saved) != len(own):
        return [f"the datasets that it begins with: {len(saved)} in the state, {len(own)} here"]
    pairs = enumerate(zip(saved, own, strict=True))
    return [f"in what it begins with, {number}: {each}" for number, (a, b) in pairs for each in differences(a, b, strict=strict)]


_WORDS = {
    "count": "the number of urls",
    "urls": "the urls (digest)",
    "seed": "the seed of the list of shards",
    "files": "select_files and rename_files",
    "split": "split, and numbers of samples (digest)",
}
