"""`mix`: samples of several sources, each with its share."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, fields, replace
from functools import partial
from itertools import islice
from typing import Any

from asyncwds import checks
from asyncwds.errors import SpecError, WdsError
from asyncwds.runtime.extras import require_extra
from asyncwds.shards.manifests import records_of
from asyncwds.storage.local.readiness import translate_os_error
from asyncwds.tar.raw import RawSample
from asyncwds.tools.copying import describe_run, select, write_all
from asyncwds.tools.inputs import Inputs
from asyncwds.tools.mixing.choosing import Mixture, Stop
from asyncwds.tools.opening import open_url
from asyncwds.tools.outputs import Outputs
from asyncwds.tools.report import Report
from asyncwds.tools.selection import Selection, with_key


@dataclass(frozen=True, kw_only=True)
class MixSource:
    """urls of shards; `weight` is its share of the samples, against those of the others."""

    urls: Sequence[str]
    weight: float = 1.0
    selection: Selection = Selection()  # noqa: RUF009 - frozen


def mix_shards(
    inputs: Inputs,
    sources: Sequence[MixSource],
    outputs: Outputs,
    *,
    stop: Stop = "all",
    seed: int = 0,
    limit: int | None = None,
) -> Report:
    """Writes samples of several sources, which are drawn with the probability of their weights. `inputs` says how they are read.

    stop   "all": all samples of all. "first": to the end of the one that ends first. "longest": to the end of the longest; those
           that end earlier are begun anew, with -1, -2, … behind the keys
    limit  end after so many samples

    The report's `notes` have the samples of each source. Raises SpecError, FetchError, TarError, SampleError.
    """
    report = Report()
    opens = [partial(_samples, replace(inputs, urls=source.urls), source.selection, report) for source in sources]
    mixture = Mixture(opens, [source.weight for source in sources], stop, seed)
    run = describe_run("mix", inputs, Selection(), repr(sources), stop, seed, limit) if outputs.resume else None
    with closing(mixture.__iter__()) as samples:
        write_all(islice(samples, limit), outputs, report, run)
    report.notes["samples of each source"] = list(mixture.given)
    return report


def _samples(inputs: Inputs, selection: Selection, report: Report, passes: int) -> Generator[RawSample, None, None]:
    with closing(select(inputs, selection, report)) as samples:
        for sample in samples:
            yield with_key(sample, f"{sample.key}-{passes}") if passes else sample


def load_sources(path: str) -> list[MixSource]:
    """The sources that a file lists: TOML, `[[sources]]` with `shards` and `weight`; or YAML or JSON, with a list `sources`.

    A list of shards in JSON, as datasets take it, is one source.

    `shards` is a pattern or a list of them; `weight` is 1 without it, and may be called `probability`. What `Selection` has is
    for the samples of a source: `where`, `fields`, `rename`, `limit` and others. Raises SpecError for what is
    no such list, and FetchError for a file that cannot be read.
    """
    data = _read(path)
    entries = _parsed(path, data).get("sources")
    if entries is None and _is_manifest(path, data):
        return [MixSource(urls=[path])]
    if not isinstance(entries, list) or not entries:
        raise SpecError("it lists no sources", url=path)
    return [_source(path, entry) for entry in entries]


def _read(path: str) -> bytes:
    try:
        with open_url(path) as file:
            return file.read()
    except WdsError:
        raise
    except OSError as error:
        raise translate_os_error(error, path) from error


def _is_manifest(path: str, data: bytes) -> bool:
    try:
        return path.endswith(".json") and bool(records_of(data, path))
    except SpecError:
        return False


def _parsed(path: str, data: bytes) -> Mapping[str, Any]:
    try:
        text = data.decode()
        if path.endswith(".toml"):
            return tomllib.loads(text)
        found = json.loads(text) if path.endswith(".json") else require_extra("yaml", "yaml").safe_load(text)
    except SpecError:
        raise
    except Exception as error:
        raise SpecError(f"the list of sources cannot be read: {error}", url=path) from error
    if not isinstance(found, Mapping):
        raise SpecError("it lists no sources", url=path)
    return found


def _source(path: str, entry: Any) -> MixSource:
    if not isinstance(entry, Mapping) or "shards" not in entry:
        raise SpecError(f"a source has `shards`: {entry!r}", url=path)
    chosen = {name: entry[name] for name in (each.name for each in fields(Selection)) if name in entry}
    if unknown := entry.keys() - {"shards", "weight", "probability", "name", *chosen}:
        raise SpecError(f"a source has shards, weight, name and a selection, and no {', '.join(sorted(unknown))}", url=path)
    shards = entry["shards"]
    weight = checks.real("the weight of a source", entry.get("weight", entry.get("probability", 1.0)))
    urls = [shards] if isinstance(shards, str) else list(shards)
    return MixSource(urls=urls, weight=float(weight), selection=Selection(**chosen))
