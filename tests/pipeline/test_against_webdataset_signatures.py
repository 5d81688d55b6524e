"""Arguments have webdataset's names and order; ours come behind them, or by keyword."""

from __future__ import annotations

import inspect
from inspect import Parameter
from typing import Any

import pytest
import webdataset
from webdataset import compat, filters, pipeline, shardlists, tariterators
from webdataset.gopen import Pipe
from webdataset.gopen import gopen as their_gopen

import asyncwds

POSITIONAL = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)

FLUENT = sorted(name for name in vars(compat.FluidInterface) if not name.startswith("_"))

# Theirs takes the data first where ours, curried, takes it last.
CURRIED = {"resampled": shardlists.resampled_, "tarfile_to_samples": tariterators.tarfile_samples} | {
    name: getattr(filters, f"_{name}")
    for name in ("info", "shuffle", "select", "log_keys", "map", "associate", "batched", "rsample", "unbatched", "unlisted")
}
ALIKE: dict[str, Any] = {
    "WebDataset": webdataset.WebDataset,
    "SimpleShardList": shardlists.SimpleShardList,
    "ResampledShards": shardlists.ResampledShards,
    "DirectoryShardList": shardlists.DirectoryShardList,
    "detshuffle": filters.detshuffle,
    "FluidWrapper": compat.FluidWrapper,
    "gopen": their_gopen,
    "url_opener": tariterators.url_opener,
    "tar_file_expander": tariterators.tar_file_expander,
    "group_by_keys": tariterators.group_by_keys,
    "tarfile_samples": tariterators.tarfile_samples,
    "split_by_node": shardlists.split_by_node,
    "split_by_worker": shardlists.split_by_worker,
    "single_node_only": shardlists.single_node_only,
    "non_empty": shardlists.non_empty,
    "check_empty": compat.check_empty,
    "expand_urls": shardlists.expand_urls,
    "expand_source": shardlists.expand_source,
    "shardspec": shardlists.shardspec,
    "add_length_method": pipeline.add_length_method,
}


def positional(function: Any, skip: int = 0) -> list[str]:
    parameters = list(inspect.signature(function).parameters.values())[skip:]
    return [parameter.name for parameter in parameters if parameter.kind in POSITIONAL]


def keywords(function: Any) -> set[str]:
    return {
        parameter.name for parameter in inspect.signature(function).parameters.values() if parameter.kind is Parameter.KEYWORD_ONLY
    }


def takes_any_keyword(function: Any) -> bool:
    return any(parameter.kind is Parameter.VAR_KEYWORD for parameter in inspect.signature(function).parameters.values())


@pytest.mark.parametrize("name", FLUENT)
def test_fluent_methods(name: str) -> None:
    theirs, ours = getattr(compat.FluidInterface, name), getattr(asyncwds.FluidInterface, name)
    wanted = positional(theirs)
    assert positional(ours)[: len(wanted)] == wanted
    assert keywords(theirs) <= keywords(ours) | set(positional(ours)) or takes_any_keyword(ours)


@pytest.mark.parametrize(
    "name", ["close", "invoke", "iterator1", "iterator", "stage", "append", "compose", "with_length", "with_epoch", "repeat"]
)
def test_methods_of_pipelines(name: str) -> None:
    wanted = positional(getattr(webdataset.DataPipeline, name))
    assert positional(getattr(asyncwds.DataPipeline, name))[: len(wanted)] == wanted


@pytest.mark.parametrize("name", CURRIED)
def test_curried_stages(name: str) -> None:
    wanted = positional(CURRIED[name], skip=1)
    assert positional(getattr(asyncwds, name))[: len(wanted)] == wanted


@pytest.mark.parametrize("name", ALIKE)
def test_functions_and_classes(name: str) -> None:
    wanted = positional(ALIKE[name])
    assert positional(getattr(asyncwds, name))[: len(wanted)] == wanted


def test_the_rest() -> None:
    assert positional(asyncwds.tariterators.tar_file_iterator) == positional(tariterators.tar_file_iterator)
    assert keywords(Pipe) <= keywords(asyncwds.Pipe)
